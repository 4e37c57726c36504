"""What an engine has to offer to be measured under filters, and the graphs that walk everything and
admit what passes: faiss', hnswlib's and usearch's, each under bitmaps.

One build of each: M 16, `ef_construction` 200. hnswlib and usearch are called in C++ of our own
(native/), because their filters in Python are a call of Python for each candidate.
"""

from __future__ import annotations

import sys
import time
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ..workload import Prepared
from . import native
from .base import EF, Peer, widths
from .faiss import FaissHnsw

BUILD = {"M": 16, "ef_construction": 200}
WIDE = (1200, 1600, 2400, 3200, 4800, 6400, 9600, 12800)
"""Lists beyond those of plain searches, for graphs whose list holds what does not pass, too."""
MOST = 0.5
"""Share of the items from which a list is no longer worth a try."""


class FilteredPeer(Peer):
    """An engine under filters. A worker hands it the groups of a workload: `prepare`, then rounds
    of `set` and `run`."""

    python_loop = True
    needs_attributes = False
    """Whether its build takes the items' attributes (`attributes` of the build)."""

    def command(self, program):
        return [sys.executable, "-m", "peers.filter_worker", self.name]

    def builds(self, n, dim, metric, quick):
        return [BUILD]

    def ladders(self, build, n, metric, k):
        return [[{"ef": ef} for ef in widths(EF, k)]]

    def make_ready(self) -> None:
        """What is done once on a machine and is no part of a build, as to compile it."""

    def prepare(self, group: Prepared) -> None:
        """Takes a group; not timed, so filters may be evaluated here."""
        self.group = group

    def search_at(self, at: int, k: int):
        """Ids of one query of the group, in any form that `answers` knows."""
        raise NotImplementedError

    def answers(self, found: list, k: int) -> np.ndarray:
        """What `search_at` gave, as int64 [queries, k], -1 padded."""
        raise NotImplementedError

    def run(self, count: int, k: int) -> tuple[np.ndarray, np.ndarray, float]:
        """The first `count` queries of the group: ids, nanoseconds of each, and seconds in all."""
        search, clock, found, times = self.search_at, time.perf_counter_ns, [], [0] * count
        start = last = clock()
        for at in range(count):
            found.append(search(at, k))
            now = clock()
            times[at], last = now - last, now
        return self.answers(found, k), np.array(times), (last - start) / 1e9


class FaissHnswFiltered(FilteredPeer, FaissHnsw):
    """IDSelectorBitmap. Calls go past faiss' wrapper in Python, which takes longer than a search of
    a small index."""

    def builds(self, n, dim, metric, quick):
        return [BUILD]

    def ladders(self, build, n, metric, k):
        # Its list holds every candidate, so one of what passes has to be longer.
        lists = sorted({*widths(EF, k), *WIDE})
        return [[{"ef": ef} for ef in lists if k <= ef <= max(MOST * n, k)]]

    def prepare(self, group):
        import faiss

        super().prepare(group)
        self.selectors = [faiss.IDSelectorBitmap(bits) for bits in group.bitmaps]
        self.pointers = [faiss.swig_ptr(vector) for vector in group.vectors]

    def set(self, params):
        import faiss

        each = [faiss.SearchParametersHNSW(sel=s, efSearch=params["ef"]) for s in self.selectors]
        self.params = [each[number] for number in self.group.bitmap]
        self.out = None

    def run(self, count, k):
        import faiss

        if self.out is None or self.out[0].shape != (len(self.group), k):
            shape = (len(self.group), k)
            self.out = np.empty(shape, np.int64), np.empty(shape, np.float32)
            self.places = [tuple(map(faiss.swig_ptr, rows)) for rows in zip(*self.out, strict=True)]
        return super().run(count, k)

    def search_at(self, at, k):
        ids, distances = self.places[at]
        self.index.search_c(1, self.pointers[at], k, distances, ids, self.params[at])

    def answers(self, found, k):
        return self.out[0][: len(found)].copy()


