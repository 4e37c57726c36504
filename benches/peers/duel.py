"""`duel`: measures ours and the peers' Pareto configurations in turns.

Each round measures every configuration once, in several turns. Configurations of like recall are
neighbors in the order, which starts elsewhere in every round and runs backwards in every other
turn, so that what the machine does meanwhile meets all engines alike and ratios within a round
cancel it.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from operator import attrgetter
from pathlib import Path
from statistics import mean, median

from . import curve, report, results, stored
from .client import WorkerError, WorkerProcess
from .engines import OURS, PEERS, peer
from .machine import available_mib, cores
from .measure import UNDISTURBED, Bench, climb
from .recall import IdsError
from .results import label
from .tune import asked, build_key, set_folder
from .worker import WARM_UP_QUERIES, index_folder

AGAIN = f"{OURS}-again"
"""Our second process where we are measured against ourselves."""
SCAN_SECONDS = 0.5
TURNS = 4
"""Parts of a round of one configuration, others between them. One may be longer: it is whole passes
over the queries."""
SUMS = ("queries", "seconds")
MEDIANS = ("p50_us", "p95_us", "p99_us", "p999_us", "processor_share")
MEDIANS += ("distances_per_query", "visited_per_query")
RESERVE_MIB = 1024
POINT_SECONDS = 0.5
"""What a configuration costs beside its rounds: its answers are judged."""
LOAD_SECONDS, LOAD_MIB_A_SECOND = 2.0, 200.0


class DuelError(Exception):
    """Why a duel cannot be held."""


@dataclass
class DuelOptions:
    """What a duel is told. `build` is ours, `recall` the key that readings go by."""

    program: str
    engines: list[str] | None = None
    k: int = 10
    rounds: int = 5
    min_seconds: float = 2.0
    budget: float = 600.0
    floor: float = 50.0
    pin: int | None = None
    threads: int = field(default_factory=cores)
    recall: str = "recall_id"
    build: dict = field(default_factory=dict)
    against_itself: bool = False
    one_by_one: bool = False


@dataclass
class Config:
    """An engine with one build and one search; `row` is from the tune, `replies` of the rounds."""

    engine: str
    build: dict
    row: dict
    recall: float
    replies: list[dict] = field(default_factory=list)
    recalls: tuple[float, float] | None = None

    @property
    def group(self) -> tuple[str, str]:
        """Configurations of one group share a process."""
        return self.engine, build_key(self.build)

    def seconds(self, queries: int, min_seconds: float) -> float:
        """What a round of it takes."""
        qps = self.row["qps"]
        passes = max(1, math.ceil(min_seconds * qps / queries))
        turns = min(TURNS, passes)
        return (passes * queries + turns * min(WARM_UP_QUERIES, queries)) / qps


def duel(paths: list[str], out: Path, options: DuelOptions) -> None:
    for path in paths:
        Duel(Bench(path, [options.k]), out, options).run()


class Duel:
    """One set's."""

    def __init__(self, bench: Bench, out: Path, options: DuelOptions):
        self.bench, self.options = bench, options
        self.indexes = out / "indexes"
        self.tuned = set_folder(out, bench.dataset)
        stamp = datetime.now().strftime("%Y%m%d-%H%M%S-%f")[:-3]
        self.folder = self.tuned / f"duel-{stamp}"
        self.notes: list[str] = []
        self.scan_seconds = 0.0
        self.wanted = options.engines or [name for name in PEERS if name != "bruteforce"]
        reason = peer(OURS).unavailable(bench.dataset.metric, options.program)
        if reason:
            raise DuelError(f"{OURS}: {reason}")

    def run(self) -> None:
        start = time.monotonic()
        with Fleet(self) as fleet:
            configs = self.affordable(self.ours(fleet) + self.peers())
            configs = self.built(configs, fleet)
            fleet.keep(configs)
            estimate = self.estimate(configs, fleet)
            print(f"{len(configs)} configurations, about {estimate:.0f} s more", flush=True)
            if estimate > self.options.budget:
                print(f"that is over the budget of {self.options.budget:.0f} s", flush=True)
            for number in range(self.options.rounds):
                configs = self.round(number, configs, fleet)
                if self.options.against_itself:
                    fleet.renew()
                spent = time.monotonic() - start
                print(f"round {number + 1} of {self.options.rounds}, {spent:.0f} s", flush=True)
            self.write(configs, fleet, time.monotonic() - start)

    def ours(self, fleet: Fleet) -> list[Config]:
        """Our configurations, found by a short climb of the ladder."""
        options, data = self.options, self.bench.dataset
        build = {**options.build, "threads": options.threads}
        worker, built = fleet.start(OURS, build)
        measure = partial(self.bench.point, worker, built, k=options.k, seconds=SCAN_SECONDS)
        ladders = peer(OURS).ladders(build, len(data.base), data.metric, options.k)
        start, rows = time.monotonic(), []
        for ladder in ladders:
            rows += climb(ladder, lambda search: measure(search=search), options.floor)
        self.scan_seconds = time.monotonic() - start
        front = needed(rows, options.recall)
        names = [OURS]
        if options.against_itself:
            fleet.start(AGAIN, build)
            names.append(AGAIN)
        return [
            Config(name, build, {**row, "engine": name}, row[options.recall])
            for name in names
            for row in front
        ]

    def peers(self) -> list[Config]:
        """The peers' configurations, as they were tuned."""
        if self.options.against_itself:
            return []
        configs, quick = [], []
        for name in self.wanted:
            summary = stored.summary(self.tuned, name, self.options.threads)
            summary = summary or {"skipped": "it was not tuned"}
            rows = [r for r in summary.get("pareto", []) if r["k"] == self.options.k]
            reason = summary["skipped"] or (None if rows else f"not tuned for k {self.options.k}")
            reason = reason or peer(name).unavailable(
                self.bench.dataset.metric, self.options.program
            )
            if reason:
                self.note(f"{name} is left out: {reason}")
                continue
            if not summary["complete"]:
                self.note(f"{name}: its tune has not ended")
            if "stored" in summary:
                self.note(f"{name}: {summary['stored']}")
            if summary.get("grid") == "quick":
                quick.append(name)
            rows = needed(rows, self.options.recall)
            recall = self.options.recall
            configs += [Config(name, asked(summary, row), row, row[recall]) for row in rows]
        if not configs:
            raise DuelError(f"{self.tuned}: no tuned peer, run tune first")
        if quick:
            self.note(f"tuned over a quick grid of builds: {', '.join(quick)}")
        return configs

    def built(self, configs: list[Config], fleet: Fleet) -> list[Config]:
        """Builds the indexes that are missing, one after the other; an engine that fails is out."""
        out: set[str] = set()
        start, count = time.monotonic(), 0
        for (name, _), config in {c.group: c for c in configs}.items():
            if name in out or fleet.has(config):
                continue
            try:
                fleet.start(name, config.build)
                count += 1
            except WorkerError as error:
                out.add(name)
                self.note(f"{name} is out: {error}")
            fleet.live.pop(config.group).close()
        if count:
            seconds = time.monotonic() - start
            self.note(f"{count} indexes were not there: built first, in {seconds:.0f} s")
        return [config for config in configs if config.engine not in out]

    def affordable(self, configs: list[Config]) -> list[Config]:
        """Leaves out the configurations that readings miss least, until the rest fit the budget."""
        groups: dict[str, list[Config]] = {}
        for config in configs:
            groups.setdefault(config.engine, []).append(config)
        fixed = self.scan_seconds + len({c.group for c in configs}) * self.load_seconds()
        points = {
            name: [(c.recall, c.row["qps"], self.cost(c)) for c in group]
            for name, group in groups.items()
        }
        kept, moved = curve.thin(points, curve.TARGETS, self.options.budget - fixed)
        chosen = [groups[name][i] for name, indexes in kept.items() for i in indexes]
        if len(chosen) < len(configs):
            left_out = len(configs) - len(chosen)
            text = f"{left_out} of {len(configs)} configurations left out to fit the budget"
            self.note(f"{text}, which moves readings by up to {math.expm1(moved):.1%}")
        return chosen

    def cost(self, config: Config) -> float:
        queries = len(self.bench.dataset.test)
        a_round = config.seconds(queries, self.options.min_seconds)
        return self.options.rounds * a_round + POINT_SECONDS

    def load_seconds(self) -> float:
        return LOAD_SECONDS + self.bench.dataset.base.nbytes / 2**20 / LOAD_MIB_A_SECOND

    def estimate(self, configs: list[Config], fleet: Fleet) -> float:
        groups = {c.group for c in configs}
        loads = len(groups & fleet.kept) + self.options.rounds * len(groups - fleet.kept)
        return sum(map(self.cost, configs)) + loads * self.load_seconds()

    def round(self, number: int, configs: list[Config], fleet: Fleet) -> list[Config]:
        """Measures every configuration once; an engine that fails is out of the duel."""
        out: set[str] = set()
        turns: dict[int, list[dict]] = {id(config): [] for config in configs}
        pending = order(configs, fleet.kept, number, self.options.rounds)
        while pending:
            for config in pending:
                if config.engine in out:
                    continue
                try:
                    turns[id(config)].append(self.turn(config, fleet))
                except (WorkerError, IdsError) as error:
                    if config.engine in (OURS, AGAIN):
                        raise DuelError(str(error)) from error
                    out.add(config.engine)
                    self.note(f"{config.engine} is out in round {number + 1}: {error}")
            fleet.release()
            unfinished = [c for c in pending if spent(turns[id(c)]) < self.options.min_seconds]
            pending = [c for c in reversed(unfinished) if c.engine not in out]
        configs = [config for config in configs if config.engine not in out]
        for config in configs:
            config.replies.append(merged(turns[id(config)]))
        return configs

    def turn(self, config: Config, fleet: Fleet) -> dict:
        """A part of a round; all of it where the next turn would have to load anew."""
        worker = fleet.get(config)
        options, first = self.options, config.recalls is None
        seconds = options.min_seconds / (TURNS if config.group in fleet.kept else 1)
        alone = options.one_by_one and config.engine in (OURS, AGAIN)
        more = {"mode": "closed"} if alone else {}
        reply, ids = worker.search(config.row["search"], options.k, seconds, first, **more)
        if first:
            config.recalls = self.bench.judges[options.k].score(ids)
            config.recall = config.recalls[options.recall != "recall_id"]
        return reply

    def note(self, text: str) -> None:
        print(text, flush=True)
        self.notes.append(text)

    def note_disturbance(self, configs: list[Config]) -> None:
        shares = [reply["processor_share"] for c in configs for reply in c.replies]
        low = sum(share < UNDISTURBED for share in shares)
        if low:
            share = f"{UNDISTURBED:.0%} of a processor"
            self.note(
                f"busy machine: in {low} of {len(shares)} measurements an engine lacked {share}"
            )

    def write(self, configs: list[Config], fleet: Fleet, seconds: float) -> None:
        rows: dict[str, list[dict]] = {}
        for c in sorted(configs, key=attrgetter("recall")):
            built, pinned = fleet.built[c.group], fleet.pinned
            search, k = c.row["search"], self.options.k
            row = results.line(
                self.bench.dataset, c.engine, built, search, k, c.recalls, c.replies, pinned
            )
            rows.setdefault(c.engine, []).append(row)
        for name, lines in rows.items():
            results.append(self.folder / f"{name}.jsonl", lines)
        o = self.options
        how = f"{o.rounds} rounds of at least {o.min_seconds:g} s a configuration, one thread"
        how += "" if o.pin is None else f" on processor {o.pin}"
        self.notes.insert(0, f"{how}; {seconds:.0f} s in all. {fleet.kept_text}")
        self.note_disturbance(configs)
        rivals = [name for name in [AGAIN, *self.wanted] if name in rows]
        text = report.markdown(rows, OURS, rivals, o.recall, self.notes)
        (self.folder / "report.md").write_text(text)
        print(f"\n{text}\n{self.folder / 'report.md'}", flush=True)
        report.html(o.program, self.folder, o.recall)


