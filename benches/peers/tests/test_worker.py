"""The worker protocol end to end, with exact search on a tiny set."""

import os
import sys
import threading
import time

import numpy as np
import pytest

from peers import datasets, results
from peers.__main__ import main
from peers.client import WorkerError, WorkerProcess
from peers.machine import processor_seconds
from peers.recall import Judge

BRUTE = [sys.executable, "-m", "peers.worker", "bruteforce"]
BUILD = {"backend": "numpy", "threads": 1}


def test_build_search_and_reload(tiny, tmp_path):
    figures = []
    for _ in range(2):
        with WorkerProcess("x", BRUTE, tmp_path / "log") as worker:
            figures.append(worker.load(str(tiny), BUILD, tmp_path / "cache"))
            reply, ids = worker.search({}, 10, 0.01, True)
            with pytest.raises(WorkerError, match="unknown command"):
                worker.ask({"cmd": "dance"}, 10)
            worker.search({}, 10, 0.01, False)
    assert figures[0] == figures[1], "the second load comes from the cache"
    assert reply["queries"] % 100 == 0 and reply["seconds"] >= 0.01
    dataset = datasets.read(tiny)
    recall = Judge(dataset, 10).score(ids)
    assert recall == (1.0, 1.0)
    row = results.line(dataset, "bruteforce", figures[0], {}, 10, recall, [reply])
    assert row["mode"] == "batch" and row["p50_us"] is None and row["build"] == BUILD


def test_a_tune_may_ask_fewer_queries(tiny, tmp_path):
    words = ["tune", str(tiny), "--engines", "bruteforce", "--out", str(tmp_path / "out")]
    assert main([*words, "--queries", "30", "--seconds", "0", "--threads", "1"]) == 0
    (lines,) = tmp_path.glob("out/tiny-*/bruteforce.jsonl")
    (row,) = results.read(lines)
    assert row["queries"] == 30 and row["recall_id"] == 1.0
    assert datasets.read(tiny).fingerprint()[:8] in lines.parent.name, "the set is the same"


def test_a_worker_that_dies_is_reported(tmp_path):
    command = [sys.executable, "-c", "import os; print(flush=True); os.kill(os.getpid(), 9)"]
    with (
        WorkerProcess("x", command, tmp_path / "log") as worker,
        pytest.raises(WorkerError, match="not a JSON line|signal 9"),
    ):
        worker.ask({"cmd": "load"}, 10)


def test_threads_that_have_ended_count_as_busy():
    # Ours searches on a thread of its own for each round.
    spent = []

    def work():
        start = time.thread_time()
        while time.thread_time() - start < 0.05:
            pass
        spent.append(time.thread_time() - start)

    before = processor_seconds(os.getpid())
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert processor_seconds(os.getpid()) - before >= spent[0]


def test_cut_off_lines_are_dropped(tmp_path):
    path = tmp_path / "x.jsonl"
    results.append(path, [{"a": 1}])
    with path.open("ab") as file:
        file.write(b'{"a": 2')
    assert results.read(path) == [{"a": 1}]
    results.append(path, [{"a": 3}])
    assert results.read(path) == [{"a": 1}, {"a": 3}]


def test_folder_of_the_generator(tiny, tmp_path):
    wrapped = datasets.read(tiny)
    ids = wrapped.neighbors.astype(np.uint32)
    with (tmp_path / "truth-ids.ibin").open("wb") as file:
        file.write(np.uint32(ids.shape).tobytes() + ids.tobytes())
    (tmp_path / "dataset.toml").write_text(
        'kind = "clustered"\nwriter = "index-tools 0.1.0"\nmetric = "l2"\n\n[files]\n'
        'base = "base.npy"\ntest = "test.npy"\ntruth_ids = "truth-ids.ibin"\n'
        'truth_distances = "truth-distances.fbin"\n\n[parameters]\nrows = 400\n\n'
        '[[checks]]\nname = "norms"\n'
    )
    read = datasets.read(tmp_path)
    assert read.fingerprint() == wrapped.fingerprint() and read.name == tmp_path.name
    assert (read.neighbors == wrapped.neighbors).all()


def test_sets_that_are_refused(tiny, tmp_path):
    (tmp_path / "dataset.toml").write_text('metric = "l2"\n[files]\nbase = "base.npy"\n')
    with pytest.raises(datasets.DatasetError, match="'test'"):
        datasets.read(tmp_path)
    np.save(tmp_path / "wide.npy", np.zeros((3, 9), np.float32))
    for test, neighbors in (("wide", None), ("test", "wide")):
        given = neighbors and tmp_path / f"{neighbors}.npy"
        files = (tmp_path / "base.npy", tmp_path / f"{test}.npy")
        with pytest.raises(datasets.DatasetError):
            datasets.wrap(*files, "l2", tmp_path / "bad.hdf5", given, 5)
    assert not (tmp_path / "bad.hdf5").exists()


def test_wrap_and_its_precisions(tmp_path):
    rng = np.random.default_rng(4)
    rows = rng.integers(0, 255, (50, 4)).astype(np.uint8)
    with (tmp_path / "rows.u8bin").open("wb") as file:
        file.write(np.uint32(rows.shape).tobytes() + rows.tobytes())
    np.save(tmp_path / "query.f16.npy", rows[:5].astype(np.float16))
    words = ["wrap", str(tmp_path / "rows.u8bin"), str(tmp_path / "query.f16.npy"), "--k", "3"]
    assert main([*words, "--metric", "l2", "--out", str(tmp_path / "x.hdf5")]) == 0
    read = datasets.read(tmp_path / "x.hdf5")
    assert read.neighbors.shape == (5, 3) and (read.neighbors[:, 0] == np.arange(5)).all()
