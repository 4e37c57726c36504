"""faiss: HNSW on float32 and on 8-bit rows, IVF with 4-bit PQ fast scan and exact refinement.

Grids: ann-benchmarks' `faiss_hnsw/config.yml` and `faiss/config.yml` (FaissIVFPQfs; its 1204 lists
are read as 1024, its reordered candidates are 0, 10, 100 and 1000 times k: 0 finds too little at
4 bits, and there are steps between the others).
"""

from __future__ import annotations

from .base import MANY, Peer, hnsw_grid


class Faiss(Peer):
    package, module = "faiss-cpu", "faiss"

    def factory(self, dim: int, params: dict) -> str:
        raise NotImplementedError

    def construct(self, index, params: dict) -> None:
        """Sets construction parameters that the factory text cannot hold."""

    def build(self, base, metric, threads, params):
        import faiss

        faiss.omp_set_num_threads(threads)
        kind = faiss.METRIC_L2 if metric == "l2" else faiss.METRIC_INNER_PRODUCT
        self.index = faiss.index_factory(base.shape[1], self.factory(base.shape[1], params), kind)
        self.construct(self.index, params)
        self.index.train(base)
        self.index.add(base)

    def save(self, folder):
        import faiss

        faiss.write_index(self.index, str(folder / "index.faiss"))

    def load(self, folder, n, dim, metric, params, base):
        import faiss

        faiss.omp_set_num_threads(1)
        self.index = faiss.read_index(str(folder / "index.faiss"))

    def search(self, queries, k):
        return self.index.search(queries, k)[1]


class FaissHnsw(Faiss):
    name, storage = "faiss-hnsw", "Flat"

    def builds(self, n, dim, metric, quick):
        return hnsw_grid(n, quick)

    def factory(self, dim, params):
        return f"HNSW{params['M']},{self.storage}"

    def construct(self, index, params):
        index.hnsw.efConstruction = params["ef_construction"]

    def set(self, params):
        self.index.hnsw.efSearch = params["ef"]


class FaissHnswSq8(FaissHnsw):
    name, storage = "faiss-hnsw-sq8", "SQ8"


class FaissIvfPqFs(Faiss):
    name = "faiss-ivfpqfs"

    def builds(self, n, dim, metric, quick):
        lists = [count for count in (512, 1024, 2048, 4096) if count * 10 <= n] or [max(1, n // 39)]
        if quick:
            lists = lists[2:3] if n >= MANY else lists[:2]
        return [{"lists": count} for count in lists]

    def ladders(self, build, n, metric, k):
        probes = [p for p in (1, 2, 5, 10, 20, 50, 100, 200) if p <= build["lists"]]
        factors = [f for f in (4, 10, 30, 100, 300, 1000) if f * k <= n // 2] or [1]
        return [[{"nprobe": probe, "k_factor": f} for probe in probes] for f in factors]

    def factory(self, dim, params):
        return f"IVF{params['lists']},PQ{dim // 2}x4fs,RFlat"

    def load(self, folder, n, dim, metric, params, base):
        super().load(folder, n, dim, metric, params, base)
        import faiss

        self.lists = faiss.extract_index_ivf(self.index)

    def set(self, params):
        self.lists.nprobe, self.index.k_factor = params["nprobe"], params["k_factor"]
