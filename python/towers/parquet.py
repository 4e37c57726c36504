"""Reads interactions from Parquet: `user_id`, `item_id`, and perhaps `time` and `rating`."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from . import Refused
from .interactions import Interactions, check_rated, coded_interactions


def read_parquet(path: Path, min_rating: float | None) -> Interactions:
    try:
        file = pq.ParquetFile(path)
        present = file.schema_arrow.names
        for name in ("user_id", "item_id"):
            if name not in present:
                raise Refused(f"{path}: expected a column {name!r}, found {present}")
        check_rated(path, "parquet", "rating" in present, min_rating)
        wanted = [n for n in ("user_id", "item_id", "time", "rating") if n in present]
        table = file.read(columns=wanted).combine_chunks()
    except pa.ArrowInvalid as error:
        raise Refused(f"{path}: {error}") from error
    users, _ = _coded(path, table, "user_id")
    items, names = _coded(path, table, "item_id")
    times = np.zeros(len(table)) if "time" not in present else _numbers(path, table, "time")
    if min_rating is not None:
        rows = _numbers(path, table, "rating") >= min_rating
        users, items, times = users[rows], items[rows], times[rows]
    return coded_interactions(path, users, items, times, names)


def _refuse_missing(path: Path, table: pa.Table, name: str, missing: pa.Array) -> None:
    if row := pc.index(missing, True).as_py() + 1:
        raise Refused(f"{path}, row {row}: expected a value in {name!r}, found none")


def _coded(path: Path, table: pa.Table, name: str) -> tuple[np.ndarray, list[str]]:
    """Codes in the order of first sight, and the names of the codes."""
    column = table[name]
    if not (pa.types.is_integer(column.type) or _is_text(column.type)):
        raise Refused(f"{path}: expected integers or strings in {name!r}, found {column.type}")
    _refuse_missing(path, table, name, pc.is_null(column))
    if not len(column):
        raise Refused(f"{path}: no interactions")
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    coded = column.combine_chunks().dictionary_encode()
    if isinstance(coded, pa.ChunkedArray):
        coded = coded.chunk(0)
    return coded.indices.to_numpy(), [str(n) for n in coded.dictionary.to_pylist()]


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _numbers(path: Path, table: pa.Table, name: str) -> np.ndarray:
    column = table[name]
    try:
        if pa.types.is_temporal(column.type):
            column = column.cast(pa.int32() if pa.types.is_date32(column.type) else pa.int64())
        column = column.cast(pa.float64(), safe=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise Refused(f"{path}: expected numbers in {name!r}, found {column.type}") from error
    _refuse_missing(path, table, name, pc.invert(pc.fill_null(pc.is_finite(column), False)))
    return column.to_numpy()
