"""The worker protocol end to end, with exact search on a tiny set."""

import sys

import numpy as np
import pytest

from peers import datasets, results
from peers.client import WorkerError, WorkerProcess, peer_command
from peers.recall import Judge

BUILD = {"backend": "numpy", "threads": 1}


@pytest.fixture
def tiny(tmp_path):
    rng = np.random.default_rng(3)
    for name, n in (("base", 400), ("test", 30)):
        np.save(tmp_path / f"{name}.npy", rng.normal(size=(n, 8)).astype(np.float32))
    path = tmp_path / "tiny.hdf5"
    datasets.wrap(tmp_path / "base.npy", tmp_path / "test.npy", "euclidean", path, None, 20)
    return path


def test_build_search_and_reload(tiny, tmp_path):
    figures = []
    for _ in range(2):
        with WorkerProcess("x", peer_command("bruteforce"), tmp_path / "log") as worker:
            figures.append(worker.load(str(tiny), BUILD, tmp_path / "cache"))
            reply, ids = worker.search({}, 10, 0.01, True)
            with pytest.raises(WorkerError, match="unknown command"):
                worker.ask({"cmd": "dance"}, 10)
            worker.search({}, 10, 0.01, False)
    assert figures[0] == figures[1], "the second load comes from the cache"
    assert reply["queries"] % 30 == 0 and reply["seconds"] >= 0.01
    dataset = datasets.read(tiny)
    recall = Judge(dataset, 10).score(ids)
    assert recall == (1.0, 1.0)
    row = results.line(dataset, "bruteforce", figures[0], {}, 10, recall, [reply])
    assert row["mode"] == "batch" and row["p50_us"] is None and row["build"] == BUILD


def test_a_worker_that_dies_is_reported(tmp_path):
    command = [sys.executable, "-c", "import os; print(flush=True); os.kill(os.getpid(), 9)"]
    with (
        WorkerProcess("x", command, tmp_path / "log") as worker,
        pytest.raises(WorkerError, match="not a JSON line|signal 9"),
    ):
        worker.ask({"cmd": "load"}, 10)


def test_cut_off_lines_are_dropped(tmp_path):
    path = tmp_path / "x.jsonl"
    results.append(path, [{"a": 1}])
    with path.open("ab") as file:
        file.write(b'{"a": 2')
    assert results.read(path) == [{"a": 1}]
    results.append(path, [{"a": 3}])
    assert results.read(path) == [{"a": 1}, {"a": 3}]


def test_toml_folder(tiny, tmp_path):
    np.save(tmp_path / "neighbors.npy", datasets.read(tiny).neighbors)
    (tmp_path / "dataset.toml").write_text(
        'name = "t"\nmetric = "l2"\n[files]\nbase = "base.npy"\ntest = "test.npy"\n'
        'neighbors = "neighbors.npy"\n'
    )
    assert datasets.read(tmp_path).fingerprint() == datasets.read(tiny).fingerprint()
