"""The two factorizations of `implicit`: least squares (ALS) and pairwise ranking (BPR)."""

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from implicit.cpu.bpr import BayesianPersonalizedRanking
from scipy.sparse import csr_matrix

from .training import Progress, Settings, Vectors

ALS_EPOCHS, BPR_EPOCHS = 15, 100
# The README says how these were chosen. With the defaults of `implicit`, 1 and 0.01, ALS had an
# NDCG@100 of 0.047 and 0.398 on its two sets, with these 0.060 and 0.699 (test users of seed 11).
ALS_ALPHA, ALS_REGULARIZATION = 10.0, 10.0
BPR_RATE, BPR_REGULARIZATION = 0.01, 0.01


def train_als(train: csr_matrix, settings: Settings) -> Vectors:
    model = AlternatingLeastSquares(
        factors=settings.dim,
        alpha=ALS_ALPHA,
        regularization=ALS_REGULARIZATION,
        iterations=settings.epochs or ALS_EPOCHS,
        calculate_training_loss=True,
        num_threads=settings.threads,
        random_state=settings.seed,
    )
    progress = Progress(model.iterations, train.nnz)
    model.fit(
        train, show_progress=False, callback=lambda _epoch, _s, loss: progress.epoch("loss", loss)
    )
    return model.user_factors, model.item_factors


def train_bpr(train: csr_matrix, settings: Settings) -> Vectors:
    """`implicit` adds a column to the factors asked for: the bias of an item, and 1 for a user. It
    is part of the inner product, so it counts as one of the dimensions."""
    model = BayesianPersonalizedRanking(
        factors=settings.dim - 1,
        learning_rate=BPR_RATE,
        regularization=BPR_REGULARIZATION,
        iterations=settings.epochs or BPR_EPOCHS,
        num_threads=settings.threads,
        random_state=settings.seed,
    )
    progress = Progress(model.iterations, train.nnz)

    def report(_epoch: int, _seconds: float, correct: int, skipped: int) -> None:
        progress.epoch("pairs in order", correct / max(1, train.nnz - skipped))

    model.fit(train, show_progress=False, callback=report)
    return np.asarray(model.user_factors), np.asarray(model.item_factors)
