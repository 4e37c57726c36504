"""Result lines (schema 1): one JSON object a line, a line a measured point."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from statistics import median

from .datasets import Dataset
from .machine import cpu_name, now

SCHEMA = 1


def line(
    dataset: Dataset,
    engine: str,
    built: dict,
    search: dict,
    k: int,
    recall: tuple[float, float],
    rounds: list[dict],
    pinned: list[int] | None = None,
) -> dict:
    """One point. `built` is a worker's reply to `load`, `rounds` its replies to `search`; `recall`
    is by id and by distance, `pinned` the processor of each searching thread."""
    qps = [r["queries"] / r["seconds"] for r in rounds]
    last = rounds[-1]
    n, dim = dataset.base.shape
    latencies = {
        key: median(values) if (values := [r[key] for r in rounds if r.get(key)]) else None
        for key in ("p50_us", "p95_us", "p99_us", "p999_us")
    }
    counts = {
        key: next((r[key] for r in rounds if r.get(key) is not None), None)
        for key in ("distances_per_query", "visited_per_query")
    }
    return {
        "schema": SCHEMA,
        "dataset": dataset.name,
        "n": n,
        "dim": dim,
        "metric": dataset.metric,
        "k": k,
        "queries": len(dataset.test),
        "engine": engine,
        "engine_version": built["engine_version"],
        "git_commit": built.get("git_commit"),
        "build": built["build"],
        "build_seconds": built["build_seconds"],
        "build_peak_mib": built.get("build_peak_mib"),
        "index_bytes_per_vector": built.get("index_bytes_per_vector"),
        "serve_resident_mib": last.get("resident_mib"),
        "search": search,
        "recall_id": recall[0],
        "recall_distance": recall[1],
        "qps": max(qps),
        "qps_median": median(qps),
        "qps_rounds": qps,
        **latencies,
        **counts,
        "threads": 1,
        "pinned": pinned,
        "mode": last.get("mode", "closed"),
        "offered_qps": None,
        "python_loop": last.get("python_loop", False),
        "filter": None,
        "stream": None,
        "isa": built.get("isa"),
        "cpu": cpu_name(),
        "time": now(),
    }


def label(params: dict) -> str:
    """Parameters for people, but for the threads."""
    said = {key: value for key, value in params.items() if key != "threads" and value is not None}
    return " ".join(f"{key}={value}" for key, value in said.items())


def read(path: Path) -> list[dict]:
    """The lines of a file; one that a kill cut off at the end is left out."""
    if not path.is_file():
        return []
    lines = path.read_bytes().split(b"\n")
    return [json.loads(text) for text in lines[:-1] if text]


def append(path: Path, results: Iterable[dict]) -> None:
    """Adds whole lines; cuts off what a kill left of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)
        file.write(b"".join(json.dumps(r).encode() + b"\n" for r in results))
        file.flush()
        os.fsync(file.fileno())
