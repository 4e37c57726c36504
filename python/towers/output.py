"""Writes the folder of a training, whole or not at all."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from . import Refused
from .split import Split, popularity_groups
from .training import Vectors

SPACE = "space.toml"


def check_free(out: Path, overwrite: bool) -> None:
    """Only what looks like a training is ever replaced."""
    if not os.path.lexists(out):
        return
    if not overwrite:
        raise Refused(f"{out} exists; --overwrite replaces it")
    if not out.is_dir() or out.is_symlink() or (any(out.iterdir()) and not (out / SPACE).exists()):
        raise Refused(f"{out} is no folder that a training wrote (no {SPACE} in it), so it stays")


@contextmanager
def replaced(out: Path, overwrite: bool) -> Iterator[Path]:
    """A folder beside `out` to write into, which becomes `out` when all went well."""
    out = out.absolute()
    out.parent.mkdir(parents=True, exist_ok=True)
    partial, old = (out.with_name(f".{out.name}.{os.getpid()}.{w}") for w in ("partial", "old"))
    partial.mkdir()
    try:
        yield partial
        check_free(out, overwrite)
        if out.exists():
            out.rename(old)
        partial.rename(out)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        if old.exists() and not out.exists():
            old.rename(out)
        raise
    shutil.rmtree(old, ignore_errors=True)


def write(folder: Path, family: str, seed: int, split: Split, vectors: Vectors) -> None:
    users, items = (np.ascontiguousarray(v, np.float32) for v in vectors)
    _write_items(folder / "items.parquet", split, items)
    np.save(folder / "learn.npy", users[split.learn])
    np.save(folder / "test.npy", users[split.test])
    held_out = [split.item_ids[rows] for rows in split.held_out]
    ones = [np.ones(len(ids), np.uint8) for ids in held_out]
    _write_lists(folder / "heldout.parquet", item_ids=held_out, grades=ones)
    _write_lists(folder / "seen.parquet", item_ids=[split.item_ids[rows] for rows in split.seen()])
    checkpoint = f"seed{seed}-{hashlib.sha256(items.tobytes()).hexdigest()[:8]}"
    (folder / SPACE).write_text(
        f'family = "{family}"\ncheckpoint = "{checkpoint}"\ndim = {items.shape[1]}\n'
        'normalization = "none"\nmetric = "ip"\ntower = "item"\n'
    )


def _write_items(path: Path, split: Split, items: np.ndarray) -> None:
    columns = {
        "item_id": pa.array(split.item_ids, pa.uint64()),
        "vector": pa.FixedSizeListArray.from_arrays(pa.array(items.ravel()), items.shape[1]),
    }
    if split.item_names is not None:
        columns["name"] = pa.array(split.item_names, pa.string())
    columns["popularity"] = pa.array(split.popularity, pa.int64())
    columns["popularity_group"] = pa.array(popularity_groups(split.popularity), pa.string())
    pq.write_table(pa.table(columns), path, compression="zstd")


def _write_lists(path: Path, **columns: list[np.ndarray]) -> None:
    """A row for each test user; `query` is its row in `test.npy`."""
    count = len(next(iter(columns.values())))
    arrays = {"query": pa.array(np.arange(count), pa.uint32())}
    for name, lists in columns.items():
        starts = np.concatenate([[0], np.cumsum([len(values) for values in lists])])
        values = pa.array(np.concatenate(lists))
        arrays[name] = pa.ListArray.from_arrays(pa.array(starts, pa.int32()), values)
    pq.write_table(pa.table(arrays), path, compression="zstd")
