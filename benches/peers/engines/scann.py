"""ScaNN: tree, asymmetric hashing, exact reordering.

Grid: ann-benchmarks' `scann/config.yml`, whose leaves are meant for sets of a million rows. Here
they follow the square root of the rows in the same proportions (100 to 2000 are 0.4 to 2 roots),
each with every pair of threshold and dimensions that is published there for the metric. SOAR
spilling, which came later, is tried beside it for inner products.
"""

from __future__ import annotations

import numpy as np

from .base import MANY, Peer, widths

SHARES = (0.0025, 0.005, 0.01, 0.015, 0.02, 0.03, 0.045, 0.07, 0.1, 0.15, 0.22, 0.33)
ANGULAR = ((0.2, 2), (0.2, 1), (0.55, 1), (0.15, 3))
REORDER = (20, 40, 80, 150, 300, 600)


class Scann(Peer):
    name = package = module = "scann"

    def builds(self, n, dim, metric, quick):
        root = n**0.5
        factors = (0.5, 1, 2, 4) if not quick else (2,) if n >= MANY else (1, 2)
        leaves = [max(4, round(root * f)) for f in factors]
        pairs = ((None, 2), (None, 4)) if metric == "l2" else ANGULAR
        return [
            {"leaves": count, "dims_per_block": block, "threshold": threshold, "soar": soar}
            for count in leaves
            for threshold, block in (pairs[:1] if quick else pairs)
            for soar in ((False,) if metric == "l2" else (True,) if quick else (False, True))
        ]

    def ladders(self, build, n, metric, k):
        probes = sorted({max(1, round(build["leaves"] * share)) for share in SHARES})
        # A wide reordering after few leaves, or the reverse, is never on the front.
        reorders = widths(REORDER, k)
        return [
            [
                {"leaves": probe, "reorder": reorder}
                for i, probe in enumerate(probes)
                if abs(i / (len(probes) - 1 or 1) - j / (len(reorders) - 1 or 1)) < 0.45
            ]
            for j, reorder in enumerate(reorders)
        ]

    def build(self, base, metric, threads, params):
        from scann import scann_ops_pybind as scann

        soar = {"soar_lambda": 1.5, "overretrieve_factor": 2.0} if params["soar"] else {}
        threshold = params["threshold"]
        self.index = (
            scann.builder(base, 10, "squared_l2" if metric == "l2" else "dot_product")
            .set_n_training_threads(threads)
            .tree(
                num_leaves=params["leaves"],
                num_leaves_to_search=1,
                training_sample_size=min(len(base), 250_000),
                spherical=metric == "cosine",
                quantize_centroids=True,
                **soar,
            )
            .score_ah(
                params["dims_per_block"],
                anisotropic_quantization_threshold=float("nan") if threshold is None else threshold,
            )
            .reorder(100)
            .build()
        )

    def save(self, folder):
        self.index.serialize(str(folder), relative_path=True)

    def load(self, folder, n, dim, metric, params, base):
        from scann import scann_ops_pybind as scann

        self.index = scann.load_searcher(str(folder))

    def set(self, params):
        self.params = params

    def search(self, queries, k):
        return self.index.search_batched(
            queries, k, max(k, self.params["reorder"]), self.params["leaves"]
        )

    def ids(self, answers, k):
        # Where it finds fewer than k it fills up with id 0 at distance NaN.
        found, distances = answers
        return super().ids(np.where(np.isfinite(distances), found.astype(np.int64), -1), k)
