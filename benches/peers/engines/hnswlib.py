"""hnswlib. Grid: ann-benchmarks' `hnswlib/config.yml`."""

from __future__ import annotations

from .base import Peer, hnsw_grid


class Hnswlib(Peer):
    name = package = module = "hnswlib"

    def builds(self, n, dim, metric, quick):
        return hnsw_grid(n, quick)

    def _empty(self, dim, metric):
        import hnswlib

        return hnswlib.Index(space="l2" if metric == "l2" else "ip", dim=dim)

    def build(self, base, metric, threads, params):
        self.index = self._empty(base.shape[1], metric)
        self.index.init_index(
            max_elements=len(base), ef_construction=params["ef_construction"], M=params["M"]
        )
        self.index.add_items(base, num_threads=threads)

    def save(self, folder):
        self.index.save_index(str(folder / "index.bin"))

    def load(self, folder, n, dim, metric, params, base):
        self.index = self._empty(dim, metric)
        self.index.load_index(str(folder / "index.bin"))
        self.index.set_num_threads(1)

    def set(self, params):
        self.index.set_ef(params["ef"])

    def search(self, queries, k):
        return self.index.knn_query(queries, k, num_threads=1)[0]
