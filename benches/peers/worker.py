"""One engine in one process: `python -m peers.worker NAME`, JSON lines in, JSON lines out.

The process that searches never builds: a missing index is built by a child process
(`python -m peers.worker NAME --build ...`), with all cores and a
memory peak of its own.
README.md describes the protocol.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from . import datasets
from .engines import peer
from .engines.base import Peer
from .machine import die_with_parent, memory_mib, reset_memory_peak, thread_environment

WARM_UP_QUERIES = 200
SPARE_CPU = 1.2
"""CPU seconds per wall second from which a search counts as running on more than one thread."""


class WorkerFault(Exception):
    """Something that the caller should read, without a traceback."""


class Worker:
    """Answers the commands of one conversation."""

    find = staticmethod(peer)
    """Gives the engine of a name."""

    def __init__(self, name: str):
        self.name, self.peer = name, self.find(name)
        self.queries: np.ndarray | None = None

    def answer(self, request: dict) -> dict:
        handlers = {"load": self.load, "search": self.search}
        if request.get("cmd") not in handlers:
            raise WorkerFault(f"unknown command {request.get('cmd')!r}")
        return {"ok": True, **handlers[request["cmd"]](request)}

    def load(self, request: dict) -> dict:
        dataset = datasets.read(request["dataset"])
        folder = index_folder(self.peer, dataset, request["build"], Path(request["cache"]))
        if not (folder / "built.json").is_file():
            build_in_child(self.peer, request["dataset"], request["build"], folder)
        figures = json.loads((folder / "built.json").read_text())
        base, queries = dataset.prepared()
        n, dim = base.shape
        self.peer.load(
            folder / "index",
            n,
            dim,
            dataset.metric,
            request["build"],
            base if self.peer.needs_base else None,
        )
        self.queries = np.ascontiguousarray(self.peer.queries(queries[: request.get("queries")]))
        del base, queries, dataset
        release_memory()
        return {**figures, "index": str(folder.absolute())}

    def search(self, request: dict) -> dict:
        if self.queries is None:
            raise WorkerFault("search before load")
        k = request["k"]
        self.peer.set(request["search"])
        self.one_pass(self.queries[:WARM_UP_QUERIES], k, None)
        latencies: list[int] | None = [] if self.peer.python_loop else None
        passes, seconds, cpu, answers = 0, 0.0, 0.0, None
        while passes == 0 or seconds < request["min_seconds"]:
            wall_start, cpu_start = time.perf_counter(), time.process_time()
            found = self.one_pass(self.queries, k, latencies)
            seconds += time.perf_counter() - wall_start
            cpu += time.process_time() - cpu_start
            answers = found if answers is None else answers
            passes += 1
        if cpu > SPARE_CPU * seconds + 0.05:
            raise WorkerFault(f"one thread was asked for, {cpu / seconds:.1f} were busy")
        if request.get("ids"):
            np.save(request["ids"], self.peer.ids(answers, k))
        return {
            "queries": passes * len(self.queries),
            "seconds": seconds,
            "mode": "closed" if self.peer.python_loop else "batch",
            "python_loop": self.peer.python_loop,
            "resident_mib": memory_mib("VmRSS"),
            **percentiles(latencies),
        }

    def one_pass(self, queries: np.ndarray, k: int, latencies: list[int] | None):
        if not self.peer.python_loop:
            return self.peer.search(queries, k)
        search, clock, answers = self.peer.search_one, time.perf_counter_ns, []
        for query in queries:
            start = clock()
            answers.append(search(query, k))
            if latencies is not None:
                latencies.append(clock() - start)
        return answers


class Timer:
    """Seconds on the clock and on processors since it was made."""

    def __init__(self):
        self.start = time.perf_counter(), time.process_time()

    def wall(self) -> float:
        return time.perf_counter() - self.start[0]

    def cpu(self) -> float:
        return time.process_time() - self.start[1]


def percentiles(latencies: Sequence[int] | np.ndarray | None) -> dict:
    """Microseconds, of nanoseconds."""
    shares = {"p50_us": 50, "p95_us": 95, "p99_us": 99, "p999_us": 99.9}
    if latencies is None or not len(latencies):
        return dict.fromkeys(shares)
    values = np.percentile(np.asarray(latencies) / 1000, list(shares.values()))
    return {key: float(value) for key, value in zip(shares, values, strict=True)}


def release_memory() -> None:
    """Gives freed memory back, so that what is resident is what search needs."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def index_folder(engine: Peer, dataset: datasets.Dataset, build: dict, cache: Path) -> Path:
    """Where an index is kept: by set, engine, its version and every build parameter."""
    key = json.dumps([engine.version(), dataset.fingerprint(), build], sort_keys=True)
    digest = hashlib.sha256(key.encode()).hexdigest()[:16]
    return cache / dataset.name / (engine.index_name or engine.name) / digest


