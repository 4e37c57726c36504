"""Exact figures of held-out items: all items are scored, those seen in training left out."""

from collections.abc import Callable, Iterable

import numpy as np

CUT = 100  # depth of the shortlist that is judged
CHUNK = 256  # users scored at a time


def shortlists(
    scores: Callable[[slice], np.ndarray], users: int, seen: list[np.ndarray]
) -> Iterable[np.ndarray]:
    """The items of each user with the largest scores, best first."""
    for start in range(0, users, CHUNK):
        rows = slice(start, min(start + CHUNK, users))
        for row, own in zip(scores(rows), seen[rows], strict=True):
            row[own] = -np.inf
            cut = min(CUT, len(row) - len(own))
            top = np.argpartition(-row, cut - 1)[:cut] if cut else np.empty(0, np.int64)
            yield top[np.lexsort((top, -row[top]))]


def by_vectors(queries: np.ndarray, items: np.ndarray) -> Callable[[slice], np.ndarray]:
    return lambda rows: queries[rows] @ items.T


def by_popularity(popularity: np.ndarray) -> Callable[[slice], np.ndarray]:
    row = popularity.astype(np.float32)
    return lambda rows: np.tile(row, (rows.stop - rows.start, 1))


def figures(tops: Iterable[np.ndarray], held_out: list[np.ndarray]) -> dict[str, float]:
    """Means over users: of the discounted gain against the best possible, and of the share of the
    held-out items that are in the shortlist."""
    discount = 1 / np.log2(np.arange(2, CUT + 2))
    ndcg, recall = [], []
    for top, wanted in zip(tops, held_out, strict=True):
        hits = np.isin(top, wanted)
        ndcg.append(discount[: len(top)][hits].sum() / discount[: len(wanted)].sum())
        recall.append(hits.sum() / len(wanted))
    return {f"NDCG@{CUT}": float(np.mean(ndcg)), f"recall@{CUT}": float(np.mean(recall))}
