"""What a duel says: paired ratios at fixed recalls, as Markdown. `index-tools plot` makes HTML."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from statistics import median

from . import curve
from .results import label

HTML = "report.html"


@dataclass
class Ratio:
    """Ours by theirs at one recall: the median over rounds and its interval, or why there is none.

    `kind` is "between" where both curves have points on either side. One that has none at a lower
    recall has at least the speed of its lowest point: the ratio is then "at least" or "at most"
    what is said, or "fastest" where that is so of both.
    """

    kind: str
    middle: float | None = None
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        if self.middle is None:
            return self.kind
        sign = {"between": "", "at least": "≥ ", "at most": "≤ ", "fastest": "~ "}[self.kind]
        return f"{sign}{self.middle:.2f} [{self.low:.2f}, {self.high:.2f}]"


def readings(rows: list[dict], target: float, recall: str) -> tuple[list[float] | None, str]:
    """Speed at a recall in each round, on the front of the medians, as `index-tools compare` reads
    it: a front of each round anew would favor the engine with more points."""
    speeds, kind = [], "not reached"
    front = curve.pareto(rows, itemgetter(recall), lambda row: median(row["qps_rounds"]))
    for number in range(len(rows[0]["qps_rounds"])):
        points = [(row[recall], row["qps_rounds"][number]) for row in front]
        speed, kind = curve.at_recall(points, target)
        if speed is None:
            return None, kind
        speeds.append(speed)
    return speeds, kind


def paired(ours: list[dict], theirs: list[dict], target: float, recall: str) -> Ratio:
    """The ratio of speeds at a recall, taken in each round and then over rounds."""
    our_speeds, our_kind = readings(ours, target, recall)
    their_speeds, their_kind = readings(theirs, target, recall)
    if our_speeds is None or their_speeds is None:
        sides = [(our_speeds, "ours"), (their_speeds, "theirs")]
        return Ratio("not reached by " + " and ".join(who for s, who in sides if s is None))
    kinds = {"between": our_kind, "at least": "at most" if our_kind == "between" else "fastest"}
    kind = kinds[their_kind]
    each = [a / b for a, b in zip(our_speeds, their_speeds, strict=True)]
    return Ratio(kind, *curve.median_interval(each))


def speed_text(rows: list[dict], target: float, recall: str) -> str:
    speeds, kind = readings(rows, target, recall)
    if speeds is None:
        return kind
    return ("≥ " if kind == "at least" else "") + f"{median(speeds):,.0f}"


def table(head: list[str], lines: list[list[str]]) -> list[str]:
    """Markdown whose columns line up when read as text."""
    cells = [head, *lines]
    widths = [max(len(line[i]) for line in cells) for i in range(len(head))]

    def text(line: list[str]) -> str:
        return "| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |"

    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return [text(head), rule, *map(text, lines)]


def markdown(
    rows: dict[str, list[dict]], ours: str, rivals: list[str], recall: str, notes: list[str]
) -> str:
    first = rows[ours][0]
    targets = [f"{target:.2f}" for target in curve.TARGETS]
    name = {"recall_id": "by id", "recall_distance": "by distance"}[recall]
    shape = f"{first['n']:,} × {first['dim']}, {first['metric']}, {first['queries']:,} queries"
    ratios = [
        [mark(rival, rows)]
        + [str(paired(rows[ours], rows[rival], target, recall)) for target in curve.TARGETS]
        for rival in rivals
    ]
    speeds = [
        [mark(engine, rows)]
        + [speed_text(rows[engine], target, recall) for target in curve.TARGETS]
        for engine in [ours, *rivals]
    ]
    text = [
        f"# {first['dataset']}: {ours} and peers",
        "",
        f"{shape}; k {first['k']}; {first['cpu']}; {first['time']}.",
        "",
        *(f"- {note}" for note in notes),
        "",
        f"## Speed of {ours} over theirs, at recall {name}",
        "",
        "Median over rounds of the ratio in each round, with its 95 % bootstrap interval. An",
        "engine without a point at a lower recall is taken at its fastest: ≥ where that is ours, ≤",
        "where it is theirs, ~ where it is both.",
        "",
        *table(["engine", *targets], ratios),
        "",
        f"## Queries a second, at recall {name}",
        "",
        *table(["engine", *targets], speeds),
        "",
        "## Builds",
        "",
        *builds(rows, [ours, *rivals]),
    ]
    if any(row["python_loop"] for lines in rows.values() for row in lines):
        text += ["", "(loop): called query by query from Python, whose time is part of the figure."]
    return "\n".join(text) + "\n"


def mark(engine: str, rows: dict[str, list[dict]]) -> str:
    return f"{engine} (loop)" if rows[engine][0]["python_loop"] else engine


def builds(rows: dict[str, list[dict]], engines: list[str]) -> list[str]:
    lines = []
    for engine in engines:
        seen: dict[str, dict] = {}
        for row in rows[engine]:
            seen.setdefault(str(row["build"]), row)
        lines += [[*build_cells(engine, row)] for row in seen.values()]
    head = ["engine", "version", "build", "seconds", "bytes a vector", "resident MiB"]
    return table(head, lines)


def build_cells(engine: str, row: dict) -> list[str]:
    params = f"{label(row['build'])} threads={row['build'].get('threads')}"
    numbers = ("build_seconds", "index_bytes_per_vector", "serve_resident_mib")
    return [engine, row["engine_version"], params, *map(figure, (row[key] for key in numbers))]


def figure(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def html(program: str, folder: Path, recall: str) -> None:
    """Has the program plot the lines of a duel; one that cannot plot is told of, no error."""
    try:
        known = subprocess.run([program, "plot", "--help"], capture_output=True, timeout=60)
        if known.returncode:
            print(f"{program} has no plot: no {HTML}")
            return
        files = sorted(map(str, folder.glob("*.jsonl")))
        words = ["--recall", recall.removeprefix("recall_"), "--out", str(folder / HTML)]
        subprocess.run([program, "plot", *files, *words], check=True)
    except (OSError, subprocess.SubprocessError) as error:
        print(f"no {HTML}: {error}")
