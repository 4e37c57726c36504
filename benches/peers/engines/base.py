"""What an engine has to offer to be measured."""

from __future__ import annotations

import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np

HNSW_M = (4, 8, 12, 16, 24, 36, 48, 64, 96)
"""Degrees that ann-benchmarks publishes for every HNSW, each with ef_construction 500."""
EF = (10, 16, 20, 28, 40, 60, 80, 120, 160, 200, 300, 400, 600, 800)
"""ann-benchmarks' 10 ... 800, with steps between them so that readings lean on near neighbors."""

MANY = 500_000
"""Rows from which a quick grid is one build: each takes minutes."""


class Peer:
    """An engine: its parameters, and how to build, keep and search an index.

    Vectors come as float32 rows, at unit length where the metric is cosine, so that an engine may
    take inner products there. `build` and `load` run in different processes.
    """

    name: str
    package: str
    """Its distribution, for the version."""
    module: str
    """What is imported."""
    metrics: tuple[str, ...] = ("l2", "ip", "cosine")
    python_loop = False
    """True: there is no batch call, the worker loops over `search_one` in Python."""
    takes_queries = True
    """Whether its worker can be told to ask only the first queries."""
    index_name: str | None = None
    """Engines of one such name share their indexes; None: its own."""
    needs_base = False
    """True: `load` gets the base rows because the index files lack them."""

    def version(self) -> str | None:
        """Of the library; None where only a loaded worker can tell."""
        return version(self.package)

    def unavailable(self, metric: str, program: str | None) -> str | None:
        """Why it cannot be measured here, if it cannot; `program` is vicinage's own."""
        if find_spec(self.module) is None:
            return f"the module {self.module} is not installed"
        if metric not in self.metrics:
            return f"it does not know the metric {metric}"
        return None

    def command(self, program: str | None) -> list[str]:
        """Starts its worker."""
        return [sys.executable, "-m", "peers.worker", self.name]

    def builds(self, n: int, dim: int, metric: str, quick: bool) -> list[dict]:
        """The grid of builds; `quick` is two or three of them, one where there are `MANY` rows."""
        raise NotImplementedError

    def ladders(self, build: dict, n: int, metric: str, k: int) -> list[list[dict]]:
        """Search parameters to sweep over one build: lists in order of rising recall, each of which
        a sweep may leave where there is nothing more to gain."""
        return [[{"ef": ef} for ef in widths(EF, k)]]

    def build(self, base: np.ndarray, metric: str, threads: int, params: dict) -> None:
        """Builds the index, with that many threads."""
        raise NotImplementedError

    def save(self, folder: Path) -> None:
        raise NotImplementedError

    def load(
        self, folder: Path, n: int, dim: int, metric: str, params: dict, base: np.ndarray | None
    ) -> None:
        """Opens what `save` wrote, to search with one thread."""
        raise NotImplementedError

    def queries(self, queries: np.ndarray) -> np.ndarray:
        """The queries in the form that the engine takes, after `load`; not timed."""
        return queries

    def set(self, params: dict) -> None:
        """Applies search parameters; called before each measurement, outside of its time."""

    def search(self, queries: np.ndarray, k: int):
        """Ids of all queries in one call: what the timer sees. `ids` makes them comparable."""
        raise NotImplementedError

    def search_one(self, query: np.ndarray, k: int):
        """Ids of one query; only where `python_loop`."""
        raise NotImplementedError

    def ids(self, answers, k: int) -> np.ndarray:
        """Answers of `search`, or a list of those of `search_one`, as int64 [queries, k], -1
        padded."""
        if isinstance(answers, np.ndarray):
            return padded(answers.astype(np.int64), k)
        return np.concatenate([padded(np.asarray(a, np.int64).reshape(1, -1), k) for a in answers])

    def index_bytes(self, folder: Path, base: np.ndarray) -> int:
        """What search needs, vectors included: the saved files, unless it needs the base too."""
        files = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
        return files + (base.nbytes if self.needs_base else 0)


def widths(ladder: tuple[int, ...], k: int) -> list[int]:
    """Candidate list sizes for answers of `k`: none is smaller, and a large `k` has larger ones."""
    beyond = [round(k * factor) for factor in (1.2, 1.5, 2, 3, 4)] if k >= 200 else []
    return sorted({max(k, ef) for ef in ladder} | set(beyond))


def padded(ids: np.ndarray, k: int) -> np.ndarray:
    missing = k - ids.shape[1]
    return np.pad(ids, ((0, 0), (0, missing)), constant_values=-1) if missing > 0 else ids[:, :k]


def hnsw_grid(n: int, quick: bool, **more) -> list[dict]:
    if quick and n >= MANY:
        return [{"M": 24, "ef_construction": 200, **more}]
    return [{"M": m, "ef_construction": 500, **more} for m in ((16, 36) if quick else HNSW_M)]
