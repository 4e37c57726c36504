"""Hashed text features and the two towers.

A text is a bag of tokens (its words and its pairs of neighbouring words); a token is a bag of
hashed features (itself and, for a word, its character n-grams). Distinct tokens of a batch are
embedded once, which makes training several times faster than flat bags would.
"""

import zlib
from collections import Counter

import numpy as np
import torch
from torch import nn

from onet import words

BUCKETS = 1 << 17
PAIR_TEXTS = 2  # a pair of words counts as a token from this many texts on
CHAR_GRAMS = (3, 4, 5)  # lengths, over "<word>" with its marks


def tokens(text: str) -> list[str]:
    """The words of a text, then its pairs of neighbouring words ("a b")."""
    single = words(text)
    return single + [f"{a} {b}" for a, b in zip(single, single[1:])]


def buckets(token: str) -> list[int]:
    """The hashed features of a token: itself first, then a word's character n-grams."""
    features = [f"t {token}"]
    if " " not in token:
        marked = f"<{token}>"
        for n in CHAR_GRAMS:
            features += [f"c {marked[i : i + n]}" for i in range(len(marked) - n + 1)]
    return [zlib.crc32(f.encode()) % BUCKETS for f in features]


class Ragged:
    """Rows of differing length: row i owns `ids[start[i]:start[i + 1]]` and as many weights."""

    def __init__(self, rows: list[tuple[list[int], list[float]]]):
        self.start = np.cumsum([0] + [len(ids) for ids, _ in rows])
        self.ids = np.fromiter((i for ids, _ in rows for i in ids), np.int64, self.start[-1])
        self.weights = np.fromiter((w for _, ws in rows for w in ws), np.float32, self.start[-1])

    def take(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The ids and weights of these rows joined, and the length of each row."""
        length = self.start[rows + 1] - self.start[rows]
        end = np.cumsum(length)
        at = np.arange(end[-1]) + np.repeat(self.start[rows] - end + length, length)
        return self.ids[at], self.weights[at], length


Bag = tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # ids, offsets, weights
Batch = tuple[Bag, Bag]  # distinct tokens as bags of buckets, texts as bags of those tokens


def _bag(ids: np.ndarray, weights: np.ndarray, length: np.ndarray) -> Bag:
    offsets = np.cumsum(length) - length
    return tuple(map(torch.from_numpy, (ids, offsets, weights.astype(np.float32))))


class Lexicon:
    """All tokens of a corpus, their hashed features and their inverse document frequency."""

    def __init__(self, texts: list[str], idf_texts: list[str]):
        """`texts` gives the words; `idf_texts`, the part known at training, the pairs and the
        weights."""
        df = Counter(t for text in idf_texts for t in set(tokens(text)))
        kept = {t for x in texts for t in words(x)}
        kept |= {t for t, n in df.items() if n >= PAIR_TEXTS}
        self.row = {t: i for i, t in enumerate(sorted(kept))}
        features = [buckets(t) for t in self.row]
        # A word's own embedding and the sum of its n-grams' start at the same length.
        self.features = Ragged(
            [(f, [1.0] + [max(len(f) - 1, 1) ** -0.5] * (len(f) - 1)) for f in features]
        )
        known = np.array([df[t] for t in self.row])
        self.idf = np.log((1 + len(idf_texts)) / (1 + known)) + 1

    def bags(self, texts: list[str]) -> Ragged:
        """One row of tokens per text; the idf weights of a row have length 1."""
        rows = []
        for text in texts:
            ids = sorted({self.row[t] for t in tokens(text) if t in self.row})
            weights = self.idf[ids]
            rows.append((ids, list(weights / np.linalg.norm(weights))))
        return Ragged(rows)

    def batch(self, bags: Ragged, groups: list[list[int]]) -> Batch:
        """One bag per group of texts, weights divided by the square root of its size."""
        sizes = np.array([len(g) for g in groups])
        texts = np.fromiter((t for g in groups for t in g), np.int64, sizes.sum())
        ids, weights, length = bags.take(texts)
        weights = weights * np.repeat(np.repeat(sizes, sizes) ** -0.5, length)
        distinct, ids = np.unique(ids, return_inverse=True)
        group_length = np.add.reduceat(length, np.cumsum(sizes) - sizes)
        return _bag(*self.features.take(distinct)), _bag(ids, weights, group_length)


class Tower(nn.Module):
    """Token bags -> sum of hashed embeddings -> a two-layer perceptron beside a linear path.

    The output is not normalised: its length is the model's to choose."""

    def __init__(self, table: nn.EmbeddingBag, hidden: int, dim: int, dropout: float):
        super().__init__()
        width = table.embedding_dim
        self.table = table
        self.norm = nn.LayerNorm(width)
        self.direct = nn.Linear(width, dim, bias=False)
        self.deep = nn.Sequential(
            nn.Linear(width, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, dim)
        )
        self.dropout = dropout

    def forward(self, batch: Batch) -> torch.Tensor:
        """[groups, dim]"""
        (features, starts, gains), (ids, offsets, weights) = batch
        vectors = self.table(features, starts, per_sample_weights=gains)
        # Whole tokens are dropped, so that no single one can carry a text.
        weights = nn.functional.dropout(weights, self.dropout, self.training)
        x = nn.functional.embedding_bag(
            ids, vectors, offsets, mode="sum", per_sample_weights=weights
        )
        x = self.norm(x)
        return self.direct(x) + self.deep(x)
