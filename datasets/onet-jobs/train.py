"""Trains the two-tower model of onet-jobs and writes the committed artefacts.

    python train.py --onet DIR [--out DIR]

`DIR` holds the O*NET 27.0 text files, each compressed with gzip. The README beside this file
says what is built and why. The same machine and the same versions give the same bytes.
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from torch import nn

import onet
from onet import Member, Onet
from towers import BUCKETS, Batch, Lexicon, Tower

SEED = 27
LEARN_MEMBERS, TEST_MEMBERS = 4000, 2000
CUT = 100  # depth of the shortlist that is judged


@dataclass
class Settings:
    """How the towers are shaped and trained."""

    dim: int = 64
    width: int = 128  # of the hashed embeddings
    hidden: int = 256
    dropout: float = 0.2
    batch: int = 1024  # members a step, each with one title
    extra: int = 1024  # more titles a step, drawn evenly from all, as negatives
    steps: int = 900
    rate: float = 6e-3  # peak of the one-cycle schedule
    related: float = 0.25  # share of positives that are a related occupation's title
    power: float = 0.5  # an occupation is drawn with (its number of titles) ^ power


def _pick(values, rng: np.random.Generator):
    # Several times faster than rng.choice for one value.
    return values[rng.integers(len(values))]


class Sampler:
    """Draws (tasks, title) pairs, and knows how likely each title is to be in a batch."""

    def __init__(self, data: Onet, pool: dict[str, list[int]], s: Settings):
        self.s, self.titles = s, len(data.items)
        names = list(pool)
        row = {o: i for i, o in enumerate(names)}
        self.pool = [np.array(pool[o]) for o in names]
        self.items = [np.array(data.occupation_items[o]) for o in names]
        self.related = [[row[r] for r in data.related[o] if r in row] for o in names]
        weight = np.array([len(i) for i in self.items]) ** s.power
        self.occupation = weight / weight.sum()
        positive = np.zeros(self.titles)
        for p, own, related in zip(self.occupation, self.items, self.related):
            positive[own] += (1 - s.related) * p / len(own)
            for r in related:
                positive[self.items[r]] += s.related * p / len(related) / len(self.items[r])
        q = (s.batch * positive + s.extra / self.titles) / (s.batch + s.extra)
        self.log_q = torch.from_numpy(np.log(q).astype(np.float32))

    def draw(self, rng: np.random.Generator) -> tuple[list[np.ndarray], np.ndarray]:
        """Task groups, and the titles: one for each group, then the extra ones."""
        low, high = onet.TASKS_PER_MEMBER
        groups, titles = [], rng.integers(0, self.titles, self.s.batch + self.s.extra)
        for i, o in enumerate(rng.choice(len(self.pool), self.s.batch, p=self.occupation)):
            groups.append(rng.permutation(self.pool[o])[: rng.integers(low, high + 1)])
            if rng.random() < self.s.related:
                o = _pick(self.related[o], rng)
            titles[i] = _pick(self.items[o], rng)
        return groups, titles


class Model:
    """Both towers over one table of hashed embeddings, and the texts they read."""

    def __init__(self, data: Onet, trained_tasks: set[int], s: Settings):
        titles = [item.title for item in data.items]
        known = titles + [data.tasks[t] for t in sorted(trained_tasks)]
        self.lexicon = Lexicon(titles + data.tasks, known)
        self.titles, self.tasks = self.lexicon.bags(titles), self.lexicon.bags(data.tasks)
        table = nn.EmbeddingBag(BUCKETS, s.width, mode="sum")
        nn.init.normal_(table.weight, std=s.width**-0.5)
        self.member = Tower(table, s.hidden, s.dim, s.dropout)
        self.job = Tower(table, s.hidden, s.dim, s.dropout)

    def task_batch(self, groups: list) -> Batch:
        return self.lexicon.batch(self.tasks, groups)

    def title_batch(self, titles: np.ndarray) -> Batch:
        return self.lexicon.batch(self.titles, [[t] for t in titles])

    def member_vectors(self, members: list[Member]) -> np.ndarray:
        """[members, dim] f16"""
        return _encode(self.member, self.task_batch, [m.tasks for m in members])

    def item_vectors(self) -> np.ndarray:
        """[items, dim] f16"""
        return _encode(self.job, self.title_batch, np.arange(len(self.titles.start) - 1))


def _encode(tower: Tower, batch, rows) -> np.ndarray:
    tower.eval()
    with torch.no_grad():
        parts = [tower(batch(rows[i : i + 2048])) for i in range(0, len(rows), 2048)]
    return torch.cat(parts).numpy().astype(np.float16)


def train(data: Onet, tasks: set[int], s: Settings, rng: np.random.Generator) -> Model:
    """In-batch sampled softmax, with log-Q correction and evenly drawn extra negatives."""
    sampler = Sampler(data, onet.pools(data, tasks, least=1), s)
    model = Model(data, tasks, s)
    # The table is shared, so each parameter is listed once.
    parameters = dict.fromkeys([*model.member.parameters(), *model.job.parameters()])
    optimizer = torch.optim.Adam(list(parameters), lr=s.rate, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, s.rate, s.steps, pct_start=0.1)
    target = torch.arange(s.batch)
    begun, total = time.monotonic(), 0.0
    for step in range(1, s.steps + 1):
        groups, titles = sampler.draw(rng)
        columns = torch.from_numpy(titles)
        dot = model.member(model.task_batch(groups)) @ model.job(model.title_batch(titles)).T
        logits = dot - sampler.log_q[columns]
        # A row's own title is no negative of it, however often the batch drew it.
        again = columns[: s.batch, None] == columns[None]
        again[target, target] = False
        loss = nn.functional.cross_entropy(logits.masked_fill(again, -torch.inf), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        total += loss.item()
        if step % 100 == 0:
            seconds = time.monotonic() - begun
            print(f"step {step}/{s.steps}  loss {total / 100:.4f}  {seconds:.0f} s", flush=True)
            total = 0.0
    return model


def shortlist(members: np.ndarray, items: np.ndarray) -> np.ndarray:
    """The CUT items of largest dot product, best first, shape [members, CUT]."""
    queries, base = (torch.from_numpy(x.astype(np.float32)) for x in (members, items))
    return (queries @ base.T).topk(CUT, dim=1).indices.numpy()


def tfidf_shortlist(data: Onet, members: list[Member], known: set[int]) -> np.ndarray:
    """The baseline: cosine of TF-IDF character n-grams, a member's tasks against titles."""
    titles = [item.title for item in data.items]
    tfidf = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True)
    tfidf.fit(titles + [data.tasks[t] for t in sorted(known)])
    queries = tfidf.transform([" ".join(data.tasks[t] for t in m.tasks) for m in members])
    base, top = tfidf.transform(titles).T.tocsr(), []
    for query in queries:
        top.append(np.argsort(-(query @ base).toarray()[0], kind="stable")[:CUT])
    return np.array(top)


