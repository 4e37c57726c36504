"""`filters`: measures engines under the filters of a workload, group by group.

Each engine's ladder is climbed on each group with short rounds, then the points that readings lie
between are measured in rounds, in turns with each other and with ours. What it leaves, in the
set's folder under `filters-WORKLOAD`:

| path | content |
|---|---|
| `groups-DIGEST/` | prepared groups, kept from run to run |
| `run-TIME/ENGINE.jsonl` | result lines |
| `run-TIME/report.md` | speeds and ratios at fixed recalls, by group |
| `run-TIME/logs/`, `run-TIME/ours-*.jsonl` | what processes said, and our lines of each round |

Indexes are in `indexes/`, as those of `tune` are, and ours in `indexes/ours`.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from operator import itemgetter
from pathlib import Path
from statistics import median

from . import curve, datasets, report, results
from .client import WorkerError, WorkerProcess
from .duel import needed
from .engines import FILTERED, OURS, filtered_peer
from .machine import cores
from .measure import climb
from .recall import IdsError
from .tune import set_folder
from .workload import ATTRIBUTES, FILES, Group, GroupJudge, Workload

TARGETS = (0.90, 0.95, 0.97, 0.99)
SCAN_SECONDS = 0.3
LEAST_RECALL = 0.1
"""Below this recall two steps of a ladder without gain do not end it: lists may have to be long
before anything is found."""
NOTHING_CLOSE = 1e-9
MIDDLES = ("p50_us", "p95_us", "p99_us", "p999_us")


class FiltersError(Exception):
    """Why nothing can be measured."""


@dataclass
class FilterOptions:
    """What a run is told. `ours` are more words for our sweep, `merge` files of its lines."""

    workload: Path
    engines: list[str] | None = None
    shapes: list[str] | None = None
    k: int = 10
    rounds: int = 5
    min_seconds: float = 1.0
    floor: float = 20.0
    pin: int | None = None
    threads: int = field(default_factory=cores)
    program: str | None = None
    ours: str = ""
    merge: list[Path] = field(default_factory=list)
    all_points: bool = False


@dataclass
class Point:
    """An engine with one search on one group."""

    engine: str
    group: int
    search: dict
    scores: dict
    replies: list[dict] = field(default_factory=list)


def measure(path: str, out: Path, options: FilterOptions) -> Path:
    """The folder of what came of it."""
    return FilterRun(path, out, options).run()


class FilterRun:
    """One workload over one set."""

    def __init__(self, path: str, out: Path, options: FilterOptions):
        self.path, self.out, self.options = path, out, options
        self.dataset, self.workload = datasets.read(path), Workload(options.workload)
        self.workload.check_fits(self.dataset)
        wanted = options.shapes
        self.groups = [g for g in self.workload.groups if wanted is None or g.shape in wanted]
        if not self.groups:
            raise FiltersError(f"{options.workload}: no group of {', '.join(wanted or [])}")
        folder = set_folder(out, self.dataset) / f"filters-{self.workload.name}"
        self.prepared = folder / f"groups-{self.workload.digest(*FILES)}"
        stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
        self.folder = folder / f"run-{stamp}"
        self.notes: list[str] = []
        self.workers: dict[str, WorkerProcess] = {}
        self.built: dict[str, dict] = {}
        self.ours: dict[str, list[dict]] = {}

    def run(self) -> Path:
        start = time.monotonic()
        n, dim = self.dataset.base.shape
        print(f"{self.dataset.name}: {n} x {dim}, {len(self.groups)} groups", flush=True)
        folders = self.workload.prepare(self.prepared, self.groups)
        self.folders = [str(folder.absolute()) for folder in folders]
        self.judges = [
            GroupJudge(self.dataset, self.workload, group, folder, self.options.k)
            for group, folder in zip(self.groups, folders, strict=True)
        ]
        print(f"filters are evaluated, {time.monotonic() - start:.0f} s", flush=True)
        try:
            for name in self.options.engines or FILTERED:
                self.start(name)
            if not self.workers and not self.has_ours():
                raise FiltersError("no engine is left")
            # Builds our index, and fails now where it would later.
            self.our_sweep(0, 0.0)
            points = self.climbed()
            self.rounds(points, start)
        finally:
            for worker in self.workers.values():
                worker.close()
        self.write(points, time.monotonic() - start)
        return self.folder

    def rounds(self, points: list[Point], start: float) -> None:
        """All rounds, or those until somebody stops them."""
        done = 0
        try:
            for number in range(self.options.rounds):
                for line in self.our_sweep(number + 1, self.options.min_seconds):
                    self.ours.setdefault(identity(line), []).append(line)
                self.round(number, points)
                done += 1
                spent = time.monotonic() - start
                print(f"round {done} of {self.options.rounds}, {spent:.0f} s", flush=True)
        except KeyboardInterrupt:
            if not done:
                raise
            self.note(f"stopped after {done} rounds of {self.options.rounds}")

    def note(self, text: str) -> None:
        print(text, flush=True)
        self.notes.append(text)

    def start(self, name: str) -> None:
        """Loads an engine, which builds its index where that is missing."""
        engine = filtered_peer(name)
        reason = engine.unavailable(self.dataset.metric, None)
        if reason:
            self.note(f"{name} is left out: {reason}")
            return
        (build,) = engine.builds(*self.dataset.base.shape, self.dataset.metric, False)
        build = {**build, "threads": self.options.threads}
        if engine.needs_attributes:
            build["attributes"] = {
                "file": str((self.workload.folder / ATTRIBUTES).absolute()),
                "digest": self.workload.digest(ATTRIBUTES),
                "names": self.workload.attribute_names(),
            }
        log = self.folder / "logs" / f"{name}.log"
        try:
            engine.make_ready()
        except (OSError, subprocess.SubprocessError) as error:
            self.note(f"{name} is out: {error}")
            return
        worker = WorkerProcess(name, engine.command(None), log, self.options.pin)
        try:
            built = worker.load(self.path, build, self.out / "indexes")
        except WorkerError as error:
            worker.close()
            self.note(f"{name} is out: {error}")
            return
        if engine.needs_attributes:
            # In a line their names say enough.
            build = {**built["build"], "attributes": build["attributes"]["names"]}
            built = {**built, "build": build}
        self.workers[name], self.built[name] = worker, built
        print(f"  {name}: built in {built['build_seconds']:.0f} s", flush=True)

    def drop(self, name: str, error: Exception) -> None:
        self.note(f"{name} is out: {error}")
        self.workers.pop(name).close()

    def climbed(self) -> list[Point]:
        """The points that readings need, of each engine on each group."""
        points: list[Point] = []
        n, metric, k = len(self.dataset.base), self.dataset.metric, self.options.k
        for number, group in enumerate(self.groups):
            for name in list(self.workers):
                try:
                    rows: list[dict] = []
                    for ladder in filtered_peer(name).ladders(
                        self.built[name]["build"], n, metric, k
                    ):
                        step = partial(self.step, name, number)
                        rows += climb(ladder, step, self.options.floor, LEAST_RECALL)
                except (WorkerError, IdsError, datasets.DatasetError) as error:
                    self.drop(name, error)
                    continue
                chosen = rows if self.options.all_points else needed(rows, "recall_id")
                points += [Point(name, number, row["search"], row["scores"]) for row in chosen]
            best: dict[str, float] = {}
            for point in points:
                if point.group == number:
                    recall = point.scores["recall_id"]
                    best[point.engine] = max(recall, best.get(point.engine, 0.0))
            told = ", ".join(f"{name} up to {recall:.3f}" for name, recall in best.items())
            print(f"  {group.title}: {told}", flush=True)
        return [point for point in points if point.engine in self.workers]

    def step(self, name: str, number: int, search: dict) -> dict:
        worker, k = self.workers[name], self.options.k
        group = self.folders[number]
        reply, ids = worker.search(search, k, SCAN_SECONDS, True, group=group)
        scores = self.judges[number].score(ids)
        qps = reply["queries"] / reply["seconds"]
        return {"search": search, "scores": scores, **scores, "qps": qps}

    def round(self, number: int, points: list[Point]) -> None:
        """Measures every point once: groups from another start each round, every other backwards,
        and within a group points of like recall beside each other."""
        shift = number * len(self.groups) // self.options.rounds

        def place(point: Point) -> tuple[int, float]:
            return (point.group - shift) % len(self.groups), point.scores["recall_id"]

        for point in sorted(points, key=place, reverse=bool(number % 2)):
            if point.engine not in self.workers:
                continue
            group = self.folders[point.group]
            try:
                reply, _ = self.workers[point.engine].search(
                    point.search, self.options.k, self.options.min_seconds, False, group=group
                )
                point.replies.append(reply)
            except WorkerError as error:
                self.drop(point.engine, error)

    def has_ours(self) -> bool:
        return bool(self.options.program or self.options.merge)

    def our_sweep(self, number: int, min_seconds: float) -> list[dict]:
        """The lines of a round of ours: a sweep over all groups."""
        if self.options.program is None:
            return []
        o, file = self.options, (self.folder / f"ours-{number}.jsonl").absolute()
        (self.folder / "logs").mkdir(parents=True, exist_ok=True)
        command = [o.program, "sweep", "--dataset", self.path, "--filters", str(o.workload)]
        command += ["--k", str(o.k), "--rounds", "1", "--min-seconds", f"{min_seconds:g}"]
        command += ["--threads", "1", "--progress", "none", "--out", str(file)]
        command += ["--cache", str(self.out / "indexes" / "ours"), *shlex.split(o.ours)]
        if o.pin is not None:
            command = ["taskset", "-c", str(o.pin), *command]
        with (self.folder / "logs" / f"{OURS}.log").open("ab") as log:
            ended = subprocess.run(command, stdout=log, stderr=log).returncode
        if ended:
            raise FiltersError(f"{OURS} ended with status {ended}; see {self.folder / 'logs'}")
        return results.read(file)

    def our_lines(self) -> list[dict]:
        """Ours of all rounds, and those of files, of the groups that are measured."""
        lines = [merged(rounds) for rounds in self.ours.values()]
        for file in self.options.merge:
            lines += [line for line in results.read(file) if line.get("filter")]
        fit = [line for line in lines if self.group_of(line) is not None]
        if len(fit) < len(lines):
            self.note(f"{len(lines) - len(fit)} lines of {OURS} are of no group measured here")
        return [line for line in fit if line["k"] == self.options.k]

    def group_of(self, line: dict) -> int | None:
        told = line["filter"]
        if told["workload"] != self.workload.name or line["n"] != len(self.dataset.base):
            return None
        for number, group in enumerate(self.groups):
            same = abs(told["selectivity"] - group.selectivity) < NOTHING_CLOSE
            if told["shape"] == group.shape and same:
                return number
        return None

    def line(self, point: Point) -> dict:
        group, scores = self.groups[point.group], point.scores
        asked = replace(self.dataset, test=self.judges[point.group].test)
        recalls = (scores["recall_id"], scores["recall_distance"])
        pinned = None if self.options.pin is None else [self.options.pin]
        built = self.built[point.engine]
        row = results.line(
            asked, point.engine, built, point.search, self.options.k, recalls, point.replies, pinned
        )
        kept = ("recall_p5", "recall_min", "shortfall")
        row["filter"] = {
            "workload": self.workload.name,
            "shape": group.shape,
            "selectivity": group.selectivity,
            **{key: scores[key] for key in kept},
        }
        return row

    def write(self, points: list[Point], seconds: float) -> None:
        rows: dict[str, list[dict]] = {}
        for line in self.our_lines():
            rows.setdefault(line["engine"], []).append(line)
        if not rows:
            self.note(f"{OURS} is missing: give --ours PROGRAM, or --merge lines of its sweep")
        elif {row["search"].get("exact") for lines in rows.values() for row in lines} == {True}:
            self.note(f"{OURS} answers by exact search among what passes: it walks nowhere yet")
        for point in points:
            if point.engine in self.workers and point.replies:
                rows.setdefault(point.engine, []).append(self.line(point))
        if not rows:
            raise FiltersError("nothing was measured")
        for name, lines in rows.items():
            results.append(self.folder / f"{name}.jsonl", lines)
        o = self.options
        how = f"{o.rounds} rounds of at least {o.min_seconds:g} s a point, one thread"
        how += "" if o.pin is None else f" on processor {o.pin}"
        self.notes.insert(0, f"{how}; {seconds:.0f} s in all")
        text = markdown(rows, self.groups, self.group_of, self.notes)
        (self.folder / "report.md").write_text(text)
        print(f"\n{text}\n{self.folder / 'report.md'}", flush=True)


def identity(line: dict) -> str:
    """What makes lines of several rounds one point."""
    keys = ("engine", "engine_version", "git_commit", "build", "search", "k")
    told = [line["filter"]["shape"], round(line["filter"]["selectivity"], 9)]
    return json.dumps([told, *(line[key] for key in keys)], sort_keys=True)


def merged(rounds: list[dict]) -> dict:
    """One line out of those of a point's rounds."""
    speeds = [speed for line in rounds for speed in line["qps_rounds"]]
    whole = {**rounds[-1], "qps": max(speeds), "qps_median": median(speeds), "qps_rounds": speeds}
    for key in MIDDLES:
        values = [line[key] for line in rounds if line[key] is not None]
        whole[key] = median(values) if values else None
    return whole


