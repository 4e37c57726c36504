"""Recall by id and by distance, and the exact answers that both compare with.

Distances are recomputed from ids in float64 for every engine and for the truth alike: euclidean for
`l2`, the negated inner product for `ip`, one minus the cosine for `cosine`. So no engine is judged
by distances that it rounded itself, and sets that store another form of distance compare too.
"""

from __future__ import annotations

import numpy as np

SLACK = 1e-3
"""How far beyond the kth true distance still counts as found: ann-benchmarks' constant."""
BLOCK = 1 << 24
"""Numbers (128 MiB of float64) that one block of a computation may hold."""


class IdsError(Exception):
    """An engine's answer that is not a set of ids of the base."""


def checked_ids(ids: np.ndarray, n: int, k: int) -> np.ndarray:
    """The first `k` columns; ids out of range or given twice for one query are refused."""
    ids = np.asarray(ids, np.int64)[:, :k]
    if ids.size and not -1 <= ids.min() <= ids.max() < n:
        raise IdsError(f"ids from {ids.min()} to {ids.max()}, the base has {n} rows")
    ordered = np.sort(ids, axis=1)
    if ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any():
        raise IdsError("an id was given twice for one query")
    return ids


def hits(found: np.ndarray, truth: np.ndarray, n: int) -> np.ndarray:
    """Which of the found ids of a query are among its true ones; -1 is not."""
    offsets = np.arange(len(found), dtype=np.int64)[:, None] * n
    return np.isin(found + offsets, truth + offsets, kind="sort") & (found >= 0)


def true_distances(
    base: np.ndarray, queries: np.ndarray, ids: np.ndarray, metric: str
) -> np.ndarray:
    """Distance of each query to each of its ids; infinite where the id is -1."""
    out = np.empty(ids.shape, np.float64)
    block = max(1, BLOCK // max(1, ids.shape[1] * base.shape[1]))
    for start in range(0, len(ids), block):
        part = slice(start, start + block)
        rows = np.asarray(base[np.maximum(ids[part], 0)], np.float64)
        query = np.asarray(queries[part], np.float64)
        if metric == "l2":
            rows -= query[:, None, :]
            out[part] = np.sqrt(np.einsum("qkd,qkd->qk", rows, rows))
            continue
        dots = np.einsum("qkd,qd->qk", rows, query)
        if metric == "ip":
            out[part] = -dots
        else:
            lengths = np.linalg.norm(rows, axis=2) * np.linalg.norm(query, axis=1)[:, None]
            out[part] = 1 - dots / np.where(lengths == 0, 1, lengths)
    out[ids < 0] = np.inf
    return out


def exact(
    base: np.ndarray, queries: np.ndarray, metric: str, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The true `k` nearest and their distances: float32 picks candidates, float64 orders them."""
    from .datasets import unit_rows

    k = min(k, len(base))
    wide = min(len(base), k + 32)
    if metric == "cosine":
        base, queries = unit_rows(base), unit_rows(queries)
    halves = np.einsum("nd,nd->n", base, base) / 2 if metric == "l2" else np.float32(0)
    ids = np.empty((len(queries), k), np.int64)
    distances = np.empty((len(queries), k), np.float64)
    block = max(1, BLOCK // len(base))
    for start in range(0, len(queries), block):
        part = slice(start, start + block)
        scores = queries[part] @ base.T - halves
        candidates = np.argpartition(scores, -wide, axis=1)[:, -wide:]
        found = true_distances(base, queries[part], candidates, metric)
        order = np.lexsort((candidates, found), axis=1)[:, :k]
        ids[part] = np.take_along_axis(candidates, order, 1)
        distances[part] = np.take_along_axis(found, order, 1)
    return ids, distances


class Judge:
    """Scores answers on one set; the kth true distances are computed once."""

    def __init__(self, dataset, k: int):
        if dataset.neighbors.shape[1] < k:
            raise IdsError(f"the set has {dataset.neighbors.shape[1]} true neighbors, k is {k}")
        self.dataset, self.k = dataset, k
        truth = dataset.neighbors[:, :k]
        self.kth = true_distances(dataset.base, dataset.test, truth, dataset.metric).max(axis=1)

    def score(self, ids: np.ndarray) -> tuple[float, float]:
        """Recall by id: the mean share of the true `k` among the found; and by distance: the mean
        share of the found that are no farther than the kth true one plus `SLACK`."""
        d = self.dataset
        if len(ids) != len(d.test):
            raise IdsError(f"{len(ids)} answers to {len(d.test)} queries")
        ids = checked_ids(ids, len(d.base), self.k)
        hit = hits(ids, d.neighbors[:, : self.k], len(d.base))
        count = len(ids) * self.k
        return int(hit.sum()) / count, (int(hit.sum()) + self.near_misses(ids, hit)) / count

    def near_misses(self, ids: np.ndarray, hit: np.ndarray) -> int:
        """Found ids that are not among the true ones but as near as they are."""
        d, near = self.dataset, 0
        queries, places = np.nonzero(~hit & (ids >= 0))
        block = max(1, BLOCK // d.base.shape[1])
        for start in range(0, len(queries), block):
            query, place = queries[start : start + block], places[start : start + block]
            found = true_distances(d.base, d.test[query], ids[query, place][:, None], d.metric)
            near += int((found[:, 0] <= self.kth[query] + SLACK).sum())
        return near
