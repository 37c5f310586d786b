"""The global random states of Python, NumPy and torch: taken, put back, and kept undisturbed."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

States = tuple[Any, ...]


def random_states() -> States:
    """The states of all global generators, on every device."""
    import torch

    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return random.getstate(), np.random.get_state(), torch.get_rng_state(), cuda


def set_random_states(states: States) -> None:
    import torch

    random.setstate(states[0])
    np.random.set_state(states[1])
    torch.set_rng_state(states[2])
    if states[3]:
        torch.cuda.set_rng_state_all(states[3])


@contextmanager
def undisturbed_randomness() -> Iterator[None]:
    """Leave all global generators as they were found, also after an exception."""
    states = random_states()
    try:
        yield
    finally:
        set_random_states(states)


@contextmanager
def undisturbed(model: Any) -> Iterator[None]:
    """Leave the mode of a torch model and all global generators as they were found, also after an exception."""
    training = model.training
    try:
        with undisturbed_randomness():
            yield
    finally:
        model.train(training)
