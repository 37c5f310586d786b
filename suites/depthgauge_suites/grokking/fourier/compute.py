"""Modular addition taken apart by frequency: what a one-layer transformer computes a + b mod p with.

Measures of Nanda et al. (2023, arXiv:2301.05217). Shapes: P the prime p, K = (P - 1) / 2 frequencies counted from 1,
H heads, M neurons; an array over all pairs has the axes a, b in this order. Everything is float64, and '=' is never
among the answers.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from depthgauge.core.errors import InvalidCheckpoint, StatisticUndefined
from depthgauge.models.inputs import check_finite
from depthgauge_suites.grokking.fourier.transformer import Weights, all_pairs, last_token, query_key, run

if TYPE_CHECKING:
    import torch

Array = NDArray[np.float64]

KEY_SHARE = 0.25  # of the largest norm, as in TransformerLens' demonstration, but of the map to the logits


# -- the basis ---


def fourier_basis(p: int) -> Array:
    """Orthonormal rows over 0..p-1: constant, then cos and sin of each frequency 1..K: (P, P).

    Raises: StatisticUndefined unless p is odd and at least 3; an even p has a frequency without a sine.
    """
    if p < 3 or p % 2 == 0:
        raise StatisticUndefined(f"the basis of pairs of cosine and sine exists for odd p from 3 on, got {p}.")
    angle = 2 * np.pi * np.outer(np.arange(1, (p - 1) // 2 + 1), np.arange(p)) / p
    waves = np.stack([np.cos(angle), np.sin(angle)], axis=1).reshape(p - 1, p)
    return np.concatenate([np.full((1, p), p**-0.5), waves * (2 / p) ** 0.5])


def transform(values: Array, axes: Sequence[int] = (0,)) -> Array:
    """Coordinates in the basis along each of the axes; norms and scalar products stay as they are."""
    transformed = np.asarray(values, np.float64)
    for axis in axes:
        basis = fourier_basis(transformed.shape[axis])
        transformed = np.moveaxis(np.tensordot(basis, transformed, (1, axis)), 0, axis)
    return transformed


def component_norms(values: Array, axis: int = 0) -> Array:
    """The norm of each row of the basis along an axis, over everything else: (P,)."""
    coordinates = np.moveaxis(transform(values, (axis,)), axis, 0)
    return np.asarray(np.linalg.norm(coordinates.reshape(len(coordinates), -1), axis=-1))


def frequency_norms(values: Array, axis: int = 0) -> Array:
    """The norm of what oscillates along an axis with each frequency, cosine and sine together: (K,)."""
    norms = component_norms(values, axis)
    return np.hypot(norms[1::2], norms[2::2])


def gini(values: Array) -> float:
    """The Gini coefficient of values >= 0: 0 where all are equal, near 1 where one is everything (Hurley 2009).

    Raises: StatisticUndefined for no values, negative ones, or zeros only.
    """
    ordered = np.sort(np.ravel(values).astype(float))
    if not ordered.size or ordered[0] < 0 or not ordered.sum() > 0:
        raise StatisticUndefined(
            "a Gini coefficient is defined for values that are not negative, and not all 0.", code="not-sizes"
        )
    ranks = np.arange(1, ordered.size + 1)
    return float(1 - 2 * np.sum(ordered / ordered.sum() * (ordered.size - ranks + 0.5)) / ordered.size)


# -- the weights ---


def logit_map(weights: Weights) -> Array:
    """W_L, from neurons to the logits of the answers: (M, P)."""
    return np.asarray(as_array(weights.W_out) @ answers(weights))


def answers(weights: Weights) -> Array:
    """W_U without '=': (D, P)."""
    return as_array(weights.W_U)[:, : weights.p]


def embedding(weights: Weights) -> Array:
    """W_E without '=': (P, D)."""
    return as_array(weights.W_E)[: weights.p]


def key_frequencies(weights: Weights) -> tuple[int, ...]:
    """The frequencies whose norm in W_L is at least `KEY_SHARE` of the largest, in their order.

    Published rules differ and give no cut-off; this one looks at what reaches the logits, and decides nothing by eye.

    Raises: InvalidCheckpoint if W_L holds no frequency at all, or is not finite.
    """
    norms = frequency_norms(logit_map(weights), axis=1)
    check_finite(norms)
    if not norms.max() > 0:
        raise InvalidCheckpoint("the map from neurons to logits is constant: it holds no frequency.", code="constant")
    return tuple(int(k) + 1 for k in np.flatnonzero(norms >= KEY_SHARE * norms.max()))


def rows_of(frequencies: Iterable[int], p: int) -> list[int]:
    """The rows of `fourier_basis` that hold the frequencies. Raises: StatisticUndefined for one that is not there, or
    twice.
    """
    chosen = list(frequencies)
    for k in chosen:
        if k not in range(1, (p + 1) // 2):
            raise StatisticUndefined(f"there is no frequency {k} in sums modulo {p}: they are 1 to {(p - 1) // 2}.")
    if len(set(chosen)) < len(chosen):
        raise StatisticUndefined(f"each frequency can be asked for once, got {chosen}.")
    return [row for k in chosen for row in (2 * k - 1, 2 * k)]


def outside(values: Array, frequencies: Iterable[int], axis: int) -> float:
    """The norm of what is left without those frequencies along an axis, as a share of the whole norm."""
    coordinates = np.moveaxis(transform(values, (axis,)), axis, 0)
    rest = np.delete(coordinates, rows_of(frequencies, len(coordinates)), axis=0)
    return float(np.linalg.norm(rest) / np.linalg.norm(coordinates))


def beyond_rank(values: Array, rank: int) -> float:
    """The norm of what the best approximation of a rank leaves of a matrix, as a share of the whole norm."""
    spectrum = np.linalg.svd(values, compute_uv=False)
    return float(np.linalg.norm(spectrum[rank:]) / np.linalg.norm(spectrum))


class EffectiveWeights(NamedTuple):
    """The model as three maps from tokens, with all constants: nothing else is needed to compute its logits.

    `scores` (2, P, H): what a token in place 0 or 1 scores, already over the root of the head's dimension; `own_score`
    (H,) is that of '='. `neurons` (2, P, H, M): what it adds to the neurons' input through a head that attends to it
    fully; `own_neurons` (H, M); `neuron_constant` (M,). `skip`, `own_skip` and `logit_constant`: the same past the
    neurons, to the logits. `logits` (M, P) is W_L.
    """

    scores: Array
    own_score: Array
    neurons: Array
    own_neurons: Array
    neuron_constant: Array
    skip: Array
    own_skip: Array
    logit_constant: Array
    logits: Array


def effective_weights(weights: Weights) -> EffectiveWeights:
    """W_attn, W_neur and W_logit of Nanda et al. (2023, section 3), with positions, biases and scale left in."""
    tokens = embedding(weights) + as_array(weights.W_pos)[:2, None]  # (2, P, D)
    last, keys = as_array(last_token(weights)), as_array(query_key(weights)) / weights.W_Q.shape[-1] ** 0.5
    heads = as_array(weights.W_V) @ as_array(weights.W_O)  # (H, D, D)
    moved, own = np.einsum("xpd,hdk->xphk", tokens, heads), np.einsum("d,hdk->hk", last, heads)
    inner, direct = as_array(weights.W_in), answers(weights)
    return EffectiveWeights(
        scores=tokens @ keys.T,
        own_score=keys @ last,
        neurons=moved @ inner,
        own_neurons=own @ inner,
        neuron_constant=last @ inner + as_array(weights.b_in),
        skip=moved @ direct,
        own_skip=own @ direct,
        logit_constant=(last + as_array(weights.b_out)) @ direct,
        logits=logit_map(weights),
    )


def logits_of(effective: EffectiveWeights) -> Array:
    """The logits of all pairs from the effective weights alone: (P, P, P)."""
    p = effective.logits.shape[1]
    a, b = np.divmod(np.arange(p * p), p)
    own = np.broadcast_to(effective.own_score, (p * p, len(effective.own_score)))
    scores = np.stack([effective.scores[0, a], effective.scores[1, b], own])
    to_a, to_b, to_own = np.exp(scores - logsumexp(scores, axis=0))[..., None]

    def gathered(tokens: Array, last: Array) -> Array:
        summed = np.zeros((p * p, tokens.shape[-1]))
        for h in range(len(last)):  # all heads at once would be large
            summed += to_a[:, h] * tokens[0, a, h] + to_b[:, h] * tokens[1, b, h] + to_own[:, h] * last[h]
        return summed

    neurons = np.maximum(effective.neuron_constant + gathered(effective.neurons, effective.own_neurons), 0)
    logits = neurons @ effective.logits + effective.logit_constant + gathered(effective.skip, effective.own_skip)
    return np.reshape(logits, (p, p, p))


# -- what it computes for all pairs ---


class Landscape(NamedTuple):
    """A model on all pairs: `attention` (P, P, H, 3) over a, b and '=', `neurons` (P, P, M), `logits` (P, P, P)."""

    attention: Array
    neurons: Array
    logits: Array


def landscape(weights: Weights) -> Landscape:
    import torch

    p = weights.p
    with torch.inference_mode():
        losses = run(weights.to(torch.float64), all_pairs(p).to(weights.W_E.device))
    attention, neurons, logits = (as_array(each) for each in (losses.attention, losses.neurons, losses.logits))
    return Landscape(attention.reshape(p, p, -1, 3), neurons.reshape(p, p, -1), logits.reshape(p, p, -1)[..., :p])


def pair_losses(logits: Array) -> Array:
    """The cross-entropy of every pair in nats, (P, P), from logits (P, P, P)."""
    p = len(logits)
    a, b = np.indices((p, p))
    return np.asarray(logsumexp(logits, axis=-1) - logits[a, b, (a + b) % p])


def right(logits: Array) -> NDArray[np.bool_]:
    """Which pairs (P, P) have their sum as the likeliest answer."""
    return np.asarray(logits.argmax(-1) == sums(len(logits)))


def in_sum(logits: Array, frequencies: Iterable[int]) -> Array:
    """The part of (P, P, C) logits that depends on a and b as cos w(a + b) and sin w(a + b), for each frequency.

    These are two of the four products of cosine and sine that a frequency has: those that a sum can be read from.
    """
    basis = fourier_basis(len(logits))[rows_of(frequencies, len(logits))]
    return np.asarray((basis.T @ (basis @ mean_by_sum(logits)))[sums(len(logits))])


def sums(p: int) -> NDArray[np.intp]:
    """A + b mod p for all pairs: (P, P)."""
    return np.add.outer(np.arange(p), np.arange(p)) % p


def mean_by_sum(logits: Array) -> Array:
    """The mean of (P, P, C) over the P pairs of each sum modulo p: (P, C)."""
    numbers = np.arange(len(logits))
    return np.stack([logits[numbers, (total - numbers) % len(logits)].mean(0) for total in numbers])


def restricted(logits: Array, frequencies: Iterable[int]) -> Array:
    """Logits with nothing but the frequencies of the sum, and each answer's mean over all pairs."""
    return np.asarray(in_sum(logits, frequencies) + logits.mean((0, 1)))


