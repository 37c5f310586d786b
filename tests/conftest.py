"""Shared fixtures of the house's own tests."""

from pathlib import Path

import pytest
import torch
from hypothesis import settings

from tests.tiny import save_tiny_base

settings.register_profile("house", deadline=None, derandomize=True)
settings.load_profile("house")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Models as small as these take ten times as long on two threads that others use too."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the tiny base model."""
    return save_tiny_base(tmp_path_factory.mktemp("tiny") / "base")
