"""Filters: what passes, how answers are scored, and that no engine gives what does not pass."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from peers import datasets, engines, results
from peers.__main__ import PROGRAM, main
from peers.filters import identity, merged
from peers.workload import GroupJudge, Prepared, Workload

pa = pytest.importorskip("pyarrow")

from peers.predicates import Attributes, FilterError, names, packed, passing  # noqa: E402

UNIFORM = Path(__file__).parents[3] / "docs/benchmarks/filters_uniform.py"
ROWS, DIM = 5000, 16
COLUMNS = {
    "item_id": pa.array([3, 0, 1, 2], pa.uint64()),
    "word": ["d", "a", None, "b"],
    "tags": pa.array([["x"], ["x", "y"], None, []], pa.list_(pa.string())),
    "count": pa.array([4, 1, None, 2], pa.int64()),
    "share": [0.5, -0.0, None, 2.0],
    "flag": [True, True, None, False],
    "time": pa.array([4, 1, None, 2], pa.timestamp("ms")),
}
CASES = [
    ({"eq": {"word": "a"}}, [0]),
    ({"not": {"eq": {"word": "a"}}}, [1, 2, 3]),
    ({"ne": {"word": "a"}}, [2, 3]),
    ({"ne": {"word": "z"}}, [0, 2, 3]),
    ({"in": {"word": ["a", "d", "z"]}}, [0, 3]),
    ({"in": {"word": []}}, []),
    ({"is_null": "word"}, [1]),
    ({"is_null": "tags"}, [1]),
    ({"has": {"tags": "x"}}, [0, 3]),
    ({"has": {"tags": "z"}}, []),
    ({"has_any": {"tags": ["y", "z"]}}, [0]),
    ({"has_any": {"tags": []}}, []),
    ({"has_all": {"tags": ["x", "y"]}}, [0]),
    ({"has_all": {"tags": []}}, [0, 2, 3]),
    ({"eq": {"count": 2}}, [2]),
    ({"in": {"count": [1, 4]}}, [0, 3]),
    ({"range": {"count": {"gt": 1, "lte": 4}}}, [2, 3]),
    ({"range": {"share": {"gte": 0.0, "lt": 2.0}}}, [0, 3]),
    ({"eq": {"share": 0.0}}, [0]),
    ({"ne": {"share": 0.5}}, [0, 2]),
    ({"in": {"share": [0.5, 2.0]}}, [2, 3]),
    ({"eq": {"flag": False}}, [2]),
    ({"in": {"flag": [True]}}, [0, 3]),
    ({"and": []}, [0, 1, 2, 3]),
    ({"or": []}, []),
    ({"and": [{"has": {"tags": "x"}}, {"not": {"eq": {"word": "a"}}}]}, [3]),
    ({"or": [{"eq": {"word": "a"}}, {"is_null": "count"}]}, [0, 1]),
    ({"not": {"or": [{"eq": {"word": "a"}}, {"is_null": "count"}]}}, [2, 3]),
    ({"ids": [3, 0]}, [0, 3]),
    ({"exclude": {"ids": [3, 0]}}, [1, 2]),
]


@pytest.fixture
def few(tmp_path):
    """Four items, in another order than that of their ids."""
    import pyarrow.parquet as pq

    path = tmp_path / "few.parquet"
    pq.write_table(pa.table(COLUMNS), path)
    return path


@pytest.fixture(scope="module")
def uniform(tmp_path_factory):
    """A set and its workload, written by the script of the reports."""
    folder = tmp_path_factory.mktemp("uniform")
    rng = np.random.default_rng(5)
    for name, rows in (("base", ROWS), ("test", 60)):
        np.save(folder / f"{name}.npy", rng.normal(size=(rows, DIM)).astype(np.float32))
    text = 'metric = "ip"\n[files]\nbase = "base.npy"\ntest = "test.npy"\n'
    (folder / "dataset.toml").write_text(text)
    words = [str(folder / f"{name}.npy") for name in ("base", "test")]
    words += ["ip", str(folder / "filters"), "--queries", "40", "--k", "20"]
    before, sys.argv = sys.argv, [str(UNIFORM), *words]
    try:
        runpy.run_path(str(UNIFORM), run_name="__main__")
    finally:
        sys.argv = before
    return folder


@pytest.mark.parametrize(("filter", "expected"), CASES, ids=lambda value: json.dumps(value)[:60])
def test_what_passes(few, filter, expected):
    attributes = Attributes(few, 4, set(COLUMNS) - {"item_id"})
    assert np.flatnonzero(passing(filter, attributes)).tolist() == expected
    asked = Attributes(few, 4, names(filter))
    assert np.flatnonzero(passing(filter, asked)).tolist() == expected, "it names what it asks for"


def test_moments_are_microseconds(few):
    attributes = Attributes(few, 5, {"time"})
    found = passing({"range": {"time": {"gte": 2000, "lt": 4000}}}, attributes)
    assert found.tolist() == [False, False, True, False, False], "item 4 has no attributes"
    assert [record["time"] for record in attributes.records(0, 5)] == [1000, None, 2000, 4000, None]


def test_what_does_not_fit_is_refused(few):
    attributes = Attributes(few, 4, {"word", "tags", "count"})
    for filter in ({"has": {"word": "a"}}, {"eq": {"tags": "x"}}, {"eq": {"count": "1"}}, {}):
        with pytest.raises(FilterError):
            passing(filter, attributes)
    with pytest.raises(FilterError, match="ids are not"):
        Attributes(few, 3, {"word"})


def prepared(folder, out):
    data, workload = datasets.read(folder), Workload(folder / "filters")
    workload.check_fits(data)
    return data, workload, workload.prepare(out, workload.groups)


def test_counts_are_those_of_the_workload(uniform, tmp_path):
    # Preparing compares each filter's count with the workload's.
    _, workload, folders = prepared(uniform, tmp_path)
    assert [group.shape for group in workload.groups] == ["random"] * 5 + ["and", "range", "not"]
    shares = [group.selectivity for group in workload.groups]
    assert shares == pytest.approx([0.5, 0.2, 0.1, 0.01, 0.001, 0.04, 0.5, 0.8], rel=0.3)
    group = Prepared(folders[0], np.zeros((60, DIM), np.float32))
    assert len(group) == 40 and len(group.filters) == len(group.bitmaps) == 2
    workload.matches[0] += 1
    with pytest.raises(datasets.DatasetError, match="items pass"):
        workload.prepare(tmp_path / "again", workload.groups)


@pytest.mark.skipif(PROGRAM not in os.environ, reason=f"{PROGRAM} is not set")
def test_counts_are_those_of_the_generator(uniform, tmp_path):
    words = ["datasets", "generate", "filters", "--metric", "ip", "--selectivity", "0.3,0.02"]
    words += ["--input", str(uniform / "base.npy"), "--queries", str(uniform / "test.npy")]
    words += ["--group", "30", "--k", "10", "--exclude", "20", "--out", str(tmp_path / "filters")]
    subprocess.run([os.environ[PROGRAM], *words], check=True)
    data, workload = datasets.read(uniform), Workload(tmp_path / "filters")
    shapes = {group.shape for group in workload.groups}
    assert {"correlated", "and", "or", "not", "few", "exclude"} <= shapes
    for group, folder in zip(
        workload.groups, workload.prepare(tmp_path / "groups", workload.groups), strict=True
    ):
        judge = GroupJudge(data, workload, group, folder, 10)
        score = judge.score(judge.truth)
        assert score["recall_id"] == score["recall_distance"] == score["recall_min"] == 1.0
        assert score["shortfall"] == 0.0


def test_answers_are_scored_as_index_tools_does(uniform, tmp_path):
    data, workload, folders = prepared(uniform, tmp_path)
    judge = GroupJudge(data, workload, workload.groups[4], folders[4], 10)
    assert 0 < judge.matches.min() < 10, "some queries have fewer answers than are asked for"
    assert judge.score(judge.truth)["recall_id"] == 1.0
    ids = judge.truth.copy()
    ids[0] = -1
    score = judge.score(ids)
    assert score["recall_min"] == 0.0 and score["recall_p5"] == 1.0, "one of forty is missing"
    assert score["recall_id"] == score["recall_distance"] == pytest.approx(39 / 40)
    assert score["shortfall"] == pytest.approx(1 / 40)
    ids = judge.truth.copy()
    every = np.unpackbits(judge.bitmaps[judge.bitmap[0]], bitorder="little")[:ROWS]
    ids[0, 0] = np.flatnonzero(every == 0)[0]
    with pytest.raises(datasets.DatasetError, match="1 answers do not pass"):
        judge.score(ids)


def test_what_matches_nothing_is_found(uniform, tmp_path):
    data, workload, folders = prepared(uniform, tmp_path)
    judge = GroupJudge(data, workload, workload.groups[0], folders[0], 10)
    judge.wanted[:] = 0
    judge.truth[:] = -1
    score = judge.score(np.full((40, 10), -1))
    assert score["recall_id"] == 1.0 and score["shortfall"] == 0.0


def usable(name):
    reason = engines.filtered_peer(name).unavailable("ip", None)
    return pytest.param(name, marks=[pytest.mark.skipif(reason is not None, reason=str(reason))])


@pytest.mark.parametrize("name", [usable(name) for name in engines.FILTERED])
def test_an_engine_gives_only_what_passes(name, uniform, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv(PROGRAM, raising=False)
    words = ["filters", str(uniform), "--workload", str(uniform / "filters"), "--engines", name]
    words += ["--out", str(tmp_path), "--rounds", "1", "--min-seconds", "0", "--threads", "1"]
    # A round's ids are checked; the floor ends each ladder at its first point.
    assert main([*words, "--floor", "1e9", "--all-points"]) == 0
    (file,) = tmp_path.glob(f"*/filters-filters/run-*/{name}.jsonl")
    rows = results.read(file)
    engine = engines.filtered_peer(name)
    (build,) = engine.builds(ROWS, DIM, "ip", False)
    ladders = len(engine.ladders(build, ROWS, "ip", 10))
    shapes = ["random"] * 5 + ["and", "range", "not"]
    points = [shape for shape in shapes for _ in range(ladders)]
    assert [row["filter"]["shape"] for row in rows] == points
    for row in rows:
        assert row["filter"].keys() == {
            *("workload", "shape", "selectivity", "recall_p5", "recall_min", "shortfall")
        }
        assert row["mode"] == "closed" and row["p50_us"] <= row["p99_us"]
        assert row["queries"] == 40 and row["engine"] == name and len(row["qps_rounds"]) == 1
    text = (file.parent / "report.md").read_text()
    assert "vicinage is missing" in text and "is out" not in text
    capsys.readouterr()


def opened(engine, base, attributes, names, folder, **more):
    """The engine with an index of `base`."""
    (build,) = engine.builds(*base.shape, "ip", False)
    build |= {"attributes": {"file": str(attributes), "names": names}, **more}
    engine.build(base, "ip", 1, build)
    engine.save(folder)
    engine.load(folder, *base.shape, "ip", build, None)
    return build


def check_answers(engine, search, data, workload, folders):
    """That the engine finds most of each group, and nothing that does not pass."""
    for group, folder in zip(workload.groups, folders, strict=True):
        engine.prepare(Prepared(folder, data.test))
        engine.set(search)
        ids, _, _ = engine.run(40, 10)
        assert GroupJudge(data, workload, group, folder, 10).score(ids)["recall_id"] > 0.9


def test_qdrant_counts_as_we_do(few, tmp_path):
    q = pytest.importorskip("qdrant_edge")
    from peers.engines.qdrant import QdrantEdge, translated

    wanted = sorted(set(COLUMNS) - {"item_id"})
    edge = QdrantEdge()
    with pytest.MonkeyPatch.context() as patch:
        # So few are in no graph.
        patch.setattr("peers.engines.qdrant.indexed", lambda shard: True)
        opened(edge, np.eye(4, 2, dtype=np.float32), few, wanted, tmp_path / "index")
    for filter, expected in CASES:
        found = edge.shard.scroll(q.ScrollRequest(limit=9, filter=translated(filter)))[0]
        assert sorted(point.id for point in found) == expected, filter


def test_lance_counts_as_we_do(few, tmp_path, monkeypatch):
    pytest.importorskip("lancedb")
    monkeypatch.setattr("os.sched_setaffinity", lambda *_: None)
    from peers.engines.lance import LanceHnsw

    wanted = sorted(set(COLUMNS) - {"item_id"})
    lance = LanceHnsw()
    opened(lance, np.eye(4, 2, dtype=np.float32), few, wanted, tmp_path / "index")
    for filter, expected in CASES:
        found = lance.table.search().where(lance.translated(filter)).limit(9).to_list()
        assert sorted(row["item_id"] for row in found) == expected, filter


@pytest.mark.parametrize("graph", [False, True])
def test_lance_gives_only_what_passes(uniform, tmp_path, graph, monkeypatch):
    pytest.importorskip("lancedb")
    monkeypatch.setattr("os.sched_setaffinity", lambda *_: None)
    from peers.engines.lance import Lance, LanceHnsw

    data, workload, folders = prepared(uniform, tmp_path / "groups")
    lance = LanceHnsw() if graph else Lance()
    file = uniform / "filters/attributes.parquet"
    build = opened(lance, data.base, file, workload.attribute_names(), tmp_path / "index")
    check_answers(lance, lance.ladders(build, ROWS, "ip", 10)[-1][-1], data, workload, folders)


@pytest.mark.parametrize("acorn", [False, True])
def test_qdrants_graph_gives_only_what_passes(uniform, tmp_path, acorn):
    pytest.importorskip("qdrant_edge")
    from peers.engines.qdrant import QdrantEdge, QdrantEdgeAcorn

    data, workload, folders = prepared(uniform, tmp_path / "groups")
    edge = QdrantEdgeAcorn() if acorn else QdrantEdge()
    file, names = uniform / "filters/attributes.parquet", workload.attribute_names()
    # All that passes is scanned otherwise.
    opened(edge, data.base, file, names, tmp_path / "index", full_scan_threshold=1)
    check_answers(edge, {"ef": 100}, data, workload, folders)


def test_own_lists_are_left_out(uniform, tmp_path):
    (folder,) = [tmp_path / "filters"]
    folder.mkdir()
    import pyarrow.parquet as pq

    for name in ("attributes.parquet", "workload.toml"):
        (folder / name).write_bytes((uniform / "filters" / name).read_bytes())
    own = pa.array([[5, 7], [], [5]], pa.list_(pa.int64()))
    pq.write_table(pa.table({"item_ids": own}), folder / "excluded.parquet")
    line = {"shape": "exclude", "selectivity": 1.0, "filter": {"and": []}, "excluded": 1}
    (folder / "filters.jsonl").write_text(json.dumps(line | {"queries": [4, 2]}) + "\n")
    np.save(folder / "truth-ids.npy", np.tile(np.arange(20, dtype=np.int32), (2, 1)))
    np.save(folder / "truth-matches.npy", np.array([[ROWS], [ROWS - 1]], np.int32))
    workload = Workload(folder)
    (held,) = workload.prepare(tmp_path / "groups", workload.groups)
    group = Prepared(held, np.arange(60.0)[:, None])
    assert [list(ids) for ids in group.own] == [[], [5]] and group.vectors[:, 0].tolist() == [4, 2]
    for at, expected in ((0, []), (1, [5])):
        bits = np.unpackbits(group.bitmaps[group.bitmap[at]], bitorder="little")[:ROWS]
        assert np.flatnonzero(bits == 0).tolist() == expected
    assert packed(np.arange(10) == 9).tolist() == [0, 2]


def test_rounds_of_ours_become_one_line():
    told = {"workload": "w", "shape": "and", "selectivity": 0.04}
    line = {"engine": "vicinage", "engine_version": "1", "git_commit": "c", "build": {}, "k": 10}
    line |= {"search": {"exact": True}, "filter": told}
    times = dict.fromkeys(("p95_us", "p99_us", "p999_us"))
    rounds = [{**line, **times, "qps_rounds": [q], "p50_us": p} for q, p in ((9.0, 1), (5.0, 3))]
    whole = merged(rounds)
    assert (whole["qps"], whole["qps_median"], whole["qps_rounds"]) == (9.0, 7.0, [9.0, 5.0])
    assert whole["p50_us"] == 2 and whole["p99_us"] is None
    assert identity(rounds[0]) == identity(rounds[1])
    assert identity(rounds[0]) != identity({**line, "search": {"ef": 10}})
