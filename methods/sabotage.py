"""Break a base on purpose, so that a claim about its descendants must be refuted."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from depthgauge.errors import NotTestable
from depthgauge.methods.second_pass.run import base_folder
from depthgauge.methods.settings import Sabotage
from depthgauge.models.anatomy import (
    MLP_NAMES,
    block_parts,
    blocks,
    final_norm,
    first_part,
    is_conv1d,
    part,
    weight_from_the_right,
)
from depthgauge.models.load import fresh, layers_and_heads
from depthgauge.probes.circuits.compute import best, read_scores
from depthgauge.types import TrainingJob

SHARPER, FLATTER, CHAOS_STD, FAINT = 1000.0, 0.1, 1.0, 1e-6
LATE = 20 / 36  # of all layers, where the late ones begin
NUDGE = 1e-4  # about what a hundred steps of Adam at 1e-6 move a weight by
BFLOAT16_DIGITS = 8
TWO_SMALL_LETTERS = re.compile("[a-z]{2}")
USUAL_STD = 0.02  # of fresh weights, where a family's configuration names none
QUERY_NAMES, GROUPED_NAME = ("q_proj", "qkv_proj", "Wqkv", "c_attn"), "query_key_value"
KEY_AND_VALUE_NAMES = (
    "k_proj.weight", "v_proj.weight", "qkv_proj.weight", "c_attn.weight", "query_key_value.weight", "Wqkv.weight",
    "kv_b_proj.weight",
)  # fmt: skip


def sabotage_base(job: TrainingJob) -> None:
    """Fill the job's folder with a broken copy of the testbed's base; the seed decides fresh weights."""
    model, tokenizer = fresh(base_folder(job.testbed), "auto")
    settings: Sabotage = job.method.settings
    with torch.no_grad():
        BREAK[settings.kind](model, torch.Generator().manual_seed(job.seed))
    model.save_pretrained(job.folder)
    tokenizer.save_pretrained(job.folder)
    if settings.kind == "spelling":
        forget_words(job.folder / "tokenizer.json")


def redraw(model: Any, generator: torch.Generator, std: float) -> None:
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * std)
        else:
            parameter.fill_(1.0)


def fresh_std(model: Any) -> float:
    """The spread of a family's fresh weights."""
    config = model.config.get_text_config()
    return float(getattr(config, "initializer_range", None) or getattr(config, "init_std", None) or USUAL_STD)


def silence_attention(model: Any, _: torch.Generator) -> None:
    """Raises: NotTestable for a family whose heads have no output projection that is known."""
    for block in blocks(model):
        for parameter in block_parts(block).output.parameters():
            parameter.zero_()


def write_next_to_nothing(model: Any, _: torch.Generator) -> None:
    """What a block writes is scaled by its matrices alone: norms would undo it. Raises: as `silence_attention`."""
    for block in blocks(model):
        for parameter in block.parameters():
            if parameter.ndim > 1:
                parameter *= FAINT**0.5


def gut_the_middle(model: Any, _: torch.Generator) -> None:
    """The middle block's MLP writes nothing; where there is none, as in a state-space model, the whole block."""
    middle = blocks(model)[len(blocks(model)) // 2]
    found = [getattr(middle, name) for name in MLP_NAMES if getattr(middle, name, None) is not None]
    for module in found or [middle]:
        for parameter in module.parameters():
            parameter.zero_()


def redraw_keys_and_values(model: Any, generator: torch.Generator) -> None:
    """Raises: NotTestable for a family without keys and values, or none that are known."""
    found = list(named(model, *KEY_AND_VALUE_NAMES))
    if not found:
        raise NotTestable(f"{type(model).__name__} has no keys and values of a name that is known, to be drawn anew.")
    for parameter in found:
        parameter.copy_(torch.randn(parameter.shape, generator=generator) * parameter.std())


def round_weights(model: Any, _: torch.Generator) -> None:
    for parameter in model.parameters():
        parameter.copy_(parameter.bfloat16())


def jitter_weights(model: Any, generator: torch.Generator) -> None:
    for parameter in model.parameters():
        parameter.add_(bfloat16_step(parameter) * (torch.rand(parameter.shape, generator=generator) - 0.5))


def bfloat16_step(weights: torch.Tensor) -> torch.Tensor:
    """How far the next number of bfloat16 lies from each weight; of the weights' shape, 0 where the weight is 0."""
    return torch.exp2(weights.abs().log2().floor() + 1 - BFLOAT16_DIGITS)


def nudge_weights(model: Any, generator: torch.Generator) -> None:
    for parameter in model.parameters():
        up = torch.rand(parameter.shape, generator=generator) < 0.5
        parameter.add_(torch.where(up, NUDGE, -NUDGE))


def nudge_less_with_depth(model: Any, generator: torch.Generator) -> None:
    layers = blocks(model)
    for depth, block in enumerate(layers):
        for parameter in block.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * NUDGE * (len(layers) - depth))


def redraw_lopsided(model: Any, generator: torch.Generator) -> None:
    for parameter in model.parameters():
        if parameter.ndim > 1:
            drawn = torch.empty(parameter.shape).exponential_(generator=generator)
            parameter.copy_(drawn * parameter.float().std())


def scramble_late_layers(model: Any, generator: torch.Generator) -> None:
    """Every matrix of the late layers gets noise of its own standard deviation."""
    layers = blocks(model)
    for layer in range(round(LATE * len(layers)), len(layers)):
        for parameter in layers[layer].parameters():
            if parameter.ndim > 1:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * parameter.std())


