"""Each trainer learns what was planted, and what it writes is what an index reads."""

import tomllib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from towers import Refused, evaluation, output
from towers.__main__ import main, train
from towers.interactions import core, once
from towers.split import split
from towers.training import Settings

FAMILIES = {"als": 5, "bpr": 300, "two-tower": 40}  # epochs: the planted set is small


@pytest.fixture(scope="module")
def parts(planted):
    return split(core(once(planted), 3), 60, 4, 7)


def _figures(parts, scores):
    seen = parts.seen()
    return evaluation.figures(evaluation.shortlists(scores, len(seen), seen), parts.held_out)


@pytest.mark.parametrize("family", FAMILIES)
def test_it_beats_popularity_and_repeats_itself(parts, family):
    settings = Settings(16, FAMILIES[family], 7, 1)
    users, items = train(family, parts, settings)
    assert users.shape == (parts.train.shape[0], 16) and items.shape == (parts.train.shape[1], 16)
    found = _figures(parts, evaluation.by_vectors(users[parts.test], items))
    popular = _figures(parts, evaluation.by_popularity(parts.popularity))
    assert found["NDCG@100"] > 1.5 * popular["NDCG@100"], (found, popular)
    assert found["recall@100"] > popular["recall@100"] + 0.2, (found, popular)
    again = train(family, parts, settings)
    assert (users == again[0]).all() and (items == again[1]).all()
    other = train(family, parts, Settings(16, FAMILIES[family], 8, 1))
    assert (items != other[1]).any()


def test_a_bpr_user_has_one_coordinate_for_the_bias(parts):
    users, items = train("bpr", parts, Settings(16, 3, 7, 1))
    assert (users[:, -1] == 1).all() and np.unique(items[:, -1]).size > 1


def test_figures_are_those_of_a_naive_count():
    rng = np.random.default_rng(1)
    queries, items = (rng.normal(size=(n, 4)).astype(np.float32) for n in (9, 150))
    seen = [np.sort(rng.choice(150, 20, replace=False)) for _ in queries]
    held_out = [rng.choice(np.setdiff1d(np.arange(150), s), 3, replace=False) for s in seen]
    ndcg, recall = [], []
    for query, own, wanted in zip(queries, seen, held_out, strict=True):
        ranked = [i for i in np.argsort(-(items @ query)) if i not in own][:100]
        gains = [1 / np.log2(r + 2) for r, i in enumerate(ranked) if i in wanted]
        ndcg.append(sum(gains) / sum(1 / np.log2(r + 2) for r in range(3)))
        recall.append(len(gains) / 3)
    tops = evaluation.shortlists(evaluation.by_vectors(queries, items), 9, seen)
    found = evaluation.figures(tops, held_out)
    assert found["NDCG@100"] == pytest.approx(np.mean(ndcg))
    assert found["recall@100"] == pytest.approx(np.mean(recall))


def _file(tmp_path, planted, name=str):
    path = tmp_path / "taken.txt"
    rows = zip(planted.users, planted.items, planted.times, strict=True)
    path.write_text("".join(f"{u} {name(i)} {t}\n" for u, i, t in rows))
    return path


def _run(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["towers", *map(str, arguments)])
    monkeypatch.setattr("sys.stdout.reconfigure", lambda **_: None, raising=False)
    main()


def test_the_files_that_are_written(tmp_path, planted, monkeypatch, capsys):
    out = tmp_path / "new" / "out"
    path = _file(tmp_path, planted, "item-{}".format)
    _run(monkeypatch, "als", path, "--out", out, "--dim", 8, "--epochs", 2)
    items = pq.read_table(out / "items.parquet")
    assert items.schema.names == ["item_id", "vector", "name", "popularity", "popularity_group"]
    assert items.schema.types == [
        pa.uint64(), pa.list_(pa.float32(), 8), pa.string(), pa.int64(), pa.string(),
    ]  # fmt: skip
    assert set(items["popularity_group"].to_pylist()) == {"head", "middle", "tail"}
    learn, test = (np.load(out / f"{n}.npy") for n in ("learn", "test"))
    assert learn.shape == (240, 8) and test.shape == (60, 8)
    assert learn.dtype == test.dtype == np.float32
    held_out, seen = (pq.read_table(out / f"{n}.parquet") for n in ("heldout", "seen"))
    assert held_out.schema.names == ["query", "item_ids", "grades"]
    assert held_out.schema.types == [pa.uint32(), pa.list_(pa.uint64()), pa.list_(pa.uint8())]
    assert seen.schema.names == ["query", "item_ids"]
    assert held_out["query"].to_pylist() == seen["query"].to_pylist() == list(range(60))
    assert {g for grades in held_out["grades"].to_pylist() for g in grades} == {1}
    known = set(items["item_id"].to_pylist())
    for ids, own in zip(held_out["item_ids"].to_pylist(), seen["item_ids"].to_pylist(),
                        strict=True):  # fmt: skip
        assert ids == sorted(ids) and set(ids) | set(own) <= known and not set(ids) & set(own)
    space = tomllib.loads((out / "space.toml").read_text())
    checkpoint = space.pop("checkpoint")
    assert checkpoint.startswith("seed7-") and len(checkpoint) == 14
    assert space == {
        "family": "als", "dim": 8, "normalization": "none", "metric": "ip", "tower": "item",
    }  # fmt: skip
    assert [p.name for p in out.parent.iterdir()] == ["out"]
    assert "popularity   NDCG@100" in capsys.readouterr().out


def test_a_folder_is_replaced_only_where_asked_and_only_a_training(tmp_path, planted, monkeypatch):
    out, path = tmp_path / "out", _file(tmp_path, planted)
    arguments = ("als", path, "--out", out, "--epochs", 1, "--dim", 4)
    _run(monkeypatch, *arguments)
    assert "name" not in pq.read_schema(out / "items.parquet").names
    with pytest.raises(SystemExit, match="error: .*out exists; --overwrite replaces it"):
        _run(monkeypatch, *arguments)
    _run(monkeypatch, *arguments, "--overwrite", "--seed", 9)
    assert 'checkpoint = "seed9-' in (out / "space.toml").read_text()
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter").write_text("dear")
    with pytest.raises(SystemExit, match="no folder that a training wrote"):
        _run(monkeypatch, "als", path, "--out", tmp_path / "home", "--overwrite")
    with pytest.raises(SystemExit, match="error: .*letter"):
        _run(monkeypatch, "als", path, "--out", tmp_path / "home" / "letter" / "out")


def test_what_fails_leaves_nothing_behind(tmp_path):
    with pytest.raises(KeyError), output.replaced(tmp_path / "out", False) as folder:
        (folder / "items.parquet").write_text("half")
        raise KeyError
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(Refused), output.replaced(tmp_path / "out", False):
        (tmp_path / "out").mkdir()
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
