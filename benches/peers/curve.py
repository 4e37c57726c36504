"""Fronts of recall against speed, readings between their points, and intervals over rounds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np

TARGETS = (0.90, 0.95, 0.98, 0.99)


def pareto(points: Iterable, recall: Callable, qps: Callable) -> list:
    """The points that no other beats in both, by rising recall (and so by falling speed)."""
    front: list = []
    for point in sorted(points, key=lambda p: (-recall(p), -qps(p))):
        if not front or qps(point) > qps(front[-1]):
            front.append(point)
    return front[::-1]


def at_recall(front: Sequence[tuple[float, float]], target: float) -> tuple[float | None, str]:
    """Speed at a recall on a front of (recall, qps), log-linear between its neighboring points.

    Never extrapolated. Beyond the best recall: `(None, "not reached")`. Below the lowest measured
    recall, that lowest point does what is asked and more: its own speed, `"at least"`.
    """
    if not front or target > front[-1][0]:
        return None, "not reached"
    if target < front[0][0]:
        return front[0][1], "at least"
    for (r0, q0), (r1, q1) in zip(front, front[1:], strict=False):
        if target == r0:
            return q0, "between"
        if r0 < target < r1:
            share = (target - r0) / (r1 - r0)
            return math.exp(math.log(q0) * (1 - share) + math.log(q1) * share), "between"
    return front[-1][1], "between"


def bracket(front: Sequence, targets: Sequence[float], recall: Callable) -> list:
    """The points of a front that a reading at any of the targets needs."""
    needed = set()
    for target in targets:
        above = next((i for i, p in enumerate(front) if recall(p) >= target), None)
        if above is None:
            needed.add(len(front) - 1)
            continue
        needed.add(above)
        if above and recall(front[above]) > target:
            needed.add(above - 1)
    return [front[i] for i in sorted(needed) if i >= 0]


def median_interval(
    values: Sequence[float], seed: int = 0, draws: int = 10_000
) -> tuple[float, float, float]:
    """Median and its 95 % bootstrap interval, drawing the values (one a round) anew."""
    values = np.asarray(values, np.float64)
    picks = np.random.default_rng(seed).integers(0, len(values), (draws, len(values)))
    low, high = np.percentile(np.median(values[picks], axis=1), [2.5, 97.5])
    return float(np.median(values)), float(low), float(high)
