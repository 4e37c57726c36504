"""Reads the folder of a workload of filters, and prepares its groups for the engines.

A prepared group is a folder with `filters.json`, the filters as they are, and `group.npz`:
`queries` (rows of the set's test queries), `filters` (which filter each has), `bitmaps` (what
passes), `bitmap` (which of these each query has), and `own_ids`, `own_starts` (each query's own
list of what it excludes, which its bitmap leaves out, too).
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .datasets import Dataset, DatasetError, metric_of
from .recall import SLACK, checked_ids, hits, true_distances

ATTRIBUTES, EXCLUDED = "attributes.parquet", "excluded.parquet"
FILES = ("filters.jsonl", ATTRIBUTES, EXCLUDED)
"""What decides which items pass."""
PERCENTILE = 0.05


@dataclass
class Query:
    """A query of a group: a row of the test queries, of the truth, its filter, its own list."""

    row: int
    truth: int
    filter: int
    excluded: int | None


@dataclass
class Group:
    """One shape at one selectivity: the `target` that was asked for, and what came of it."""

    shape: str
    target: float
    filters: list[dict] = field(default_factory=list)
    queries: list[Query] = field(default_factory=list)
    selectivity: float = 0.0

    @property
    def title(self) -> str:
        return f"{self.shape} {100 * self.selectivity:.4g} %"


class Workload:
    def __init__(self, folder: Path):
        self.folder = folder
        try:
            keys = tomllib.loads((folder / "workload.toml").read_text())
            lines = list(map(json.loads, (folder / "filters.jsonl").read_text().splitlines()))
        except ValueError as error:
            raise DatasetError(f"{folder}: {error}") from error
        if keys["schema"] != 1:
            raise DatasetError(f"{folder}: schema {keys['schema']}, known is 1")
        self.name, self.metric, self.k = keys["name"], metric_of(keys["metric"]), keys["k"]
        self.n, self.dim, self.rows = keys["n"], keys["dim"], keys["queries"]
        self.truth = np.load(folder / "truth-ids.npy").astype(np.int64)
        self.matches = np.load(folder / "truth-matches.npy").astype(np.int64)[:, 0]
        found: dict[tuple[str, float], Group] = {}
        row = 0
        for line in lines:
            key = (line["shape"], line["selectivity"])
            group = found.setdefault(key, Group(*key))
            first = line.get("excluded")
            for at, query in enumerate(line["queries"]):
                own = None if first is None else first + at
                group.queries.append(Query(query, row, len(group.filters), own))
                row += 1
            group.filters.append(line["filter"])
        if not row == len(self.truth) == len(self.matches):
            raise DatasetError(f"{folder}: {row} queries, {len(self.truth)} rows of truth")
        self.groups = list(found.values())
        for group in self.groups:
            matches = self.matches[[query.truth for query in group.queries]]
            group.selectivity = float(np.mean(matches / self.n))

    def check_fits(self, dataset: Dataset) -> None:
        held = (*dataset.base.shape, dataset.metric, len(dataset.test))
        if held != (self.n, self.dim, self.metric, self.rows):
            raise DatasetError(f"{self.folder}: of another set, {dataset.name} is {held}")

    def attribute_names(self) -> list[str]:
        from .predicates import names

        filters = (names(filter) for group in self.groups for filter in group.filters)
        return sorted(set().union(*filters))

    def digest(self, *files: str) -> str:
        """Tells files of the folder apart; one that is missing counts as empty."""
        digest = hashlib.sha256()
        for path in (self.folder / name for name in files):
            digest.update(path.read_bytes() if path.is_file() else b"")
        return digest.hexdigest()[:16]

    def excluded_lists(self) -> list[np.ndarray]:
        if all(query.excluded is None for group in self.groups for query in group.queries):
            return []
        import pyarrow.parquet as pq

        column = pq.read_table(self.folder / EXCLUDED)["item_ids"].combine_chunks()
        ids, ends = column.values.to_numpy(), column.offsets.to_numpy()
        return [ids[start:end] for start, end in zip(ends, ends[1:], strict=False)]

    def prepare(self, out: Path, groups: list[Group]) -> list[Path]:
        """Evaluates the filters of some groups, once: what is there is not made again."""
        folders = [out / f"{group.shape}-{group.target!r}" for group in groups]
        if all((folder / "filters.json").is_file() for folder in folders):
            return folders
        from .predicates import Attributes

        attributes = Attributes(self.folder / ATTRIBUTES, self.n, set(self.attribute_names()))
        lists = self.excluded_lists()
        for group, folder in zip(groups, folders, strict=True):
            folder.mkdir(parents=True, exist_ok=True)
            self.evaluate(group, attributes, lists, folder)
            # Last, so that a folder with it is whole.
            (folder / "filters.json").write_text(json.dumps(group.filters))
        return folders

    def evaluate(self, group: Group, attributes, lists: list[np.ndarray], folder: Path) -> None:
        from .predicates import packed, passing

        bitmaps, own = [], []
        places = np.empty(len(group.queries), np.int64)
        for number, filter in enumerate(group.filters):
            passes, shared = passing(filter, attributes), None
            for at, query in enumerate(group.queries):
                if query.filter != number:
                    continue
                mine = passes
                own.append(np.empty(0, np.int64))
                if query.excluded is not None:
                    own[-1] = lists[query.excluded]
                    mine = passes.copy()
                    mine[own[-1]] = False
                if (count := int(mine.sum())) != (known := self.matches[query.truth]):
                    raise DatasetError(
                        f"{self.folder}: {count} items pass {json.dumps(filter):.200}, not {known}"
                    )
                if shared is None or query.excluded is not None:
                    shared = len(bitmaps)
                    bitmaps.append(packed(mine))
                places[at] = shared
        np.savez(
            folder / "group.npz",
            queries=np.array([query.row for query in group.queries]),
            filters=np.array([query.filter for query in group.queries]),
            bitmap=places,
            bitmaps=np.stack(bitmaps),
            own_ids=np.concatenate(own),
            own_starts=np.cumsum([0, *map(len, own)]),
        )


class Prepared:
    """What an engine is given of a group. `vectors` are its queries, as the engine takes them."""

    def __init__(self, folder: Path, test: np.ndarray):
        parts = np.load(folder / "group.npz")
        self.vectors = np.ascontiguousarray(test[parts["queries"]])
        self.filters = json.loads((folder / "filters.json").read_text())
        self.filter, self.bitmap = parts["filters"], parts["bitmap"]
        self.bitmaps = parts["bitmaps"]
        starts, ids = parts["own_starts"], parts["own_ids"]
        self.own = [ids[start:end] for start, end in zip(starts, starts[1:], strict=False)]

    def __len__(self) -> int:
        return len(self.vectors)


class GroupJudge:
    """Scores the answers to a group's queries; the kth true distances are computed once."""

    def __init__(self, dataset: Dataset, workload: Workload, group: Group, folder: Path, k: int):
        if k > workload.k:
            raise DatasetError(f"{workload.folder}: {workload.k} true neighbors, k is {k}")
        rows = [query.truth for query in group.queries]
        self.dataset, self.k = dataset, k
        self.test = dataset.test[[query.row for query in group.queries]]
        self.truth, self.matches = workload.truth[rows][:, :k], workload.matches[rows]
        self.wanted = np.minimum(self.matches, k)
        held = np.load(folder / "group.npz")
        self.bitmaps, self.bitmap = held["bitmaps"], held["bitmap"]
        far = true_distances(dataset.base, self.test, self.truth, dataset.metric)
        self.kth = np.where(self.truth < 0, -np.inf, far).max(axis=1)

    def check(self, ids: np.ndarray) -> np.ndarray:
        """The ids, none of which may be of an item that does not pass."""
        if len(ids) != len(self.test):
            raise DatasetError(f"{len(ids)} answers to {len(self.test)} queries")
        ids = checked_ids(ids, len(self.dataset.base), self.k)
        safe = np.maximum(ids, 0)
        bits = self.bitmaps[self.bitmap[:, None], safe >> 3] >> (safe & 7) & 1
        if (wrong := (bits == 0) & (ids >= 0)).any():
            raise DatasetError(f"{wrong.sum()} answers do not pass their filter")
        return ids

    def score(self, ids: np.ndarray) -> dict:
        """`recall_id`, `recall_distance`, and what the key `filter` of a line has of recalls: all
        as index-tools has them. With no match a recall is 1."""
        ids = self.check(ids)
        truth = np.where(self.truth < 0, len(self.dataset.base), self.truth)
        hit = hits(ids, truth, len(self.dataset.base) + 1)
        found = true_distances(self.dataset.base, self.test, ids, self.dataset.metric)
        near = hit | (found <= self.kth[:, None] + SLACK)
        by_id, by_distance = (self.shares(kind.sum(axis=1)) for kind in (hit, near))
        given = self.shares((ids >= 0).sum(axis=1))
        rank = max(1, int(np.ceil(PERCENTILE * len(by_id))))
        return {
            "recall_id": float(by_id.mean()),
            "recall_distance": float(by_distance.mean()),
            "recall_p5": float(np.sort(by_id)[rank - 1]),
            "recall_min": float(by_id.min()),
            "shortfall": float((1 - given).mean()),
        }

    def shares(self, counts: np.ndarray) -> np.ndarray:
        none = self.wanted == 0
        return np.where(none, 1.0, np.minimum(counts, self.wanted) / np.where(none, 1, self.wanted))
