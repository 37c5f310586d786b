"""Which parameters the second pass shifts and regularises, and how strongly, by depth.

Parameters are told apart by where the model's anatomy has them, and not by their names, which differ by family.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from depthgauge.core.errors import NotTestable, UsageError
from depthgauge.models.anatomy import attention_matrices, blocks


def block_of(model: Any) -> dict[str, int]:
    """The 0-based block of each parameter that is in one; embeddings, final norm and head are missing.

    Raises: NotTestable for a model without a list of blocks.
    """
    places = {id(p): place for place, block in enumerate(blocks(model)) for p in block.parameters()}
    return {name: places[id(p)] for name, p in model.named_parameters() if id(p) in places}


def ramp(num_blocks: int) -> tuple[int, int]:
    """First regularised block and first block at full strength: 6 and 22 of 36, in proportion for other depths."""
    return round(num_blocks / 6), round(22 * num_blocks / 36)


def depth_scale(block: int, num_blocks: int) -> float:
    """lambda(l): 0 up to block 5 of 36, then linear, 1 from block 22 on.

    Dangi 2026b: "early layers were completely free of the regularizer", "1.0x ... at layer 22 onwards".
    """
    first, full = ramp(num_blocks)
    if block < first:
        return 0.0
    return min(1.0, (block - first + 1) / (full - first + 1))


def strength_of(block: int, num_blocks: int, depth: str) -> float:
    """lambda(l) of a schedule that is known before training; 1 for those that are measured in it."""
    scaled = depth_scale(block, num_blocks)
    return {"scaled": scaled, "reversed": 1 - scaled, "stepped": float(scaled == 1)}.get(depth, 1.0)


def strengths(places: Mapping[str, int], *, num_blocks: int, depth: str) -> dict[str, float]:
    """Lambda of every parameter that is regularised at all, of those in `places`, as `block_of` gives them."""
    of_each = {name: strength_of(block, num_blocks, depth) for name, block in places.items()}
    return {name: strength for name, strength in of_each.items() if strength > 0}


def noisy_blocks(num_blocks: int, where: str) -> range:
    """The unregularised early blocks, 0 to 5 of 36, or as many of the last.

    Raises: UsageError for a model that is too shallow to have any.
    """
    first, _ = ramp(num_blocks)
    if first == 0:
        raise UsageError(
            f"the model has {num_blocks} blocks, and the schedule leaves the first sixth unregularised, which is none: "
            "take a model of at least 4, or a method without noise."
        )
    return range(first) if where == "early" else range(num_blocks - first, num_blocks)


def noise_targets(model: Any, chosen: Collection[int]) -> set[str]:
    """The attention's matrices in the chosen blocks. Blocks without attention, as hybrid families have, give none.

    Raises: UsageError where none of them has any.
    """
    targets: set[int] = set()
    refused = ""
    for place, block in enumerate(blocks(model)):
        if place in chosen:
            try:
                targets |= set(map(id, attention_matrices(block)))
            except NotTestable as error:
                refused = str(error)
    if not targets:
        raise UsageError(
            f"no attention matrix was found in blocks {listed(chosen)} of {type(model).__name__} to add noise to "
            f"({refused or 'they have none'}): take a method without noise."
        )
    return {name for name, p in model.named_parameters() if id(p) in targets}


def listed(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(numbers)))
