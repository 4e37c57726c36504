"""`tune`: builds and sweeps each peer's grid once per set, and keeps what is on its Pareto front.

What it leaves in its folder, which a later run continues:

| path | content |
|---|---|
| `SET/ENGINE.jsonl` | a result line a point |
| `SET/ENGINE.json` | why an engine was skipped, what failed, its Pareto configurations |
| `SET/logs/` | what the engines' processes said |
| `indexes/` | index files, those of no Pareto configuration deleted |

`SET` is the set's name and the start of its fingerprint.
"""

from __future__ import annotations

import fcntl
import json
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from operator import itemgetter
from pathlib import Path

from . import curve, datasets, results
from .client import WorkerError, WorkerProcess, WorkerRefusal
from .engines import peer
from .engines.base import Peer
from .machine import cores
from .measure import TRIES, Bench, climb
from .recall import IdsError
from .results import label

RECALLS = ("recall_id", "recall_distance")


class TuneError(Exception):
    """Why nothing can be tuned."""


@dataclass
class Options:
    """What a run is told. `threads` is for builds, `seconds` the least time of a point."""

    engines: list[str]
    ks: list[int]
    program: str | None = None
    quick: bool = False
    seconds: float = 1.0
    tries: int = TRIES
    queries: int | None = None
    floor: float = 50.0
    threads: int = field(default_factory=cores)
    keep_all: bool = False
    retry: bool = False


def set_folder(out: Path, dataset: datasets.Dataset) -> Path:
    return out / f"{dataset.name}-{dataset.fingerprint()[:8]}"


def tune(paths: list[str], out: Path, options: Options) -> None:
    for path in paths:
        bench = Bench(path, options.ks, options.tries, options.queries)
        folder = set_folder(out, bench.dataset)
        n, dim = bench.dataset.base.shape
        print(f"{bench.dataset.name}: {n} x {dim}, {bench.dataset.metric}, in {folder}", flush=True)
        with locked(folder):
            for name in options.engines:
                EngineTune(bench, folder, out / "indexes", name, options).run()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise TuneError(f"{folder}: another run is at work there") from error
        yield


