"""What heads are for: their weights as circuits, their attention on repeated tokens, their share of the logits.

The weights are read as Elhage et al. (2021), "A Mathematical Framework for Transformer Circuits", read them: a head
decides where to look by its QK circuit, W_Q W_K^T, and what it moves by its OV circuit, W_V W_O. Here they act from
the right, x @ W. No circuit is ever written out: both are products of two thin factors, and every number comes from
matrices of the size of a head. Rotations by position are left out of QK, and so are the biases of all projections.

Shapes: S sequences, P prompts, B of one batch, T tokens, L layers, H query heads, E head dimension, D hidden size,
V vocabulary, K targets. Layers, heads and tokens are counted from 0.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.anatomy import (
    BlockParts,
    Norm,
    block_parts,
    blocks,
    final_norm,
    is_conv1d,
    norm_of,
    weight_from_the_right,
)
from harness.errors import InvalidCheckpoint, NotTestable, Undefined
from harness.models import context_length, vocabulary_size
from harness.probes.attention import Attention, batches_of_one_length, shape, watch

if TYPE_CHECKING:
    import torch

Doubles = NDArray[np.float64]
Tokens = Sequence[Sequence[int]]

CHUNK = 8192  # tokens of the vocabulary in float64 at once: 168 MB at a hidden size of 2560
NEAR = 1e-3  # of the largest logit: float32 sums in another order differ by far less, a forgotten part by far more

ROUNDING = 1e-12  # of means of equal attention weights


# -- the weights of heads -------------------------------------------------------------------------------------------


class HeadWeights(NamedTuple):
    """One layer's heads: `query`, `key` and `value` of shape (H, D, E), `output` (H, E, D), in float64.

    Grouped keys and values are repeated, so that each query head has its own. The norm before the attention is folded
    into query, key and value, its centring too; a norm of queries and keys into those, but for each token's own size;
    a norm after the attention into output, likewise.
    """

    query: Doubles
    key: Doubles
    value: Doubles
    output: Doubles


def head_weights(model: Any, layer: int) -> HeadWeights:
    """The weights of one layer's heads.

    Raises: Undefined if there is no such layer; NotTestable if its projections are kept in an unknown form.
    """
    check_heads(model, [(layer, 0)])
    parts, heads = block_parts(blocks(model)[layer]), shape(model)[1]
    output = weight_from_the_right(parts.output)
    query, key, value = input_projections(parts, heads, output.shape[0])
    if parts.norm is not None:
        norm = norm_of(parts.norm, len(query))
        query, key, value = (read_through(norm, weight) for weight in (query, key, value))
    query, key = (
        scaled_columns(weight, getattr(parts.attention, name, None))
        for weight, name in ((query, "q_norm"), (key, "k_norm"))
    )
    if parts.output_norm is not None:
        output = written_through(norm_of(parts.output_norm, output.shape[1]), output)
    size = output.shape[0] // heads
    query_HDE, key_HDE, value_HDE = (per_head(weight, size, heads) for weight in (query, key, value))
    return HeadWeights(query_HDE, key_HDE, value_HDE, output.reshape(heads, size, -1).cpu().numpy())


def input_projections(
    parts: BlockParts, heads: int, width: int
) -> tuple["torch.Tensor", "torch.Tensor", "torch.Tensor"]:
    """The projections (D, heads times E) to queries, keys and values; `width` is H times E.

    Raises: NotTestable if they are not separate, nor fused as Phi-3, GPT-2 or GPT-NeoX fuse them.
    """
    import torch

    attention = parts.attention
    if hasattr(attention, "q_proj"):
        query, key, value = (weight_from_the_right(getattr(attention, f"{name}_proj")) for name in "qkv")
        return query, key, value
    if hasattr(attention, "qkv_proj") or is_conv1d(getattr(attention, "c_attn", None)):
        fused = weight_from_the_right(getattr(attention, "qkv_proj", None) or attention.c_attn)
        shared = (fused.shape[1] - width) // 2
        query, key, value = torch.split(fused, [width, shared, shared], dim=1)
        return query, key, value
    if hasattr(attention, "query_key_value"):  # head by head its query, its key and its value
        fused = weight_from_the_right(attention.query_key_value)
        query, key, value = (x.flatten(1) for x in fused.view(len(fused), heads, 3, -1).unbind(2))
        return query, key, value
    raise NotTestable(f"a {type(attention).__name__} keeps its queries, keys and values in a form that is not known.")


def read_through(norm: Norm, weight: "torch.Tensor") -> "torch.Tensor":
    """The weight (D, columns) that does to x what `weight` does to the norm of x, its bias and x's size left out."""
    folded = norm.scale[:, None] * weight
    return folded - folded.mean(0) if norm.centred else folded


