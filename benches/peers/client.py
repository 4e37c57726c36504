"""Talks to worker processes. A worker that dies, hangs or complains is a `WorkerError`."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .machine import memory_mib, processor_seconds, thread_environment

PACKAGE_ROOT = Path(__file__).resolve().parent.parent
BUILD_LIMIT = 6 * 3600.0
SEARCH_LIMIT = 900.0


class WorkerError(Exception):
    """Why a worker gave no answer."""


class WorkerRefusal(WorkerError):
    """What a worker answered instead of doing as asked; it goes on."""


class WorkerProcess:
    """One engine behind pipes; its stderr goes to a log file. Use as a context manager."""

    def __init__(self, label: str, command: Sequence[str], log: Path, pin: int | None = None):
        self.label, self.log, self.pin = label, log, pin
        log.parent.mkdir(parents=True, exist_ok=True)
        path = os.pathsep.join(filter(None, [str(PACKAGE_ROOT), os.environ.get("PYTHONPATH")]))
        try:
            with log.open("ab") as errors:
                self.process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    env={**os.environ, **thread_environment(1), "PYTHONPATH": path},
                )
        except OSError as error:
            raise WorkerError(f"{label}: does not start: {error}") from error
        self.rest = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self) -> None:
        if self.process.poll() is None:
            try:
                self.process.stdin.write(b'{"cmd":"quit"}\n')
                self.process.stdin.close()
                self.process.wait(10)
            except (OSError, ValueError, subprocess.TimeoutExpired):
                self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def ask(self, request: dict, limit: float) -> dict:
        try:
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
        except (OSError, ValueError) as error:
            raise WorkerError(f"{self.label}: {self._end()}") from error
        line = self._line(time.monotonic() + limit)
        try:
            reply = json.loads(line)
        except ValueError as error:
            raise WorkerError(f"{self.label}: not a JSON line: {line[:200]!r}") from error
        if not reply.get("ok"):
            raise WorkerRefusal(f"{self.label}: {reply.get('error', 'no reason given')}")
        return reply

    def load(self, dataset: str, build: dict, cache: Path, queries: int | None = None) -> dict:
        request = {"cmd": "load", "dataset": str(Path(dataset).absolute())}
        request |= {"build": build, "cache": str(cache.absolute())}
        request |= {"queries": queries} if queries else {}
        reply = self.ask(request, BUILD_LIMIT)
        if self.pin is not None:
            for thread in os.listdir(f"/proc/{self.process.pid}/task"):
                os.sched_setaffinity(int(thread), {self.pin})
        return reply

    @property
    def pinned(self) -> list[int] | None:
        """The processor of each searching thread."""
        return None if self.pin is None else [self.pin]

    def search(
        self, search: dict, k: int, min_seconds: float, want_ids: bool, **more
    ) -> tuple[dict, np.ndarray | None]:
        """One round; with the ids of its first pass where they are wanted.

        Added to the reply are `processor_share`, how much of a processor the worker had, and
        `resident_mib` where the worker did not say.
        """
        with tempfile.TemporaryDirectory() as folder:
            ids = Path(folder) / "ids.npy"
            request = {"cmd": "search", "search": search, "k": k, "min_seconds": min_seconds}
            request |= more
            busy, start = processor_seconds(self.process.pid), time.monotonic()
            reply = self.ask(request | {"ids": str(ids) if want_ids else None}, SEARCH_LIMIT)
            busy = processor_seconds(self.process.pid) - busy
            reply["processor_share"] = busy / (time.monotonic() - start)
            if reply.get("resident_mib") is None:
                reply["resident_mib"] = memory_mib("VmRSS", self.process.pid)
            return reply, np.load(ids) if want_ids else None

    def _line(self, deadline: float) -> bytes:
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while b"\n" not in self.rest:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    self.process.kill()
                    raise WorkerError(f"{self.label}: no answer in time, stopped")
                part = os.read(self.process.stdout.fileno(), 1 << 16)
                if not part:
                    raise WorkerError(f"{self.label}: {self._end()}")
                self.rest += part
        line, self.rest = self.rest.split(b"\n", 1)
        return line

    def _end(self) -> str:
        status = self.process.wait()
        lines = self.log.read_text(errors="replace").strip().splitlines()
        how = f"killed by signal {-status}" if status < 0 else f"ended with status {status}"
        return f"{how}; last of {self.log}: {lines[-1] if lines else 'nothing'}"
