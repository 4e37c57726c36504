"""Every form is found out and read; what does not fit is refused with its place."""

import gzip
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from towers import Refused
from towers.interactions import read

# Each says: 7 took 30 at 100, 7 took 20 at 200, 5 took 30 at 300.
RATED = [("7", "30", "5", "100"), ("7", "20", "3.5", "200"), ("5", "30", "1", "300")]
FILES = {
    "movielens-dat": ("ratings.dat", ["::".join(r) for r in RATED]),
    "movielens-u": ("u.data", ["\t".join(r) for r in RATED]),
    "movielens-csv": ("ratings.csv", ["userId,movieId,rating,timestamp", *map(",".join, RATED)]),
    "amazon": ("Books.csv", [",".join(r) for r in RATED]),
    "amazon-header": ("B.csv", ["user_id,parent_asin,rating,timestamp", *map(",".join, RATED)]),
    "gowalla": (
        "loc-gowalla_totalCheckins.txt",
        [f"{u}\t1970-01-01T00:{int(t) // 60:02}:{int(t) % 60:02}Z\t30.2\t-97.7\t{i}"
         for u, i, _, t in RATED],
    ),
    "timed-pairs": ("taken.txt", [f"{u} {i} {t}" for u, i, _, t in RATED]),
    "pairs": ("taken.tsv", [f"{u}\t{i}" for u, i, _, _ in RATED]),
    "lists": ("train.txt", ["7 30 20", "5 30", "9"]),
}  # fmt: skip
TIMELESS = {"pairs", "lists"}


def _write(path, lines, ending="\n"):
    data = "".join(line + ending for line in lines).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def _check(data, timeless):
    assert data.users.tolist() == [0, 0, 1]
    assert data.item_ids.dtype == np.uint64 and data.item_names is None
    assert data.item_ids[data.items].tolist() == [30, 20, 30]
    assert data.times.tolist() == ([0, 0, 0] if timeless else [100, 200, 300])


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("form", FILES)
def test_every_form_is_found_out_and_read(tmp_path, form, ending, zipped):
    name, lines = FILES[form]
    path = _write(tmp_path / (name + ".gz" * zipped), lines, ending)
    found, data = read(path, None, None)
    assert found == form
    _check(data, form in TIMELESS)
    _check(read(path, form, None)[1], form in TIMELESS)


@pytest.mark.parametrize("form", sorted(FILES.keys() - TIMELESS - {"gowalla", "timed-pairs"}))
def test_low_ratings_are_left_out_where_asked(tmp_path, form):
    name, lines = FILES[form]
    _, data = read(_write(tmp_path / name, lines), None, 3.5)
    assert data.item_ids[data.items].tolist() == [30, 20]


def test_amazon_with_items_first(tmp_path):
    asins = ["0001713353,A1C6M8LCIGAFWP,5,1", "B000FA64PK,A1C6M8LCIGAFWP,5,2"]
    found, data = read(_write(tmp_path / "Books.csv", asins), None, None)
    assert found == "amazon-items-first" and data.user_count == 1
    assert data.item_names == ["0001713353", "B000FA64PK"]
    _, swapped = read(_write(tmp_path / "plain.csv", ["30,7,5,100"]), "amazon-items-first", None)
    assert swapped.item_ids.tolist() == [30]


@pytest.mark.parametrize("separator", ["\t", ",", ", ", " ", "  "])
@pytest.mark.parametrize("form", ["pairs", "timed-pairs"])
def test_plain_pairs_are_separated_by_tabs_commas_or_spaces(tmp_path, form, separator):
    rows = [(u, i, t) if form == "timed-pairs" else (u, i) for u, i, _, t in RATED]
    found, data = read(_write(tmp_path / "taken", map(separator.join, rows)), None, None)
    assert found == form
    _check(data, form in TIMELESS)


def test_strings_are_coded_in_order_of_first_sight(tmp_path):
    lines = ["u\tnew wave\t1", "v\tjazz\t2", "u\tjazz\t3"]
    _, data = read(_write(tmp_path / "taken", lines), None, None)
    assert data.item_names == ["new wave", "jazz"] and data.item_ids.tolist() == [0, 1]
    assert data.items.tolist() == [0, 1, 1] and data.users.tolist() == [0, 1, 0]


