"""Duel: the order of rounds, what is paired, and what a report says."""

import json
import math
import shutil

import pytest

from peers import curve, report, results, stored
from peers.__main__ import main
from peers.datasets import read
from peers.duel import Config, DuelOptions, duel, fitting, merged, order
from peers.tune import Options, read_summary, set_folder, tune

from .conftest import FakePeer


def config(engine, recall, build=0):
    build = {"M": build}
    return Config(engine, build, {"recall_id": recall, "build": build}, recall)


def test_rounds_rotate_and_turn_back():
    configs = [config(e, r) for e in ("ours", "theirs") for r in (0.95, 0.9, 0.99)]
    kept = {c.group for c in configs}
    rounds = [[(c.recall, c.engine) for c in order(configs, kept, n, 5)] for n in range(5)]
    by_recall = [(r, e) for r in (0.9, 0.95, 0.99) for e in ("ours", "theirs")]
    assert rounds[0] == by_recall, "like recalls are neighbors"
    assert all(sorted(r) == by_recall for r in rounds), "each is measured once a round"
    assert len({r[0] for r in rounds}) > 2, "another start"
    cycle = rounds[1][::-1]
    at = by_recall.index(cycle[0])
    assert cycle == by_recall[at:] + by_recall[:at], "backwards every other round"


def test_what_is_loaded_every_round_stays_together():
    big = [config("big", r, 1) for r in (0.9, 0.99)]
    small = [config("small", r, 2) for r in (0.91, 0.95, 0.98)]
    for number in range(5):
        names = [c.engine for c in order(big + small, {small[0].group}, number, 5)]
        first = names.index("big")
        assert names[first : first + 2] == ["big", "big"]


def test_memory_decides_what_is_kept():
    needs = {("a", ""): 10.0, ("b", ""): 20.0, ("c", ""): 40.0}
    assert fitting(needs, 70) == set(needs)
    assert fitting(needs, 60) == {("a", "")}, "room for the largest of the rest is left"
    assert fitting(needs, 5) == set()


def row(recall, rounds):
    return {"recall_id": recall, "qps_rounds": rounds}


def test_a_summary_names_the_fastest_peer(tmp_path, capsys):
    def lines(engine, speed):
        rows = [row(0.9, [speed] * 3), row(0.96, [speed / 2] * 3)]
        return [{**r, "engine": engine, "dataset": "tiny"} for r in rows]

    path = tmp_path / "tiny.jsonl"
    results.append(path, lines("vicinage", 200.0) + lines("a", 50.0) + lines("b", 100.0))
    assert main(["summary", str(path)]) == 0
    text = capsys.readouterr().out.splitlines()[-1]
    assert "ours 200, b 100: 2.00 [2.00, 2.00]" in text and "reached by no peer" in text


def test_ratios_are_paired_within_rounds():
    machine = [1.0, 0.5, 2.0, 1.5, 0.7]  # its speed in each round
    ours = [row(r, [q * m for m in machine]) for r, q in ((0.9, 400.0), (0.99, 100.0))]
    theirs = [row(r, [q * m for m in machine]) for r, q in ((0.8, 300.0), (1.0, 50.0))]
    ratio = report.paired(ours, theirs, 0.95, "recall_id")
    ours_at = math.exp(math.log(400) * 4 / 9 + math.log(100) * 5 / 9)
    theirs_at = math.exp(math.log(300) / 4 + math.log(50) * 3 / 4)
    assert ratio.middle == pytest.approx(ours_at / theirs_at)
    assert ratio.low == pytest.approx(ratio.high), "the machine's speed cancels"


def test_the_interval_covers_what_rounds_say():
    ours = [row(0.95, [11.0, 9.0, 10.0, 10.5, 9.5])]
    theirs = [row(0.95, [10.0] * 5)]
    ratio = report.paired(ours, theirs, 0.95, "recall_id")
    assert ratio.middle == 1.0 and 0.9 <= ratio.low < 1 < ratio.high <= 1.1
    assert str(ratio).startswith("1.00 [0.9")


def test_readings_beyond_the_points_say_so():
    low, high = [row(0.7, [9.0]), row(0.92, [3.0])], [row(0.97, [6.0]), row(0.995, [2.0])]
    assert report.paired(low, high, 0.99, "recall_id").kind == "not reached by ours"
    assert report.paired(high, low, 0.99, "recall_id").kind == "not reached by theirs"
    assert report.paired(low, low, 0.99, "recall_id").kind == "not reached by ours and theirs"
    assert str(report.paired(high, low, 0.9, "recall_id")).startswith("≥ ")
    assert str(report.paired(low, high, 0.9, "recall_id")).startswith("≤ ")
    assert str(report.paired(high, high, 0.9, "recall_id")) == "~ 1.00 [1.00, 1.00]"
    assert report.speed_text(high, 0.9, "recall_id") == "≥ 6"


