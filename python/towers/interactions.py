"""Reads interactions and keeps what is trained on: one per user and item, all in a core."""

import gzip
import io
import itertools
import re
import zlib
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import Refused, forms

DETECTED_FROM = 100  # lines
_PLAIN = re.compile(r"0|[1-9][0-9]{0,19}")


@dataclass
class Interactions:
    """Row `i` says that user `users[i]` took item `items[i]`, both counted from 0. Items are in the
    order of their ids. `times` is all zero where the file has none."""

    users: np.ndarray
    items: np.ndarray
    times: np.ndarray
    item_ids: np.ndarray  # uint64, of each item
    item_names: list[str] | None  # None where the file's own ids are plain integers

    def __len__(self) -> int:
        return len(self.users)

    @property
    def user_count(self) -> int:
        return int(self.users.max(initial=-1)) + 1

    def only(self, rows: np.ndarray) -> "Interactions":
        """Those rows, and the users and items that are in them, counted anew in the same order."""
        users = np.unique(self.users[rows], return_inverse=True)[1]
        kept, items = np.unique(self.items[rows], return_inverse=True)
        names = None if self.item_names is None else [self.item_names[i] for i in kept]
        return Interactions(users, items, self.times[rows], self.item_ids[kept], names)

    def summary(self) -> str:
        return (
            f"{len(self):,} interactions of {self.user_count:,} users "
            f"with {len(self.item_ids):,} items"
        )


class Coder(dict):
    """Codes of strings, in the order of first sight."""

    def __missing__(self, name: str) -> int:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise ValueError(f"an id that is not UTF-8: {name!r}") from None
        self[name] = code = len(self)
        return code


def read(path: Path, form: str | None, min_rating: float | None) -> tuple[str, Interactions]:
    """The form it was read as, and every row with at least that rating."""
    try:
        with path.open("rb") as file:
            start = file.read(4)
        if form == "parquet" or (form is None and start == b"PAR1"):
            from .parquet import read_parquet

            return "parquet", read_parquet(path, min_rating)
        with _opened(path, start[:2] == b"\x1f\x8b") as file:
            return _read_text(path, file, form, min_rating)
    except (OSError, EOFError, zlib.error) as error:
        raise Refused(f"{path}: {error}") from error


@contextmanager
def _opened(path: Path, zipped: bool) -> Iterator[io.TextIOBase]:
    # What is no UTF-8 is found by `Coder`, which can name it; a line of numbers cannot have any.
    options = {"encoding": "utf-8-sig", "errors": "surrogateescape", "newline": "\n"}
    with gzip.open(path, "rt", **options) if zipped else open(path, **options) as file:
        yield file


def _read_text(
    path: Path, file: io.TextIOBase, name: str | None, min_rating: float | None
) -> tuple[str, Interactions]:
    head = [line.rstrip("\r\n") for line in itertools.islice(file, DETECTED_FROM)]
    if not any(head):
        raise Refused(f"{path}: no interactions in its first {DETECTED_FROM} lines")
    name = name or forms.detect(path, [line for line in head if line])
    form = forms.FORMS[name]
    check_rated(path, name, form.has_ratings, min_rating)
    users, items = Coder(), Coder()
    columns = array("i"), array("i"), array("d")
    try:
        for number, line in enumerate(itertools.chain(head, file), 1):
            line = line.rstrip("\r\n")
            if number == 1 and form.header:
                if line != form.header:
                    raise ValueError("another header")
            elif line:
                for user, item, rating, time in form.rows(line):
                    codes = users[user], items[item]
                    if min_rating is None or rating >= min_rating:
                        columns[0].append(codes[0])
                        columns[1].append(codes[1])
                        columns[2].append(time or 0.0)
    except ValueError as error:
        raise Refused(
            f"{path}, line {number}: expected {form.expected}, found {error} in {line[:80]!r}"
        ) from error
    kinds = (np.int32, np.int32, np.float64)
    coded = (np.frombuffer(c, kind) for c, kind in zip(columns, kinds, strict=True))
    return name, coded_interactions(path, *coded, list(items))


def check_rated(path: Path, form: str, has_ratings: bool, min_rating: float | None) -> None:
    if min_rating is not None and not has_ratings:
        raise Refused(f"{path}: --min-rating needs ratings, the form {form!r} has none")


def coded_interactions(
    path: Path, users: np.ndarray, items: np.ndarray, times: np.ndarray, names: list[str]
) -> Interactions:
    """`names[c]` is what the file calls the item of code `c`."""
    if not len(users):
        raise Refused(f"{path}: no interactions, or none with the rating asked for")
    ids = np.arange(len(names), dtype=np.uint64)
    if all(_PLAIN.fullmatch(n) for n in names) and max(map(int, names)) < 2**64:
        ids, names = np.array([int(n) for n in names], np.uint64), None
    order = np.argsort(ids)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    every = Interactions(users, rank[items], times, ids[order], names)
    return every.only(np.arange(len(users)))


def once(data: Interactions) -> Interactions:
    """Each pair of user and item once, at its latest time."""
    order = np.lexsort((data.times, data.items, data.users))
    users, items = data.users[order], data.items[order]
    last = np.append((users[1:] != users[:-1]) | (items[1:] != items[:-1]), True)
    return data.only(np.sort(order[last]))


def core(data: Interactions, k: int) -> Interactions:
    """The largest part in which every user has `k` items and every item `k` users."""
    rows = np.arange(len(data))
    while len(rows):
        users, items = data.users[rows], data.items[rows]
        kept = (np.bincount(users)[users] >= k) & (np.bincount(items)[items] >= k)
        if kept.all():
            return data.only(rows)
        rows = rows[kept]
    raise Refused(f"no user and item is left in the {k}-core; lower --core")
