"""Rounding by a rule that has a name, as 'int4-g32' or 'int8-asym': the levels follow from the weights themselves."""

import re
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import NotTestable
from depthgauge.formats.levels import Levels, counted

NAMED = re.compile(r"int([2-8])(?:-g(\d+))?(-asym)?")
EXAMPLES = "int4-g32, int4-g128-asym, int8"


class Rule(NamedTuple):
    """So many bits, with a scale for each `group` of weights along a row (0: the whole row), stored in bfloat16."""

    bits: int
    group: int
    symmetric: bool


def rule_named(name: str) -> Rule | None:
    """None for what is no rule's name."""
    match = NAMED.fullmatch(name)
    return Rule(int(match[1]), int(match[2] or 0), not match[3]) if match else None


def levels_by(rule: Rule, weight: NDArray[np.floating], name: str) -> Levels:
    """As compressed-tensors has them: symmetric ones by the largest weight of a group, others by both ends and 0.

    Raises: NotTestable, with the `name` of the weight, where its rows are no multiple of the group.
    """
    columns = weight.shape[-1]
    size = rule.group or columns
    if columns % size:
        raise NotTestable(f"{name} has rows of {columns} weights, which groups of {size} do not divide: name another.")
    groups, steps = weight.reshape(-1, size), (1 << rule.bits) - 1
    if rule.symmetric:
        scale = in_bfloat16(np.abs(groups).max(axis=1, keepdims=True) / np.float32(steps / 2))
        zero = np.full_like(scale, 1 << rule.bits - 1)
    else:
        low, high = np.minimum(groups.min(1, keepdims=True), 0), np.maximum(groups.max(1, keepdims=True), 0)
        scale = in_bfloat16((high - low) / np.float32(steps))
        zero = np.round(np.divide(-low, scale, out=np.zeros_like(scale), where=scale > 0))
    return counted(
        rule.bits, *(np.broadcast_to(values, groups.shape).reshape(weight.shape) for values in (scale, -zero))
    )  # fmt: skip


def in_bfloat16(values: NDArray[np.floating]) -> NDArray[np.float32]:
    """To the nearest number of bfloat16, of two to the even one."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    rounded: NDArray[np.float32] = ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)
    return rounded