def markdown(
    rows: dict[str, list[dict]], groups: list[Group], group_of, notes: Iterable[str]
) -> str:
    """Speeds by group at each recall, ours by the fastest peer, and how even answers are."""
    engines = list(rows)
    held = {
        (name, number): [row for row in lines if group_of(row) == number]
        for name, lines in rows.items()
        for number in range(len(groups))
    }
    first = next(iter(rows.values()))[0]
    shape = f"{first['n']:,} × {first['dim']}, {first['metric']}; k {first['k']}; {first['cpu']}"
    text = [f"# {first['dataset']} under filters: {first['filter']['workload']}", "", shape, ""]
    text += [f"- {note}" for note in notes]
    for target in TARGETS:
        text += ["", f"## Queries a second at recall {target:.2f} by id", ""]
        if target == TARGETS[0]:
            text += ["≥: it finds more at its lowest setting. (0.85): the best recall, less.", ""]
        lines = []
        for number, group in enumerate(groups):
            cells = [speed(held[name, number], target) for name in engines]
            lines.append([group.title, *cells, *ratio(held, engines, number, target)])
        extra = [f"{OURS} by the fastest"] if OURS in engines else []
        text += report.table(["group", *engines, *extra], lines)
    text += ["", "## At the first point from recall 0.95 on: recall, its p5 and least, shortfall, "]
    text[-1] += "p50 and p99 in µs, its search"
    lines = []
    for number, group in enumerate(groups):
        for name in engines:
            if point := first_from(held[name, number], 0.95):
                lines.append([group.title, name, *details(point)])
    head = ["group", "engine", "recall", "p5", "min", "short", "p50", "p99", "search"]
    text += ["", *report.table(head, lines), "", "## Builds", "", *report.builds(rows, engines)]
    if any(row["python_loop"] for lines in rows.values() for row in lines):
        loops = [name for name in engines if rows[name][0]["python_loop"]]
        text += ["", f"Called query by query from Python: {', '.join(loops)}."]
    return "\n".join(text) + "\n"


