"""What all trainers share: their settings, what they give, and lines about their progress."""

import time
from dataclasses import dataclass

import numpy as np

# Of users and of items, [n, dim] float32; the score is the inner product.
Vectors = tuple[np.ndarray, np.ndarray]
REPORTS = 10  # lines a training prints, about


@dataclass
class Settings:
    dim: int = 64
    epochs: int | None = None  # None: what suits the trainer
    seed: int = 7
    threads: int = 1


class Progress:
    """Prints a line for about every tenth epoch, with interactions a second since the last."""

    def __init__(self, epochs: int, interactions: int):
        self.epochs, self.interactions = epochs, interactions
        self.done = self.told = 0
        self.begun = self.since = time.monotonic()

    def epoch(self, what: str, value: float) -> None:
        self.done += 1
        if self.done < self.epochs and self.done - self.told < self.epochs / REPORTS:
            return
        now = time.monotonic()
        rate = self.interactions * (self.done - self.told) / max(now - self.since, 1e-9)
        print(
            f"  epoch {self.done}/{self.epochs}  {what} {value:.4f}  "
            f"{rate:,.0f} interactions/s  {now - self.begun:.0f} s",
            flush=True,
        )
        self.since, self.told = now, self.done