def metrics(data: Onet, members: list[Member], top: np.ndarray) -> dict[str, float]:
    """Means over members; the README gives the formulas."""
    discount = 1 / np.log2(np.arange(2, CUT + 2))
    rows = []
    for member, items in zip(members, top):
        grade = onet.grades(data, member.occupation)
        gain = 2.0**grade - 1
        ideal = (np.sort(gain)[::-1][:CUT] * discount).sum()
        first = grade[items[:10]]
        rows.append(
            {
                "NDCG@100": (gain[items] * discount).sum() / ideal,
                "precision@10": (first > 0).mean(),
                "hit rate@10": (first > 0).any(),
                "precision@10, same": (first == onet.SAME).mean(),
                "hit rate@10, same": (first == onet.SAME).any(),
            }
        )
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def check_split(split: dict[str, set[int]], learn: list[Member], test: list[Member]) -> None:
    """No task of a test member was trained on or is in a learn member, nor a learn member's
    trained on. Tasks are rows of distinct texts, so equal text cannot hide."""
    of_test, of_learn = ({t for m in ms for t in m.tasks} for ms in (test, learn))
    assert of_test.isdisjoint(split["train"]) and of_test.isdisjoint(of_learn)
    assert of_learn.isdisjoint(split["train"])


def _write(path: Path, fields: dict[str, tuple[pa.DataType, list]], delta: str = "") -> None:
    """`delta` names a list column of ascending numbers."""
    schema = pa.schema([pa.field(n, k, n == "job_zone") for n, (k, _) in fields.items()])
    arrays = [pa.array(values, kind) for kind, values in fields.values()]
    leaf = f"{delta}.list.element"
    options = {"use_dictionary": True}
    if delta:
        options = {"use_dictionary": False, "column_encoding": {leaf: "DELTA_BINARY_PACKED"}}
    table = pa.Table.from_arrays(arrays, schema=schema)
    pq.write_table(table, path, compression="zstd", compression_level=19, **options)


