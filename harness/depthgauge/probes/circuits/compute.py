"""What is kept of a model's circuits: head scores, eigenvalues and ranks, and what is lost without some heads.

Shapes: S sequences, T tokens, L layers, H query heads. Layers and heads are 0-based.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import StatisticUndefined
from depthgauge.models.attention import attention_maps, eager_flag
from depthgauge.models.load import context_length, vocabulary_size
from depthgauge.probes.circuits import repeats, weights
from depthgauge.probes.circuits.settings import ABLATED_SHARE, LENGTH, PERMUTATIONS, SEQUENCES


def read_circuits(model: Any) -> dict[str, NDArray[Any]]:
    """Head scores and circuits of one model on `SEQUENCES` random sequences of `LENGTH` tokens said twice.

    `previous`, `duplicate`, `induction` and `positional` (S, L, H), each with `..._p` (L, H), and `distance` (L, H) of
    the last; `copying` and `matching` (L, H), the eigenvalue scores of OV and QK; `ov_rank` and `qk_rank` (L, H),
    stable ranks; `best_induction` and `best_previous` (2,), the former above the first layer and the latter below it,
    if there are two layers; `k_composition` of these two heads, NaN in one layer; `learning`, `learning_lost` and
    `induction_left` (S,); `maps` (2, T, T) of the best previous-token and the best induction head on the first
    sequence; `eager`, as `eager_flag` gives it.

    Raises: NotTestable for a family whose parts are not known; StatisticUndefined if no head can look as far back as
    what followed the same token before.
    """
    length = min(LENGTH, vocabulary_size(model), context_length(model) // 2)
    sequences = repeats.repeated_sequences(model, SEQUENCES, length)
    scores = repeats.head_scores(model, sequences, permutations=PERMUTATIONS)
    weights.check_reading(model)
    eigenvalues, spectra = weights.eigenvalue_scores(model), weights.circuit_spectra(model)
    means = scores.scores.induction.mean(0)
    lowest = min(1, len(means) - 1)  # an induction head reads what a layer below it wrote
    if not means[lowest:].any():
        raise StatisticUndefined(
            f"no head looks {length - 1} tokens back, where what followed the same token before stands."
        )
    layer, head = best(means[lowest:])
    induction = (layer + lowest, head)
    previous = best(scores.scores.previous.mean(0)[: max(induction[0], 1)])
    losses = repeats.in_context_loss(model, sequences)
    together = [(int(i), int(j)) for i, j in np.argwhere(means >= ABLATED_SHARE * means.max())]
    with repeats.without_heads(model, together):
        ablated = repeats.in_context_loss(model, sequences)
    with repeats.without_heads(model, [previous]):
        left = repeats.head_scores(model, sequences, permutations=1).scores.induction[:, *induction]
    apart = previous[0] < induction[0]
    composed = weights.composition(model, previous[0], induction[0]).key[previous[1], induction[1]] if apart else np.nan
    maps = attention_maps(model, sequences[0], [previous, induction])
    arrays: dict[str, NDArray[Any]] = {"maps": maps, **eager_flag(model)}
    for name in ("previous", "duplicate", "induction"):
        arrays[name] = getattr(scores.scores, name)
        arrays[f"{name}_p"] = getattr(scores.p_values, name)
    return arrays | {
        "positional": scores.positional.share,
        "positional_p": scores.positional.p_values,
        "distance": scores.positional.distance,
        "copying": eigenvalues.ov,
        "matching": eigenvalues.qk,
        "ov_rank": weights.stable_rank(spectra.ov),
        "qk_rank": weights.stable_rank(spectra.qk),
        "best_induction": np.array(induction),
        "best_previous": np.array(previous),
        "k_composition": np.asarray(composed),
        "learning": losses.first - losses.repeated,
        "learning_lost": (losses.first - losses.repeated) - (ablated.first - ablated.repeated),
        "induction_left": left / scores.scores.induction[:, *induction],
    }


def read_scores(model: Any) -> dict[str, NDArray[Any]]:
    """`previous`, `duplicate` and `induction` (S, L, H) on the sequences of `read_circuits`."""
    length = min(LENGTH, vocabulary_size(model), context_length(model) // 2)
    sequences = repeats.repeated_sequences(model, SEQUENCES, length)
    return dict(repeats.head_scores(model, sequences, permutations=1).scores._asdict())


def best(scores: NDArray[np.floating]) -> tuple[int, int]:
    """The (layer, head) of the largest score."""
    layer, head = np.unravel_index(int(scores.argmax()), scores.shape)
    return int(layer), int(head)
