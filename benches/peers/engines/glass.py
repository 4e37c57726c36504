"""pyglass, where it is installed: HNSW on quantized rows, refined on float32.

Grid: ann-benchmarks' `glass/config.yml` (degrees 8 to 96, L 200) with the quantizers of later
releases in place of its levels. The files hold the graph alone; `load` quantizes the base anew.
"""

from __future__ import annotations

import numpy as np

from .base import Peer


def module():
    """The module; PyPI's `glass` is a cosmology code of the same name."""
    import glass

    if not hasattr(glass, "Searcher"):
        raise ImportError("this `glass` is not pyglass")
    return glass


class Glass(Peer):
    name = package = module = "glass"
    needs_base = True

    def version(self):
        return getattr(module(), "__version__", "unknown")

    def builds(self, n, dim, metric, quick):
        return [
            {"R": degree, "L": 200, "quantizer": quantizer}
            for degree in ((32,) if quick else (8, 16, 32, 48, 64, 96))
            for quantizer in ("SQ4U", "SQ8U")
        ]

    def build(self, base, metric, threads, params):
        index = module().Index(
            index_type="HNSW",
            metric="L2" if metric == "l2" else "IP",
            quant="SQ8U",
            R=params["R"],
            L=params["L"],
        )
        self.graph = index.build(base)

    def save(self, folder):
        self.graph.save(str(folder / "graph.glass"))

    def load(self, folder, n, dim, metric, params, base):
        glass = module()
        self.index = glass.Searcher(
            graph=glass.Graph(str(folder / "graph.glass")),
            data=base,
            metric="L2" if metric == "l2" else "IP",
            quantizer=params["quantizer"],
            refine_quant="FP32",
        )
        self.index.set_ef(64)
        self.index.optimize(1)

    def set(self, params):
        self.index.set_ef(params["ef"])

    def search(self, queries, k):
        answer = self.index.batch_search(queries, k, num_threads=1)
        return np.asarray(answer[0] if isinstance(answer, tuple) else answer).reshape(-1, k)
