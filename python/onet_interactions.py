"""Makes interactions of O*NET: which occupation uses which technology.

    python onet_interactions.py --onet DIR --out FILE

`DIR` holds the O*NET text files, each compressed with gzip. Users are occupations, items the
software and tools that O*NET names for them. Of all pairs in O*NET these are the ones from which
something can be learned: a technology has several occupations and an occupation has dozens of
technologies, and occupations that do alike work share them. Of 42,877 job titles 15 % have more
than one occupation, of 17,964 tasks fewer, so next to nothing of them is left in a core.
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
