"""SymphonyQG, where it is installed. It knows only l2; each query is a Python call.

Inner products become l2 by one more coordinate that brings every row to the length of the longest.
On unit rows l2 gives the order of the cosine.
"""

from __future__ import annotations

import numpy as np

from .base import Peer


class SymphonyQg(Peer):
    name = package = module = "symphonyqg"
    python_loop = True

    def builds(self, n, dim, metric, quick):
        return [{"degree": d, "ef": e} for d in (32, 64) for e in ((200,) if quick else (200, 400))]

    def _empty(self, n, dim, params):
        import symphonyqg

        return symphonyqg.Index(
            "QG", "L2", num_elements=n, dimension=dim, degree_bound=params["degree"]
        )

    def build(self, base, metric, threads, params):
        if metric == "ip":
            squares = np.einsum("nd,nd->n", base, base)
            rest = np.sqrt(squares.max() - squares)[:, None]
            base = np.ascontiguousarray(np.concatenate([base, rest], 1), np.float32)
        self.index = self._empty(*base.shape, params)
        self.index.build_index(base, params["ef"], num_thread=threads)

    def save(self, folder):
        self.index.save(str(folder / "index.symqg"))

    def load(self, folder, n, dim, metric, params, base):
        self.longer = metric == "ip"
        self.index = self._empty(n, dim + self.longer, params)
        self.index.load(str(folder / "index.symqg"))

    def set(self, params):
        self.index.set_ef(params["ef"])

    def queries(self, queries):
        return np.pad(queries, ((0, 0), (0, int(self.longer))))

    def search_one(self, query, k):
        return self.index.search(query, k)
