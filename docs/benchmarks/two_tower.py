"""Makes the two-tower sets of the reports: `two_tower.py ROWS DIM FOLDER` writes `base.npy`,
`test.npy` and `learn.npy`, users that no test user is among, there, for the metric ip.

Items and users share a latent space of 32 dimensions, drawn from a Zipf-weighted mixture of 2,000
topics. Each tower is its own random ReLU network of two layers, which a linear part in common makes
agree in part. Items get a lognormal norm (popularity), users a fixed offset that sets them apart.
"""

import sys
from pathlib import Path

import numpy as np

TOPICS, LATENT, HIDDEN = 2000, 32, 96
USERS, LEARN = 30_000, 20_000
BLOCK = 200_000


def tower(rng, shared):
    first = rng.normal(size=(LATENT, HIDDEN)).astype(np.float32) / np.sqrt(LATENT)
    bias = rng.normal(size=HIDDEN).astype(np.float32) * 0.3
    second = rng.normal(size=(HIDDEN, shared.shape[1])).astype(np.float32) / np.sqrt(HIDDEN)
    return lambda z: z @ shared + 0.7 * (np.maximum(z @ first + bias, 0) @ second)


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def two_tower(count, dim, seed=7):
    rng = np.random.default_rng(seed)
    topics = rng.normal(size=(TOPICS, LATENT)).astype(np.float32)
    weights = 1 / np.arange(1, TOPICS + 1) ** 0.8
    weights /= weights.sum()
    shared = rng.normal(size=(LATENT, dim)).astype(np.float32) / np.sqrt(LATENT)
    item_tower, user_tower = tower(rng, shared), tower(rng, shared)

    def topic(size):
        return topics[rng.choice(TOPICS, size, p=weights)]

    base = np.empty((count, dim), np.float32)
    for start in range(0, count, BLOCK):
        size = min(BLOCK, count - start)
        latent = topic(size) + 0.55 * rng.normal(size=(size, LATENT)).astype(np.float32)
        items = unit(item_tower(latent) + 0.15 * rng.normal(size=(size, dim)).astype(np.float32))
        norms = np.exp(0.12 * rng.normal(size=(size, 1))).astype(np.float32)
        base[start : start + size] = items * norms
    # A user is a blend of one to three topics.
    blend = rng.dirichlet([1.0, 1.0, 1.0], USERS).astype(np.float32)
    latent = sum(blend[:, part : part + 1] * topic(USERS) for part in range(3)) * 1.4
    latent = latent + 0.4 * rng.normal(size=(USERS, LATENT)).astype(np.float32)
    users = unit(user_tower(latent) + 0.5 * rng.normal(size=dim).astype(np.float32))
    return base, users[LEARN:].astype(np.float32), users[:LEARN].astype(np.float32)


def main():
    count, dim, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    folder.mkdir(parents=True, exist_ok=True)
    base, test, learn = two_tower(count, dim)
    np.save(folder / "base.npy", base)
    np.save(folder / "test.npy", test)
    np.save(folder / "learn.npy", learn)


if __name__ == "__main__":
    main()