def write_items(out: Path, data: Onet, vectors: np.ndarray) -> None:
    """An item's id is its row."""
    np.save(out / "items.f16.npy", vectors)
    items, strings = data.items, pa.list_(pa.string())
    fields = {
        "item_id": (pa.uint64(), range(len(items))),
        "title": (pa.string(), [i.title for i in items]),
        "occupations": (strings, [i.occupations for i in items]),
        "major_groups": (strings, [i.major_groups for i in items]),
        "job_zone": (pa.int32(), [i.job_zone for i in items]),
        "hot_technologies": (strings, [i.hot_technologies for i in items]),
        "title_words": (strings, [i.words for i in items]),
    }
    _write(out / "items.parquet", fields)


def write_members(
    out: Path, name: str, data: Onet, members: list[Member], first: int, vectors: np.ndarray
) -> None:
    np.save(out / f"{name}.f16.npy", vectors)
    fields = {
        "member_id": (pa.uint64(), range(first, first + len(members))),
        "occupation": (pa.string(), [m.occupation for m in members]),
        "occupation_title": (pa.string(), [data.occupation_title[m.occupation] for m in members]),
        "tasks": (pa.list_(pa.string()), [[data.tasks[t] for t in m.tasks] for m in members]),
    }
    _write(out / f"{name}.parquet", fields)


def write_relevance(out: Path, data: Onet, members: list[Member]) -> None:
    grade = [onet.grades(data, m.occupation) for m in members]
    rows = [np.flatnonzero(g) for g in grade]
    fields = {
        "query": (pa.uint32(), range(len(members))),
        "item_ids": (pa.list_(pa.uint64()), rows),
        "grades": (pa.list_(pa.uint8()), [g[r] for g, r in zip(grade, rows)]),
    }
    _write(out / "relevance.parquet", fields, delta="item_ids")


def report(data: Onet, members: dict, vectors: dict, items: np.ndarray, known: set[int]) -> None:
    """Prints the figures of the README and a few test members with their top titles."""
    for name in ("items", "learn", "test"):
        rows = items if name == "items" else vectors[name]
        spread = np.percentile(np.linalg.norm(rows.astype(np.float32), axis=1), [0, 5, 50, 95, 100])
        print(f"norms of {name}: min, 5 %, median, 95 %, max", *(f"{x:.2f}" for x in spread))
    rng = np.random.default_rng(SEED)
    for name, rows in members.items():
        tops = {
            "two towers": shortlist(vectors[name], items),
            "TF-IDF": tfidf_shortlist(data, rows, known),
            "random": rng.integers(0, len(items), (len(rows), CUT)),
        }
        for method, top in tops.items():
            figures = metrics(data, rows, top)
            print(name, method, *(f"{k} {v:.4f}" for k, v in figures.items()), sep="  ")
    for member, top in zip(members["test"][:8], shortlist(vectors["test"], items)):
        grade = onet.grades(data, member.occupation)
        print(f"\n{data.occupation_title[member.occupation]}")
        print(*(f"  - {data.tasks[t]}" for t in member.tasks), sep="\n")
        print("  =>", "; ".join(f"{data.items[i].title} ({grade[i]})" for i in top[:10]))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--onet", type=Path, required=True, help="folder of the O*NET text")
    arguments.add_argument("--out", type=Path, default=Path(__file__).parent)
    options = arguments.parse_args()
    torch.set_num_threads(2)
    torch.manual_seed(SEED)
    rng = np.random.default_rng(SEED)

    data = onet.read(options.onet)
    split = onet.split_tasks(data, rng)
    least = onet.TASKS_PER_MEMBER[0]
    test = onet.draw_members(onet.pools(data, split["test"], least), TEST_MEMBERS, rng)
    learn = onet.draw_members(onet.pools(data, split["learn"], least), LEARN_MEMBERS, rng)
    check_split(split, learn, test)
    print(len(data.items), "items,", {k: len(v) for k, v in split.items()}, "distinct tasks")
    model = train(data, split["train"], Settings(), rng)

    items = model.item_vectors()
    vectors = {"learn": model.member_vectors(learn), "test": model.member_vectors(test)}
    options.out.mkdir(parents=True, exist_ok=True)
    write_items(options.out, data, items)
    write_members(options.out, "learn", data, learn, TEST_MEMBERS, vectors["learn"])
    write_members(options.out, "test", data, test, 0, vectors["test"])
    write_relevance(options.out, data, test)
    report(data, {"learn": learn, "test": test}, vectors, items, split["train"])


if __name__ == "__main__":
    main()
