"""vicinage itself, and the hnsw_rs crate, which it holds as another builder.

Both are measured by the command `index-tools sweep --worker`, which speaks the protocol of the
workers here.
"""

from __future__ import annotations

from pathlib import Path

from .base import Peer, hnsw_grid, widths

EF = (10, 14, 20, 28, 40, 56, 80, 112, 160, 224, 320, 448, 640)
# What it is asked to find, by the calibration of the build.
RECALL = (0.8, 0.85, 0.9, 0.925, 0.95, 0.965, 0.98, 0.985, 0.99, 0.995, 0.999)


class Vicinage(Peer):
    """Ours. Its default build is measured, unless `duel` is told otherwise."""

    name = "vicinage"
    takes_queries = False

    def version(self):
        return None

    def unavailable(self, metric, program):
        if program is None:
            return "no program was given that holds it (--ours)"
        return None if Path(program).is_file() else f"{program} is no file"

    def command(self, program):
        return [str(Path(program).absolute()), "sweep", "--worker"]

    def builds(self, n, dim, metric, quick):
        return [{}]

    def ladders(self, build, n, metric, k):
        lists = [{"ef": ef} for ef in widths(EF, k)]
        return [lists, [{"target_recall": recall} for recall in RECALL]]


class HnswRs(Vicinage):
    """The hnsw_rs crate. Not in ann-benchmarks: the grid of other HNSWs is used. Its degree counts
    the edges of the base layer, which are twice M."""

    name = "hnsw-rs"

    def builds(self, n, dim, metric, quick):
        return [
            {
                "builder": "hnsw-rs",
                "max_degree": 2 * grid["M"],
                "ef_construction": grid["ef_construction"],
            }
            for grid in hnsw_grid(n, quick)
        ]

    def ladders(self, build, n, metric, k):
        return super().ladders(build, n, metric, k)[:1]
