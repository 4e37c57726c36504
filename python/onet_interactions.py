"""Makes interactions of O*NET: which occupation uses which technology.

    python onet_interactions.py --onet DIR --out FILE

`DIR` holds the O*NET text files, each compressed with gzip. Users are occupations, items the
software and tools that O*NET names for them, as occupations that do alike work share those: 647
are named for five occupations or more, in 20,350 pairs. Other pairs have too little in common to
learn from: of 42,877 job titles 325 belong to five occupations, in 2,526 pairs, and of 17,992
tasks 56, in 914.
"""

import argparse
import csv
import gzip
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

FILE = "technology_skills.txt.gz"
USER, ITEM = "O*NET-SOC Code", "Example"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--onet", type=Path, required=True, help="folder of the O*NET text")
    arguments.add_argument("--out", type=Path, required=True, help="Parquet file to write")
    options = arguments.parse_args()
    with gzip.open(options.onet / FILE, "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    if not rows or not {USER, ITEM} <= rows[0].keys():
        sys.exit(f"error: {options.onet / FILE}: expected the columns {USER!r} and {ITEM!r}")
    users, items = [r[USER] for r in rows], [r[ITEM] for r in rows]
    pq.write_table(pa.table({"user_id": users, "item_id": items}), options.out)
    print(
        f"{len(rows):,} pairs of {len(set(users)):,} occupations, {len(set(items)):,} technologies"
    )


if __name__ == "__main__":
    main()
