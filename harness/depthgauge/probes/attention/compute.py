"""Where attention heads look, and how far two checkpoints differ in it, head by head.

Shapes: P prompts, B prompts in a batch, T tokens, L layers, H query heads. Layers, heads and tokens are counted from 0.
Row i of a map is the attention of query i over keys 0..i.
"""

from collections.abc import Callable
from math import log
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import StatisticUndefined
from depthgauge.core.estimate import HeadOrder
from depthgauge.models.attention import Floats, Seen, batches_of_one_length, first_token_attention, watch
from depthgauge.models.inputs import Tokens, check_finite, check_prompts, check_same_heads
from depthgauge.models.load import layers_and_heads

if TYPE_CHECKING:
    import torch

Reduce = Callable[["torch.Tensor", "torch.Tensor", "torch.Tensor"], "torch.Tensor"]


class HeadDivergence(NamedTuple):
    """How two checkpoints differ in each head on each prompt; every array has shape (P, L, H).

    `jsd_bits`: the Jensen-Shannon divergence of the two rows, base 2, averaged over rows 1..T-1; row 0 has one key.
    `jsd_sink_free_bits`: the same after key 0 is dropped and the rest renormalised, averaged over rows 2..T-1, as row 1
    has then one key. A row counts 0 where either model gives its other keys no mass at all.
    `mae`: the mean absolute difference over the cells of rows 1..T-1 that either model's mask leaves open.
    `sink`, `other_sink`: the attention to the first token averaged over all T rows, the first included: alpha_1 of
    Gu et al. (2025), arXiv:2410.10781.
    """

    jsd_bits: Floats
    jsd_sink_free_bits: Floats
    mae: Floats
    sink: Floats
    other_sink: Floats


def compare(
    model: Any, other: Any, token_ids: Tokens, reduce: Reduce, *, least: int, order: HeadOrder | None = None
) -> list[Floats]:
    """For each prompt an array (L, H, n) of `reduce(maps, other maps, open cells)`, from (B, H, T, T) to (B, H, n).

    `order` is that in which the first model's heads are taken, (L, H). The maps of one layer and one batch are the most
    that is ever held: of the first model queries and keys are kept, and maps of all layers only where it returns them
    itself.
    """
    import torch

    check_same_heads(layers_and_heads(model), layers_and_heads(other))
    check_prompts(token_ids, least, model, other)
    compared: dict[int, Floats] = {}
    for chosen in batches_of_one_length(token_ids):
        ids = torch.tensor([list(token_ids[i]) for i in chosen], device=model.device)
        values = torch.stack(reduced_layers(model, other, ids, reduce, order), dim=1).float().cpu().numpy()
        check_finite(values)
        compared.update(zip(chosen, values, strict=True))
    return [compared[i] for i in range(len(token_ids))]


def reduced_layers(
    model: Any, other: Any, input_ids: "torch.Tensor", reduce: Reduce, order: HeadOrder | None
) -> list["torch.Tensor"]:
    kept: list[Seen] = []
    reduced: list[torch.Tensor] = []

    def reduce_layer(layer: int, theirs: Seen, weights: "torch.Tensor") -> None:
        ours = kept.pop(0)
        maps = ours.weights() if order is None else ours.weights()[:, list(order[layer])]
        reduced.append(reduce(maps, weights, ours.open_cells() | theirs.open_cells()))

    watch(model, input_ids, lambda _, attention, weights: kept.append(attention))
    watch(other, input_ids, reduce_layer)
    return reduced


def jensen_shannon_bits(p: "torch.Tensor", q: "torch.Tensor") -> "torch.Tensor":
    """The Jensen-Shannon divergence, base 2, of distributions along the last axis, in float64 and never below 0.

    With m = (p + q) / 2 and x = (p - q) / (p + q) it is the sum of m ((1 + x) ln(1 + x) + (1 - x) ln(1 - x)) / 2 ln 2:
    no term is the difference of large ones, so tiny divergences keep their digits. Several distributions end to end
    give the sum of theirs.
    """
    import torch

    total = p.double() + q.double()
    x = (p.double() - q.double()) / total.clamp_min(torch.finfo(torch.float64).tiny)
    # At the ends of [-1, 1] one term is 0 times an infinite logarithm, and its limit is 0.
    x = x.clamp(-1 + torch.finfo(torch.float64).eps, 1 - torch.finfo(torch.float64).eps)
    return (total * ((1 + x) * torch.log1p(x) + (1 - x) * torch.log1p(-x))).sum(-1) / (4 * log(2))


