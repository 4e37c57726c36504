"""A two-tower model: a user is what they took, an item is itself and how popular it is."""

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import nn

from .training import Progress, Settings, Vectors

EPOCHS = 10
LEAST_STEPS = 1000  # which make up more epochs where the interactions are few
BATCH = 512  # pairs of user and item a step
HISTORY = 20  # items a step reads of each user
HIDDEN = 128
DROPOUT = 0.2
RATE, TABLE_RATE = 1e-3, 2e-3


class Towers(nn.Module):
    """The item tower: an embedding, plus log-popularity times a learned direction. The user tower:
    the mean of other embeddings of the user's items, plus a perceptron of it. Neither output is
    normalised."""

    def __init__(self, popularity: np.ndarray, dim: int):
        super().__init__()
        self.taken = nn.Embedding(len(popularity), dim, sparse=True)
        self.items = nn.Embedding(len(popularity), dim, sparse=True)
        for table in (self.taken, self.items):
            nn.init.normal_(table.weight, std=dim**-0.5)
        self.perceptron = nn.Sequential(
            nn.Linear(dim, HIDDEN), nn.GELU(), nn.Dropout(DROPOUT), nn.Linear(HIDDEN, dim)
        )
        self.direction = nn.Parameter(torch.zeros(dim))
        logarithm = np.log(popularity)
        scaled = (logarithm - logarithm.mean()) / max(logarithm.std(), 1e-6)
        self.register_buffer("popular", torch.from_numpy(scaled.astype(np.float32)))

    def item(self, rows: torch.Tensor) -> torch.Tensor:
        return self.items(rows) + self.popular[rows, None] * self.direction

    def user(self, mean: torch.Tensor) -> torch.Tensor:
        return mean + self.perceptron(mean)


class Histories:
    """Draws, for pairs of a user and an item, other items of the user: with the item itself among
    them, the model would only learn to copy. Draws of one user may repeat."""

    def __init__(self, train: csr_matrix):
        self.items = torch.from_numpy(train.indices.astype(np.int64))
        self.starts = torch.from_numpy(train.indptr.astype(np.int64))
        self.users = torch.repeat_interleave(self.starts.diff())

    def draw(self, pairs: torch.Tensor, random: torch.Generator) -> tuple[torch.Tensor, ...]:
        """Rows of items, [pairs, HISTORY], and 1, or 0 where the user has no other item."""
        start = self.starts[self.users[pairs]]
        others = self.starts[self.users[pairs] + 1] - start - 1
        share = torch.rand(len(pairs), HISTORY, generator=random, dtype=torch.float64)
        place = start[:, None] + (share * others[:, None]).long()
        # Places from the pair's own on move up by one; without others it is masked.
        place += (place >= pairs[:, None]) & (others[:, None] > 0)
        return self.items[place], (others > 0).float()[:, None]


def train_two_tower(train: csr_matrix, settings: Settings) -> Vectors:
    """In-batch sampled softmax. The items of a batch are drawn as often as they were taken, so
    the logarithm of that is taken off their scores."""
    torch.manual_seed(settings.seed)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(settings.threads)
    random = torch.Generator().manual_seed(settings.seed)
    popularity = np.bincount(train.indices, minlength=train.shape[1])
    log_q = torch.from_numpy(np.log(popularity / train.nnz).astype(np.float32))
    towers, histories = Towers(popularity, settings.dim), Histories(train)
    steps = -(-train.nnz // BATCH)
    epochs = settings.epochs or max(EPOCHS, -(-LEAST_STEPS // steps))
    optimizers, schedules = _optimizers(towers, epochs * steps)
    progress = Progress(epochs, train.nnz)
    for _ in range(epochs):
        total = 0.0
        for pairs in torch.randperm(train.nnz, generator=random).split(BATCH):
            loss = _loss(towers, histories, pairs, log_q, random)
            for optimizer in optimizers:
                optimizer.zero_grad()
            loss.backward()
            for step in (*optimizers, *schedules):
                step.step()
            total += loss.item() * len(pairs)
        progress.epoch("loss", total / train.nnz)
    return _vectors(towers.eval(), train)


def _optimizers(towers: Towers, steps: int) -> tuple[list, list]:
    """One for the tables, which only touches the rows of a batch, and one for the rest."""
    tables = [towers.taken.weight, towers.items.weight]
    rest = [*towers.perceptron.parameters(), towers.direction]
    optimizers = [
        torch.optim.SparseAdam(tables, lr=TABLE_RATE),
        torch.optim.AdamW(rest, lr=RATE, weight_decay=0.01),
    ]
    # Down to nothing in a straight line.
    linear = torch.optim.lr_scheduler.LinearLR
    return optimizers, [linear(o, 1.0, 0.01, steps) for o in optimizers]


def _loss(
    towers: Towers,
    histories: Histories,
    pairs: torch.Tensor,
    log_q: torch.Tensor,
    random: torch.Generator,
) -> torch.Tensor:
    history, any_other = histories.draw(pairs, random)
    items = histories.items[pairs]
    users = towers.user(towers.taken(history).mean(1) * any_other)
    logits = users @ towers.item(items).T - log_q[items]
    # Another copy of a row's own item is no negative of it.
    again = items[:, None] == items
    again.fill_diagonal_(False)
    logits = logits.masked_fill(again, -torch.inf)
    return nn.functional.cross_entropy(logits, torch.arange(len(pairs)))


@torch.no_grad()
def _vectors(towers: Towers, train: csr_matrix) -> Vectors:
    """Of users, from all of their items."""
    counts = np.maximum(np.diff(train.indptr), 1)[:, None].astype(np.float32)
    means = np.asarray(train @ towers.taken.weight.numpy(), np.float32) / counts
    return (
        towers.user(torch.from_numpy(means)).numpy(),
        towers.item(torch.arange(train.shape[1])).numpy(),
    )
