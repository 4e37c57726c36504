"""Interactions with a planted structure that popularity knows nothing of."""

import numpy as np
import pytest
from towers.interactions import Interactions

USERS, ITEMS, TOPICS, TAKEN = 300, 240, 8, 14


@pytest.fixture(scope="session")
def planted() -> Interactions:
    """A user takes items of one topic; one in ten is anything."""
    rng = np.random.default_rng(5)
    users = np.repeat(np.arange(USERS), TAKEN)
    items = [
        np.where(
            rng.random(TAKEN) < 0.1,
            rng.choice(ITEMS, TAKEN, replace=False),
            user % TOPICS + TOPICS * rng.choice(ITEMS // TOPICS, TAKEN, replace=False),
        )
        for user in range(USERS)
    ]
    times = rng.random(len(users))
    return Interactions(
        users, np.concatenate(items), times, np.arange(ITEMS, dtype=np.uint64), None
    )