def written_through(norm: Norm, weight: "torch.Tensor") -> "torch.Tensor":
    """The weight (rows, D) whose product is the norm of that of `weight`, its bias and the product's size left out."""
    return (weight - weight.mean(1, keepdim=True) if norm.centred else weight) * norm.scale


def scaled_columns(weight: "torch.Tensor", norm: Any) -> "torch.Tensor":
    """A projection with the scale of the norm of its output, which is that of one head or of all end to end."""
    if norm is None:
        return weight
    scale = norm_of(norm, norm.weight.numel()).scale
    return weight * scale.repeat(weight.shape[1] // len(scale))


def per_head(weight: "torch.Tensor", size: int, heads: int) -> Doubles:
    """(D, groups times E) as (H, D, E), each group repeated for its query heads."""
    by_group = weight.view(len(weight), -1, size).transpose(0, 1)
    repeated: Doubles = by_group.repeat_interleave(heads // len(by_group), dim=0).cpu().numpy()
    return repeated


def vocabulary_chunks(model: Any) -> Iterator[tuple[Doubles, Doubles]]:
    """Token embeddings and unembeddings, two arrays (tokens, D) at a time, in the order of the token ids.

    The embeddings are as they enter the first block, without positions; the final norm is folded into the unembeddings.
    """
    import torch

    embed, rows = model.get_input_embeddings(), model.get_output_embeddings().weight.detach()
    norm = norm_of(final_norm(model), rows.shape[1])
    for start in range(0, len(rows), CHUNK):
        some = rows[start : start + CHUNK]
        with torch.inference_mode():
            embeddings = embed(torch.arange(start, start + len(some), device=rows.device)).double()
        yield embeddings.cpu().numpy(), read_through(norm, some.double().T).T.cpu().numpy()


# -- circuits as products of two thin factors -----------------------------------------------------------------------


class EigenvalueScores(NamedTuple):
    """Sum Re(lambda) / sum |lambda| over a circuit's eigenvalues, from -1 to 1; arrays (L, H).

    `ov`, the copying score, is that of W_E W_V W_O W_U: positive where a head raises the logits of the tokens it reads.
    `qk` is that of W_E W_Q W_K^T W_E^T: positive where tokens look for themselves.
    """

    ov: Doubles
    qk: Doubles


def eigenvalue_scores(model: Any) -> EigenvalueScores:
    """The eigenvalue scores of every head (Elhage et al. 2021, "Summarizing OV/QK matrices").

    The eigenvalues other than 0 of a product A B of factors (V, E) and (E, V) are those of B A, of shape (E, E).

    Raises: Undefined if a circuit has no eigenvalue but 0; NotTestable as `head_weights`.
    """
    width = model.get_output_embeddings().weight.shape[1]
    embedded, unembedded = np.zeros((width, width)), np.zeros((width, width))
    for embeddings, unembeddings in vocabulary_chunks(model):
        embedded += embeddings.T @ embeddings
        unembedded += unembeddings.T @ embeddings
    products = []
    for layer in range(len(blocks(model))):
        weights = head_weights(model, layer)
        ov = weights.output @ unembedded @ weights.value
        qk = weights.key.swapaxes(1, 2) @ embedded @ weights.query
        products.append((ov, qk))
    return EigenvalueScores(*(positivity(np.stack(circuit)) for circuit in zip(*products, strict=True)))


def positivity(products: Doubles) -> Doubles:
    """Sum Re(lambda) / sum |lambda| of matrices (..., E, E). Raises: Undefined if one has no eigenvalue but 0."""
    eigenvalues = np.linalg.eigvals(products)
    sizes = np.abs(eigenvalues).sum(-1)
    if not sizes.all():
        raise Undefined(
            f"the circuit of head {tuple(int(i) for i in np.argwhere(sizes == 0)[0])} (layer, head) has no eigenvalue "
            "but 0, and so no share that is positive: leave this checkpoint out."
        )
    share: Doubles = eigenvalues.real.sum(-1) / sizes
    return share


class CircuitSpectra(NamedTuple):
    """The singular values of each head's circuits in the residual stream, W_V W_O and W_Q W_K^T: (L, H, E), falling."""

    ov: Doubles
    qk: Doubles


def circuit_spectra(model: Any) -> CircuitSpectra:
    """The singular values of every head's circuits. Raises: NotTestable as `head_weights`."""
    found = []
    for layer in range(len(blocks(model))):
        weights = head_weights(model, layer)
        ov = singular_values(weights.value, weights.output)
        found.append((ov, singular_values(weights.query, weights.key.swapaxes(1, 2))))
    return CircuitSpectra(*(np.stack(circuit) for circuit in zip(*found, strict=True)))


def singular_values(left: Doubles, right: Doubles) -> Doubles:
    """Of products left @ right of factors (..., D, E) and (..., E, D): (..., E), falling, by two QR of the factors."""
    small = triangle(left) @ triangle(right.swapaxes(-1, -2)).swapaxes(-1, -2)
    return np.asarray(np.linalg.svd(small, compute_uv=False), np.float64)


def triangle(tall: Doubles) -> Doubles:
    """R of tall = Q R: as Q has orthonormal columns, norms and singular values of products with `tall` need R alone."""
    return np.asarray(np.linalg.qr(tall, mode="r"), np.float64)


def stable_rank(spectrum: Doubles) -> Doubles:
    """Squared Frobenius over squared spectral norm, from 1 to E, of singular values (..., E).

    Raises: Undefined if they are all 0.
    """
    largest = np.max(spectrum, axis=-1)
    if not np.all(largest):
        raise Undefined("the stable rank of a circuit that is 0 is not defined: leave its head out.")
    rank: Doubles = np.square(spectrum / largest[..., None]).sum(-1)
    return rank


def numerical_rank(spectrum: Doubles, width: int) -> NDArray[np.intp]:
    """How many singular values (..., E) exceed the largest times `width` times the rounding of float32.

    It is the rule of numpy's matrix_rank for a circuit of `width` rows whose weights were stored in float32.
    """
    threshold = np.max(spectrum, axis=-1, keepdims=True) * width * np.finfo(np.float32).eps
    rank: NDArray[np.intp] = np.count_nonzero(spectrum > threshold, axis=-1)
    return rank


class Composition(NamedTuple):
    """How much heads of a later layer read of what heads of an earlier one write, (earlier heads, later heads).

    ||W_1 W_2||_F / (||W_1||_F ||W_2||_F), less `baseline`: W_1 is the earlier OV circuit, and W_2 the later QK circuit
    (`query`), its transpose (`key`), or the later OV circuit (`value`). `baseline` is the mean of the same ratio for
    Gaussian factors of the same shapes, whose square is 1/D on average.
    """

    query: Doubles
    key: Doubles
    value: Doubles
    baseline: float


def composition(model: Any, earlier: int, later: int, *, draws: int = 20, seed: int = 0) -> Composition:
    """Q-, K- and V-composition of the heads of two layers (Elhage et al. 2021, "Two-Layer Attention-Only").

    Raises: Undefined if there are no such layers, the first is not earlier, or a circuit is 0; NotTestable as
    `head_weights`.
    """
    if earlier >= later:
        raise Undefined(f"heads of layer {later} read what earlier layers write, not layer {earlier}: swap the two.")
    first, second = head_weights(model, earlier), head_weights(model, later)
    written = (first.value, first.output)
    random = np.random.default_rng(seed)
    gaussians = [
        overlap(*(random.standard_normal((1, *factor.shape[1:])) for factor in (*written, *written)))
        for _ in range(draws)
    ]
    baseline = float(np.mean(gaussians))
    return Composition(
        overlap(*written, second.query, second.key.swapaxes(1, 2)) - baseline,
        overlap(*written, second.key, second.query.swapaxes(1, 2)) - baseline,
        overlap(*written, second.value, second.output) - baseline,
        baseline,
    )


def overlap(left: Doubles, right: Doubles, next_left: Doubles, next_right: Doubles) -> Doubles:
    """||W_1 W_2||_F / (||W_1||_F ||W_2||_F), (H_1, H_2), of W_1 = left @ right and W_2 = next_left @ next_right.

    Each W is replaced by a thin matrix of the same norm and of the same products: R_left @ right and next_left @ R^T.
    Raises: Undefined if a circuit is 0.
    """
    ones = triangle(left) @ right
    twos = next_left @ triangle(next_right.swapaxes(1, 2)).swapaxes(1, 2)
    norms = np.outer(*(np.linalg.norm(factors, axis=(1, 2)) for factors in (ones, twos)))
    if not norms.all():
        raise Undefined("composition with a circuit that is 0 is not defined: leave its layer out.")
    products = np.stack([np.linalg.norm(one @ twos, axis=(1, 2)) for one in ones])
    ratios: Doubles = products / norms
    return ratios


class SkipTrigrams(NamedTuple):
    """What one head makes of source tokens: "source ... query -> output" (Elhage et al. 2021). Arrays (sources, k).

    `outputs` are the tokens whose logits the OV circuit raises most when the head looks at the source, `queries` those
    that by the QK circuit look at it most, both as ids, largest first. The scores are logits for embeddings as they
    are, not divided by their size by a norm, and attention scores before they are scaled by the head dimension.
    """

    outputs: NDArray[np.intp]
    output_scores: Doubles
    queries: NDArray[np.intp]
    query_scores: Doubles


def skip_trigrams(model: Any, layer: int, head: int, sources: Sequence[int], k: int) -> SkipTrigrams:
    """The k most raised output tokens and the k most attending query tokens of each source token, for one head.

    Raises: Undefined for an unknown head or token, no source, or more tokens than there are; NotTestable as
    `head_weights`.
    """
    import torch

    check_heads(model, [(layer, head)])
    check_tokens(model, [sources], 1, 2**31)
    if not 1 <= k <= vocabulary_size(model):
        raise Undefined(
            f"the top {k} of {vocabulary_size(model)} tokens do not exist: ask for 1 to {vocabulary_size(model)}."
        )
    weights = head_weights(model, layer)
    with torch.inference_mode():
        embed = model.get_input_embeddings()
        source = embed(torch.tensor(list(sources), device=embed.weight.device)).double().cpu().numpy()
    written = source @ weights.value[head] @ weights.output[head]
    sought = source @ weights.key[head] @ weights.query[head].T
    scores = [
        (written @ unembeddings.T, sought @ embeddings.T) for embeddings, unembeddings in vocabulary_chunks(model)
    ]
    by_output, by_query = (np.concatenate(parts, axis=1) for parts in zip(*scores, strict=True))
    return SkipTrigrams(*top(by_output, k), *top(by_query, k))


def top(scores: Doubles, k: int) -> tuple[NDArray[np.intp], Doubles]:
    """Indices and values of the k largest of each row, largest first, the earlier of two equals first."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(scores, order, axis=1)


# -- heads on repeated tokens ---------------------------------------------------------------------------------------


def repeated_sequences(
    model: Any, count: int, length: int, *, seed: int = 0, pool: Sequence[int] | None = None, start: int | None = None
) -> list[list[int]]:
    """Sequences of `length` different random tokens that are said twice, after the token `start` if one is given.

    The tokens are drawn from `pool`, or from the whole vocabulary. Without `start` they have 2 length tokens.

    Raises: Undefined if length is below 3, where offsets coincide, or the pool has fewer tokens.
    """
    tokens = np.unique(range(vocabulary_size(model)) if pool is None else pool)
    if not 3 <= length <= len(tokens):
        raise Undefined(f"a random half has 3 to {len(tokens)} different tokens (the pool), got {length}.")
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

    `maps` has shape (..., T, T), where T is 2 n, or 2 n + 1 with a start. Raises: Undefined if n is below 3.
    """
    import torch

    half = half_length(maps.shape[-1])
    rows = {-1: maps.shape[-1] - 1, -half: half, 1 - half: half}
    along = [maps.diagonal(offset, -2, -1)[..., -count:] for offset, count in rows.items()]
    return torch.stack([values.double().mean(-1) for values in along])


class HeadScores(NamedTuple):
    """The mean attention in each sequence, `scores` (S, L, H), and its one-sided `p_values` over sequences (L, H)."""

    scores: OffsetScores
    p_values: OffsetScores


def head_scores(model: Any, sequences: Tokens, *, permutations: int = 999, seed: int = 0) -> HeadScores:
    """How far each head attends to the previous token, to duplicates, and by induction, on `repeated_sequences`.

    The null hypothesis is that a query's attention is as it may be over the keys it sees, in any order. For each of
    `permutations` every query of every sequence gets another target, drawn evenly from itself and the keys before it;
    p = (1 + how many of their means over sequences are not below the head's) / (1 + permutations). It is exact if keys
    are exchangeable: a head that prefers near keys, or the first, breaks that in itself.

    Raises: Undefined if the sequences are not of one length and said twice, or longer than the context; NotTestable if
    the model hands out no attention weights, or its tokens see those after them; InvalidCheckpoint if a weight is not
    finite.
    """
    import torch

    check_repeated(model, sequences)
    if permutations < 1:
        raise Undefined(f"a permutation test needs at least 1 permutation, got {permutations}.")
    random = torch.Generator().manual_seed(seed)
    layers, heads = shape(model)
    scores = np.empty((3, len(sequences), layers, heads))
    nulls = np.zeros((permutations, 2, layers, heads))
    for batch in batches_of_one_length(sequences):
        ids = torch.tensor([list(sequences[i]) for i in batch], device=model.device)
        targets = random_targets((permutations, *ids.shape), random).to(model.device)

        def see(layer: int, _: Attention, weights: "torch.Tensor") -> None:
            if bool((weights.triu(1) > 0).any()):
                raise NotTestable(f"{type(model).__name__} has tokens that see those after them: give a causal model.")
            scores[:, batch, layer] = offset_scores(weights).cpu().numpy()  # noqa: B023  called within the iteration
            nulls[:, :, layer] += at_targets(weights, targets)  # noqa: B023

        watch(model, ids, see)
    check_finite(scores)
    means, nulls = scores.mean(1), nulls / len(sequences)
    against = (nulls[:, 0], nulls[:, 1], nulls[:, 1])
    p_values = (
        (1 + (null >= mean - ROUNDING).sum(0)) / (1 + permutations) for null, mean in zip(against, means, strict=True)
    )
    return HeadScores(OffsetScores(*scores), OffsetScores(*p_values))


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
    """The n of a sequence of 2 n tokens, or 2 n + 1. Raises: Undefined below 6, where two offsets coincide."""
    if length < 6:
        raise Undefined(
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

    Raises: Undefined if the sequences are not of one length and said twice, or longer than the context;
    InvalidCheckpoint if a loss is not finite.
    """
    import torch

    check_repeated(model, sequences)
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

    Raises: Undefined if there is no such head; NotTestable as `head_weights`.
    """
    check_heads(model, heads)
    width = shape(model)[1]

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


# -- the logits as a sum --------------------------------------------------------------------------------------------


class LogitAttribution(NamedTuple):
    """The logits of K targets after each prompt's last token, as a sum over what wrote them; float64.

    `token`: the token's embedding, (P, K). `position`: all else that enters the first block, (P, K); 0 where positions
    are rotated in. `heads`: (P, L, H, K). `attention_bias`: the bias of each output projection and of a norm after it,
    (P, L, K). `mlps`: each block's MLP with its biases, (P, L, K). `constant`: the biases of the final norm and of the
    output matrix, (P, K). `logits`: the model's own, of its output matrix, before a soft cap, (P, K).
    """

    token: Doubles
    position: Doubles
    heads: Doubles
    attention_bias: Doubles
    mlps: Doubles
    constant: Doubles
    logits: Doubles

    def total(self) -> Doubles:
        """The sum of all contributions, (P, K): the logits, but for the rounding of float32."""
        by_layer: Doubles = self.heads.sum((1, 2)) + self.attention_bias.sum(1) + self.mlps.sum(1)
        return self.token + self.position + by_layer + self.constant


class Passage(NamedTuple):
    """What went into a module and came out of it at the last token of each prompt, (B, width), in float64."""

    taken: "torch.Tensor"
    given: "torch.Tensor"


class FrozenNorm(NamedTuple):
    """A norm with the sizes it divided by in one run, `inverse` (B, 1, 1) times its scale: linear, but for the bias."""

    norm: Norm
    inverse: "torch.Tensor"

    def back(self, directions: "torch.Tensor") -> "torch.Tensor":
        """The directions (B, K, D) along which to read its input, to find what `directions` read of its output."""
        pulled = directions * self.norm.scale * self.inverse
        return pulled - pulled.mean(-1, keepdim=True) if self.norm.centred else pulled


def logit_attribution(model: Any, prompts: Tokens, targets: Tokens) -> LogitAttribution:
    """Direct logit attribution: which part of the model wrote how much of each target's logit (Elhage et al. 2021).

    `targets` gives K token ids for each prompt; the difference of two targets' rows explains their logit difference.
    Norms are linear once the size they divide by is held at its value in the run, and so the contributions are exact:
    they sum to the logits. An ablation can differ from them, as it changes those sizes and what later blocks do.

    Raises: Undefined for a prompt that is empty or longer than the context, an unknown token, or targets that differ
    in number; NotTestable for a model whose logits are not this sum.
    """
    import torch

    check_tokens(model, prompts, 1, context_length(model))
    check_tokens(model, targets, 1, 2**31)
    if len(targets) != len(prompts) or len({len(wanted) for wanted in targets}) != 1:
        raise Undefined(f"every prompt needs as many targets, got {[len(t) for t in targets]} for {len(prompts)}.")
    found: dict[int, tuple[Doubles, ...]] = {}
    for chosen in batches_of_one_length(prompts):
        ids = torch.tensor([list(prompts[i]) for i in chosen], device=model.device)
        wanted = torch.tensor([list(targets[i]) for i in chosen], device=model.device)
        with torch.inference_mode():
            parts = [part.cpu().numpy() for part in contributions(model, ids, wanted)]
        found.update(zip(chosen, zip(*parts, strict=True), strict=True))
    attribution = LogitAttribution(*map(np.stack, zip(*(found[i] for i in range(len(prompts))), strict=True)))
    gap = np.abs(attribution.total() - attribution.logits).max()
    if not gap <= NEAR * max(1.0, np.abs(attribution.logits).max()):
        raise NotTestable(
            f"the parts of {type(model).__name__} that are known here sum to logits that are off by {gap:.2g}: it has "
            "others, and its logits cannot be attributed."
        )
    return attribution


def contributions(model: Any, ids: "torch.Tensor", targets: "torch.Tensor") -> tuple["torch.Tensor", ...]:
    """The fields of LogitAttribution in their order, of prompts of one length, (B, T), and their targets, (B, K)."""
    import torch

    embed, unembed, norm = model.get_input_embeddings(), model.get_output_embeddings(), final_norm(model)
    decoder, parts = blocks(model), [block_parts(block) for block in blocks(model)]
    written = [module for p in parts for module in (p.output, p.output_norm, p.mlp) if module is not None]
    passages = run_past(model, ids, [embed, decoder[0], *written, norm, unembed])

    rows = unembed.weight[targets].double()
    final = frozen(norm, passages[norm])
    directions = final.back(rows)
    token = passages[embed].given
    by_layer = [attention_share(p, passages, directions, shape(model)[1]) for p in parts]
    biases = 0 if unembed.bias is None else unembed.bias[targets].double()
    return (
        along(token, directions),
        along(passages[decoder[0]].taken - token, directions),
        torch.stack([heads for heads, _ in by_layer], dim=1),
        torch.stack([bias for _, bias in by_layer], dim=1),
        torch.stack([along(passages[p.mlp].given, directions) for p in parts], dim=1),
        along(final.norm.bias, rows) + biases,
        passages[unembed].given.gather(1, targets),
    )


def attention_share(
    parts: BlockParts, passages: dict[Any, Passage], directions: "torch.Tensor", heads: int
) -> tuple["torch.Tensor", "torch.Tensor"]:
    """What one block's heads, (B, H, K), and its attention's biases, (B, K), add along directions (B, K, D)."""
    import torch

    bias = torch.zeros_like(directions[..., 0])
    if parts.output_norm is not None:
        after = frozen(parts.output_norm, passages[parts.output_norm])
        bias, directions = along(after.norm.bias, directions), after.back(directions)
    if parts.output.bias is not None:
        bias = bias + along(parts.output.bias.double(), directions)
    taken = passages[parts.output].taken
    weights = weight_from_the_right(parts.output)
    added = torch.einsum(
        "bhe,hed->bhd", taken.view(len(taken), heads, -1), weights.reshape(heads, -1, weights.shape[1])
    )
    return torch.einsum("bhd,bkd->bhk", added, directions), bias


def along(vectors: "torch.Tensor", directions: "torch.Tensor") -> "torch.Tensor":
    """The products (B, K) of vectors (B, D), or of one (D,), with directions (B, K, D)."""
    return (directions * vectors.unsqueeze(-2)).sum(-1)


def frozen(module: Any, passage: Passage) -> FrozenNorm:
    """A norm with the sizes it divided by on its way from `taken` to `given`, found by least squares."""
    norm = norm_of(module, passage.taken.shape[-1])
    centred = passage.taken - passage.taken.mean(-1, keepdim=True) if norm.centred else passage.taken
    undivided = centred * norm.scale
    inverse = ((passage.given - norm.bias) * undivided).sum(-1) / undivided.square().sum(-1)
    return FrozenNorm(norm, inverse[:, None, None])


def run_past(model: Any, ids: "torch.Tensor", modules: Sequence[Any]) -> dict[Any, Passage]:
    """Run the model on (B, T) tokens; what went into and came out of each of the modules at the last token."""
    passages: dict[Any, Passage] = {}

    def keep(module: Any, inputs: Any, output: Any) -> None:
        given = output[0] if isinstance(output, tuple) else output
        passages[module] = Passage(inputs[0][:, -1].double(), given[:, -1].double())

    with ExitStack() as hooks:
        for module in modules:
            hooks.callback(module.register_forward_hook(keep).remove)
        model(input_ids=ids, use_cache=False, logits_to_keep=1)
    return passages


# -- what is asked for ----------------------------------------------------------------------------------------------


def check_heads(model: Any, heads: Sequence[tuple[int, int]]) -> None:
    """Raises: Undefined if the model has no such (layer, head)."""
    layers, width = shape(model)
    for layer, head in heads:
        if not (0 <= layer < layers and 0 <= head < width):
            raise Undefined(f"there is no head {(layer, head)}: the model has {layers} layers of {width}, from (0, 0).")


def check_tokens(model: Any, sequences: Tokens, least: int, most: int) -> None:
    """Raises: Undefined if there is no sequence, one has fewer or more tokens, or a token is not in the vocabulary."""
    if not len(sequences):
        raise Undefined("there is no sequence of tokens: give at least one.")
    size = vocabulary_size(model)
    for i, ids in enumerate(sequences):
        if not least <= len(ids) <= most:
            raise Undefined(f"sequence {i} (counted from 0) has {len(ids)} tokens, and {least} to {most} are allowed.")
        strange = [token for token in ids if not 0 <= token < size]
        if strange:
            raise Undefined(f"a token must be an id from 0 to {size - 1}, got {strange[0]} in sequence {i}.")


def check_finite(values: Doubles) -> None:
    """Raises: InvalidCheckpoint if a number is NaN or infinite, which would pass for an extreme one."""
    if not np.isfinite(values).all():
        raise InvalidCheckpoint("this model computes numbers that are NaN or infinite: train or save it again.")


def check_repeated(model: Any, sequences: Tokens) -> None:
    """Raises: Undefined if the sequences are not all of one length, with two equal halves after a start or without."""
    check_tokens(model, sequences, 6, context_length(model))
    half = half_length(len(sequences[0]))
    for i, ids in enumerate(sequences):
        if len(ids) != len(sequences[0]):
            raise Undefined(f"sequence {i} has {len(ids)} tokens, sequence 0 has {len(sequences[0])}: give one length.")
        if list(ids[-2 * half : -half]) != list(ids[-half:]):
            raise Undefined(f"sequence {i} does not say its tokens twice: make it by repeated_sequences.")