def excluded(logits: Array, frequencies: Iterable[int]) -> Array:
    """Logits without the frequencies of the sum."""
    return logits - in_sum(logits, frequencies)


def kept(logits: Array, frequencies: Iterable[int]) -> Array:
    """Logits with all four products of cosine and sine of each frequency, its waves in a or b alone, and the means."""
    p = len(logits)
    basis = fourier_basis(p)
    kept_logits = np.zeros_like(logits)
    for sine in rows_of(frequencies, p)[1::2]:
        block = basis[[0, sine - 1, sine]]
        kept_logits += back(np.tensordot(block, np.tensordot(block, logits, (1, 1)), (1, 1)), block)
    # The means are in each block, and are wanted once.
    return np.asarray(kept_logits - (len(rows_of(frequencies, p)) // 2 - 1) * logits.mean((0, 1)))


def back(coordinates: Array, basis: Array) -> Array:
    """From coordinates (R, R, C) in some rows of the basis to (P, P, C)."""
    return np.asarray(np.einsum("ra,sb,rsc->abc", basis, basis, coordinates, optimize=True))


def cosine_share(logits: Array, frequencies: Iterable[int]) -> float:
    """The share of the logits' variance that is a sum of a_k cos w_k(a + b - c), one number a_k for each frequency."""
    p, centred = len(logits), logits - logits.mean()
    by_sum, apart = mean_by_sum(centred), np.subtract.outer(np.arange(p), np.arange(p))  # (sum, c)
    explained = 0.0
    for k in rows_of(frequencies, p)[1::2]:  # the row of a frequency's sine is twice its number
        wave = np.cos(np.pi * k * apart / p)
        explained += p * float((by_sum * wave).sum()) ** 2 / float((wave**2).sum())
    return explained / float((centred**2).sum())


def neuron_fits(neurons: Array) -> Array:
    """The share of each neuron's variance that is a polynomial of degree 2 in cos and sin of one frequency: (K, M).

    That is, by products of two of constant, cos w and sin w, one of a and one of b. A neuron that is constant has 0.
    """
    squares = np.square(transform(neurons - neurons.mean((0, 1)), (0, 1)))
    total = squares.sum((0, 1))
    fits = []
    for k in range(1, (len(neurons) - 1) // 2 + 1):
        rows = [0, 2 * k - 1, 2 * k]
        fits.append(squares[np.ix_(rows, rows)].sum((0, 1)) / np.where(total > 0, total, 1))
    return np.stack(fits)


def head_fits(attention: Array) -> Array:
    """The share of each head's variance that is waves of one frequency, of a alone and of b alone: (K, H).

    `attention` (P, P, H) is the weight of '=' on a. A head that attends alike to all pairs has 0.
    """
    squares = np.square(transform(attention - attention.mean((0, 1)), (0, 1)))
    alone = squares[:, 0] + squares[0]  # (P, H); the constant is 0
    total = squares.sum((0, 1))
    return np.asarray((alone[1::2] + alone[2::2]) / np.where(total > 0, total, 1))


class Ablations(NamedTuple):
    """Mean losses in nats over all pairs with a part of the model taken away.

    `skip`: what goes past the neurons to the logits, put at its mean over all pairs. `heads` (H,): each head's output
    put at its mean.
    """

    skip: float
    heads: Array


def ablations(weights: Weights) -> Ablations:
    import torch

    exact, p = weights.to(torch.float64), weights.p
    pairs = all_pairs(p).to(weights.W_E.device)
    with torch.inference_mode():
        logits = run(exact, pairs)
        past = logits.residual.mean(0) + torch.addmm(exact.b_out, logits.neurons, exact.W_out)
        first, second = exact.W_E[:p] + exact.W_pos[0], exact.W_E[:p] + exact.W_pos[1]
        places = torch.stack([first[pairs[:, 0]], second[pairs[:, 1]], last_token(exact).expand(len(pairs), -1)])
        heads = []
        for h in range(len(exact.W_Q)):
            attended = torch.einsum("nx,xnd->nd", logits.attention[:, h], places) @ exact.W_V[h] @ exact.W_O[h]
            residual = logits.residual - attended + attended.mean(0)
            neurons = torch.addmm(exact.b_in, residual, exact.W_in).relu()
            heads.append(mean_loss((residual + torch.addmm(exact.b_out, neurons, exact.W_out)) @ exact.W_U, p))
        return Ablations(mean_loss(past @ exact.W_U, p), np.array(heads))


def mean_loss(logits: "torch.Tensor", p: int) -> float:
    return float(pair_losses(as_array(logits)[:, :p].reshape(p, p, p)).mean())


def as_array(tensor: "torch.Tensor") -> Array:
    return np.asarray(tensor.detach().cpu().double().numpy())