def test_rounds_are_read_on_the_front_of_the_medians():
    # The middle one is off that front, and would be on the front of the first round.
    rows = [row(0.9, [4.0, 8.0, 8.0]), row(0.95, [7.0, 3.0, 3.0]), row(0.97, [4.0, 4.0, 4.0])]
    speeds, kind = report.readings(rows, 0.95, "recall_id")
    assert kind == "between" and speeds[0] == pytest.approx(4.0)
    assert speeds[1] == speeds[2] == pytest.approx(8 ** (2 / 7) * 4 ** (5 / 7))


def test_thinning_keeps_what_readings_need():
    recalls = (0.85, 0.89, 0.91, 0.94, 0.96, 0.985, 0.995)
    points = {"a": [(r, 1000 * (1 - r), 10.0) for r in recalls]}
    assert curve.thin(points, curve.TARGETS, 1000) == ({"a": list(range(7))}, 0.0)
    kept, moved = curve.thin(points, curve.TARGETS, 50)
    assert len(kept["a"]) == 5 and 0 < moved < 0.1
    kept, more = curve.thin(points, curve.TARGETS, 0)
    assert more > moved
    tight = [recalls[i] for i in kept["a"]]
    assert min(tight) < 0.9 and max(tight) == 0.995, "readings stay readings"


def test_a_round_is_the_sum_of_its_turns():
    turns = [{"queries": q, "seconds": 1.0, "p50_us": p} for q, p in ((10, 4.0), (30, 2.0))]
    whole = merged([*turns, {"queries": 20, "seconds": 2.0, "mode": "closed"}])
    assert (whole["queries"], whole["seconds"], whole["p50_us"]) == (60, 4.0, 3.0)
    assert whole["mode"] == "closed" and whole["p99_us"] is None


def held(out, tiny):
    (folder,) = set_folder(out, read(tiny)).glob("duel-*")
    return folder


def options(program, **more):
    more = {"rounds": 3, "min_seconds": 0.0, "floor": 0.0, "threads": 1} | more
    return DuelOptions(program, **more)


def test_a_duel_from_end_to_end(tiny, program, tmp_path, monkeypatch):
    out = tmp_path / "out"
    tuning = Options(["fake", "glass"], [10], program, seconds=0.0, floor=0.0, threads=1)
    tune([str(tiny)], out, tuning)
    (tmp_path / "asked").write_text("")
    duel([str(tiny)], out, options(program, engines=["fake", "glass", "scann"]))
    asked = (tmp_path / "asked").read_text().splitlines()
    assert sum(line.startswith("load") for line in asked) == 2, "both stay in memory"
    folder = held(out, tiny)
    rows = {path.stem: results.read(path) for path in folder.glob("*.jsonl")}
    assert rows.keys() == {"vicinage", "fake"}
    assert all(len(r["qps_rounds"]) == 3 for lines in rows.values() for r in lines)
    assert {r["build"]["M"] for r in rows["fake"]} == {2}
    # Twice as fast by construction, but for a heating machine.
    ratio = report.paired(rows["vicinage"], rows["fake"], 0.95, "recall_id")
    assert 1.7 < ratio.low <= ratio.middle <= ratio.high < 2.3
    text = (folder / "report.md").read_text()
    assert "glass is left out: the module glass is not installed" in text
    assert "scann is left out: it was not tuned" in text
    assert "2 indexes stayed in memory." in text

    monkeypatch.setattr("peers.duel.available_mib", lambda: 0.0)
    (tmp_path / "asked").write_text("")
    duel([str(tiny)], tmp_path / "out", options(program, engines=["fake"], rounds=2))
    asked = (tmp_path / "asked").read_text().splitlines()
    assert sum(line.startswith("load") for line in asked) == 3, "theirs anew in each round"


def test_a_duel_of_what_the_repository_has(tiny, program, tmp_path, monkeypatch):
    tuning = Options(["fake"], [10], program, seconds=0.0, floor=0.0, threads=1, quick=True)
    tune([str(tiny)], tmp_path / "tuned-here", tuning)
    monkeypatch.setattr("peers.stored.FOLDER", tmp_path / "stored")
    stored.store([str(tiny)], tmp_path / "tuned-here", ["fake", "hnswlib"])
    (file,) = (tmp_path / "stored").rglob("*.jsonl")
    assert file.name == "fake.jsonl" and str(tmp_path) not in file.read_text()
    before = read_summary(set_folder(tmp_path / "tuned-here", read(tiny)), "fake")["pareto"]

    out = tmp_path / "fresh"
    duel([str(tiny)], out, options(program, engines=["fake"], threads=2))
    rows = results.read(held(out, tiny) / "fake.jsonl")
    assert [r["search"] for r in rows] == [r["search"] for r in before]
    assert all(r["build"]["threads"] == 2 and r["build"]["M"] == 2 for r in rows)
    text = (held(out, tiny) / "report.md").read_text()
    assert "fake: tuned on " in text and "quick grid of builds: fake" in text


