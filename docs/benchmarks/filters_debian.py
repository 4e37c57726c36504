"""Makes filters over the attributes of debian-384, for `index-tools datasets generate filters
--filters`: `filters_debian.py ATTRIBUTES.parquet QUERY_ATTRIBUTES.parquet OUT.jsonl`.

Each of the first `--queries` queries is a package: it is asked within its own section, within another
one, by one of its tags and by tags of others, below and above sizes, by dependencies and
architecture, by `and`, `or` and `not` of those.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

SHARES = (0.5, 0.1, 0.01, 0.001, 0.0001)
SIZES = ("size_bytes", "installed_kib", "depends_count")


def filters(rng, items, query, ordered, tags):
    """Shape and filter of each that one query is asked with."""
    sections = items["section"]
    other = sections[rng.integers(len(sections))]
    while other == query["section"]:
        other = sections[rng.integers(len(sections))]
    own = {"eq": {"section": query["section"]}}
    field = SIZES[rng.integers(len(SIZES))]
    yield "own section", own
    yield "other section", {"eq": {"section": other}}
    yield "architecture", {"eq": {"arch_independent": query["arch_independent"]}}
    yield "not own section", {"not": own}
    yield "or", {"or": [own, {"eq": {"section": other}}]}
    for share in SHARES:
        numbers = ordered[field]
        count = max(1, round(share * len(numbers)))
        first = rng.integers(len(numbers) - count + 1)
        window = {"gte": int(numbers[first]), "lte": int(numbers[first + count - 1])}
        yield "range", {"range": {field: window}}
        yield "and range", {"and": [own, {"range": {field: window}}]}
    if query["tags"]:
        tag = query["tags"][rng.integers(len(query["tags"]))]
        yield "own tag", {"has": {"tags": tag}}
        yield "and", {"and": [{"has": {"tags": tag}}, {"not": own}]}
    some = [tags[rng.integers(len(tags))] for _ in range(3)]
    yield "other tag", {"has": {"tags": some[0]}}
    yield "any tag", {"has_any": {"tags": sorted(set(some))}}
    yield "no tags", {"not": {"has_any": {"tags": sorted(set(some))}}}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("attributes", type=Path)
    parser.add_argument("query_attributes", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--queries", type=int, default=400)
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    items = pq.read_table(args.attributes).to_pydict()
    queries = pq.read_table(args.query_attributes).to_pylist()[: args.queries]
    ordered = {field: sorted(items[field]) for field in SIZES}
    # Each as often as items have it.
    tags = [tag for tags in items["tags"] for tag in tags]
    lines = [
        {"shape": shape, "filter": filter, "queries": [row]}
        for row, query in enumerate(queries)
        for shape, filter in filters(rng, items, query, ordered, tags)
    ]
    args.out.write_text("".join(json.dumps(line) + "\n" for line in lines))


if __name__ == "__main__":
    main()