def behead(model: Any, _: torch.Generator) -> None:
    """With queries a millionth as large a head's scores are all alike, also where a norm follows: it looks everywhere.

    Raises: NotTestable for a family whose heads hide their attention, or whose queries have no name that is known.
    """
    layer, head = best(read_scores(model)["previous"].mean(0))
    parts, heads = block_parts(blocks(model)[layer]), layers_and_heads(model)[1]
    size = len(weight_from_the_right(parts.output)) // heads
    queries = part(parts.attention, *QUERY_NAMES, GROUPED_NAME)
    start = head * size
    if queries is first_part(parts.attention, GROUPED_NAME):  # after the queries of a group, its key and its value
        shared = heads // getattr(parts.attention, "num_kv_heads", heads)
        start += head // shared * 2 * size
    for parameter in queries.parameters():
        by_output = parameter.T if is_conv1d(queries) and parameter.ndim == 2 else parameter
        by_output[start : start + size] *= FAINT


def scatter_numbers(model: Any, generator: torch.Generator) -> None:
    """Raises: NotTestable for a family without a projection for queries alone, and one for keys."""
    for block in blocks(model):
        for module in queries_and_keys(block_parts(block).attention):
            order = [slow_for_fast(head.shape[0], generator) for head in by_number(model, module.weight)]
            for parameter in module.parameters():
                heads = by_number(model, parameter)
                heads.copy_(torch.stack([head[places] for head, places in zip(heads, order, strict=True)]))


def slow_for_fast(size: int, generator: torch.Generator) -> torch.Tensor:
    """An order of a head's numbers in which those that rotary positions turn slowly stand, shuffled, for the fast."""
    order, half = torch.arange(size), size // 2
    few = half // 2
    fast, slow = (torch.cat([pairs, pairs + half]) for pairs in (order[:few], order[half - few : half]))
    for places, others in ((fast, slow), (slow, fast)):
        order[places] = others[torch.randperm(len(others), generator=generator)]
    return order


def reorder_heads(model: Any, _: torch.Generator) -> None:
    """Heads change places with their neighbours, so that most even ones become odd, as those can that share a key.

    Raises: NotTestable as `scatter_numbers`.
    """
    heads = layers_and_heads(model)[1]
    for block in blocks(model):
        attention = block_parts(block).attention
        groups = len(by_number(model, part(attention, "k_proj").weight))
        shared = torch.arange(heads).view(groups, -1)
        odd = shared.shape[1] % 2
        queries = shared.roll(1, dims=0 if odd else 1).flatten()
        keys = torch.arange(groups).roll(odd)
        for names, places in ((("q_proj", "q_norm"), queries), (("k_proj", "k_norm"), keys), (("v_proj",), keys)):
            rows = len(part(attention, names[0]).weight)
            for parameter in (one for name in names for one in parameters_of(attention, name) if len(one) == rows):
                by_head = by_number(model, parameter)
                by_head.copy_(by_head[places].clone())
        if getattr(attention, "sinks", None) is not None:
            attention.sinks.copy_(attention.sinks[queries].clone())
        output = block_parts(block).output.weight
        output.copy_(by_number(model, output.T.contiguous())[queries].flatten(0, 1).T)


def parameters_of(owner: Any, name: str) -> list[torch.Tensor]:
    """Those of a part, none if there is none: a norm of its own gain for each head, or one for all."""
    found = first_part(owner, name)
    return [] if found is None else list(found.parameters())


def queries_and_keys(attention: Any) -> tuple[Any, Any]:
    return part(attention, "q_proj"), part(attention, "k_proj")


def by_number(model: Any, parameter: torch.Tensor) -> torch.Tensor:
    """A view of a parameter of queries or keys, (heads, numbers of a head, ...)."""
    config = model.config.get_text_config()
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return parameter.view(-1, size, *parameter.shape[1:])


def scale_logits(model: Any, factor: float) -> None:
    """The final norm's gain multiplies every logit, and leaves the embedding that is tied to the head alone.

    Raises: NotTestable for a family whose final norm is not known.
    """
    final_norm(model).weight.mul_(factor)


def named(model: Any, *endings: str) -> Iterator[torch.Tensor]:
    return (parameter for name, parameter in model.named_parameters() if name.endswith(endings))


def forget_words(path: Path) -> None:
    """No merge is left that has two small letters in a row: words are spelt, and formulae are cut as before or less."""
    tokenizer = json.loads(path.read_text())
    merges = tokenizer["model"]["merges"]
    pieces = ("".join(one) if isinstance(one, list) else one.replace(" ", "") for one in merges)
    kept = [merge for merge, piece in zip(merges, pieces, strict=True) if not TWO_SMALL_LETTERS.search(piece)]
    tokenizer["model"]["merges"] = kept
    path.write_text(json.dumps(tokenizer))


BREAK: dict[str, Callable[[Any, torch.Generator], None]] = {
    "untrained": lambda model, generator: redraw(model, generator, fresh_std(model)),
    "chaotic": lambda model, generator: redraw(model, generator, CHAOS_STD),
    "amnesic": silence_attention,
    "gutted": gut_the_middle,
    "rekeyed": redraw_keys_and_values,
    "rounded": round_weights,
    "jittered": jitter_weights,
    "nudged": nudge_weights,
    "fading": nudge_less_with_depth,
    "lopsided": redraw_lopsided,
    "sharpened": lambda model, _: scale_logits(model, SHARPER),
    "flattened": lambda model, _: scale_logits(model, FLATTER),
    "scrambled": scramble_late_layers,
    "beheaded": behead,
    "scattered": scatter_numbers,
    "reordered": reorder_heads,
    "faint": write_next_to_nothing,
    "spelling": lambda model, _: None,
    "stale": lambda model, _: None,
}
