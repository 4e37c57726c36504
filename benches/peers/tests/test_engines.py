"""Grids of all engines, whose libraries need not be there, and where a sweep stops."""

import json

import pytest

from peers import engines
from peers.engines.base import MANY
from peers.measure import climb


@pytest.mark.parametrize("name", engines.PEERS)
@pytest.mark.parametrize("metric", ["l2", "ip", "cosine"])
def test_grids_are_sets_of_parameters(name, metric):
    engine = engines.peer(name)
    assert engine.name == name
    quick, full = (engine.builds(60_000, 96, metric, q) for q in (True, False))
    assert 1 <= len(quick) <= 6 and len(quick) <= len(full)
    assert len({json.dumps(build) for build in full}) == len(full)
    if name not in ("glass", "symphonyqg"):
        assert len(engine.builds(MANY, 96, metric, True)) == 1, "a build of many rows takes minutes"
    # Its graphs are searched by us, who find k with shorter lists.
    shorter = name == "hnsw-rs"
    for k in (1, 10, 100, 1000):
        for ladder in engine.ladders(full[0], 60_000, metric, k):
            assert len({json.dumps(search) for search in ladder}) == len(ladder) > 0
            assert all(search.get("ef", k) >= (1 if shorter else k) for search in ladder)


def test_hnsw_grids_are_the_published_ones():
    for name in ("hnswlib", "faiss-hnsw", "faiss-hnsw-sq8", "voyager"):
        builds = engines.peer(name).builds(60_000, 96, "l2", False)
        assert [build["M"] for build in builds] == [4, 8, 12, 16, 24, 36, 48, 64, 96]
        assert {build["ef_construction"] for build in builds} == {500}
        (ladder,) = engines.peer(name).ladders(builds[0], 60_000, "l2", 10)
        assert {10, 20, 40, 80, 120, 200, 400, 600, 800} <= {search["ef"] for search in ladder}


def climbed(recalls, qps=(1000.0,) * 9, floor=50.0):
    points = dict(enumerate(zip(recalls, qps, strict=False)))

    def measure(search):
        recall, speed = points[search["i"]]
        return None if recall is None else {"recall_distance": recall, "qps": speed}

    return len(climb([{"i": i} for i in range(len(recalls))], measure, floor))


def test_a_ladder_is_left_where_nothing_is_to_be_gained():
    assert climbed([0.5, 0.9, 0.9995, 1.0]) == 3, "everything is found"
    assert climbed([0.5, 0.9, 0.95, 0.99], qps=[900.0, 60.0, 40.0, 30.0]) == 3, "too slow"
    assert climbed([0.5, 0.9, 0.90004, 0.90008, 0.99]) == 4, "two steps without gain"
    assert climbed([0.5, 0.5, 0.6, 0.6, 0.7]) == 5, "one step without gain is none"
    assert climbed([0.5, None, 0.9]) == 2, "what is refused is left out"
