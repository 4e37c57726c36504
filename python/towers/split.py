"""Holds out the latest interactions of some users, and counts what is left to train on."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from . import Refused
from .interactions import Interactions

DEFAULT_TEST_USERS = 2000
# Items are in these groups by popularity, the most popular first, until they make up this share of
# the interactions.
GROUPS = [("head", 0.5), ("middle", 0.8), ("tail", 1.0)]


@dataclass
class Split:
    """Rows of `train` are users, columns items; each item is in it at least once. `held_out` has
    the ascending items of each of `test`."""

    train: csr_matrix
    test: np.ndarray  # rows of `train`
    learn: np.ndarray  # all rows that were not drawn as test users
    held_out: list[np.ndarray]
    item_ids: np.ndarray
    item_names: list[str] | None
    dropped_items: int  # held-out interactions with items that nobody else took
    dropped_users: int  # test users that have none left by that

    @property
    def popularity(self) -> np.ndarray:
        """Training interactions of each item."""
        return np.bincount(self.train.indices, minlength=self.train.shape[1])

    def seen(self) -> list[np.ndarray]:
        """The ascending training items of each test user."""
        starts = self.train.indptr
        return [self.train.indices[starts[u] : starts[u + 1]] for u in self.test]

    def summary(self) -> str:
        users, items = self.train.shape
        return (
            f"{self.train.nnz:,} interactions of {users:,} users with {items:,} items to train on, "
            f"{sum(map(len, self.held_out)):,} of {len(self.test):,} test users held out; dropped, "
            f"as their items are in no training: {self.dropped_items:,}, and with them "
            f"{self.dropped_users:,} test users"
        )


def split(data: Interactions, test_users: int | None, held_out: int, seed: int) -> Split:
    rng = np.random.default_rng(seed)
    counts = np.bincount(data.users)
    # A user without anything to train on would have no vector.
    eligible = np.flatnonzero(counts > held_out)
    wanted = test_users
    if wanted is None:
        wanted = min(DEFAULT_TEST_USERS, len(counts) // 5, len(eligible))
    if not 0 < wanted <= len(eligible) or wanted == len(counts):
        raise Refused(
            f"expected 1 or more test users and some others, found {wanted:,} asked for, "
            f"{len(counts):,} users, {len(eligible):,} with more than {held_out} interactions"
        )
    chosen = np.sort(rng.choice(eligible, wanted, replace=False))
    latest = _latest(data, held_out, rng)
    is_test = np.zeros(len(counts), bool)
    is_test[chosen] = True
    return _divide(data, is_test, latest & is_test[data.users])


def _latest(data: Interactions, held_out: int, rng: np.random.Generator) -> np.ndarray:
    """Whether a row is among the last of its user; equal times are put in order by chance."""
    order = np.lexsort((rng.random(len(data)), data.times, data.users))
    ends = np.cumsum(np.bincount(data.users))[data.users[order]]
    latest = np.empty(len(data), bool)
    latest[order] = ends - np.arange(len(data)) <= held_out
    return latest


def _divide(data: Interactions, is_test: np.ndarray, is_held: np.ndarray) -> Split:
    users, items = data.users[~is_held], data.items[~is_held]
    trained, columns = np.unique(items, return_inverse=True)
    shape = (len(is_test), len(trained))
    train = csr_matrix((np.ones(len(users), np.float32), (users, columns)), shape)
    train.sort_indices()
    column = np.full(len(data.item_ids), -1)
    column[trained] = np.arange(len(trained))
    held_users, held_items = data.users[is_held], column[data.items[is_held]]
    known = held_items >= 0
    order = np.lexsort((held_items[known], held_users[known]))
    rows, held_items = held_users[known][order], held_items[known][order]
    test, starts = np.unique(rows, return_index=True)
    if not len(test):
        raise Refused("no held-out item occurs in training")
    return Split(
        train=train,
        test=test,
        learn=np.flatnonzero(~is_test),
        held_out=np.split(held_items, starts[1:]),
        item_ids=data.item_ids[trained],
        item_names=None if data.item_names is None else [data.item_names[i] for i in trained],
        dropped_items=int((~known).sum()),
        dropped_users=int(is_test.sum()) - len(test),
    )


def popularity_groups(popularity: np.ndarray) -> list[str]:
    """An item that goes over a share still belongs to it, so the head is never empty."""
    order = np.argsort(-popularity, kind="stable")
    before = np.cumsum(popularity[order]) - popularity[order]
    group = np.empty(len(popularity), np.int64)
    group[order] = np.searchsorted(
        [share * popularity.sum() for _, share in GROUPS], before, side="right"
    )
    return [GROUPS[g][0] for g in group]