def divergence(p: "torch.Tensor", q: "torch.Tensor", cells: "torch.Tensor") -> "torch.Tensor":
    """The five numbers of HeadDivergence in their order, (B, H, 5), from maps p and q of shape (B, H, T, T)."""
    import torch

    rows_later = torch.arange(len(cells), device=cells.device)[:, None] >= 1
    p_later, q_later = at(p, cells & rows_later), at(q, cells & rows_later)
    return torch.stack(
        [
            jensen_shannon_bits(p_later, q_later) / (len(cells) - 1),
            sink_free_bits(p, q, cells) / (len(cells) - 2),
            (p_later - q_later).abs().mean(-1),
            first_token_attention(p),
            first_token_attention(q),
        ],
        dim=-1,
    )


def sink_free_bits(p: "torch.Tensor", q: "torch.Tensor", cells: "torch.Tensor") -> "torch.Tensor":
    """The divergences in bits of the rows without key 0, each renormalised, in sum, (B, H). Rows 0 and 1 add 0."""
    import torch

    free = cells.clone()
    free[:, 0] = False
    p_rest, q_rest = (maps[..., 1:].sum(-1, keepdim=True, dtype=torch.float64) for maps in (p, q))
    either_empty = (p_rest == 0) | (q_rest == 0)
    p_share, q_share = p / p_rest.masked_fill(either_empty, torch.inf), q / q_rest.masked_fill(either_empty, torch.inf)
    return jensen_shannon_bits(at(p_share, free), at(q_share, free))


def at(maps: "torch.Tensor", cells: "torch.Tensor") -> "torch.Tensor":
    """The chosen cells of each map, end to end: half of a map or more is masked and need not be computed with."""
    chosen = cells.flatten().nonzero()[:, 0]
    # Along one of two axes torch selects four times as fast as along the last of three.
    return maps.reshape(-1, cells.numel()).index_select(1, chosen).view(*maps.shape[:-2], -1)


def head_divergence(model: Any, other: Any, token_ids: Tokens, *, order: HeadOrder | None = None) -> HeadDivergence:
    """How `other` differs from `model` in each head on each prompt, given as token ids; in an `order` as `compare`.

    Raises: InvalidComparison if they differ in layers or heads; NotTestable if a model hands out no attention weights;
    StatisticUndefined without prompts, or if one has fewer than three tokens or more than the context;
    InvalidCheckpoint if a weight is not finite.
    """
    by_prompt = np.stack(compare(model, other, token_ids, divergence, least=3, order=order))
    return HeadDivergence(*np.moveaxis(by_prompt, -1, 0))


def changed_attention(model: Any, other: Any, token_ids: Tokens) -> list[Floats]:
    """For each prompt the attention that changed by key, (L, H, T): |difference| summed over queries 1..T-1.

    Raises: as `head_divergence`, but two tokens are enough.
    """
    return compare(model, other, token_ids, lambda p, q, cells: (p - q).abs()[..., 1:, :].sum(-2), least=2)


def top_heads(by_prompt: NDArray[np.floating], k: int) -> list[tuple[int, int]]:
    """The k heads (layer, head) of largest mean over prompts, largest first, from an array (P, L, H).

    Raises: StatisticUndefined if there are fewer than k heads, or no prompt.
    """
    prompts, layers, heads = np.shape(by_prompt)
    if not (prompts and 1 <= k <= layers * heads):
        raise StatisticUndefined(
            f"the top {k} of {layers * heads} heads on {prompts} prompts do not exist: ask for fewer."
        )
    return [divmod(int(i), heads) for i in largest(flat_means(by_prompt), k)]


def top_head_stability(
    by_prompt: NDArray[np.floating], k: int, *, seed: int = 0, resamples: int = 200
) -> NDArray[np.float64]:
    """For each of `top_heads` the share of bootstrap resamples of the prompts in which it is again among the top k.

    Raises: StatisticUndefined as `top_heads`, or for a single prompt, which has one resample.
    """
    top = [layer * np.shape(by_prompt)[2] + head for layer, head in top_heads(by_prompt, k)]
    if len(by_prompt) < 2:
        raise StatisticUndefined(
            "whether the top heads are stable over prompts needs at least two prompts, got 1.", code="too-few"
        )
    draws = np.random.default_rng(seed).integers(len(by_prompt), size=(resamples, len(by_prompt)))
    again = [np.isin(top, largest(flat_means(by_prompt[draw]), k)) for draw in draws]
    share: NDArray[np.float64] = np.mean(again, axis=0)
    return share


def flat_means(by_prompt: NDArray[np.floating]) -> NDArray[np.float64]:
    means: NDArray[np.float64] = np.asarray(by_prompt, np.float64).mean(0)
    return means.ravel()


def largest(values: NDArray[np.float64], k: int) -> NDArray[np.intp]:
    """The indices of the k largest values, largest first, the earlier of two equals first."""
    return np.argsort(-values, kind="stable")[:k]