def spent(turns: list[dict]) -> float:
    return sum(turn["seconds"] for turn in turns)


def merged(turns: list[dict]) -> dict:
    """One round out of its turns: sums, and the medians of latencies."""
    whole = {**turns[-1], **{key: sum(turn[key] for turn in turns) for key in SUMS}}
    for key in MEDIANS:
        values = [turn[key] for turn in turns if turn.get(key) is not None]
        whole[key] = median(values) if values else None
    return whole


def needed(rows: Iterable[dict], recall: str) -> list[dict]:
    """The rows that readings by this recall need."""
    front = curve.pareto(rows, lambda row: row[recall], lambda row: row["qps"])
    return curve.bracket(front, curve.TARGETS, lambda row: row[recall])


def order(
    configs: list[Config], kept: set[tuple[str, str]], number: int, rounds: int
) -> list[Config]:
    """The order of a round: by recall, from another start each round, every other backwards.

    Groups that are not kept in memory are loaded once a round, so theirs stay together.
    """
    units: dict[object, list[Config]] = {}
    for config in configs:
        unit = id(config) if config.group in kept else config.group
        units.setdefault(unit, []).append(config)
    ordered = sorted(units.values(), key=lambda unit: mean(c.row["recall_id"] for c in unit))
    shift = number * len(ordered) // rounds
    ordered = ordered[shift:] + ordered[:shift]
    flat = [config for unit in ordered for config in unit]
    return flat[::-1] if number % 2 else flat