def test_what_another_processor_tuned_stays_stored(tiny, program, tmp_path, monkeypatch):
    tuning = Options(["fake"], [10], program, seconds=0.0, floor=0.0, threads=1, quick=True)
    tune([str(tiny)], tmp_path / "out", tuning)
    monkeypatch.setattr("peers.stored.FOLDER", tmp_path / "stored")
    stored.store([str(tiny)], tmp_path / "out", ["fake"])
    (file,) = (tmp_path / "stored").rglob("*.jsonl")
    here = results.read(file)
    file.unlink()
    results.append(file, [{**row, "cpu": "another", "k": 7} for row in here])

    fresh = set_folder(tmp_path / "fresh", read(tiny))
    assert {row["k"] for row in stored.summary(fresh, "fake", 1)["pareto"]} == {7}
    for _ in range(2):
        stored.store([str(tiny)], tmp_path / "out", ["fake"])
        assert len(results.read(file)) == 2 * len(here)
    assert {row["k"] for row in stored.summary(fresh, "fake", 1)["pareto"]} == {10}


def test_missing_indexes_are_built_before_the_rounds(tiny, tmp_path, program, capsys):
    out = tmp_path / "out"
    tune([str(tiny)], out, Options(["bruteforce"], [10], seconds=0.0, floor=0.0, threads=1))
    shutil.rmtree(out / "indexes")
    duel([str(tiny)], out, options(program, engines=["bruteforce"]))
    assert "1 indexes were not there: built first" in (held(out, tiny) / "report.md").read_text()
    assert list((out / "indexes").rglob("bruteforce/*/built.json"))


def test_an_engine_that_dies_is_out(tiny, program, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    tune([str(tiny)], out, Options(["fake"], [10], program, seconds=0.0, floor=0.0, threads=1))
    monkeypatch.setattr(FakePeer, "command", lambda *_: ["false"])
    duel([str(tiny)], out, options(program, engines=["fake"]))
    assert "fake is out in round 1" in (held(out, tiny) / "report.md").read_text()


def test_a_budget_leaves_configurations_out(tiny, program, tmp_path):
    out = tmp_path / "out"
    tune([str(tiny)], out, Options(["fake"], [10], program, seconds=0.0, floor=0.0, threads=1))
    duel([str(tiny)], out, options(program, engines=["fake"], budget=10.0))
    text = (held(out, tiny) / "report.md").read_text()
    assert "left out to fit the budget" in text
    assert "not reached" not in text.replace("not reached by", "")


def test_nothing_tuned_is_nothing_to_duel_with(tiny, program, tmp_path, capsys):
    words = ["duel", str(tiny), "--ours", program, "--engines", "hnswlib"]
    assert main([*words, "--out", str(tmp_path / "out")]) == 1
    assert "run tune first" in capsys.readouterr().err
    assert main([*words, "--build", '{"refuse": true}', "--out", str(tmp_path / "out")]) == 1
    assert "this build is refused" in capsys.readouterr().err
    assert main(["duel", str(tiny), "--ours", "/nowhere"]) == 1
    assert "/nowhere is no file" in capsys.readouterr().err


def test_against_itself(tiny, program, tmp_path, capsys):
    out = tmp_path / "out"
    words = ["duel", str(tiny), "--ours", program, "--against-itself", "--out", str(out)]
    assert main([*words, "--min-seconds", "0", "--floor", "0", "--pin", "0"]) == 0
    folder = held(out, tiny)
    ours, again = (results.read(folder / f"vicinage{end}.jsonl") for end in ("", "-again"))
    assert len(ours) == len(again) and all(len(r["qps_rounds"]) == 15 for r in ours + again)
    assert [r["recall_id"] for r in ours] == [r["recall_id"] for r in again]
    assert ours[0]["pinned"] == [0]
    ratio = report.paired(ours, again, 0.95, "recall_id")
    assert ratio.kind == "between" and ratio.low <= 1 <= ratio.high
    text = (folder / "report.md").read_text()
    assert "vicinage-again" in text and "on processor 0" in text
    assert (folder / "report.html").read_text() == "<html>"
    assert {r["mode"] for r in ours + again} == {"batch"}
    json.dumps(ours, allow_nan=False)


def test_ours_one_by_one(tiny, program, tmp_path):
    out = tmp_path / "out"
    words = ["duel", str(tiny), "--ours", program, "--against-itself", "--one-by-one"]
    words += ["--out", str(out), "--rounds", "2", "--min-seconds", "0", "--floor", "0"]
    assert main(words) == 0
    assert {r["mode"] for r in results.read(held(out, tiny) / "vicinage.jsonl")} == {"closed"}