class EngineTune:
    """The sweep of one engine over one set."""

    def __init__(self, bench: Bench, folder: Path, indexes: Path, name: str, options: Options):
        self.bench, self.folder, self.indexes = bench, folder, indexes
        self.name, self.options = name, options
        self.engine: Peer = peer(name)
        self.lines = folder / f"{name}.jsonl"
        self.running: tuple[WorkerProcess, dict] | None = None
        self.done: dict[str, dict] = {}
        self.summary = read_summary(folder, name) or {"failed": [], "builds": {}}
        if options.retry:
            self.summary["failed"] = []

    def run(self) -> None:
        data, start = self.bench.dataset, time.monotonic()
        reason = self.engine.unavailable(data.metric, self.options.program)
        if reason and self.lines.is_file():
            print(f"  {self.name}: left as it was tuned before, {reason}", flush=True)
            return
        self.done = self.measured_before()
        if reason is None:
            for params in self.engine.builds(*data.base.shape, data.metric, self.options.quick):
                self.sweep({**params, "threads": self.options.threads})
                self.write_summary(None, False)
                self.delete_indexes(fronts(self.done.values()))
            if not self.done:
                first = self.summary["failed"][0]["reason"]
                reason = f"nothing could be measured: {first}"
        self.write_summary(reason, True)
        self.delete_indexes(fronts(self.done.values(), curve.TARGETS))
        if reason:
            print(f"  {self.name}: skipped, {reason}", flush=True)
        else:
            spent = time.monotonic() - start
            print(f"  {self.name}: {len(self.done)} points in {spent:.0f} s", flush=True)
            self.print_readings()

    def print_readings(self) -> None:
        for k in self.options.ks:
            rows = [row for row in self.done.values() if row["k"] == k]
            points = [(row["recall_id"], row["qps"]) for row in rows]
            readings = [(target, curve.reading(points, target)[0]) for target in curve.TARGETS]
            texts = [f"{t:.2f}: {qps:,.0f}" for t, qps in readings if qps is not None]
            print(f"    queries a second at recall@{k} {', '.join(texts) or 'none'}", flush=True)

    def measured_before(self) -> dict[str, dict]:
        """Lines by key; those of another version of the engine do not count."""
        if not self.lines.is_file():
            return {}
        version, rows = self.engine.version(), results.read(self.lines)
        rows = [row for row in rows if version in (None, row["engine_version"])]
        return {self.key(asked(self.summary, row), row["search"], row["k"]): row for row in rows}

    def key(self, build: dict, search: dict, k: int) -> str:
        return json.dumps([build, search, k], sort_keys=True)

    def sweep(self, build: dict) -> None:
        """Measures what is missing of one build; its process starts only if something is."""
        n, metric = len(self.bench.dataset.base), self.bench.dataset.metric
        before = len(self.done)
        rows: list[dict] = []
        try:
            for k in self.options.ks:
                for ladder in self.engine.ladders(build, n, metric, k):
                    measure = partial(self.point, build, k)
                    rows += climb(ladder, measure, self.options.floor)
        finally:
            self.stop()
        new = len(self.done) - before
        seconds = f"built in {rows[0]['build_seconds']:.0f} s, " if rows else ""
        print(f"  {self.name} {label(build)}: {seconds}{len(rows)} points, {new} new", flush=True)

    def point(self, build: dict, k: int, search: dict) -> dict | None:
        """A result line, from before or measured now; None where the engine fails."""
        key = self.key(build, search, k)
        if key in self.done or self.failed(build, search):
            return self.done.get(key)
        try:
            self.running = self.running or self.load(build)
            row = self.bench.point(*self.running, search, k, self.options.seconds)
        except (WorkerRefusal, IdsError) as error:
            self.fail(build, search if self.running else None, error)
            return None
        except WorkerError as error:
            self.fail(build, None, error)
            return None
        results.append(self.lines, [row])
        self.done[key] = row
        return row

    def load(self, build: dict) -> tuple[WorkerProcess, dict]:
        log = self.folder / "logs" / f"{self.name}.log"
        worker = WorkerProcess(self.name, self.engine.command(self.options.program), log)
        try:
            asks = self.options.queries if self.engine.takes_queries else None
            built = worker.load(self.bench.path, build, self.indexes, asks)
        except WorkerError:
            worker.close()
            raise
        entry = {"asked": build, "index": built.get("index")}
        self.summary["builds"][build_key(built["build"])] = entry
        self.write_summary(None, False)
        return worker, built

    def stop(self) -> None:
        if self.running:
            self.running[0].close()
        self.running = None

    def failed(self, build: dict, search: dict) -> bool:
        """Whether the whole build or this search of it has failed, now or in an earlier run."""
        failures = [f["search"] for f in self.summary["failed"] if f["build"] == build]
        return None in failures or search in failures

    def fail(self, build: dict, search: dict | None, error: Exception) -> None:
        print(f"  {self.name} {label(build)} {label(search or {})}: {error}", flush=True)
        failure = {"build": build, "search": search, "reason": str(error)}
        self.summary["failed"].append(failure)
        self.write_summary(None, False)

    def write_summary(self, skipped: str | None, complete: bool) -> None:
        rows = fronts(self.done.values(), curve.TARGETS)
        self.summary |= {"engine": self.name, "dataset": self.bench.dataset.name}
        self.summary |= {"skipped": skipped, "complete": complete, "pareto": rows}
        # What a full grid measured before is still there.
        full = not self.options.quick or self.summary.get("grid") == "full"
        self.summary["grid"] = "full" if full else "quick"
        file = summary_path(self.folder, self.name)
        partial_file = file.with_suffix(".partial")
        partial_file.write_text(json.dumps(self.summary, indent=1))
        partial_file.rename(file)

    def delete_indexes(self, used: list[dict]) -> None:
        """Deletes index files that no line of `used` was measured on."""
        if self.options.keep_all:
            return
        builds = {build_key(row["build"]) for row in used}
        for build, entry in self.summary["builds"].items():
            path = Path(entry["index"] or "/")
            if build not in builds and path.is_relative_to(self.indexes.absolute()):
                shutil.rmtree(path, ignore_errors=True)
                entry["index"] = None


def build_key(build: dict) -> str:
    return json.dumps(build, sort_keys=True)


def asked(summary: dict, row: dict) -> dict:
    """The build parameters that led to a line, whose own are those that the engine reported."""
    entry = summary["builds"].get(build_key(row["build"]))
    return entry["asked"] if entry else row["build"]


def summary_path(folder: Path, name: str) -> Path:
    return folder / f"{name}.json"


def read_summary(folder: Path, name: str) -> dict | None:
    """What `tune` noted of an engine: `skipped`, `complete`, `grid` (quick or full), `failed`,
    `pareto` (result lines), and `builds`: by what the engine reported of one, what it was `asked`
    and where its `index` is."""
    file = summary_path(folder, name)
    return json.loads(file.read_text()) if file.is_file() else None


def fronts(rows: Iterable[dict], targets: Sequence[float] | None = None) -> list[dict]:
    """Lines on the front of their k, by either recall; with targets only those around each."""
    kept: dict[str, dict] = {}
    rows = list(rows)
    for k in sorted({row["k"] for row in rows}):
        for recall in map(itemgetter, RECALLS):
            front = curve.pareto((r for r in rows if r["k"] == k), recall, itemgetter("qps"))
            if targets is not None:
                front = curve.bracket(front, targets, recall)
            kept |= {json.dumps([row["build"], row["search"], k]): row for row in front}
    return list(kept.values())
