"""Recall against ann-benchmarks' definitions written out naively; readings of curves."""

import math

import numpy as np
import pytest

from peers import curve
from peers.datasets import Dataset
from peers.recall import IdsError, Judge, checked_ids, exact, true_distances

RNG = np.random.default_rng(5)


def naive_distance(metric, a, b):
    a, b = a.astype(np.float64), b.astype(np.float64)
    if metric == "l2":
        return math.sqrt(sum((a - b) ** 2))
    dot = sum(a * b)
    return -dot if metric == "ip" else 1 - dot / (math.sqrt(sum(a * a)) * math.sqrt(sum(b * b)))


@pytest.mark.parametrize("metric", ["l2", "ip", "cosine"])
def test_recall_is_that_of_ann_benchmarks(metric):
    base = RNG.normal(size=(300, 8)).astype(np.float32)
    base[1] = base[0]  # a tie: found by distance, not by id
    test = RNG.normal(size=(20, 8)).astype(np.float32)
    truth = np.array(
        [np.argsort([naive_distance(metric, q, b) for b in base], kind="stable")[:10] for q in test]
    )
    found = truth.copy()
    found[:, 7:] = -1
    found[::2, 3] = [next(i for i in range(300) if i not in row) for row in truth[::2]]
    by_id, by_distance = Judge(Dataset("x", metric, base, test, truth), 10).score(found)
    ids = distances = 0
    for q, row, answer in zip(test, truth, found, strict=True):
        limit = naive_distance(metric, q, base[row[9]]) + 1e-3
        ids += len(set(row) & set(answer))
        distances += sum(i >= 0 and naive_distance(metric, q, base[i]) <= limit for i in answer)
    assert by_id == pytest.approx(ids / 200, abs=1e-12)
    assert by_distance == pytest.approx(distances / 200, abs=1e-12)


@pytest.mark.parametrize("metric", ["l2", "ip", "cosine"])
def test_exact_answers_are_the_sorted_ones(metric):
    base, test = (RNG.normal(size=(n, 6)).astype(np.float32) for n in (200, 7))
    _, distances = exact(base, test, metric, 5)
    everything = true_distances(base, test, np.tile(np.arange(200), (7, 1)), metric)
    assert np.allclose(distances, np.sort(everything, axis=1)[:, :5], atol=1e-12)


def test_answers_that_are_no_sets_of_ids_are_refused():
    for bad in ([[0, 0]], [[0, 9]], [[-2, 0]]):
        with pytest.raises(IdsError):
            checked_ids(np.array(bad), 9, 2)
    assert checked_ids(np.array([[3, -1, -1]]), 9, 2).tolist() == [[3, -1]]


def test_front_and_readings():
    points = [(0.8, 100.0), (0.9, 60.0), (0.85, 50.0), (1.0, 10.0), (1.0, 5.0)]
    front = curve.pareto(points, lambda p: p[0], lambda p: p[1])
    assert front == [(0.8, 100.0), (0.9, 60.0), (1.0, 10.0)]
    assert curve.at_recall(front, 0.95)[0] == pytest.approx(math.sqrt(600))
    assert curve.at_recall(front, 0.9) == (60.0, "between")
    assert curve.at_recall(front, 0.7) == (100.0, "at least")
    assert curve.at_recall(front[:2], 0.95) == (None, "not reached")
    assert curve.bracket(front, [0.95], lambda p: p[0]) == front[1:]
    assert curve.bracket(front, [0.9], lambda p: p[0]) == front[1:2]


def test_interval_of_the_median():
    assert curve.median_interval([2.0] * 5) == (2.0, 2.0, 2.0)
    middle, low, high = curve.median_interval([1, 2, 3, 4, 5])
    assert middle == 3 and 1 <= low < 3 < high <= 5
    assert curve.median_interval([1, 2, 3, 4, 5], seed=0) == (middle, low, high)