class Native(FilteredPeer):
    """A graph in C++ behind native/driver.h."""

    python_loop = False
    source: str
    wanted: str
    """The version whose headers are fetched, where the package is not installed."""
    include: tuple[str, ...]
    flags: tuple[str, ...] = ()

    def version(self):
        try:
            return version(self.package)
        except PackageNotFoundError:
            return self.wanted

    def unavailable(self, metric, program):
        if native.compiler() is None:
            return "there is no g++ to compile it"
        return None if metric in self.metrics else f"it does not know the metric {metric}"

    def make_ready(self):
        place = (self.source, self.package, self.version(), self.include)
        return native.compiled(*place, self.flags)

    def open(self):
        """The library, with what it needs."""
        return native.opened(self.make_ready())

    def done(self, result) -> None:
        if result:
            raise RuntimeError(self.library.peer_error().decode())

    def made(self, handle) -> None:
        self.done(handle is None)
        self.handle = handle

    def parameters(self, params: dict, metric: str) -> tuple:
        element = params.get("dtype", "f32").encode()
        return int(metric == "l2"), params["M"], params["ef_construction"], element

    def build(self, base, metric, threads, params):
        self.library = self.open()
        place = (base.ctypes.data, *base.shape, *self.parameters(params, metric), threads)
        self.made(self.library.peer_build(*place))

    def save(self, folder):
        self.done(self.library.peer_save(self.handle, str(folder / "index.bin").encode()))

    def load(self, folder: Path, n, dim, metric, params, base):
        self.library, self.dim = self.open(), dim
        place = (str(folder / "index.bin").encode(), n, dim, *self.parameters(params, metric))
        self.made(self.library.peer_load(*place))

    def prepare(self, group):
        super().prepare(group)
        self.bitmaps = np.ascontiguousarray(group.bitmaps, np.uint8)
        self.bitmap = np.ascontiguousarray(group.bitmap, np.int64)

    def set(self, params):
        self.ef = params["ef"]

    def run(self, count, k):
        ids, nanos = np.empty((count, k), np.int64), np.empty(count, np.int64)
        start = time.perf_counter()
        self.done(
            self.library.peer_search(
                *(self.handle, self.group.vectors.ctypes.data, count, self.dim, k, self.ef),
                *(self.bitmaps.ctypes.data, self.bitmaps.shape[1], self.bitmap.ctypes.data),
                *(ids.ctypes.data, nanos.ctypes.data),
            )
        )
        return ids, nanos, time.perf_counter() - start


class HnswlibNative(Native):
    name = package = "hnswlib"
    index_name = "hnswlib-native"
    source, wanted, include = "hnswlib.cpp", "0.8.0", ("",)


class UsearchNative(Native):
    """With the kernels of numkong, as its package has them, which loads them in this way, too."""

    name = package = "usearch"
    index_name = "usearch-native"
    source, wanted, include = "usearch.cpp", "2.26.6", ("include", "numkong/include")
    hidden = "NEON NEONBFDOT NEONHALF NEONSDOT NEONFHM SVE SVEBFDOT SVEHALF SVESDOT SVE2 SVE2P1"
    hidden += " HASWELL SKYLAKE ICELAKE SAPPHIRE GENOA TURIN SIERRA ALDER SAPPHIREAMX GRANITEAMX"
    hidden += " SME SME2 SME2P1 SMEF64 SMEFA64 SMEHALF SMEBF16 SMELUT2 RVV RVVHALF RVVBF16 RVVBB"
    flags = ("-ffast-math", "-DUSEARCH_USE_NUMKONG=1", "-DNK_DYNAMIC_DISPATCH=1")
    flags += tuple(f"-DNK_TARGET_{name}=0" for name in f"{hidden} V128RELAXED".split())

    def unavailable(self, metric, program):
        if find_spec("numkong") is None:
            return "numkong, which the package usearch brings along, is not installed"
        return super().unavailable(metric, program)

    def builds(self, n, dim, metric, quick):
        return [{**BUILD, "dtype": "f32"}]

    def open(self):
        import ctypes

        from numkong import _numkong

        ctypes.CDLL(_numkong.__file__, mode=ctypes.RTLD_GLOBAL)
        return super().open()
