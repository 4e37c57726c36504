"""Fronts of recall against speed, readings between their points, and intervals over rounds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter

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


def reading(points: Sequence[tuple[float, float]], target: float) -> tuple[float | None, str]:
    """`at_recall` on the front of measured points of (recall, qps)."""
    return at_recall(pareto(points, itemgetter(0), itemgetter(1)), target)


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


def thin(
    groups: dict[str, list[tuple[float, float, float]]], targets: Sequence[float], budget: float
) -> tuple[dict[str, list[int]], float]:
    """Which points of (recall, qps, cost) of each group to keep so that the costs fit a budget, and
    the most (in log speed) that this moves a reading.

    Points go one by one, first the one whose loss moves the readings of its group the least. Those
    stay without which a reading is no longer between points or no longer reached, and the best
    recall of each group: so the result may cost more than the budget.
    """
    kept = {name: list(range(len(points))) for name, points in groups.items()}
    spent = sum(point[2] for points in groups.values() for point in points)
    moves: dict[str, tuple[float, int]] = {}
    moved = 0.0
    while spent > budget:
        for name in kept.keys() - moves.keys():
            moves[name] = cheapest_loss(groups[name], kept[name], targets)
        name = min(moves, key=lambda name: moves[name][0], default=None)
        if name is None or math.isinf(moves[name][0]):
            break
        move, index = moves.pop(name)
        moved = max(moved, move)
        kept[name].remove(index)
        spent -= groups[name][index][2]
    return kept, moved


def cheapest_loss(
    points: list[tuple[float, float, float]], kept: list[int], targets: Sequence[float]
) -> tuple[float, int]:
    """How far (in log speed) readings move when one more point goes, and which one it is."""
    best = max(kept, key=lambda i: points[i][0])
    losses = [(math.inf, best)]
    for candidate in kept:
        if candidate != best:
            rest = [points[i][:2] for i in kept if i != candidate]
            losses.append((readings_move([p[:2] for p in points], rest, targets), candidate))
    return min(losses)


def readings_move(full: list, rest: list, targets: Sequence[float]) -> float:
    moved = 0.0
    for target in targets:
        (before, how), (after, how_after) = reading(full, target), reading(rest, target)
        if how != how_after:
            return math.inf
        if before is not None and after is not None:
            moved = max(moved, abs(math.log(after / before)))
    return moved
