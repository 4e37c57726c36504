"""Reads the sets that are measured: ann-benchmarks/VIBE HDF5 files and `dataset.toml` folders.

Metrics are named `l2`, `ip` and `cosine`, whatever the file calls them.
"""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

METRICS = {
    "l2": "l2",
    "euclidean": "l2",
    "sqeuclidean": "l2",
    "ip": "ip",
    "dot": "ip",
    "cosine": "cosine",
    "angular": "cosine",
    "normalized": "cosine",
}
HDF5_NAMES = {"l2": "euclidean", "ip": "ip", "cosine": "angular"}
BIN_TYPES = {
    ".fbin": np.float32,
    ".f16bin": np.float16,
    ".u8bin": np.uint8,
    ".i8bin": np.int8,
    ".ibin": np.int32,
}
SAMPLED_ROWS = 1000


class DatasetError(Exception):
    """A set that cannot be read, or that lacks something."""


@dataclass
class Dataset:
    """`base` and `test` are rows of float32; `neighbors` holds true ids, nearest first."""

    name: str
    metric: str
    base: np.ndarray
    test: np.ndarray
    neighbors: np.ndarray

    def first(self, queries: int | None) -> Dataset:
        """The set with only so many of its queries."""
        return replace(self, test=self.test[:queries], neighbors=self.neighbors[:queries])

    def fingerprint(self) -> str:
        """Tells sets of one name apart: shapes, metric and a sample of the rows."""
        digest = hashlib.sha256(f"{self.base.shape} {self.test.shape} {self.metric}".encode())
        step = max(1, len(self.base) // SAMPLED_ROWS)
        digest.update(np.ascontiguousarray(self.base[::step]).tobytes())
        digest.update(np.ascontiguousarray(self.test[:SAMPLED_ROWS]).tobytes())
        return digest.hexdigest()[:16]

    def prepared(self) -> tuple[np.ndarray, np.ndarray]:
        """Base and test as the engines get them: unit length where the metric is cosine."""
        if self.metric == "cosine":
            return unit_rows(self.base), unit_rows(self.test)
        return self.base, self.test


def unit_rows(rows: np.ndarray) -> np.ndarray:
    """Rows divided by their length; a row of zeros stays."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.ascontiguousarray(rows / np.where(lengths == 0, 1, lengths), np.float32)


def metric_of(name: str | bytes) -> str:
    text = name.decode() if isinstance(name, bytes) else str(name)
    if text.lower() not in METRICS:
        raise DatasetError(f"unknown metric {text!r}, known are {sorted(METRICS)}")
    return METRICS[text.lower()]


def read(path: str | Path) -> Dataset:
    """Reads an HDF5 file, a `dataset.toml`, or the folder that holds one."""
    path = Path(path)
    if path.is_dir():
        path = path / "dataset.toml"
    if not path.is_file():
        raise DatasetError(f"{path}: no such file")
    dataset = read_toml(path) if path.suffix == ".toml" else read_hdf5(path)
    check(dataset, path)
    return dataset


def check(dataset: Dataset, path: Path) -> None:
    for rows in (dataset.base, dataset.test, dataset.neighbors):
        if rows.ndim != 2:
            raise DatasetError(f"{path}: rows in {rows.ndim} dimensions")
    n, dim = dataset.base.shape
    if dataset.test.shape[1] != dim:
        raise DatasetError(f"{path}: test rows have {dataset.test.shape[1]} numbers, base {dim}")
    if len(dataset.neighbors) != len(dataset.test):
        raise DatasetError(
            f"{path}: {len(dataset.neighbors)} rows of neighbors, {len(dataset.test)} queries"
        )
    if dataset.neighbors.size and not 0 <= dataset.neighbors.min() <= dataset.neighbors.max() < n:
        raise DatasetError(f"{path}: a true neighbor is not among the {n} base rows")


def read_hdf5(path: Path) -> Dataset:
    import h5py

    with h5py.File(path, "r") as file:
        for key in ("train", "test", "neighbors"):
            if key not in file:
                raise DatasetError(f"{path}: no {key!r} in it")
        return Dataset(
            name=path.stem,
            metric=metric_of(file.attrs["distance"]),
            base=np.ascontiguousarray(file["train"][:], np.float32),
            test=np.ascontiguousarray(file["test"][:], np.float32),
            neighbors=file["neighbors"][:].astype(np.int64),
        )


def read_toml(path: Path) -> Dataset:
    """What `index-tools datasets generate` writes: `metric`, and the names of files beside it in a
    table `files`. The set is called `name`, else as its folder is. Truth may be missing, as filters
    need none."""
    try:
        keys = tomllib.loads(path.read_text())
    except ValueError as error:
        raise DatasetError(f"{path}: {error}") from error
    files = keys.get("files", {})
    for key in ("base", "test"):
        if key not in files:
            raise DatasetError(f"{path}: no key {key!r} in [files]")
    if "metric" not in keys:
        raise DatasetError(f"{path}: no key 'metric'")
    test = np.ascontiguousarray(read_rows(path.parent / files["test"]), np.float32)
    truth = files.get("truth_ids")
    neighbors = np.empty((len(test), 0)) if truth is None else read_rows(path.parent / truth)
    return Dataset(
        name=str(keys.get("name", path.absolute().parent.name)),
        metric=metric_of(keys["metric"]),
        base=np.ascontiguousarray(read_rows(path.parent / files["base"]), np.float32),
        test=test,
        neighbors=neighbors.astype(np.int64),
    )


def read_rows(path: str | Path) -> np.ndarray:
    """Rows of a `.npy` or of a big-ann file: u32 count, u32 width, then the rows. A `.ibin` of ids
    may have as many distances behind them, which are not read."""
    path = Path(path)
    if path.suffix == ".npy":
        try:
            return np.load(path, mmap_mode="r")
        except ValueError as error:
            raise DatasetError(f"{path}: {error}") from error
    if path.suffix not in BIN_TYPES:
        raise DatasetError(f"{path}: neither .npy nor one of {sorted(BIN_TYPES)}")
    dtype = np.dtype(BIN_TYPES[path.suffix])
    head = np.fromfile(path, np.uint32, 2)
    if len(head) < 2:
        raise DatasetError(f"{path}: too short for its header")
    count, width = (int(number) for number in head)
    expected = 8 + count * width * dtype.itemsize
    size = path.stat().st_size
    if size != expected and not (path.suffix == ".ibin" and size == 2 * expected - 8):
        raise DatasetError(f"{path}: {size} bytes, its header says {expected}")
    return np.memmap(path, dtype, "r", 8, (count, width))


def wrap(base: Path, test: Path, metric: str, out: Path, neighbors: Path | None, k: int) -> None:
    """Writes an ann-benchmarks HDF5 file, whole or not at all; neighbors are computed where none
    are given."""
    import h5py

    from .recall import exact, true_distances

    metric = metric_of(metric)
    rows = np.ascontiguousarray(read_rows(base), np.float32)
    queries = np.ascontiguousarray(read_rows(test), np.float32)
    none = np.empty((len(queries), 0))
    ids = np.asarray(none if neighbors is None else read_rows(neighbors), np.int64)
    check(Dataset(base.stem, metric, rows, queries, ids), base)
    if neighbors is None:
        ids, distances = exact(rows, queries, metric, k)
    else:
        distances = true_distances(rows, queries, ids, metric)
    partial = out.with_name(out.name + ".partial")
    with h5py.File(partial, "w") as file:
        file.attrs.update(
            distance=HDF5_NAMES[metric],
            dimension=rows.shape[1],
            type="dense",
            point_type="float",
        )
        file["train"], file["test"] = rows, queries
        file["neighbors"] = ids.astype(np.int32)
        file["distances"] = distances.astype(np.float32)
    partial.rename(out)
