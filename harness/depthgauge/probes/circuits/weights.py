"""What heads decide and move, read off their weights as circuits.

A head decides where to look by its QK circuit, W_Q W_K^T, and what it moves by its OV circuit, W_V W_O: Elhage et al.
(2021), "A Mathematical Framework for Transformer Circuits". Here they act from the right, x @ W. No circuit is ever
written out: both are products of two thin factors, and every number comes from matrices of the size of a head.
Rotations by position are left out of QK, and so are the biases of all projections.

Shapes: L layers, H query heads, E head dimension, D hidden size, V vocabulary. Layers, heads and tokens are counted
from 0.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import NotTestable, StatisticUndefined
from depthgauge.models.anatomy import (
    BlockParts,
    Norm,
    block_parts,
    blocks,
    final_norm,
    first_part,
    is_conv1d,
    norm_of,
    weight_from_the_right,
)
from depthgauge.models.inputs import check_finite, check_heads, check_known
from depthgauge.models.load import layers_and_heads, vocabulary_size
from depthgauge.models.logit_attribution import run_past

if TYPE_CHECKING:
    import torch

Doubles = NDArray[np.float64]

CHUNK = 8192  # tokens of the vocabulary in float64 at once: 168 MB at a hidden size of 2560
QUERY_NORM_NAMES = ("q_norm", "q_layernorm", "query_layernorm")
KEY_NORM_NAMES = ("k_norm", "k_layernorm", "key_layernorm")
NEAR = 0.05  # of what is read: bfloat16 rounds to less, and a layout that is misread is off by all of it


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

    Raises: StatisticUndefined if there is no such layer; NotTestable if its projections are kept in an unknown form;
    InvalidCheckpoint if a weight is not finite.
    """
    check_heads([(layer, 0)], model)
    parts, heads = block_parts(blocks(model)[layer]), layers_and_heads(model)[1]
    check_norms(parts)
    output = weight_from_the_right(parts.output)
    query, key, value = input_projections(parts, heads, output.shape[0])
    check_widths(parts, (query, key, value), output.shape[0] // heads, heads)
    if parts.norm is not None:
        norm = norm_of(parts.norm, len(query))
        query, key, value = (read_through(norm, weight) for weight in (query, key, value))
    query, key = (
        scaled_columns(weight, first_part(parts.attention, *names))
        for weight, names in ((query, QUERY_NORM_NAMES), (key, KEY_NORM_NAMES))
    )
    if parts.output_norm is not None:
        output = written_through(norm_of(parts.output_norm, output.shape[1]), output)
    size = output.shape[0] // heads
    query_HDE, key_HDE, value_HDE = (per_head(weight, size, heads) for weight in (query, key, value))
    weights = HeadWeights(query_HDE, key_HDE, value_HDE, output.reshape(heads, size, -1).cpu().numpy())
    for factor in weights:
        check_finite(factor)
    return weights


def input_projections(
    parts: BlockParts, heads: int, width: int
) -> tuple["torch.Tensor", "torch.Tensor", "torch.Tensor"]:
    """The projections (D, heads times E) to queries, keys and values; `width` is H times E.

    Raises: NotTestable if they are not separate, nor fused as Phi-3, GPT-2, GPT-NeoX or Falcon fuse them.
    """
    import torch

    attention = parts.attention
    if all(hasattr(attention, f"{name}_proj") for name in "qkv"):
        query, key, value = (weight_from_the_right(getattr(attention, f"{name}_proj")) for name in "qkv")
        return query, key, value
    conv = getattr(attention, "c_attn", None)
    in_a_row = first_part(attention, "qkv_proj", "Wqkv") or (conv if is_conv1d(conv) else None)
    if in_a_row is not None:
        fused = weight_from_the_right(in_a_row)
        shared = (fused.shape[1] - width) // 2
        query, key, value = torch.split(fused, [width, shared, shared], dim=1)
        return query, key, value
    if hasattr(attention, "query_key_value"):  # group by group the queries that share a key and a value, and those two
        fused = weight_from_the_right(attention.query_key_value)
        groups = getattr(attention, "num_kv_heads", heads)
        by_group = fused.view(len(fused), groups, heads // groups + 2, -1)
        query, key, value = (x.flatten(1) for x in torch.split(by_group, [heads // groups, 1, 1], dim=2))
        return query, key, value
    raise NotTestable(f"a {type(attention).__name__} keeps its queries, keys and values in a form that is not known.")


def check_norms(parts: BlockParts) -> None:
    """Raises: NotTestable for an attention that reads through a norm which is not known here."""
    if parts.norm is None and parts.output_norm is None:
        raise NotTestable(
            f"the norm that a {type(parts.attention).__name__} reads through has none of the known names."
        )
    known = (*QUERY_NORM_NAMES, *KEY_NORM_NAMES)
    for name, module in parts.attention.named_children():
        plain = name in known and getattr(module, "weight", None) is not None and module.weight.ndim == 1
        if "norm" in name + type(module).__name__.lower() and not plain:
            raise NotTestable(f"a {type(parts.attention).__name__} has a norm of a form that is not known ({name}).")


def check_widths(parts: BlockParts, weights: Sequence["torch.Tensor"], size: int, heads: int) -> None:
    """Raises: NotTestable unless queries, keys and values are heads of the same size, as wide as the output's."""
    query, key, value = (weight.shape[1] for weight in weights)
    if query != heads * size or key != value or key % size or heads % (key // size):
        raise NotTestable(
            f"a {type(parts.attention).__name__} has queries of {query}, keys of {key} and values of {value} numbers, "
            f"which are not {heads} heads of {size}."
        )


def check_reading(model: Any) -> None:
    """Raises: NotTestable unless the first block reads embeddings, and its values, as they are taken to be read here.

    Of prompts of one token: that token sees itself alone, so that what heads put out is its value. What is the same for
    all tokens, such as biases, goes with the mean.
    """
    import torch

    first, embed, heads = blocks(model)[0], model.get_input_embeddings(), layers_and_heads(model)[1]
    parts, name = block_parts(first), type(model).__name__
    ids = torch.arange(min(3, vocabulary_size(model)), device=model.device)[:, None]
    with torch.inference_mode():
        passages = run_past(model, ids, [embed, first, parts.output, *([parts.norm] if parts.norm else [])])
    token, entered = passages[embed].given, passages[first].taken
    if not one_direction(token, entered):
        raise NotTestable(f"{name} changes its embeddings before its first block, and circuits are read from them.")
    value = input_projections(parts, heads, passages[parts.output].taken.shape[1])[2]
    read = passages[parts.norm].given if parts.norm else entered
    by_group = (read @ value).view(len(ids), -1, passages[parts.output].taken.shape[1] // heads)
    expected = by_group.repeat_interleave(heads // by_group.shape[1], dim=1).flatten(1)
    missed, actual = (x - x.mean(0) for x in (expected - passages[parts.output].taken, passages[parts.output].taken))
    if missed.norm() > NEAR * actual.norm():
        raise NotTestable(f"the heads of {name} do not put out the values that their weights are taken for.")


def one_direction(token: "torch.Tensor", entered: "torch.Tensor") -> bool:
    """Whether what enters the first block is the embeddings times one number, and the same for all tokens."""
    if token.shape != entered.shape:
        return False
    written, other = (x - x.mean(0) for x in (token, entered))
    return bool((written * other).sum() >= (1 - NEAR**2) * written.norm() * other.norm())


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
    scale, _, centred = norm_of(norm, norm.weight.numel())
    if centred:
        raise NotTestable("queries and keys from which a norm takes their mean are not a product with one matrix each.")
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
        chunk = embeddings.cpu().numpy(), read_through(norm, some.double().T).T.cpu().numpy()
        for vectors in chunk:
            check_finite(vectors)
        yield chunk


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

    Raises: StatisticUndefined if a circuit has no eigenvalue but 0; NotTestable as `head_weights`.
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
    """Sum Re(lambda) / sum |lambda| of matrices (..., E, E). Raises: StatisticUndefined if one has no eigenvalue
    but 0.
    """
    eigenvalues = np.linalg.eigvals(products)
    sizes = np.abs(eigenvalues).sum(-1)
    if not sizes.all():
        raise StatisticUndefined(
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
    spectra = []
    for layer in range(len(blocks(model))):
        weights = head_weights(model, layer)
        ov = singular_values(weights.value, weights.output)
        spectra.append((ov, singular_values(weights.query, weights.key.swapaxes(1, 2))))
    return CircuitSpectra(*(np.stack(circuit) for circuit in zip(*spectra, strict=True)))


def singular_values(left: Doubles, right: Doubles) -> Doubles:
    """Of products left @ right of factors (..., D, E) and (..., E, D): (..., E), falling, by two QR of the factors."""
    small = triangle(left) @ triangle(right.swapaxes(-1, -2)).swapaxes(-1, -2)
    return np.asarray(np.linalg.svd(small, compute_uv=False), np.float64)


def triangle(tall: Doubles) -> Doubles:
    """R of tall = Q R: as Q has orthonormal columns, norms and singular values of products with `tall` need R alone."""
    return np.asarray(np.linalg.qr(tall, mode="r"), np.float64)


def stable_rank(spectrum: Doubles) -> Doubles:
    """Squared Frobenius over squared spectral norm, from 1 to E, of singular values (..., E).

    Raises: StatisticUndefined if they are all 0.
    """
    largest = np.max(spectrum, axis=-1)
    if not np.all(largest):
        raise StatisticUndefined(
            "the stable rank of a circuit that is 0 is not defined: leave its head out.", code="zero"
        )
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

    Raises: StatisticUndefined if there are no such layers, the first is not earlier, or a circuit is 0; NotTestable as
    `head_weights`.
    """
    if earlier >= later:
        raise StatisticUndefined(
            f"heads of layer {later} read what earlier layers write, and layer {earlier} is not earlier."
        )
    if draws < 1:
        raise StatisticUndefined(f"the baseline needs at least 1 draw, got {draws}.")
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
    Raises: StatisticUndefined if a circuit is 0.
    """
    ones = triangle(left) @ right
    twos = next_left @ triangle(next_right.swapaxes(1, 2)).swapaxes(1, 2)
    norms = np.outer(*(np.linalg.norm(factors, axis=(1, 2)) for factors in (ones, twos)))
    if not norms.all():
        raise StatisticUndefined(
            "composition with a circuit that is 0 is not defined: leave its layer out.", code="zero"
        )
    products = np.stack([np.linalg.norm(matrix @ twos, axis=(1, 2)) for matrix in ones])
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

    Raises: StatisticUndefined for an unknown head or token, no source, or more tokens than there are; NotTestable as
    `head_weights`.
    """
    import torch

    check_heads([(layer, head)], model)
    check_known(sources, "a source", model)
    if not len(sources):
        raise StatisticUndefined("a skip-trigram begins with its source: give at least one token.", code="empty")
    if not 1 <= k <= vocabulary_size(model):
        raise StatisticUndefined(
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
