"""What is kept of the interactions, and what the split promises."""

from dataclasses import replace

import numpy as np
import pytest
from towers import Refused
from towers.interactions import Interactions, core, once
from towers.split import popularity_groups, split


def _random(users: int, items: int, rows: int, seed: int) -> Interactions:
    rng = np.random.default_rng(seed)
    drawn = (rng.integers(0, n, rows) for n in (users, items))
    data = Interactions(*drawn, rng.random(rows), np.arange(items, dtype=np.uint64) * 3, None)
    return data.only(np.arange(rows))


def _pairs(data: Interactions) -> set[tuple[int, int]]:
    return set(zip(data.users.tolist(), data.item_ids[data.items].tolist(), strict=True))


def _naive_core(pairs: set, k: int) -> set:
    while True:
        taken = [[p[side] for p in pairs] for side in (0, 1)]
        kept = {p for p in pairs if all(taken[side].count(p[side]) >= k for side in (0, 1))}
        if kept == pairs:
            return pairs
        pairs = kept


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_the_core_is_that_of_a_naive_one(k):
    data = once(_random(60, 60, 200, k))
    expected = _naive_core(_pairs(data), k)
    if not expected:
        with pytest.raises(Refused, match="lower --core"):
            core(data, k)
        return
    found = core(data, k)
    names = np.array(sorted({user for user, _ in expected}))
    assert {(int(names[u]), i) for u, i in _pairs(found)} == expected
    assert np.bincount(found.users).min() >= k and np.bincount(found.items).min() >= k


def test_a_pair_counts_once_at_its_latest_time():
    data = Interactions(
        *(np.array(c) for c in ([0, 1, 0, 0], [1, 0, 1, 0], [5.0, 1.0, 9.0, 2.0])),
        np.array([4, 8], np.uint64),
        ["a", "b"],
    )
    found = once(data)
    rows = list(zip(found.users, found.items, found.times, strict=True))
    assert rows == [(1, 0, 1.0), (0, 1, 9.0), (0, 0, 2.0)] and found.item_names == ["a", "b"]


def test_the_latest_of_each_test_user_are_held_out(planted):
    data = core(once(planted), 2)
    parts = split(data, 40, 3, 1)
    assert len(parts.test) + parts.dropped_users == 40
    assert len(parts.learn) == data.user_count - 40
    assert not set(parts.test) & set(parts.learn)
    assert parts.popularity.min() > 0
    for user, held_out, seen in zip(parts.test, parts.held_out, parts.seen(), strict=True):
        own = data.users == user
        latest = data.items[own][np.argsort(data.times[own])][-3:]
        assert set(parts.item_ids[held_out]) <= set(data.item_ids[latest])
        assert len(seen) and not set(held_out) & set(seen)
        assert (np.diff(held_out) > 0).all() and (np.diff(seen) > 0).all()
    held = sum(map(len, parts.held_out))
    assert parts.train.nnz + held + parts.dropped_items == len(data)
    for user in parts.learn:
        assert parts.train[user].nnz == (data.users == user).sum()


def test_a_split_follows_its_seed(planted):
    timeless = once(replace(planted, times=np.zeros(len(planted))))
    first, again, other = (split(timeless, 40, 3, seed) for seed in (1, 1, 2))
    assert (first.test == again.test).all() and (first.train != again.train).nnz == 0
    assert all((a == b).all() for a, b in zip(first.held_out, again.held_out, strict=True))
    assert set(first.test) != set(other.test)


def test_held_out_items_that_nobody_trained_on_are_dropped():
    """Users 0 and 1 each took 0 and 1; the last of user 0 is an item of nobody else."""
    columns = ([0, 0, 0, 1, 1], [0, 1, 2, 0, 1], [0.0, 1.0, 2.0, 0.0, 1.0])
    data = Interactions(*map(np.array, columns), np.array([5, 6, 7], np.uint64), None)
    parts = split(data, 1, 2, 0)
    assert parts.dropped_items == 1 and parts.item_ids.tolist() == [5, 6]
    assert [h.tolist() for h in parts.held_out] == [[1]]
    alone = data.only(np.arange(4))
    with pytest.raises(Refused, match="no held-out item occurs in training"):
        split(alone, 1, 2, 0)


def test_too_many_test_users_are_refused(planted):
    with pytest.raises(Refused, match="expected 1 or more test users"):
        split(once(planted), 300, 5, 0)
    with pytest.raises(Refused, match="0 with more than 50 interactions"):
        split(once(planted), None, 50, 0)


def test_groups_of_popularity():
    assert popularity_groups(np.array([1, 50, 9, 20, 20])) == [
        "tail", "head", "tail", "middle", "middle",
    ]  # fmt: skip
    assert popularity_groups(np.array([3])) == ["head"]
