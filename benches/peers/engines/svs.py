"""Intel's Scalable Vector Search: Vamana on float32 and float16, LVQ where the CPU is Intel's.

The library refuses its quantizers on other vendors' CPUs. Not in ann-benchmarks: the grid of
degrees and windows is ours.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np

from .base import MANY, Peer, widths

LVQ = {"lvq8": (8, 0), "lvq4x4": (4, 4), "lvq4x8": (4, 8)}
WINDOWS = (10, 14, 20, 28, 40, 56, 80, 120, 160, 200, 300, 400, 600, 800)


def intel() -> bool:
    return "GenuineIntel" in Path("/proc/cpuinfo").read_text()


class Svs(Peer):
    name, package, module = "svs", "scalable-vs", "svs"

    def builds(self, n, dim, metric, quick):
        storages = ["f32", "f16"] + (list(LVQ) if intel() else [])
        degrees = (16, 32, 64, 128)
        if quick:
            storages, degrees = storages[-1:], (64,) if n >= MANY else (32, 64)
        return [
            {
                "degree": degree,
                "window": 200,
                "alpha": 1.2 if metric == "l2" else 0.95,
                "storage": s,
            }
            for s in storages
            for degree in degrees
        ]

    def ladders(self, build, n, metric, k):
        return [[{"window": window} for window in widths(WINDOWS, k)]]

    def _kind(self, metric):
        import svs

        return svs.DistanceType.L2 if metric == "l2" else svs.DistanceType.MIP

    def build(self, base, metric, threads, params):
        import svs

        degree = params["degree"]
        how = svs.VamanaBuildParameters(
            alpha=params["alpha"],
            graph_max_degree=degree,
            window_size=params["window"],
            prune_to=degree - 4,
            max_candidate_pool_size=750,
        )
        storage = params["storage"]
        with tempfile.TemporaryDirectory() as folder:
            rows = base.astype(np.float16) if storage == "f16" else base
            if storage in LVQ:
                path = os.path.join(folder, "rows.fvecs")
                svs.write_vecs(base, path)
                loader = svs.VectorDataLoader(path, svs.DataType.float32, base.shape[1])
                rows = svs.LVQLoader(loader, primary=LVQ[storage][0], residual=LVQ[storage][1])
            self.index = svs.Vamana.build(how, rows, self._kind(metric), num_threads=threads)

    def save(self, folder):
        self.index.save(*(str(folder / part) for part in ("config", "graph", "data")))

    def load(self, folder, n, dim, metric, params, base):
        import svs

        graph = svs.GraphLoader(str(folder / "graph"))
        storage = params["storage"]
        if storage in LVQ:
            rows = svs.SerializedObject(str(folder / "data"))
        else:
            kind = svs.DataType.float16 if storage == "f16" else svs.DataType.float32
            rows = svs.VectorDataLoader(str(folder / "data"), kind, dim)
        self.index = svs.Vamana(
            str(folder / "config"), graph, rows, self._kind(metric), num_threads=1
        )

    def set(self, params):
        self.index.search_window_size = params["window"]

    def search(self, queries, k):
        return self.index.search(queries, k)[0]
