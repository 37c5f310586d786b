"""How far the residual stream of one model is from that of another, layer by layer, on the same tokens.

Shapes: P texts, B texts in a batch, T tokens, L layers, D numbers of the stream. Layers and tokens are 0-based.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from depthgauge.backends.layerwise import run_ahead
from depthgauge.backends.pairs import pair_batches
from depthgauge.core.errors import InvalidCheckpoint, NotTestable
from depthgauge.core.steps import counted
from depthgauge.models.anatomy import blocks, edited_blocks, widened
from depthgauge.models.inputs import Tokens, check_prompts
from depthgauge.probes.activations.directions import Directions

if TYPE_CHECKING:
    import torch

FIRST = 5  # positions that are looked at one by one
READ_AT = 3  # the position of which a mean difference is kept: the first ones are unlike all others
Floats = NDArray[np.float64]


class Difference(NamedTuple):
    """Means over tokens, and what one direction makes of them; `mean` (L, D) is of the position READ_AT, over texts.

    `relative` (P, L): the length of candidate - baseline over that of the baseline. `cosine` (P, L): of candidate and
    baseline. `direction_share` (L,): the part of the squared differences, of all tokens but each text's first, that
    lies along one direction; NaN where nothing differs. `first_positions` (FIRST, L): `relative` of single positions,
    averaged over texts; NaN where all texts are shorter.
    """

    relative: Floats
    cosine: Floats
    direction_share: Floats
    first_positions: Floats
    mean: Floats


def activation_difference(candidate: Any, baseline: Any, token_ids: Tokens) -> Difference:
    """How far `candidate` is from `baseline` after every block.

    The baseline's states of one batch are the most that is held, beside those of one layer of the candidate.

    Raises: NotTestable if the models differ in depth or width; StatisticUndefined without texts, or if one is empty,
    longer than a context, or has an unknown token; InvalidCheckpoint if an activation is not finite.
    """
    layers, width = same_stream(candidate, baseline)
    check_prompts(token_ids, 1, candidate, baseline)
    directions, sums = Directions(layers, width), np.zeros((layers, width))
    lengths: dict[int, Floats] = {}
    chosen_batches = pair_batches(baseline, token_ids)
    run_ahead((baseline, candidate), [[token_ids[i] for i in chosen] for chosen in chosen_batches])
    for chosen in counted(chosen_batches):
        sizes = batch_lengths(candidate, baseline, [list(token_ids[i]) for i in chosen], directions, sums)
        lengths.update(zip(chosen, np.moveaxis(sizes, 2, 0), strict=True))
    enough = sum(len(ids) > READ_AT for ids in token_ids)
    return in_means([lengths[i] for i in range(len(token_ids))], directions.shares(), sums / max(enough, 1))


def same_stream(candidate: Any, baseline: Any) -> tuple[int, int]:
    """How many layers both models have, and how wide they are. Raises: NotTestable if they differ in it."""
    shapes = [(len(blocks(model)), int(model.config.get_text_config().hidden_size)) for model in (candidate, baseline)]
    if shapes[0] != shapes[1]:
        raise NotTestable(
            "one model has {} layers of width {} and the other {} of {}: no activation of one is beside one of the "
            "other".format(*shapes[0], *shapes[1])
        )
    return shapes[0]


def batch_lengths(
    candidate: Any, baseline: Any, ids: Sequence[Sequence[int]], directions: Directions, sums: Floats
) -> Floats:
    """Lengths of candidate - baseline, old and new, (L, 3, B, T), of a batch; its differences are added to the other
    two.
    """
    import torch

    states: list[torch.Tensor] = []
    by_layer: list[torch.Tensor] = []

    def compare(layer: int, output: "torch.Tensor") -> None:
        before = widened(states.pop(0))
        after = widened(output).to(before.device)
        delta = after - before
        by_layer.append(torch.stack([torch.linalg.vector_norm(x, dim=-1) for x in (delta, before, after)]).cpu())
        directions.add(layer, delta[:, 1:].flatten(0, 1))
        sums[layer] += delta[:, READ_AT : READ_AT + 1].sum((0, 1), dtype=torch.float64).cpu().numpy()

    see_blocks(baseline, ids, lambda _, output: states.append(output))
    see_blocks(candidate, ids, compare)
    lengths = torch.stack(by_layer).double().numpy()
    for side, place in (("baseline", 1), ("candidate", 2)):
        if not np.isfinite(lengths[:, place]).all():
            raise InvalidCheckpoint(
                f"the {side} model computes activations that are NaN or infinite: train or save it again.",
                code="not-finite",
            )
    return lengths


def see_blocks(model: Any, ids: Sequence[Sequence[int]], see: Callable[[int, "torch.Tensor"], None]) -> None:
    """Run `model` on texts of one length and call `see(layer, output)`, (B, T, D), after every block."""
    import torch

    def look(layer: int, output: "torch.Tensor") -> "torch.Tensor":
        see(layer, output)
        return output

    with edited_blocks(model, look), torch.inference_mode():
        model.base_model(input_ids=torch.tensor(ids, device=model.device), use_cache=False)


def in_means(lengths: Sequence[Floats], shares: Floats, mean: Floats) -> Difference:
    """A difference from the lengths of every text, (L, 3, T) each.

    cos = 1 - (|candidate - baseline|^2 - (|new| - |old|)^2) / 2 |new| |old| is 1 where nothing differs, and keeps its
    digits near.
    """
    relative, cosine = [], []
    for text in lengths:
        delta, before, after = np.moveaxis(text, 1, 0)
        relative.append(delta / np.maximum(before, np.finfo(np.float32).tiny))
        both = np.maximum(2 * before * after, np.finfo(np.float32).tiny)
        cosine.append(np.minimum(1 - (delta**2 - (after - before) ** 2) / both, 1))
    return Difference(
        relative=np.stack([text.mean(-1) for text in relative]),
        cosine=np.stack([text.mean(-1) for text in cosine]),
        direction_share=shares,
        first_positions=np.stack([at_position(relative, position) for position in range(FIRST)]),
        mean=mean,
    )


def at_position(relative: Sequence[Floats], position: int) -> Floats:
    """The mean over the texts that are so long, (L,); NaN where none is."""
    there = [text[:, position] for text in relative if text.shape[1] > position]
    return np.mean(there, axis=0) if there else np.full(len(relative[0]), np.nan)
