"""Measures points of one set: a round of an engine, its recall, and where a sweep may stop."""

from __future__ import annotations

from collections.abc import Callable

from . import datasets, results
from .client import WorkerProcess
from .recall import Judge

ALL_FOUND = 0.9995
"""Recall by distance from which more search gains nothing worth measuring."""
UNDISTURBED = 0.95
"""Share of a processor from which an engine counts as having had it for itself."""
TRIES = 3
LEAST_GAIN = 1e-4
"""Two steps of a ladder that gain less recall than this end it."""


class Bench:
    """One set, and a judge of answers for each k. `queries` is how many of the test queries are
    asked, the first ones; None: all."""

    def __init__(self, path: str, ks: list[int], tries: int = TRIES, queries: int | None = None):
        self.dataset, self.path, self.tries = datasets.read(path), path, tries
        self.asked = self.dataset.first(queries)
        self.judges = {k: Judge(self.asked, k) for k in ks}

    def point(
        self, worker: WorkerProcess, built: dict, search: dict, k: int, seconds: float
    ) -> dict:
        """A result line of one round, or of up to `tries` where something else ran meanwhile."""
        reply, ids = worker.search(search, k, seconds, True)
        recall, rounds = self.judges[k].score(ids[: len(self.asked.test)]), [reply]
        while rounds[-1]["processor_share"] < UNDISTURBED and len(rounds) < self.tries:
            rounds.append(worker.search(search, k, seconds, False)[0])
        return results.line(
            self.asked, worker.label, built, search, k, recall, rounds, worker.pinned
        )


def climb(
    ladder: list[dict],
    measure: Callable[[dict], dict | None],
    floor: float,
    least: float = 0.0,
) -> list[dict]:
    """Measures a ladder from its low end, up to where everything is found, nothing is gained (from
    the recall `least` on), or the speed falls below `floor` queries a second. Refused points are
    left out."""
    rows: list[dict] = []
    for search in ladder:
        row = measure(search)
        if row is None:
            continue
        rows.append(row)
        recalls = [row["recall_distance"] for row in rows[-3:]]
        flat = len(recalls) == 3 and max(recalls) - recalls[0] < LEAST_GAIN
        flat = flat and max(recalls) >= least
        if row["recall_distance"] >= ALL_FOUND or row["qps"] < floor or flat:
            break
    return rows
