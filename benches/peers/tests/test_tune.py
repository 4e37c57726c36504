"""Tune: what it measures, keeps, skips, and does not measure again."""

import json

import pytest

from peers import results
from peers.datasets import read
from peers.tune import Options, read_summary, set_folder, tune


def run(tiny, out, program, names=("fake",), **more):
    options = Options(list(names), [10], program, seconds=0.0, floor=0.0, threads=1, **more)
    tune([str(tiny)], out, options)
    return set_folder(out, read(tiny))


def rows_of(folder, name="fake"):
    untimed = ("time", "qps", "qps_median", "qps_rounds", "serve_resident_mib")
    rows = results.read(folder / f"{name}.jsonl")
    return [{key: value for key, value in row.items() if key not in untimed} for row in rows]


def test_a_killed_run_resumed_gives_the_same_rows(tiny, program, tmp_path, monkeypatch):
    whole = rows_of(run(tiny, tmp_path / "whole", program))
    assert len(whole) == 18
    before = (tmp_path / "asked").read_text()

    calls = 0
    append = results.append

    def interrupted(path, rows):
        nonlocal calls
        calls += 1
        if calls == 8:
            with path.open("ab") as file:
                file.write(b'{"schema": 1, "cut o')
            raise KeyboardInterrupt
        append(path, rows)

    monkeypatch.setattr(results, "append", interrupted)
    (tmp_path / "asked").write_text("")
    with pytest.raises(KeyboardInterrupt):
        run(tiny, tmp_path / "killed", program)
    monkeypatch.setattr(results, "append", append)
    folder = run(tiny, tmp_path / "killed", program)
    assert rows_of(folder) == whole
    asked = (tmp_path / "asked").read_text().splitlines()
    searched = [line for line in asked if line.startswith("search")]
    # The one that was cut off is measured again, nothing else is.
    assert len(searched) == 19 and len(asked) == len(before.splitlines()) + 2

    (tmp_path / "asked").write_text("")
    run(tiny, tmp_path / "killed", program)
    assert not (tmp_path / "asked").read_text(), "a third run starts no process"


def test_what_is_kept_is_around_the_targets_on_the_front(tiny, program, tmp_path):
    folder = run(tiny, tmp_path / "out", program)
    summary = read_summary(folder, "fake")
    assert summary["complete"] and summary["skipped"] is None
    assert {row["build"]["M"] for row in summary["pareto"]} == {2}, "the others are slower"
    # Recalls are 5/6, 10/11, 20/21, 40/41, 80/81, 160/161.
    assert [row["search"]["ef"] for row in summary["pareto"]] == [20, 40, 80, 160, 320, 640]
    entries = {entry["asked"]["M"]: entry for entry in summary["builds"].values()}
    assert entries[1]["index"] is None and not (tmp_path / "out/indexes/1").exists()
    assert (tmp_path / "out/indexes/2").exists()
    assert entries[2]["asked"] == {"M": 2, "slowness": 2, "threads": 1}, "not the resolved ones"


def test_keep_all_keeps_index_files(tiny, program, tmp_path):
    run(tiny, tmp_path / "out", program, keep_all=True)
    assert {path.name for path in (tmp_path / "out/indexes").iterdir()} == {"1", "2", "3"}


def test_why_an_engine_is_skipped(tiny, program, tmp_path, capsys):
    names = ("glass", "hnsw-rs", "stubborn")
    folder = run(tiny, tmp_path / "out", None, names[:2])
    run(tiny, tmp_path / "out", program, names[2:])
    reasons = [read_summary(folder, name)["skipped"] for name in names]
    assert reasons[0] == "the module glass is not installed"
    assert "--ours" in reasons[1]
    assert "this build is refused" in reasons[2]
    printed = capsys.readouterr().out
    assert all(reason in printed for reason in reasons)
    (tmp_path / "asked").write_text("")
    run(tiny, tmp_path / "out", program, names[2:])
    assert not (tmp_path / "asked").read_text(), "what failed is not tried again"
    run(tiny, tmp_path / "out", program, names[2:], retry=True)
    assert (tmp_path / "asked").read_text().count("load") == 1


def test_an_engine_that_is_gone_stays_tuned(tiny, program, tmp_path):
    folder = run(tiny, tmp_path / "out", program)
    before = read_summary(folder, "fake")
    run(tiny, tmp_path / "out", None)
    assert read_summary(folder, "fake") == before


def test_a_worker_that_dies_fails_its_build_alone(tiny, program, tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_STOP_AFTER", "4")
    folder = run(tiny, tmp_path / "out", program)
    summary = read_summary(folder, "fake")
    assert len(rows_of(folder)) == 12 and len(summary["failed"]) == 3
    assert all("signal 9" in failure["reason"] for failure in summary["failed"])


def test_points_of_a_busy_machine_are_taken_again(tiny, program, tmp_path, monkeypatch):
    monkeypatch.setattr("peers.measure.UNDISTURBED", 1e9)
    row = results.read(run(tiny, tmp_path / "out", program) / "fake.jsonl")[0]
    assert len(row["qps_rounds"]) == 3 and row["qps"] == max(row["qps_rounds"])


def test_lines_have_the_keys_of_the_schema(tiny, program, tmp_path):
    row = results.read(run(tiny, tmp_path / "out", program) / "fake.jsonl")[0]
    keys = """schema dataset n dim metric k queries engine engine_version git_commit build
        build_seconds build_peak_mib index_bytes_per_vector serve_resident_mib search recall_id
        recall_distance qps qps_median qps_rounds p50_us p95_us p99_us p999_us distances_per_query
        visited_per_query threads pinned mode offered_qps python_loop filter stream isa cpu time"""
    assert list(row) == keys.split()
    assert (row["git_commit"], row["isa"], row["pinned"]) == ("c0ffee", "avx2", None)
    json.dumps(row, allow_nan=False)
