"""vicinage itself, and the hnsw_rs crate, which it holds as another builder.

Both are measured by the command `index-tools sweep --worker`, which speaks the protocol of the
workers here.
"""

from __future__ import annotations

from pathlib import Path

from .base import Peer, hnsw_grid, widths

# Lists shorter than k, as shares of it: a search still finds k.
SHORT = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7)
EF = (10, 14, 20, 28, 40, 56, 80, 112, 160, 224, 320, 448, 640)
# Where a search stops, as a multiple of the kth distance. By inner product distances count from
# the largest that there can be, so that they lie close together.
SLACK = (1.05, 1.1, 1.15, 1.2, 1.25, 1.3, 1.4, 1.6)
SLACK_IP = (1.01, 1.02, 1.03, 1.04, 1.06, 1.08, 1.12)
# Lists that leave the end of a search to the slack, as multiples of k. Shorter ones do where many
# answers are asked for: the last of those are nearly as far as what such a list ends with.
LONG, LONG_MANY, MANY_ANSWERS = (16, 48), (3, 8), 100


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
        short = [width for share in SHORT if (width := round(share * k)) > 1]
        lists = [{"ef": ef} for ef in short + widths(EF, k)]
        slacks = SLACK_IP if metric == "ip" else SLACK
        multiples = LONG if k < MANY_ANSWERS else LONG_MANY
        return [lists, *([{"ef": long * k, "slack": s} for s in slacks] for long in multiples)]


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
