"""Tuned configurations that are in the repository, so that a duel needs no tune of its own.

`tuned/SET/ENGINE.jsonl` has a line a configuration: what was asked for and what it came to, without
what only the machine of the tune knows. `SET` is named as in the folder of results. What one
processor tuned stands beside what others did: some engines have quantizers on one vendor's only.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from . import datasets, results
from .engines import PEERS, peer
from .machine import cpu_name
from .tune import asked, read_summary, set_folder

FOLDER = Path(__file__).parent / "tuned"
KEYS = ("engine_version", "search", "k", "recall_id", "recall_distance", "qps")
KEYS += ("serve_resident_mib", "cpu", "time")


def store(paths: list[str], out: Path, names: list[str] | None) -> None:
    """Copies what `tune` found to where it can be committed."""
    for path in paths:
        tuned = set_folder(out, datasets.read(path))
        for name in names or PEERS:
            lines = stored_lines(read_summary(tuned, name))
            if lines:
                file = FOLDER / tuned.name / f"{name}.jsonl"
                cpus = {line["cpu"] for line in lines}
                others = [line for line in results.read(file) if line["cpu"] not in cpus]
                file.unlink(missing_ok=True)
                results.append(file, others + lines)
                print(f"{file}: {len(lines)} configurations", flush=True)


def stored_lines(summary: dict | None) -> list[dict]:
    """Nothing where an engine was skipped: why may be the machine's fault."""
    if summary is None or summary["skipped"] or not summary["complete"]:
        return []
    return [
        {
            "grid": summary.get("grid"),
            "build": {k: v for k, v in asked(summary, row).items() if k != "threads"},
            **{key: row[key] for key in KEYS},
        }
        for row in summary["pareto"]
    ]


def summary(tuned: Path, name: str, threads: int) -> dict | None:
    """What `tune` noted of an engine here, else what the repository has, of this processor if it
    has that: the same keys, and `stored`, which says where and when that was measured."""
    here = read_summary(tuned, name)
    lines = results.read(FOLDER / tuned.name / f"{name}.jsonl")
    if not lines or (here and not here["skipped"]):
        return here
    cpus = [line["cpu"] for line in lines]
    cpu = cpu_name() if cpu_name() in cpus else cpus[-1]
    lines = [line for line in lines if line["cpu"] == cpu]
    for line in lines:
        line["build"]["threads"] = threads
    last = lines[-1]
    text = f"tuned on {last['cpu']} in {last['time'][:7]}"
    with suppress(ImportError):
        version = peer(name).version() or last["engine_version"]
        if version != last["engine_version"]:
            text += f", as version {last['engine_version']}, and measured as {version}"
    entry = {"skipped": None, "complete": True, "failed": [], "builds": {}}
    return {**entry, "grid": last["grid"], "pareto": lines, "stored": text}
