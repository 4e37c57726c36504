"""NGT: ANNG, and ONNG (its degrees adjusted afterwards).

Grid: ann-benchmarks' `onng_ngt/config.yml` (edge 100, out 10, in 120, construction epsilon 0.1),
with an ANNG of the edge count of `panng_ngt/config.yml`. PANNG's path adjustment and the quantized
QG need NGT's command line, which its wheel does not have. Each query is a Python call.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np

from .base import MANY, Peer

EPSILONS = (-0.4, -0.1, 0.0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.07, 0.1, 0.15, 0.2)


class Ngt(Peer):
    name, package, module = "ngt", "ngt", "ngtpy"
    python_loop = True

    def builds(self, n, dim, metric, quick):
        anng = {"graph": "anng", "edge": 20}
        onng = [
            {"graph": "onng", "edge": 100, "out": out, "in": 120}
            for out in ((10,) if quick else (10, 20, 30))
        ]
        return [anng] if quick and n >= MANY else [anng, *onng]

    def ladders(self, build, n, metric, k):
        # An edge size of -2 lets NGT choose how many edges it explores, 0 means all.
        size = 0 if build["graph"] == "anng" else -2
        return [[{"epsilon": epsilon, "edge_size": size} for epsilon in EPSILONS]]

    def build(self, base, metric, threads, params):
        import ngtpy

        self.folder = Path(tempfile.mkdtemp(prefix="ngt"))
        first = str(self.folder / "first")
        ngtpy.create(
            first,
            dimension=base.shape[1],
            edge_size_for_creation=params["edge"],
            edge_size_for_search=0,
            distance_type={"l2": "L2", "ip": "Inner Product", "cosine": "Cosine"}[metric],
        )
        index = ngtpy.Index(first, log_disabled=True)
        index.batch_insert(base, num_threads=threads)
        index.save()
        index.close()
        self.index_path = first
        if params["graph"] == "onng":
            self.index_path = str(self.folder / "second")
            optimizer = ngtpy.Optimizer(
                num_of_outgoings=params["out"], num_of_incomings=params["in"], log_disabled=True
            )
            optimizer.set_processing_modes(
                shortcut_reduction=True,
                search_parameter_optimization=False,
                prefetch_parameter_optimization=True,
                accuracy_table_generation=False,
            )
            optimizer.execute(first, self.index_path)

    def save(self, folder):
        shutil.copytree(self.index_path, folder / "index")
        shutil.rmtree(self.folder)

    def load(self, folder, n, dim, metric, params, base):
        import ngtpy

        self.index = ngtpy.Index(str(folder / "index"), read_only=True, log_disabled=True)

    def set(self, params):
        self.index.set(epsilon=params["epsilon"], edge_size=params["edge_size"])

    def search_one(self, query, k):
        return self.index.search(query, k, with_distance=False)

    def ids(self, answers, k):
        return super().ids([np.asarray(a, np.int64) for a in answers], k)
