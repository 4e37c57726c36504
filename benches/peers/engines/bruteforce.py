"""Exact search: faiss' flat index, or numpy where faiss is missing or `backend` says so."""

from __future__ import annotations

from importlib.metadata import version
from importlib.util import find_spec

import numpy as np

from .base import Peer

BLOCK = 256


class BruteForce(Peer):
    name, package, module = "bruteforce", "numpy", "numpy"

    def version(self):
        packages = ["faiss-cpu"] * bool(find_spec("faiss")) + ["numpy"]
        return " ".join(f"{package} {version(package)}" for package in packages)

    def builds(self, n, dim, metric, quick):
        return [{"backend": "faiss" if find_spec("faiss") else "numpy"}]

    def ladders(self, build, n, metric, k):
        return [[{}]]

    def build(self, base, metric, threads, params):
        self.rows = base

    def save(self, folder):
        np.save(folder / "rows.npy", self.rows)

    def load(self, folder, n, dim, metric, params, base):
        self.rows, self.index = np.load(folder / "rows.npy"), None
        self.halves = np.float32(0)
        if params["backend"] == "faiss":
            import faiss

            faiss.omp_set_num_threads(1)
            kind = faiss.METRIC_L2 if metric == "l2" else faiss.METRIC_INNER_PRODUCT
            self.index = faiss.IndexFlat(dim, kind)
            self.index.add(self.rows)
            del self.rows
        elif metric == "l2":
            self.halves = np.einsum("nd,nd->n", self.rows, self.rows) / 2

    def search(self, queries, k):
        if self.index is not None:
            return self.index.search(queries, k)[1]
        return np.concatenate(
            [self._block(queries[i : i + BLOCK], k) for i in range(0, len(queries), BLOCK)]
        )

    def _block(self, queries, k):
        scores = queries @ self.rows.T - self.halves
        k = min(k, scores.shape[1])
        best = np.argpartition(scores, -k, axis=1)[:, -k:]
        order = np.argsort(-np.take_along_axis(scores, best, 1), axis=1)
        return np.take_along_axis(best, order, 1)
