"""usearch, with rows kept as f32, bf16 or i8. Not in ann-benchmarks: its HNSW grid is used."""

from __future__ import annotations

from .base import MANY, Peer, hnsw_grid


class Usearch(Peer):
    name = package = module = "usearch"

    def builds(self, n, dim, metric, quick):
        # Its i8 scales every row to unit length: meaningful for the cosine alone.
        types = ("f32", "bf16", "i8") if metric == "cosine" else ("f32", "bf16")
        if quick:
            types = ("bf16",) if n >= MANY else types
            return [{"M": 32, "ef_construction": 200, "dtype": dtype} for dtype in types]
        return [grid for dtype in types for grid in hnsw_grid(n, quick, dtype=dtype)]

    def _empty(self, dim, metric, params):
        from usearch.index import Index

        kind = {"l2": "l2sq", "ip": "ip", "cosine": "cos" if params["dtype"] == "i8" else "ip"}
        return Index(
            ndim=dim,
            metric=kind[metric],
            dtype=params["dtype"],
            connectivity=params["M"],
            expansion_add=params["ef_construction"],
        )

    def build(self, base, metric, threads, params):
        import numpy as np

        self.index = self._empty(base.shape[1], metric, params)
        self.index.add(np.arange(len(base)), base, threads=threads)

    def save(self, folder):
        self.index.save(str(folder / "index.usearch"))

    def load(self, folder, n, dim, metric, params, base):
        self.index = self._empty(dim, metric, params)
        self.index.load(str(folder / "index.usearch"))

    def set(self, params):
        self.index.expansion_search = params["ef"]

    def search(self, queries, k):
        return self.index.search(queries, k, threads=1)

    def ids(self, answers, k):
        import numpy as np

        keys = answers.keys.astype(np.int64)
        keys[np.arange(keys.shape[1]) >= np.asarray(answers.counts)[:, None]] = -1
        return super().ids(keys, k)