def speed(rows: list[dict], target: float) -> str:
    if not rows:
        return "–"
    if (best := max(row["recall_id"] for row in rows)) < target:
        return f"({best:.3f})"
    return report.speed_text(even(rows), target, "recall_id")


def even(rows: list[dict]) -> list[dict]:
    """Rows whose rounds are as many; others say their median alone."""
    if len({len(row["qps_rounds"]) for row in rows}) == 1:
        return rows
    return [{**row, "qps_rounds": [row["qps_median"]]} for row in rows]


def ratio(held: dict, engines: list[str], number: int, target: float) -> list[str]:
    """Ours by the fastest peer at a recall, by group; nothing where ours is not there."""
    if OURS not in engines:
        return []
    ours, speeds = held[OURS, number], {}
    for name in engines:
        if name == OURS or not (rows := held[name, number]):
            continue
        rounds, _ = report.readings(even(rows), target, "recall_id")
        if rounds is not None:
            speeds[name] = median(rounds)
    if not ours or not speeds:
        return ["–"]
    best = max(speeds, key=speeds.get)
    both = [even(ours), even(held[best, number])]
    if len({len(rows[0]["qps_rounds"]) for rows in both}) > 1:
        both = [[{**row, "qps_rounds": [row["qps_median"]]} for row in rows] for rows in both]
    return [f"{report.paired(*both, target, 'recall_id')} {best}"]


def first_from(rows: list[dict], recall: float) -> dict | None:
    front = curve.pareto(rows, itemgetter("recall_id"), itemgetter("qps_median"))
    return next((row for row in front if row["recall_id"] >= recall), None)


def details(row: dict) -> list[str]:
    told = row["filter"]
    shares = [row["recall_id"], told["recall_p5"], told["recall_min"], told["shortfall"]]
    times = ["–" if row[key] is None else f"{row[key]:,.0f}" for key in ("p50_us", "p99_us")]
    return [*(f"{share:.3f}" for share in shares), *times, results.label(row["search"])]
