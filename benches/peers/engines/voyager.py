"""voyager, with rows kept as float32. Grid: ann-benchmarks' `voyager/config.yml`."""

from __future__ import annotations

import numpy as np

from .base import Peer, hnsw_grid


class Voyager(Peer):
    name = package = module = "voyager"

    def builds(self, n, dim, metric, quick):
        return hnsw_grid(n, quick)

    def build(self, base, metric, threads, params):
        import voyager

        space = {
            "l2": voyager.Space.Euclidean,
            "ip": voyager.Space.InnerProduct,
            "cosine": voyager.Space.Cosine,
        }[metric]
        self.index = voyager.Index(
            space,
            num_dimensions=base.shape[1],
            M=params["M"],
            ef_construction=params["ef_construction"],
            max_elements=len(base),
        )
        self.index.add_items(base, np.arange(len(base)), num_threads=threads)

    def save(self, folder):
        self.index.save(str(folder / "index.voyager"))

    def load(self, folder, n, dim, metric, params, base):
        import voyager

        self.index = voyager.Index.load(str(folder / "index.voyager"))

    def set(self, params):
        self.ef = params["ef"]

    def search(self, queries, k):
        # It refuses to look for less than k.
        return self.index.query(queries, k, num_threads=1, query_ef=max(k, self.ef))[0]