def build_in_child(engine: Peer, dataset: str, build: dict, folder: Path) -> None:
    command = [*engine.command(None), "--build", json.dumps(build)]
    command += ["--dataset", dataset, "--folder", str(folder)]
    environment = {**os.environ, **thread_environment(build["threads"])}
    child = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, stdout=2)
    if child.returncode:
        raise WorkerFault(f"the build ended with status {child.returncode}")


def build_index(engine: Peer, dataset_path: str, build: dict, folder: Path) -> None:
    """Builds and saves; the folder appears whole or not at all."""
    with contextlib.suppress(OSError):
        os.sched_setaffinity(0, range(os.cpu_count() or 1))
    dataset = datasets.read(dataset_path)
    if dataset.metric not in engine.metrics:
        raise WorkerFault(f"{engine.name} does not know the metric {dataset.metric}")
    base, _ = dataset.prepared()
    metric, n, key = dataset.metric, len(base), engine.version()
    del dataset
    release_memory()
    before = reset_memory_peak()
    start = time.perf_counter()
    engine.build(base, metric, build["threads"], build)
    seconds = time.perf_counter() - start
    peak = memory_mib("VmHWM") - before if before is not None else None
    for left_over in folder.parent.glob(f"{folder.name}.partial*"):
        shutil.rmtree(left_over)
    partial = folder.with_suffix(f".partial{os.getpid()}")
    (partial / "index").mkdir(parents=True)
    engine.save(partial / "index")
    figures = {
        "engine_version": key,
        "build_seconds": seconds,
        "build_peak_mib": peak,
        "index_bytes_per_vector": engine.index_bytes(partial / "index", base) / n,
    }
    (partial / "built.json").write_text(json.dumps({**figures, "build": build}, indent=1))
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def converse(worker: type[Worker], name: str) -> None:
    """Reads commands until `quit` or the end of input.

    Libraries that print would break the lines: descriptor 1 is theirs to be thrown on stderr, the
    answers go to a copy of the real one.
    """
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    held = worker(name)
    for line in sys.stdin:
        try:
            request = json.loads(line)
            if request.get("cmd") == "quit":
                return
            reply = held.answer(request)
        except Exception as error:  # the conversation goes on, the caller decides
            reply = {"ok": False, "error": f"{type(error).__name__}: {error}"}
        out.write(json.dumps(reply) + "\n")


def main(worker: type[Worker]) -> None:
    parser = argparse.ArgumentParser(prog="peers.worker")
    parser.add_argument("name")
    parser.add_argument("--build", type=json.loads)
    parser.add_argument("--dataset")
    parser.add_argument("--folder", type=Path)
    args = parser.parse_args()
    die_with_parent()
    if args.build is None:
        converse(worker, args.name)
    else:
        build_index(worker.find(args.name), args.dataset, args.build, args.folder)


if __name__ == "__main__":
    main(Worker)
