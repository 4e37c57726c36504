"""Makes a workload of filters that have nothing to do with the vectors, in the format of
docs/benchmarks-workloads.md: `filters_uniform.py BASE.npy TEST.npy METRIC FOLDER`.

Items get labels drawn evenly from 2, 5, 5 others, 10, 100 and 1,000, and a number from 0 to 1. A
group is asked of the first 1,000 queries: one label at 50, 20, 10, 1 and 0.1 %; `and` of two of the
labels from five, 4 %; a `range` of half the numbers; `not` one label from five, 80 %. `--queries`
asks fewer, `--k` keeps other than 100 true neighbors.
"""

import argparse
import json
from itertools import product
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

LABELS = {"two": 2, "five": 5, "other": 5, "ten": 10, "hundred": 100, "thousand": 1000}
MOST = 16
"""Filters of a group."""
WINDOW = 0.5
BLOCK = 1 << 26
"""Scores that are held at a time."""
SPARE = 32
"""Candidates beyond k that are ordered anew in float64."""


def equal(name, value):
    return {"eq": {name: f"{name}-{value}"}}


def groups(rng, labels, number):
    """Shape, selectivity, filters, and what passes each."""
    for name, count in LABELS.items():
        if name != "other":
            values = rng.permutation(count)[:MOST]
            yield (
                "random",
                1 / count,
                [(equal(name, v), labels[name] == v) for v in values],
            )
    pairs = rng.permutation(list(product(range(5), range(5))))[:MOST]
    yield (
        "and",
        1 / 25,
        [
            (
                {"and": [equal("five", a), equal("other", b)]},
                (labels["five"] == a) & (labels["other"] == b),
            )
            for a, b in pairs
        ],
    )
    starts = [float(start) for start in rng.random(MOST) * (1 - WINDOW)]
    yield (
        "range",
        WINDOW,
        [
            (
                {"range": {"number": {"gte": start, "lt": start + WINDOW}}},
                (number >= start) & (number < start + WINDOW),
            )
            for start in starts
        ],
    )
    yield (
        "not",
        0.8,
        [({"not": equal("five", v)}, labels["five"] != v) for v in range(5)],
    )


def distances(rows, query, metric):
    """Of some rows, as the format has them, in float64."""
    rows, query = rows.astype(np.float64), query.astype(np.float64)
    if metric == "l2":
        return ((rows - query) ** 2).sum(axis=1)
    dots = rows @ query
    if metric == "ip":
        return -dots
    return 1 - dots / (np.linalg.norm(rows, axis=1) * np.linalg.norm(query))


def nearest(base, query, scores, ids, metric, k):
    """The k nearest of `ids`, whose scores pick candidates."""
    wide = min(len(ids), k + SPARE)
    candidates = ids[np.argpartition(scores, len(ids) - wide)[len(ids) - wide :]]
    found = distances(base[candidates], query, metric)
    order = np.lexsort((candidates, found))[:k]
    return candidates[order], found[order]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("metric", choices=("l2", "ip", "cosine"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--k", type=int, default=100)
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    base, test = np.load(args.base), np.load(args.test)
    (n, dim), count, k = base.shape, min(args.queries, len(test)), args.k
    rng = np.random.default_rng(args.seed)
    labels = {name: rng.integers(0, values, n) for name, values in LABELS.items()}
    number = rng.random(n)
    asked = list(groups(rng, labels, number))

    lines, row = [], 0
    for shape, selectivity, filters in asked:
        for at, (filter, passes) in enumerate(filters):
            queries = list(range(at, count, len(filters)))
            if queries:
                head = {"shape": shape, "selectivity": selectivity, "filter": filter}
                lines.append(({**head, "queries": queries}, np.flatnonzero(passes), row))
                row += len(queries)
    ids = np.full((row, k), -1, np.int32)
    far = np.full((row, k), np.inf, np.float32)
    matches = np.empty((row, 1), np.int32)
    for line, passing, first in lines:
        matches[first : first + len(line["queries"])] = len(passing)
    # Scores that grow as items get nearer.
    lengths = np.einsum("nd,nd->n", base, base)
    for start in range(0, count, step := max(1, BLOCK // n)):
        block = test[start : start + step]
        scores = block @ base.T
        if args.metric == "l2":
            scores -= lengths / 2
        elif args.metric == "cosine":
            scores /= np.sqrt(lengths)
        for line, passing, first in lines:
            for at, query in enumerate(line["queries"]):
                if not 0 <= (place := query - start) < len(block):
                    continue
                mine = scores[place, passing]
                found = nearest(base, test[query], mine, passing, args.metric, k)
                ids[first + at, : len(found[0])], far[first + at, : len(found[0])] = found

    args.folder.mkdir(parents=True, exist_ok=True)
    table = {"item_id": np.arange(n, dtype=np.uint64), "number": number}
    for name, values in labels.items():
        words = pa.array([f"{name}-{value}" for value in range(LABELS[name])])
        table[name] = pa.DictionaryArray.from_arrays(pa.array(values, pa.int32()), words).cast(
            "string"
        )
    pq.write_table(pa.table(table), args.folder / "attributes.parquet")
    text = "".join(json.dumps(line) + "\n" for line, _, _ in lines)
    (args.folder / "filters.jsonl").write_text(text)
    for name, values in (("ids", ids), ("distances", far), ("matches", matches)):
        np.save(args.folder / f"truth-{name}.npy", values)
    keys = {
        "schema": 1,
        "name": args.folder.absolute().name,
        "writer": "filters_uniform.py",
    }
    keys |= {"metric": args.metric, "n": n, "dim": dim, "queries": len(test), "k": k}
    keys |= {"seed": args.seed}
    text = "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())
    (args.folder / "workload.toml").write_text(text)


if __name__ == "__main__":
    main()
