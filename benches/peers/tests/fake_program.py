"""Stands in for `index-tools`: a worker whose answers and times follow from its parameters.

A share `ef / (ef + 4 * rivalry)` of the true neighbors is found, in `ef` microseconds a query times
the build's `slowness`. What it is asked goes to the file that FAKE_LOG names; the longer that is,
the slower are all, as on a machine that heats up. After FAKE_STOP_AFTER searches it dies.
"""

import json
import os
import sys

import numpy as np

from peers import datasets


class Fake:
    def __init__(self):
        self.searches = 0

    def load(self, request):
        if request["build"].get("refuse"):
            raise ValueError("this build is refused")
        self.build = request["build"]
        self.data = datasets.read(request["dataset"])
        folder = os.path.join(request["cache"], str(self.build.get("M", "ours")))
        os.makedirs(folder, exist_ok=True)
        return {
            "build": {**self.build, "resolved": True},
            "build_seconds": 1.0,
            "build_peak_mib": None,
            "index_bytes_per_vector": 4.0,
            "engine_version": "1",
            "git_commit": "c0ffee",
            "isa": "avx2",
            "index": folder,
        }

    def search(self, request):
        self.searches += 1
        if self.searches > int(os.environ.get("FAKE_STOP_AFTER", 1_000_000)):
            os.kill(os.getpid(), 9)
        ef, k = request["search"]["ef"], request["k"]
        if request["ids"]:
            ids = self.data.neighbors[:, :k].copy()
            missed = np.arange(ids.size).reshape(ids.shape) >= ids.size * ef / (ef + 4)
            ids[missed] = -1
            np.save(request["ids"], ids)
        queries = len(self.data.test)
        heat = 1 + os.path.getsize(os.environ["FAKE_LOG"]) * 1e-4
        seconds = queries * ef * 1e-6 * self.build.get("slowness", 1) * heat
        mode = request.get("mode", "batch")
        return {"queries": queries, "seconds": seconds, "mode": mode, "p50_us": float(ef)}


def main():
    if sys.argv[1] == "plot":
        if "--help" in sys.argv:
            sys.exit(0)
        with open(sys.argv[-1], "w") as file:
            file.write("<html>")
        return
    fake = Fake()
    for line in sys.stdin:
        request = json.loads(line)
        if request["cmd"] == "quit":
            return
        with open(os.environ["FAKE_LOG"], "a") as file:
            file.write(f"{request['cmd']} {request.get('build') or request.get('search')}\n")
        try:
            reply = {"ok": True, **getattr(fake, request["cmd"])(request)}
        except ValueError as error:
            reply = {"ok": False, "error": str(error)}
        print(json.dumps(reply), flush=True)


main()
