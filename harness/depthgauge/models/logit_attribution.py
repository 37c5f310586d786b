"""Direct logit attribution: the logits as a sum over the parts of the model that wrote them.

Shapes: P prompts, B of one batch, T tokens, L layers, H query heads, D hidden size, K targets. Layers, heads and tokens
are counted from 0.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import NotTestable
from depthgauge.models.anatomy import (
    BlockParts,
    FrozenNorm,
    block_parts,
    blocks,
    final_norm,
    frozen_norm,
    weight_from_the_right,
)
from depthgauge.models.attention import batches_of_one_length
from depthgauge.models.inputs import Tokens, check_finite, check_prompts, check_targets
from depthgauge.models.load import layers_and_heads

if TYPE_CHECKING:
    import torch

Doubles = NDArray[np.float64]

NEAR = 1e-3  # of the largest logit: float32 sums in another order differ by far less, a forgotten part by far more


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


def logit_attribution(model: Any, prompts: Tokens, targets: Tokens) -> LogitAttribution:
    """Direct logit attribution: which part of the model wrote how much of each target's logit (Elhage et al. 2021).

    `targets` gives K token ids for each prompt; the difference of two targets' rows explains their logit difference.
    Norms are linear once the size they divide by is held at its value in the run, and so the contributions are exact:
    they sum to the logits. An ablation can differ from them, as it changes those sizes and what later blocks do.

    Raises: StatisticUndefined for a prompt that is empty or longer than the context, an unknown token, or targets that
    differ in number; NotTestable for a model whose logits are not this sum; InvalidCheckpoint if a logit is not finite.
    """
    import torch

    check_prompts(prompts, 1, model)
    check_targets(targets, prompts, model)
    by_block: dict[int, tuple[Doubles, ...]] = {}
    for chosen in batches_of_one_length(prompts):
        ids = torch.tensor([list(prompts[i]) for i in chosen], device=model.device)
        wanted = torch.tensor([list(targets[i]) for i in chosen], device=model.device)
        with torch.inference_mode():
            parts = [part.cpu().numpy() for part in contributions(model, ids, wanted)]
        by_block.update(zip(chosen, zip(*parts, strict=True), strict=True))
    attribution = LogitAttribution(*map(np.stack, zip(*(by_block[i] for i in range(len(prompts))), strict=True)))
    check_finite(attribution.logits)
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
    final = at_one_token(frozen_norm(norm, *passages[norm]))
    directions = final.back(rows)
    token, entered = passages[embed].given, passages[decoder[0]].taken
    if token.shape != entered.shape:
        raise NotTestable(f"{type(model).__name__} projects its embeddings before its first block.")
    by_layer = [attention_share(p, passages, directions, layers_and_heads(model)[1]) for p in parts]
    biases = 0 if unembed.bias is None else unembed.bias[targets].double()
    return (
        along(token, directions),
        along(entered - token, directions),
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
        after = at_one_token(frozen_norm(parts.output_norm, *passages[parts.output_norm]))
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


def at_one_token(norm: FrozenNorm) -> FrozenNorm:
    """For directions (B, K, D) in place of vectors (B, D)."""
    return norm._replace(inverse=norm.inverse[:, None])


def run_past(model: Any, ids: "torch.Tensor", modules: Sequence[Any]) -> dict[Any, Passage]:
    """Run the model on (B, T) tokens; what went into and came out of each of the modules at the last token."""
    passages: dict[Any, Passage] = {}

    def last(states: "torch.Tensor") -> "torch.Tensor":
        return states.reshape(len(ids), -1, states.shape[-1])[:, -1].double()  # some MLPs see all tokens in one row

    def keep(module: Any, inputs: Any, output: Any) -> None:
        passages[module] = Passage(last(inputs[0]), last(output[0] if isinstance(output, tuple) else output))

    with ExitStack() as hooks:
        for module in modules:
            hooks.callback(module.register_forward_hook(keep).remove)
        model(input_ids=ids, use_cache=False, logits_to_keep=1)
    return passages
