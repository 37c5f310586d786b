"""The weights in a checkpoint's folder, in whatever format they are stored."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from depthgauge.core.errors import InvalidCheckpoint
from depthgauge.formats.format import dequantized
from depthgauge.formats.tensors import (
    BLOCK,
    BUFFERS,
    EMBEDDINGS,
    FLOATS,
    HEADS,
    NOT_WEIGHTS,
    PLAIN_BITS,
    Computed,
    Tensor,
    configuration,
    listed,
    numbers,
)
from depthgauge.models.files import read_config, weight_files

PIECE = 1 << 22  # elements that are compared at once


def tensors(folder: Path) -> dict[str, Tensor]:
    """The weights in a folder by name, whatever file they are in and however they are stored; no tied head, no empty
    tensor, no saved constant.

    Raises: InvalidCheckpoint where what is stored is not what the configuration says, or in a format without a reader.
    """
    weights = {
        name: tensor
        for name, tensor in plain_tensors(folder).items()
        if math.prod(tensor.shape) and not name.endswith(BUFFERS)
    }
    # Versions that leave the setting out did so where it was true.
    if configuration(folder).get("tie_word_embeddings", True):
        return {name: tensor for name, tensor in weights.items() if not is_tied(name, weights)}
    return weights


def is_tied(name: str, weights: Mapping[str, Tensor]) -> bool:
    """Whether a head repeats the embedding: transformers uses a stored head of other numbers as it is."""
    if not name.endswith(HEADS):
        return False
    embedding = next((weights[each] for each in weights if each.endswith(EMBEDDINGS)), None)
    if embedding is None:
        return True
    return same_numbers(weights[name], embedding)


def same_numbers(first: Tensor, second: Tensor) -> bool:
    """Whether two tensors are equal, read a piece at a time."""
    if first.shape != second.shape:
        return False
    size = math.prod(first.shape)
    return all(
        np.array_equal(
            numbers(first, start, min(start + PIECE, size)), numbers(second, start, min(start + PIECE, size))
        )
        for start in range(0, size, PIECE)
    )


def plain_tensors(folder: Path) -> dict[str, Tensor]:
    """Every weight in a folder by its plain name; of a quantised one it is computed when it is read."""
    stored = {tensor.name: tensor for path in weight_files(folder) for tensor in listed(path)}
    config = read_config(folder)
    readable = dequantized(folder, stored, config)
    weights = {name: tensor for name, tensor in readable.items() if tensor.dtype not in NOT_WEIGHTS}
    for name, tensor in weights.items():
        if tensor.dtype not in FLOATS:
            raise InvalidCheckpoint(
                f"{name} in {tensor.path} is stored as {tensor.dtype}, not as {', '.join(FLOATS)}: save it in one of "
                "these."
            )
    return weights


def least_bits(folder: Path) -> float:
    """The fewest bits that a weight of a matrix in a layer takes; those of a plain one where none is quantised."""
    return min(
        (
            tensor.bits
            for name, tensor in plain_tensors(folder).items()
            if isinstance(tensor, Computed) and BLOCK.search(name) and len(tensor.shape) > 1
        ),
        default=PLAIN_BITS,
    )
