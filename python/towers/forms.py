"""The forms of interaction files: what a line must look like, and which form a file has."""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from . import Refused

# user, item, rating, time; None where the form has none.
Row = tuple[str, str, float | None, float | None]


@dataclass(frozen=True)
class Form:
    """`rows` reads one line and raises ValueError, with what it found, where it cannot."""

    expected: str  # in messages
    rows: Callable[[str], Iterator[Row] | list[Row]]
    header: str = ""
    has_ratings: bool = True


def _number(text: str, what: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise ValueError(f"{what} {text!r}") from None
    if not math.isfinite(number):
        raise ValueError(f"{what} {text!r}")
    return number


def _iso(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"time {text!r}") from None
    # Without an offset it is not the local time of whoever trains.
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _ids(user: str, item: str) -> tuple[str, str]:
    if not user or not item:
        raise ValueError(f"an empty id: user {user!r}, item {item!r}")
    return user, item


def _rated(line: str, separator: str, user: int = 0, item: int = 1) -> list[Row]:
    fields = line.split(separator)
    if len(fields) != 4:
        raise ValueError(f"{len(fields)} fields")
    rating, time = _number(fields[2], "rating"), _number(fields[3], "time")
    return [(*_ids(fields[user], fields[item]), rating, time)]


def _gowalla(line: str) -> list[Row]:
    fields = line.split("\t")
    if len(fields) != 5:
        raise ValueError(f"{len(fields)} fields")
    return [(*_ids(fields[0], fields[4]), None, _iso(fields[1]))]


def _list(line: str) -> Iterator[Row]:
    user, *items = line.split()
    return ((user, item, None, None) for item in items)


def split_plain(line: str) -> list[str]:
    """At tabs where there are any, else at commas, so that names may have spaces."""
    if "\t" in line:
        return line.split("\t")
    return [field.strip() for field in line.split(",")] if "," in line else line.split()


def _pair(line: str) -> list[Row]:
    fields = split_plain(line)
    if len(fields) != 2:
        raise ValueError(f"{len(fields)} fields")
    return [(*_ids(*fields), None, None)]


def _timed_pair(line: str) -> list[Row]:
    fields = split_plain(line)
    if len(fields) != 3:
        raise ValueError(f"{len(fields)} fields")
    return [(*_ids(fields[0], fields[1]), None, _number(fields[2], "time"))]


_csv = partial(_rated, separator=",")
MOVIELENS_HEADER = "userId,movieId,rating,timestamp"
AMAZON_HEADER = "user_id,parent_asin,rating,timestamp"
FORMS = {
    "movielens-dat": Form("user::item::rating::time", partial(_rated, separator="::")),
    "movielens-u": Form("user<TAB>item<TAB>rating<TAB>time", partial(_rated, separator="\t")),
    "movielens-csv": Form(MOVIELENS_HEADER, _csv, header=MOVIELENS_HEADER),
    "gowalla": Form(
        "user<TAB>ISO time<TAB>latitude<TAB>longitude<TAB>location", _gowalla, has_ratings=False
    ),
    "lists": Form("user item item …", _list, has_ratings=False),
    "amazon": Form("user,item,rating,time", _csv),
    "amazon-items-first": Form("item,user,rating,time", partial(_csv, user=1, item=0)),
    "amazon-header": Form(AMAZON_HEADER, _csv, header=AMAZON_HEADER),
    # At tabs, commas or spaces.
    "pairs": Form("user item", _pair, has_ratings=False),
    "timed-pairs": Form("user item time", _timed_pair, has_ratings=False),
}
NAMES = [*FORMS, "parquet"]

_ISO_START = re.compile(r"\d{4}-\d\d-\d\d")
_ASIN = re.compile(r"B0[0-9A-Z]{8}")


def detect(path: Path, lines: list[str]) -> str:
    """The form's name, from the first lines of a file; they have no line ends."""
    first = lines[0]
    for name in ("movielens-csv", "amazon-header"):
        if first == FORMS[name].header:
            return name
    if "::" in first:
        return "movielens-dat"
    tabs = first.split("\t")
    if len(tabs) == 5 and _ISO_START.match(tabs[1]):
        return "gowalla"
    if len(tabs) == 4:
        return "movielens-u"
    if first.count(",") == 3 and " " not in first:
        rows = [line.split(",") for line in lines if line.count(",") == 3]
        swapped = any(_ASIN.fullmatch(a) and not _ASIN.fullmatch(b) for a, b, *_ in rows)
        return "amazon-items-first" if swapped else "amazon"
    return _detect_spaced(path, lines)


def _detect_spaced(path: Path, lines: list[str]) -> str:
    """Pairs have the same number of fields on every line, lists hardly ever."""
    widths = {len(split_plain(line)) for line in lines}
    # LightGCN's names; its sets are not always longer than two items a user.
    named_list = path.name.removesuffix(".gz") in ("train.txt", "test.txt")
    if named_list or max(widths) > 3 or len(widths) > 1:
        if not all(field.isdigit() for field in lines[0].split()):
            raise Refused(_unknown(path, lines[0]))
        return "lists"
    if widths == {2}:
        return "pairs"
    if widths == {3}:
        return "timed-pairs"
    raise Refused(_unknown(path, lines[0]))


def _unknown(path: Path, line: str) -> str:
    forms = "; ".join(f"{name}: {form.expected}" for name, form in FORMS.items())
    return f"{path}, line 1: expected one of ({forms}), found {line[:80]!r}; say which by --form"
