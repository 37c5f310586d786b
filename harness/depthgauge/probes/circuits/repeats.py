"""How far heads attend by induction, to duplicates and to the previous token, and what is lost without them.

Everything is measured on tokens drawn at random and said twice, after Olsson et al. (2022), "In-context Learning and
Induction Heads", arXiv:2209.11895.

Shapes: S sequences, B of one batch, T tokens, L layers, H query heads. Layers, heads and tokens are counted from 0.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import NotTestable, StatisticUndefined
from depthgauge.models.anatomy import block_parts, blocks
from depthgauge.models.attention import Seen, batches_of_one_length, watch
from depthgauge.models.inputs import Tokens, check_finite, check_heads, check_prompts
from depthgauge.models.load import layers_and_heads, vocabulary_size

if TYPE_CHECKING:
    import torch

Doubles = NDArray[np.float64]

ROUNDING = 1e-12  # of means of equal attention weights


def repeated_sequences(
    model: Any, count: int, length: int, *, seed: int = 0, pool: Sequence[int] | None = None, start: int | None = None
) -> list[list[int]]:
    """Sequences of `length` different random tokens that are said twice, after the token `start` if one is given.

    The tokens are drawn from `pool`, or from the whole vocabulary. Without `start` they have 2 length tokens.

    Raises: StatisticUndefined if length is below 3, where offsets coincide, or the pool has fewer tokens.
    """
    tokens = np.unique(range(vocabulary_size(model)) if pool is None else pool)
    if not 3 <= length <= len(tokens):
        raise StatisticUndefined(f"a random half has 3 to {len(tokens)} different tokens (the pool), got {length}.")
    generator = np.random.default_rng(seed)
    halves = [generator.choice(tokens, length, replace=False).tolist() for _ in range(count)]
    return [[*([] if start is None else [start]), *half, *half] for half in halves]


class OffsetScores(NamedTuple):
    """One number a head for each offset of the key attended to, on n tokens said twice.

    `previous`: offset -1, over all queries but the first. `duplicate`: offset -n, the same token before, over the
    second half. `induction`: offset 1 - n, what came after the same token before, over the second half.
    """

    previous: Doubles
    duplicate: Doubles
    induction: Doubles


def offset_scores(maps: "torch.Tensor") -> "torch.Tensor":
    """The mean attention at each offset of OffsetScores (Olsson et al. 2022, arXiv:2209.11895), in float64: (3, ...).

    `maps` has shape (..., T, T), where T is 2 n, or 2 n + 1 with a start. Raises: StatisticUndefined if n is below 3.
    """
    import torch

    half = half_length(maps.shape[-1])
    rows = {-1: maps.shape[-1] - 1, -half: half, 1 - half: half}
    along = [maps.diagonal(offset, -2, -1)[..., -count:] for offset, count in rows.items()]
    return torch.stack([values.double().mean(-1) for values in along])


class Positional(NamedTuple):
    """Whether a head looks at a fixed distance, on new tokens: Voita et al. (2019), arXiv:1905.09418.

    `distance` (L, H): the one at which most queries of all sequences have their largest attention weight, 0 being the
    query itself. `share` (S, L, H): of each sequence's queries; `p_values` (L, H), of their mean. Queries are those of
    the first saying but the first token, which has no choice.
    """

    distance: NDArray[np.intp]
    share: Doubles
    p_values: Doubles


class HeadScores(NamedTuple):
    """The mean attention in each sequence, `scores` (S, L, H), and its one-sided `p_values` over sequences (L, H)."""

    scores: OffsetScores
    p_values: OffsetScores
    positional: Positional


def head_scores(model: Any, sequences: Tokens, *, permutations: int = 999, seed: int = 0) -> HeadScores:
    """How far each head attends to the previous token, to duplicates, by induction, or at a fixed distance.

    It is measured on `repeated_sequences`. The null hypothesis is that a query's attention is as it may be over the
    keys it sees, in any order. For each of `permutations` every query of every sequence gets another target, drawn
    evenly from itself and the keys before it; p = (1 + how many of their means over sequences are not below the
    head's) / (1 + permutations). It is exact if keys are exchangeable: a head that prefers near keys, or the first,
    breaks that in itself.

    Raises: StatisticUndefined if the sequences are not of one length and said twice, or longer than the context;
    NotTestable if the model hands out no attention weights, or its tokens see those after them; InvalidCheckpoint if a
    weight is not finite.
    """
    import torch

    check_repeated(sequences, model)
    if permutations < 1:
        raise StatisticUndefined(f"a permutation test needs at least 1 permutation, got {permutations}.")
    random = torch.Generator().manual_seed(seed)
    layers, heads = layers_and_heads(model)
    scores = np.empty((3, len(sequences), layers, heads))
    nulls = np.zeros((permutations, 2, layers, heads))
    half = half_length(len(sequences[0]))
    distances = np.empty((len(sequences), layers, heads, len(sequences[0]) - half - 1), np.int16)
    for batch in batches_of_one_length(sequences):
        ids = torch.tensor([list(sequences[i]) for i in batch], device=model.device)
        targets = random_targets((permutations, *ids.shape), random).to(model.device)

        def see(
            layer: int,
            _: Seen,
            weights: "torch.Tensor",
            batch: list[int] = batch,
            targets: "torch.Tensor" = targets,
        ) -> None:
            if bool((weights.triu(1) > 0).any()):
                raise NotTestable(
                    f"{type(model).__name__} has tokens that see those after them: give a causal model.",
                    code="not-causal",
                )
            scores[:, batch, layer] = offset_scores(weights).cpu().numpy()
            nulls[:, :, layer] += at_targets(weights, targets)
            distances[batch, layer] = distances_looked(weights, half).cpu().numpy()

        watch(model, ids, see)
    check_finite(scores)
    means, nulls = scores.mean(1), nulls / len(sequences)
    nulls_against = (nulls[:, 0], nulls[:, 1], nulls[:, 1])
    p_values = (
        (1 + (null >= mean - ROUNDING).sum(0)) / (1 + permutations)
        for null, mean in zip(nulls_against, means, strict=True)
    )
    drawn = random_targets((permutations, len(sequences), distances.shape[-1] + 1), random)[..., 1:].numpy()
    by_chance = np.arange(1, drawn.shape[-1] + 1) - drawn
    return HeadScores(OffsetScores(*scores), OffsetScores(*p_values), positional(distances, by_chance))


def distances_looked(maps: "torch.Tensor", half: int) -> "torch.Tensor":
    """How far before each query of the first saying but the first token its largest weight lies: (B, H, queries)."""
    import torch

    rows = maps[..., 1 : maps.shape[-1] - half, :]
    return torch.arange(1, rows.shape[-2] + 1, device=maps.device) - rows.argmax(-1)


def positional(distances: NDArray[np.int16], by_chance: NDArray[np.intp]) -> Positional:
    """The favourite distance of each head, from (S, L, H, queries), against draws (permutations, S, queries).

    A draw has a favourite of its own, so that the choice of the best distance is paid for.
    """
    possible = range(distances.shape[-1] + 1)
    counts = np.stack([(distances == distance).sum((0, -1)) for distance in possible])  # (distances, L, H)
    favourite = counts.argmax(0)
    null = np.max([(by_chance == distance).sum((1, 2)) for distance in possible], axis=0)
    exceeded = (null[:, None, None] >= counts.max(0)).sum(0)
    share = (distances == favourite[..., None]).mean(-1)
    return Positional(favourite, share, (1 + exceeded) / (1 + len(null)))


def random_targets(shape: tuple[int, ...], random: "torch.Generator") -> "torch.Tensor":
    """Keys drawn evenly from 0..i for every query i along the last axis."""
    import torch

    drawn = torch.rand(shape, generator=random, dtype=torch.float64)
    return (drawn * torch.arange(1, shape[-1] + 1)).long()


def at_targets(maps: "torch.Tensor", targets: "torch.Tensor") -> Doubles:
    """The attention to targets (permutations, B, T) of maps (B, H, T, T), in sum over B: (permutations, 2, H).

    Of each sequence it is the mean over all queries but the first, and over the second half.
    """
    import torch

    half = half_length(maps.shape[-1])
    means = []
    for keys in targets:
        chosen = maps.gather(-1, keys[:, None, :, None].expand(-1, maps.shape[1], -1, 1))[..., 0].double()
        means.append(torch.stack([chosen[..., 1:].mean(-1).sum(0), chosen[..., -half:].mean(-1).sum(0)]))
    return torch.stack(means).cpu().numpy()


def half_length(length: int) -> int:
    """The n of a sequence of 2 n tokens, or 2 n + 1. Raises: StatisticUndefined below 6, where two offsets coincide."""
    if length < 6:
        raise StatisticUndefined(
            f"a sequence said twice needs two halves of 3 tokens or more, got {length} tokens: lengthen it."
        )
    return length // 2


class InContextLoss(NamedTuple):
    """Mean loss in nats of each sequence, (S,), over all tokens of a half but its first; their difference is learning.

    Both are over the same tokens: in `first` they are new, in `repeated` they can be known from the context.
    """

    first: Doubles
    repeated: Doubles


def in_context_loss(model: Any, sequences: Tokens) -> InContextLoss:
    """The loss on `repeated_sequences` the first and the second time (after Olsson et al. 2022, arXiv:2209.11895).

    Raises: StatisticUndefined if the sequences are not of one length and said twice, or longer than the context;
    InvalidCheckpoint if a loss is not finite.
    """
    import torch

    check_repeated(sequences, model)
    half = len(sequences[0]) // 2
    losses = []
    for sequence in sequences:
        ids = torch.tensor([list(sequence)], device=model.device)
        with torch.inference_mode():
            logits = model(input_ids=ids, use_cache=False).logits[0, :-1].double()
        nats = torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="none")
        losses.append([nats[-2 * half + 1 : -half].mean().item(), nats[1 - half :].mean().item()])
    check_finite(np.array(losses))
    return InContextLoss(*np.array(losses).T)


@contextmanager
def without_heads(model: Any, heads: Sequence[tuple[int, int]]) -> Iterator[None]:
    """Within it the chosen (layer, head) put out 0: nothing of them reaches the output projection, whose bias stays.

    Raises: StatisticUndefined if there is no such head; NotTestable as `head_weights`.
    """
    check_heads(heads, model)
    width = layers_and_heads(model)[1]

    def silence(chosen: list[int]) -> Callable[..., Any]:
        def hook(_module: Any, inputs: Any) -> Any:
            by_head = inputs[0].unflatten(-1, (width, -1)).clone()
            by_head[..., chosen, :] = 0
            return (by_head.flatten(-2), *inputs[1:])

        return hook

    with ExitStack() as hooks:
        for layer in sorted({layer for layer, _ in heads}):
            chosen = sorted({head for where, head in heads if where == layer})
            output = block_parts(blocks(model)[layer]).output
            hooks.callback(output.register_forward_pre_hook(silence(chosen)).remove)
        yield


def check_repeated(sequences: Tokens, model: Any) -> None:
    """Raises: StatisticUndefined if the sequences are not all of one length, with two equal halves after a start or
    without.
    """
    check_prompts(sequences, 6, model)
    half = half_length(len(sequences[0]))
    for i, ids in enumerate(sequences):
        if len(ids) != len(sequences[0]):
            raise StatisticUndefined(
                f"sequence {i} has {len(ids)} tokens, sequence 0 has {len(sequences[0])}: give one length."
            )
        if list(ids[-2 * half : -half]) != list(ids[-half:]):
            raise StatisticUndefined(f"sequence {i} does not say its tokens twice: make it by repeated_sequences.")
