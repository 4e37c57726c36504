"""One engine in one process, asked under filters: as `worker`, but that a search names the folder
of a prepared group, whose queries it asks one by one, each under its own filter."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .engines import filtered_peer
from .machine import memory_mib
from .worker import SPARE_CPU, WARM_UP_QUERIES, Timer, Worker, WorkerFault, main, percentiles
from .workload import Prepared


class FilterWorker(Worker):
    find = staticmethod(filtered_peer)

    def __init__(self, name: str):
        super().__init__(name)
        self.group: str | None = None

    def search(self, request: dict) -> dict:
        if self.queries is None:
            raise WorkerFault("search before load")
        k = request["k"]
        if request["group"] != self.group:
            self.group = None
            self.peer.prepare(Prepared(Path(request["group"]), self.queries))
            self.group = request["group"]
        count = len(self.peer.group)
        self.peer.set(request["search"])
        self.peer.run(min(count, WARM_UP_QUERIES), k)
        seconds, ids, times = 0.0, None, []
        timer = Timer()
        while ids is None or seconds < request["min_seconds"]:
            found, nanos, spent = self.peer.run(count, k)
            ids = found if ids is None else ids
            times.append(nanos)
            seconds += spent
        if (cpu := timer.cpu()) > SPARE_CPU * (wall := timer.wall()) + 0.05:
            raise WorkerFault(f"one thread was asked for, {cpu / wall:.1f} were busy")
        if request.get("ids"):
            np.save(request["ids"], ids)
        return {
            "queries": len(times) * count,
            "seconds": seconds,
            "mode": "closed",
            "python_loop": self.peer.python_loop,
            "resident_mib": memory_mib("VmRSS"),
            **percentiles(np.concatenate(times)),
        }


if __name__ == "__main__":
    main(FilterWorker)
