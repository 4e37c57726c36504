"""`summary`: of several duels one table, ours against the fastest peer at each recall."""

from __future__ import annotations

from pathlib import Path
from statistics import median

from . import results
from .engines import OURS
from .report import paired, readings, speed_text, table

TARGETS = (0.90, 0.95, 0.99)


def summary(files: list[Path], recall: str) -> str:
    """Markdown: a line a file of result lines, each file one duel."""
    head = ["set", *(f"{target:.2f}" for target in TARGETS)]
    return "\n".join(table(head, [line(results.read(file), recall) for file in files]))


def line(rows: list[dict], recall: str) -> list[str]:
    engines: dict[str, list[dict]] = {}
    for row in rows:
        engines.setdefault(row["engine"], []).append(row)
    return [rows[0]["dataset"], *(cell(engines, target, recall) for target in TARGETS)]


def cell(engines: dict[str, list[dict]], target: float, recall: str) -> str:
    """Ours, the peer that is fastest at a recall, and the ratio."""
    speeds = {}
    for name, rows in engines.items():
        rounds, _ = readings(rows, target, recall)
        if rounds is not None and name != OURS:
            speeds[name] = median(rounds)
    ours = speed_text(engines[OURS], target, recall)
    if not speeds:
        return f"ours {ours}, reached by no peer"
    best = max(speeds, key=speeds.get)
    theirs = speed_text(engines[best], target, recall)
    ratio = paired(engines[OURS], engines[best], target, recall)
    return f"ours {ours}, {best} {theirs}: {ratio}"
