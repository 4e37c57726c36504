"""ScaNN: tree, asymmetric hashing, exact reordering.

Grid: ann-benchmarks' `scann/config.yml` scales its leaves to sets of a million rows; here leaves
follow the square root of the rows around the same proportions (2000 for 1.2 million is 1.8 roots),
and SOAR spilling, which came later, is tried beside it for inner products.
"""

from __future__ import annotations

import numpy as np

from .base import Peer

SHARES = (0.0025, 0.005, 0.01, 0.015, 0.02, 0.03, 0.045, 0.07, 0.1, 0.15, 0.22, 0.33)
REORDER = (20, 40, 80, 150, 300, 600)


class Scann(Peer):
    name = package = "scann"
    ladder = False

    def builds(self, n, dim, metric, quick):
        root = n**0.5
        leaves = [max(4, round(root * f)) for f in ((1, 2) if quick else (0.5, 1, 2, 4))]
        dims = (2,) if quick else (1, 2, 3, 4)
        thresholds = (None,) if metric == "l2" else (0.2,) if quick else (0.15, 0.2, 0.55)
        return [
            {"leaves": count, "dims_per_block": block, "threshold": threshold, "soar": soar}
            for count in leaves
            for block in dims
            for threshold in thresholds
            for soar in ((False,) if metric == "l2" else (True,) if quick else (False, True))
        ]

    def searches(self, build, n, metric):
        probes = sorted({max(1, round(build["leaves"] * share)) for share in SHARES})
        # A wide reordering after few leaves, or the reverse, is never on the front.
        return [
            {"leaves": probe, "reorder": reorder}
            for i, probe in enumerate(probes)
            for j, reorder in enumerate(REORDER)
            if abs(i / (len(probes) - 1 or 1) - j / (len(REORDER) - 1)) < 0.45
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
