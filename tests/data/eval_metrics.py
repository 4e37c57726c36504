"""Writes eval_metrics.json: random answers and judgements, and what other people's programs say of them.

    pip install numpy==2.4.6 scikit-learn==1.9.1 scipy==1.17.1 ranx==0.3.21 inequality==1.1.2
    python tests/data/eval_metrics.py

| measure | by |
|---|---|
| NDCG | scikit-learn `ndcg_score` of gains 2^grade - 1; ranx `ndcg_burges`, alone for short answers |
| precision, recall | scikit-learn `precision_score`, `recall_score` over all items; ranx |
| reciprocal rank, hit rate | ranx `mrr@k`, `hit_rate@k` |
| AUC | scikit-learn `roc_auc_score`, with ties |
| diversity | scikit-learn `cosine_similarity` over all pairs |
| Gini index | PySAL `inequality.gini.Gini` |
| quantile | NumPy `percentile` |
| novelty, coverage, exposure ratio | by hand in NumPy: no maintained package has them |

Where two programs are named they are held against each other here, to 1e-12.
"""

import json
from pathlib import Path

import numpy as np
import ranx
from inequality.gini import Gini
from sklearn.metrics import ndcg_score, precision_score, recall_score, roc_auc_score
from sklearn.metrics.pairwise import cosine_similarity

ITEMS = 60
rng = np.random.default_rng(27)


def same(one, other):
    assert abs(one - other) < 1e-12, (one, other)
    return float(one)


def by_ranx(found, judged, measure):
    """ranx knows no empty answers: they have nothing of anything."""
    if not found:
        return 0.0
    qrels = ranx.Qrels({"q": {str(item): grade for item, grade in judged}})
    run = ranx.Run({"q": {str(item): float(len(found) - at) for at, item in enumerate(found)}})
    return float(ranx.evaluate(qrels, run, measure))


def answer(length, judged_items, k):
    """One answer with judgements, and its measures at k."""
    found = [int(item) for item in rng.permutation(ITEMS)[:length]]
    items = np.sort(rng.choice(ITEMS, judged_items, replace=False))
    judged = [[int(item), int(rng.integers(1, 5))] for item in items]
    grades = np.zeros(ITEMS)
    for item, grade in judged:
        grades[item] = grade
    cut = found[:k]
    gains = 2.0**grades - 1.0
    ndcg = by_ranx(found, judged, f"ndcg_burges@{k}")
    if len(cut) == k:
        # scikit-learn ranks all items: it can be asked where those that were not found lie behind k.
        scores = np.zeros(ITEMS)
        scores[cut] = np.arange(k, 0, -1)
        ndcg = same(ndcg_score([gains], [scores], k=k), ndcg)
    relevant = (grades > 0).astype(int)
    retrieved = np.zeros(ITEMS, dtype=int)
    retrieved[cut] = 1
    recall = recall_score(relevant, retrieved)
    if cut:
        same(recall, by_ranx(found, judged, f"recall@{k}"))
    precision = by_ranx(found, judged, f"precision@{k}")
    if len(cut) == k:
        same(precision, precision_score(relevant, retrieved))
    return {
        "k": k,
        "found": found,
        "judged": judged,
        "ndcg": ndcg,
        "precision": precision,
        "recall": float(recall),
        "reciprocal_rank": by_ranx(found, judged, f"mrr@{k}"),
        "hit_rate": by_ranx(found, judged, f"hit_rate@{k}"),
    }


def scores(relevant, others):
    """Scores in eighths, so that there are ties and f32 holds them."""
    draw = lambda count, up: [float(x) for x in rng.integers(-20 + up, 20 + up, count) / 8]
    above, below = draw(relevant, 6), draw(others, 0)
    truth = [1] * relevant + [0] * others
    return {"relevant": above, "others": below, "auc": float(roc_auc_score(truth, above + below))}


def vectors(k, dim, zero):
    """A list of vectors in quarters, of one direction more or less, and maybe a zero vector."""
    rows = rng.integers(-12, 13, (k, dim)) / 4 + rng.integers(0, 8, dim) / 4
    rows[~rows.any(axis=1)] = 1.0
    if zero:
        rows[0] = 0.0
    cosines = cosine_similarity(rows)[np.triu_indices(k, 1)]
    return {"dim": dim, "vectors": rows.ravel().tolist(), "diversity": float((1 - cosines).mean())}


def exposures(n, skew):
    """Exposures of a catalogue, most of them of few items, and a group of it."""
    counts = (rng.pareto(skew, n) * 3).astype(int)
    taken = (rng.pareto(1.0, n) * 4).astype(int)
    group = rng.random(n) < 0.3
    group[0] = True
    total = float(taken.sum())
    bits = -np.log2(np.maximum(taken, 1) / total)
    return {
        "exposures": counts.tolist(),
        "gini": float(Gini(counts).g),
        "coverage": float((counts > 0).mean()),
        "group": group.tolist(),
        "exposure_ratio": float((counts[group].sum() / counts.sum()) / group.mean()),
        "taken": taken.tolist(),
        "novelty": float(bits.mean()),
    }


def quantiles(n):
    values = np.sort(rng.normal(size=n))
    low, high = np.percentile(values, [2.5, 97.5])
    return {"sorted": values.tolist(), "low": float(low), "high": float(high)}


cases = {
    "answers": [
        answer(int(length), int(judged), int(k))
        for length in (0, 1, 3, 10, 25, 60)
        for judged in (1, 4, 12, 40)
        for k in (1, 5, 10, 30)
    ],
    "scores": [scores(r, o) for r, o in ((1, 1), (1, 40), (7, 90), (30, 3), (25, 400))],
    "lists": [vectors(k, d, z) for k in (2, 3, 10, 80) for d in (2, 17) for z in (False, True)],
    "catalogs": [exposures(n, skew) for n in (5, 50, 500) for skew in (0.8, 2.5)],
    "quantiles": [quantiles(n) for n in (1, 2, 37, 1000)],
}
text = json.dumps(cases, separators=(",", ":")).replace('},{', '},\n{')
Path(__file__).with_suffix(".json").write_text(text + "\n")
print({name: len(rows) for name, rows in cases.items()}, len(text), "bytes")