class Fleet:
    """The engines' processes. Those that memory has room for live through all rounds, others are
    loaded anew when their turn comes. Ours always live."""

    def __init__(self, duel: Duel):
        self.duel = duel
        self.live: dict[tuple[str, str], WorkerProcess] = {}
        self.built: dict[tuple[str, str], dict] = {}
        self.kept: set[tuple[str, str]] = set()
        self.kept_text = ""
        self.pinned = None if duel.options.pin is None else [duel.options.pin]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for worker in self.live.values():
            worker.close()

    def start(self, name: str, build: dict) -> tuple[WorkerProcess, dict]:
        engine = OURS if name == AGAIN else name
        command = peer(engine).command(self.duel.options.program)
        log = self.duel.folder / "logs" / f"{name}.log"
        worker = WorkerProcess(name, command, log, self.duel.options.pin)
        group = (name, build_key(build))
        self.live[group] = worker
        self.built[group] = worker.load(self.duel.bench.path, build, self.duel.indexes)
        return worker, self.built[group]

    def has(self, config: Config) -> bool:
        """Whether an index need not be built first. Those of our program are built where they are
        loaded: where it keeps them is its own affair."""
        if config.group in self.live or peer(config.engine).version() is None:
            return True
        engine, dataset = peer(config.engine), self.duel.bench.dataset
        folder = index_folder(engine, dataset, config.build, self.duel.indexes)
        return (folder / "built.json").is_file()

    def keep(self, configs: list[Config]) -> None:
        """Decides what is kept, by the memory that the tune saw."""
        base_mib = self.duel.bench.dataset.base.nbytes / 2**20
        needs: dict[tuple[str, str], float] = {}
        for c in configs:
            if c.group not in self.live:
                needs[c.group] = c.row["serve_resident_mib"] or 2 * base_mib
        room = available_mib() - RESERVE_MIB - 3 * base_mib  # a load holds the rows thrice
        kept = fitting(needs, room)
        self.kept = kept | set(self.live)
        reloaded = sorted(
            label(json.loads(build)) + f" of {name}" for name, build in needs.keys() - kept
        )
        self.kept_text = f"{len(self.kept)} indexes stayed in memory"
        self.kept_text += f", loaded every round: {'; '.join(reloaded)}." if reloaded else "."

    def get(self, config: Config) -> WorkerProcess:
        if config.group not in self.live:
            self.release()
            self.start(config.engine, config.build)
        return self.live[config.group]

    def renew(self) -> None:
        """Ends all, to be loaded anew in the next round: what sets two processes of one build apart
        for as long as they live is then part of the spread over rounds."""
        for worker in self.live.values():
            worker.close()
        self.live.clear()
        self.kept_text = "All indexes were loaded anew in each round."

    def release(self) -> None:
        """Ends what is not kept."""
        for group in self.live.keys() - self.kept:
            self.live.pop(group).close()


def fitting(needs: dict[tuple[str, str], float], room: float) -> set[tuple[str, str]]:
    """The most groups whose memory fits, small ones first, beside the largest of the rest."""
    ordered = sorted(needs, key=lambda group: needs[group])
    for count in range(len(ordered), 0, -1):
        beside = needs[ordered[-1]] if count < len(ordered) else 0
        if sum(needs[group] for group in ordered[:count]) + beside <= room:
            return set(ordered[:count])
    return set()
