"""Qdrant's engine in this process (qdrant-edge-py): it evaluates filters itself, on indexes of the
attributes, and decides itself between its graph, the edges that it adds for values of attributes,
and a scan. `qdrant-edge-acorn` has the search parameter ACORN beside, on the same index.

M 16, `ef_construct` 100 and `full_scan_threshold` 10,000 KB are its server's defaults. One segment,
as its optimizer leaves it; the threshold from which it builds a graph is lowered, so that small
sets have one. One searching thread.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np

from ..predicates import Attributes, FilterError, asked, parts
from .filtered import FilteredPeer

BATCH = 10_000
INDEXING_KIB = 100
SEGMENT_KIB = 1 << 30
KINDS = {"text": "Keyword", "tags": "Keyword", "i64": "Integer", "f64": "Float", "bool": "Integer"}
"""0.9.0 of the package takes a boolean that is asked for as an integer, and finds none."""


class QdrantEdge(FilteredPeer):
    name, package, module = "qdrant-edge", "qdrant-edge-py", "qdrant_edge"
    index_name, needs_attributes, acorn = "qdrant-edge", True, False

    def builds(self, n, dim, metric, quick):
        return [{"M": 16, "ef_construction": 100, "full_scan_threshold": 10_000}]

    def _config(self, dim, metric, params, threads):
        import qdrant_edge as q

        distance = {"l2": q.Distance.Euclid, "ip": q.Distance.Dot, "cosine": q.Distance.Dot}
        return q.EdgeConfig(
            vectors=q.EdgeVectorParams(size=dim, distance=distance[metric]),
            hnsw_config=q.HnswIndexConfig(
                m=params["M"],
                ef_construct=params["ef_construction"],
                full_scan_threshold=params["full_scan_threshold"],
                max_indexing_threads=threads,
            ),
            optimizers=q.EdgeOptimizersConfig(
                default_segment_number=1,
                indexing_threshold=INDEXING_KIB,
                max_segment_size=SEGMENT_KIB,
            ),
            max_search_threads=1,
            wal_enabled=False,
        )

    def build(self, base, metric, threads, params):
        import qdrant_edge as q

        held = params["attributes"]
        attributes = Attributes(Path(held["file"]), len(base), set(held["names"]))
        self.folder = Path(tempfile.mkdtemp(prefix="qdrant"))
        shard = q.EdgeShard.create(
            str(self.folder), self._config(base.shape[1], metric, params, threads)
        )
        for name in held["names"]:
            kind = getattr(q.PayloadSchemaType, KINDS[attributes[name].kind])
            shard.update(q.UpdateOperation.create_field_index(name, kind))
        for start in range(0, len(base), BATCH):
            rows, records = base[start : start + BATCH], attributes.records(start, start + BATCH)
            points = [
                q.Point(start + at, row, payload(record))
                for at, (row, record) in enumerate(zip(rows.tolist(), records, strict=True))
            ]
            shard.update(q.UpdateOperation.upsert_points(points))
        shard.optimize()
        shard.flush()
        if not indexed(shard):
            raise FilterError("not all items are in a graph")
        shard.close()

    def save(self, folder):
        shutil.copytree(self.folder, folder / "shard")
        shutil.rmtree(self.folder)

    def load(self, folder, n, dim, metric, params, base):
        import qdrant_edge as q

        self.shard = q.EdgeShard.load(str(folder / "shard"), self._config(dim, metric, params, 1))

    def prepare(self, group):
        import qdrant_edge as q

        super().prepare(group)
        filters = [translated(filter) for filter in group.filters]
        self.filters = [filters[number] for number in group.filter]
        for at, own in enumerate(group.own):
            if len(own):
                mine = q.HasIdCondition(set(own.tolist()))
                self.filters[at] = q.Filter(must=[self.filters[at]], must_not=[mine])
        self.nearest = [q.Query.Nearest(vector) for vector in group.vectors.tolist()]

    def set(self, params):
        import qdrant_edge as q

        acorn = q.AcornSearchParams(enable=True) if self.acorn else None
        self.params = q.SearchParams(hnsw_ef=params["ef"], acorn=acorn)
        self.requests: tuple[int, list] = (0, [])

    def run(self, count, k):
        import qdrant_edge as q

        if self.requests[0] != k:
            asked = zip(self.nearest, self.filters, strict=True)
            self.requests = (
                k,
                [
                    q.QueryRequest(query=query, limit=k, filter=filter, params=self.params)
                    for query, filter in asked
                ],
            )
        return super().run(count, k)

    def search_at(self, at, k):
        return self.shard.query(self.requests[1][at])

    def answers(self, found, k):
        out = np.full((len(found), k), -1, np.int64)
        for at, points in enumerate(found):
            out[at, : len(points)] = [point.id for point in points]
        return out


class QdrantEdgeAcorn(QdrantEdge):
    name, acorn = "qdrant-edge-acorn", True


def payload(record: dict) -> dict:
    return {name: int(v) if isinstance(v, bool) else v for name, v in record.items()}


def indexed(shard) -> bool:
    info = shard.info()
    return info.indexed_vectors_count == info.points_count


def translated(filter: dict):
    """Qdrant's filter for one of ours."""
    import qdrant_edge as q

    found = condition(filter)
    return found if isinstance(found, q.Filter) else q.Filter(must=[found])


def condition(filter: dict):
    """A condition, or a filter, which is one too."""
    import qdrant_edge as q

    word, about = parts(filter)
    if word == "and":
        # What is denied stands beside what is asked for, as people write it for Qdrant.
        denied = [parts(f)[1] for f in about if parts(f)[0] == "not"]
        wanted = [condition(f) for f in about if parts(f)[0] != "not"]
        return q.Filter(must=wanted or None, must_not=[condition(f) for f in denied] or None)
    if word == "or":
        return q.Filter(should=[condition(f) for f in about]) if about else nothing()
    if word == "not":
        return q.Filter(must_not=[condition(about)])
    if word == "ids":
        return q.HasIdCondition(set(about))
    if word == "exclude":
        return q.Filter(must_not=[q.HasIdCondition(set(about["ids"]))])
    if word == "is_null":
        return q.IsNullCondition(about)
    return comparison(word, *asked(about))


def nothing():
    import qdrant_edge as q

    return q.HasIdCondition(set())


def comparison(word: str, name: str, value):
    import qdrant_edge as q

    if word in ("eq", "has"):
        return equal(name, value)
    if word == "ne":
        return q.Filter(must_not=[equal(name, value), q.IsNullCondition(name)])
    if word in ("in", "has_any"):
        if not value:
            return nothing()
        if any(isinstance(v, float | bool) for v in value):
            return q.Filter(should=[equal(name, v) for v in value])
        return q.FieldCondition(name, match=q.MatchAny(value))
    if word == "has_all":
        present = {"must_not": [q.IsNullCondition(name)]}
        return q.Filter(must=[equal(name, v) for v in value]) if value else q.Filter(**present)
    if word == "range":
        return q.FieldCondition(name, range=q.RangeFloat(**value))
    raise FilterError(f"Qdrant is not asked for {word!r}")


def equal(name: str, value):
    import qdrant_edge as q

    if isinstance(value, float):
        return q.FieldCondition(name, range=q.RangeFloat(gte=value, lte=value))
    if isinstance(value, bool):
        value = int(value)
    return q.FieldCondition(name, match=q.MatchValue(value))
