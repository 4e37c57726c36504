"""A tiny set, and a fake program that plays ours and a peer."""

import sys
from pathlib import Path

import numpy as np
import pytest

from peers import datasets, engines
from peers.engines.vicinage import Vicinage

BENCHES = Path(__file__).parents[2]


class FakePeer(Vicinage):
    name = "fake"

    def builds(self, n, dim, metric, quick):
        return [{"M": m, "slowness": slowness} for m, slowness in ((1, 3), (2, 2), (3, 4))]

    def ladders(self, build, n, metric, k):
        return [[{"ef": ef} for ef in (20, 40, 80, 160, 320, 640)]]


class StubbornPeer(FakePeer):
    name = "stubborn"

    def builds(self, n, dim, metric, quick):
        return [{"refuse": True}]


@pytest.fixture
def tiny(tmp_path):
    rng = np.random.default_rng(3)
    for name, n in (("base", 400), ("test", 100)):
        np.save(tmp_path / f"{name}.npy", rng.normal(size=(n, 8)).astype(np.float32))
    path = tmp_path / "tiny.hdf5"
    datasets.wrap(tmp_path / "base.npy", tmp_path / "test.npy", "euclidean", path, None, 20)
    return path


@pytest.fixture
def program(tmp_path, monkeypatch):
    """The fake program; the engines `fake` and `stubborn` are in it too. It never computes, so the
    share of a processor that it has says nothing."""
    import peers.engines.vicinage as module

    monkeypatch.setattr("peers.measure.UNDISTURBED", 0.0)
    for cls in (FakePeer, StubbornPeer):
        monkeypatch.setitem(engines.ENGINES, cls.name, ("vicinage", cls.__name__))
        monkeypatch.setattr(module, cls.__name__, cls, raising=False)
    script = Path(__file__).with_name("fake_program.py")
    path = tmp_path / "program"
    path.write_text(f'#!/bin/sh\nPYTHONPATH={BENCHES} exec {sys.executable} {script} "$@"\n')
    path.chmod(0o755)
    monkeypatch.setenv("FAKE_LOG", str(tmp_path / "asked"))
    return str(path)
