"""Evaluates the JSON filters of a workload over its attributes: exactly, and one item at a time in
no loop of Python. docs/benchmarks-workloads.md has the notation and what null means.
"""

from __future__ import annotations

import operator
from datetime import datetime
from functools import reduce
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

ITEM_ID = "item_id"
SIDES = {"gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le}
LOGIC = ("and", "or", "not")
BY_ID = ("ids", "exclude")


class FilterError(Exception):
    """A filter that cannot be evaluated, or attributes that do not fit it."""


def parts(filter: dict) -> tuple[str, object]:
    """The one word of a filter, and what it is about."""
    if not isinstance(filter, dict) or len(filter) != 1:
        raise FilterError(f"no filter: {filter!r:.200}")
    return next(iter(filter.items()))


def asked(filter: dict) -> tuple[str, object]:
    """The one attribute of a comparison, and what it is compared with."""
    ((name, value),) = filter.items()
    return name, value


def names(filter: dict) -> set[str]:
    """The attributes that a filter asks for."""
    word, about = parts(filter)
    if word in ("and", "or"):
        return set().union(*map(names, about))
    if word == "not":
        return names(about)
    if word in BY_ID:
        return set()
    return {about} if word == "is_null" else {asked(about)[0]}


class Words:
    """Text: a code each, -1 where there is none."""

    kind = "text"

    def __init__(self, values: pa.Array):
        coded = values.dictionary_encode()
        codes = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        self.codes = codes.astype(np.int32)
        self.code = {word: code for code, word in enumerate(coded.dictionary.to_pylist())}
        self.present = self.codes >= 0

    def one_of(self, values: list) -> np.ndarray:
        wanted = np.zeros(len(self.code) + 1, bool)  # the last is null's
        wanted[[self.code[value] for value in values if value in self.code]] = True
        return wanted[self.codes]


class Numbers:
    """Numbers, moments (microseconds) and booleans."""

    def __init__(self, values: pa.Array):
        if pa.types.is_timestamp(values.type):
            values = values.cast(pa.timestamp("us")).cast(pa.int64())
        self.kind = "f64" if pa.types.is_floating(values.type) else "i64"
        if pa.types.is_boolean(values.type):
            self.kind = "bool"
        self.present = values.is_valid().to_numpy(zero_copy_only=False)
        zero = pa.scalar(0, pa.int8()).cast(values.type)
        self.values = values.fill_null(zero).to_numpy(zero_copy_only=False)

    def one_of(self, values: list) -> np.ndarray:
        for value in values:
            if isinstance(value, str) or isinstance(value, bool) != (self.kind == "bool"):
                raise FilterError(f"{value!r} is compared with {self.kind}")
        wanted = np.asarray(values, self.values.dtype)
        return self.present & np.isin(self.values, wanted)

    def within(self, sides: dict) -> np.ndarray:
        found = [SIDES[side](self.values, value) for side, value in sides.items()]
        return reduce(np.logical_and, found, self.present)


class Tags:
    """Sets of words: for each word the items that have it."""

    kind = "tags"

    def __init__(self, values: pa.Array):
        self.n = len(values)
        self.present = values.is_valid().to_numpy(zero_copy_only=False)
        items = pc.list_parent_indices(values).to_numpy(zero_copy_only=False)
        words = Words(values.flatten())
        order = np.argsort(words.codes, kind="stable")
        self.items, self.code = items[order], words.code
        self.starts = np.searchsorted(words.codes[order], np.arange(len(self.code) + 1))

    def has(self, word: str) -> np.ndarray:
        found = np.zeros(self.n, bool)
        if word in self.code:
            code = self.code[word]
            found[self.items[self.starts[code] : self.starts[code + 1]]] = True
        return found


class Attributes:
    """Attributes of items, in the order of their ids, which are 0 to `n` - 1. Only those that are
    named are read."""

    def __init__(self, path: Path, n: int, wanted: set[str]):
        self.n, self.table = n, pa.table({})
        if not wanted:
            return
        table = pq.read_table(path, columns=[ITEM_ID, *sorted(wanted)]).combine_chunks()
        ids = table[ITEM_ID].to_numpy().astype(np.int64)
        if len(np.unique(ids)) != len(ids) or (len(ids) and not 0 <= ids.min() <= ids.max() < n):
            raise FilterError(f"{path}: ids are not those of {n} items, each once")
        rows = np.full(n, -1, np.int64)
        rows[ids] = np.arange(len(ids))
        places = pa.array(rows, mask=rows < 0)
        self.table = table.drop_columns([ITEM_ID]).take(places)
        self.columns = {name: column(self.table[name]) for name in self.table.column_names}

    def __getitem__(self, name: str) -> Words | Numbers | Tags:
        return self.columns[name]

    def records(self, start: int, stop: int) -> list[dict]:
        """Items as objects of Python; moments are microseconds."""
        part = self.table.slice(start, stop - start)
        if not part.num_columns:
            return [{} for _ in range(min(stop, self.n) - start)]
        return [{name: plain(value) for name, value in row.items()} for row in part.to_pylist()]


def plain(value: object) -> object:
    if isinstance(value, datetime):
        return int(pa.scalar(value, pa.timestamp("us")).cast(pa.int64()).as_py())
    return value


def column(values: pa.ChunkedArray) -> Words | Numbers | Tags:
    array = values.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        return Tags(array)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        return Words(array)
    return Numbers(array)


def passing(filter: dict, attributes: Attributes) -> np.ndarray:
    """Which items pass, as booleans."""
    word, about = parts(filter)
    n = attributes.n
    if word == "and":
        return reduce(np.logical_and, (passing(f, attributes) for f in about), np.ones(n, bool))
    if word == "or":
        return reduce(np.logical_or, (passing(f, attributes) for f in about), np.zeros(n, bool))
    if word == "not":
        return ~passing(about, attributes)
    if word == "ids":
        return among(about, n)
    if word == "exclude":
        return ~among(about["ids"], n)
    if word == "is_null":
        return ~attributes[about].present
    return compared(word, *asked(about), attributes)


def among(ids: list[int], n: int) -> np.ndarray:
    found = np.zeros(n, bool)
    ids = np.asarray(ids, np.int64)
    found[ids[ids < n]] = True
    return found


def compared(word: str, name: str, value, attributes: Attributes) -> np.ndarray:
    held = attributes[name]
    if isinstance(held, Tags):
        if word == "has":
            return held.has(value)
        if word == "has_any":
            return reduce(np.logical_or, map(held.has, value), np.zeros(attributes.n, bool))
        if word == "has_all":
            return reduce(np.logical_and, map(held.has, value), held.present)
    elif word == "range" and isinstance(held, Numbers):
        return held.within(value)
    elif word == "eq":
        return held.one_of([value])
    elif word == "ne":
        return held.present & ~held.one_of([value])
    elif word == "in":
        return held.one_of(value)
    raise FilterError(f"{word!r} does not fit {name}, which is {held.kind}")


def packed(passes: np.ndarray) -> np.ndarray:
    """As the engines read it: bit `id & 7` of byte `id >> 3`."""
    return np.packbits(passes, axis=-1, bitorder="little")