@pytest.mark.parametrize("ids", [["1", "01"], ["1", "-1"], ["1", str(2**64)]])
def test_ids_that_are_no_plain_integers_are_strings(tmp_path, ids):
    _, data = read(_write(tmp_path / "taken", [f"u {i}" for i in ids]), None, None)
    assert data.item_names == ids


@pytest.mark.parametrize("strings", [False, True])
def test_parquet(tmp_path, strings):
    ids = ["a", "b", "a"] if strings else [30, 20, 30]
    times = [datetime.fromtimestamp(t) for t in (100, 200, 300)]
    table = {"user_id": [7, 7, 5], "item_id": ids, "time": times, "rating": [5.0, 3.5, None]}
    pq.write_table(pa.table(table), tmp_path / "taken")
    form, data = read(tmp_path / "taken", None, None)
    assert form == "parquet" and np.diff(data.times).tolist() == [1e8, 1e8]  # microseconds
    if strings:
        assert data.item_names == ["a", "b"] and data.items.tolist() == [0, 1, 0]
    else:
        assert data.item_ids[data.items].tolist() == ids
    with pytest.raises(Refused, match="row 3: expected a value in 'rating', found none"):
        read(tmp_path / "taken", None, 4.0)


def test_parquet_that_lacks_something_is_refused(tmp_path):
    path = tmp_path / "taken.parquet"
    pq.write_table(pa.table({"user_id": [1, None], "item_id": [1, 2]}), path)
    with pytest.raises(Refused, match="row 2: expected a value in 'user_id', found none"):
        read(path, None, None)
    pq.write_table(pa.table({"user_id": [1], "thing": [1]}), path)
    with pytest.raises(Refused, match="expected a column 'item_id', found"):
        read(path, None, None)
    pq.write_table(pa.table({"user_id": [1.5], "item_id": [1]}), path)
    with pytest.raises(Refused, match="expected integers or strings in 'user_id', found double"):
        read(path, None, None)
    path.write_bytes(b"PAR1 and nothing more")
    with pytest.raises(Refused, match="taken.parquet"):
        read(path, None, None)


BAD = {
    "movielens-dat": ["1::2::3", "1::2::x::4", "1::2::nan::4", "::2::3::4"],
    "movielens-u": ["1\t2\t3", "1\t2\t3\tinf"],
    "movielens-csv": ["1,2,3,4,5", "1,,3,4"],
    "amazon": ["1,2,3", "1,2,3,soon"],
    "amazon-header": ["1,2", "1,2,five,3"],
    "gowalla": ["7\t1970-13-01T00:00:00Z\t1\t2\t3", "7\t1970-01-01T00:00:00Z\t1\t2"],
    "timed-pairs": ["1 2", "1 2 later"],
    "pairs": ["1\t2\t3", "1", "1\t"],
}


@pytest.mark.parametrize("form, bad", [(form, bad) for form, lines in BAD.items() for bad in lines])
def test_a_bad_line_is_refused_with_its_place(tmp_path, form, bad):
    name, lines = FILES[form]
    path = _write(tmp_path / name, [*lines, bad])
    with pytest.raises(Refused) as refused:
        read(path, form, None)
    message = str(refused.value)
    assert message.startswith(f"{path}, line {len(lines) + 1}: expected user")
    assert ", found " in message and repr(bad) in message


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "no interactions"),
        (b"a,b,c,d,e\n", "line 1: expected one of"),
        (b"1,2\n1,2,3\n", "line 1: expected one of"),
        (b"a b c d\n", "line 1: expected one of"),
        (b"u i\nu \xff\n", "line 2: expected user item, found an id that is not UTF-8"),
        (gzip.compress(b"u i\n" * 99)[:-9], "taken"),
    ],
)
def test_what_is_no_such_file_is_refused(tmp_path, content, message):
    path = tmp_path / "taken"
    path.write_bytes(content)
    with pytest.raises(Refused, match=message):
        read(path, None, None)


def test_other_refusals(tmp_path):
    pairs = _write(tmp_path / "pairs", FILES["pairs"][1])
    with pytest.raises(Refused, match="--min-rating needs ratings, the form 'pairs' has none"):
        read(pairs, None, 3)
    with pytest.raises(Refused, match="line 1: expected userId,movieId,rating,timestamp, found"):
        read(pairs, "movielens-csv", None)
    with pytest.raises(Refused, match="none with the rating"):
        read(_write(tmp_path / "u.data", FILES["movielens-u"][1]), None, 6)
    with pytest.raises(Refused, match="No such file"):
        read(tmp_path / "absent", None, None)
