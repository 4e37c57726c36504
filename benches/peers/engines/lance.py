"""LanceDB in this process: it evaluates filters itself, on indexes of the attributes, before it
searches (`prefilter`). `lancedb` has IVF-PQ, which its documentation advises under filters: a
partition to 4,096 rows, a byte to 4 components, answers refined with the vectors as they are.
`lancedb-hnsw` has a graph over 8-bit codes to a million rows. The rest are its defaults. A call goes
through its Python and its runtime, all of it on one processor.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa

from ..predicates import Attributes, FilterError, asked, names, parts
from .base import EF, widths
from .filtered import FilteredPeer

ID = "item_id"
PROBES = (5, 10, 20, 40, 80, 160, 320)
REFINE = (2, 5, 10, 30)
GRAPH = ("num_partitions", "m", "ef_construction")
SIDES = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


class Lance(FilteredPeer):
    name, package, module = "lancedb", "lancedb", "lancedb"
    needs_attributes = True

    def builds(self, n, dim, metric, quick):
        return [{"num_partitions": max(1, n // 4096), "dims_per_code": 4}]

    def ladders(self, build, n, metric, k):
        steps = [probes for probes in PROBES if probes <= build["num_partitions"]] or [1]
        return [[{"nprobes": p, "refine_factor": r} for p in steps] for r in REFINE]

    def config(self, build: dict, dim: int, distance: str):
        import lancedb.index as index

        return index.IvfPq(
            distance_type=distance,
            num_partitions=build["num_partitions"],
            num_sub_vectors=max(1, dim // build["dims_per_code"]),
        )

    def build(self, base, metric, threads, params):
        import lancedb
        import lancedb.index as index

        kinds = {"text": index.Bitmap, "tags": index.LabelList, "bool": index.Bitmap}
        held = params["attributes"]
        attributes = Attributes(Path(held["file"]), len(base), set(held["names"]))
        flat = pa.array(np.ascontiguousarray(base, np.float32).reshape(-1))
        columns = {
            ID: pa.array(np.arange(len(base))),
            "vector": pa.FixedSizeListArray.from_arrays(flat, base.shape[1]),
            **{name: plain(attributes, name) for name in held["names"]},
        }
        fields = [
            pa.field(name, values.type, nullable=values.null_count > 0)
            for name, values in columns.items()
        ]
        self.folder = Path(tempfile.mkdtemp(prefix="lance"))
        data = pa.table(list(columns.values()), schema=pa.schema(fields))
        table = lancedb.connect(self.folder).create_table("items", data)
        distance = "l2" if metric == "l2" else "dot"
        table.create_index("vector", config=self.config(params, base.shape[1], distance))
        table.create_index(ID, config=index.BTree())
        for name in held["names"]:
            table.create_index(name, config=kinds.get(attributes[name].kind, index.BTree)())

    def save(self, folder):
        shutil.copytree(self.folder, folder / "items")
        shutil.rmtree(self.folder)

    def load(self, folder, n, dim, metric, params, base):
        # Its runtime has several threads, so it gets a processor in place of a thread, before it starts.
        os.environ |= {"LANCE_CPU_THREADS": "1", "TOKIO_WORKER_THREADS": "1"}
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        import lancedb

        self.table = lancedb.connect(folder / "items").open_table("items")
        self.nullable = {field.name for field in self.table.schema if field.nullable}

    def prepare(self, group):
        super().prepare(group)
        filters = [self.translated(filter) for filter in group.filters]
        self.filters = [filters[number] for number in group.filter]
        for at, own in enumerate(group.own):
            if len(own):
                self.filters[at] = f"({self.filters[at]}) AND {ID} NOT IN {listed(own.tolist())}"

    def set(self, params):
        self.params = params

    def search_at(self, at, k):
        query = self.table.search(self.group.vectors[at]).where(self.filters[at], prefilter=True)
        for name, value in self.params.items():
            query = getattr(query, name)(value)
        return query.limit(k).select([ID, "_distance"]).to_arrow()

    def answers(self, found, k):
        out = np.full((len(found), k), -1, np.int64)
        for at, rows in enumerate(found):
            out[at, : len(rows)] = rows[ID].to_numpy()
        return out

    def translated(self, filter: dict) -> str:
        """A condition in SQL, which is never null where we say true or false."""
        word, about = parts(filter)
        if word in ("and", "or"):
            every = [f"({self.translated(f)})" for f in about]
            return f" {word.upper()} ".join(every) or ("true" if word == "and" else "false")
        if word == "not":
            inner = self.translated(about)
            unknown = names(about) & self.nullable
            return f"NOT coalesce({inner}, false)" if unknown else f"NOT ({inner})"
        if word == "ids":
            return one_of(ID, about)
        if word == "exclude":
            return f"NOT ({one_of(ID, about['ids'])})"
        if word == "is_null":
            return f"`{about}` IS NULL"
        return comparison(word, *asked(about))


class LanceHnsw(Lance):
    name = "lancedb-hnsw"

    def builds(self, n, dim, metric, quick):
        parts = max(1, n // (1 << 20))
        return [{"num_partitions": parts, "m": 20, "ef_construction": 300}]

    def ladders(self, build, n, metric, k):
        # A list has to hold what is refined.
        return [[{"ef": ef, "refine_factor": 2} for ef in widths(EF, 2 * k)]]

    def config(self, build, dim, distance):
        import lancedb.index as index

        return index.HnswSq(distance_type=distance, **{k: build[k] for k in GRAPH})


def plain(attributes: Attributes, name: str) -> pa.Array:
    """An attribute as LanceDB compares it: text without a dictionary, moments as microseconds."""
    values = attributes.table[name].combine_chunks()
    if pa.types.is_dictionary(values.type):
        return values.dictionary_decode()
    if pa.types.is_timestamp(values.type):
        return values.cast(pa.timestamp("us")).cast(pa.int64())
    return values


def comparison(word: str, name: str, value) -> str:
    column = f"`{name}`"
    if word == "eq":
        return f"{column} = {literal(value)}"
    if word == "ne":
        return f"{column} != {literal(value)}"
    if word == "in":
        return one_of(column, value)
    if word == "range":
        return " AND ".join(f"{column} {SIDES[side]} {literal(v)}" for side, v in value.items())
    if word == "has_all" and not value:
        return f"{column} IS NOT NULL"
    if word in ("has", "has_any", "has_all"):
        if word == "has_any" and not value:
            return "false"
        call = "array_has_all" if word == "has_all" else "array_has_any"
        each = ", ".join(map(literal, [value] if word == "has" else value))
        return f"{call}({column}, [{each}])"
    raise FilterError(f"LanceDB is not asked for {word!r}")


def one_of(column: str, values: list) -> str:
    return f"{column} IN {listed(values)}" if values else "false"


def listed(values: list) -> str:
    return f"({', '.join(map(literal, values))})"


def literal(value: object) -> str:
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return str(value).lower() if isinstance(value, bool) else repr(value)
