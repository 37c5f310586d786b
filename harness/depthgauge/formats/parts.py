"""The parts of a model by the names of its stored tensors: no model is loaded, and torch is not imported."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from depthgauge.core.errors import NotTestable
from depthgauge.formats.tensors import BLOCK, BY_FAMILY, CONV1D, HEADS, WRAPPERS
from depthgauge.models.anatomy import ATTENTION_NAMES, FINAL_NORM_NAMES, MLP_NAMES, OUTPUT_NAMES

# The last matrix of an MLP, by family: what it writes is added to the residual stream.
MLP_OUTPUT_NAMES = ("down_proj", "c_proj", "dense_4h_to_h", "fc2", "fc_out", "w2", "value")
# The last matrix of whatever else stands between two states of the residual stream: attention, convolution, recurrence.
MIXER_OUTPUT_NAMES = (*OUTPUT_NAMES, "linear_out", "output")
# In this order: what comes after the MLP's own names is another norm in families that have one by these. Where an MLP
# stands beside the attention, both read through the last ones.
MLP_NORM_NAMES = (
    "pre_feedforward_layernorm", "pre_ff_layernorm", "ffn_norm", "channel_pre_norm", "ln_2", "norm_2", "ln2", "ln_mlp",
    "final_layer_norm", "post_attention_layernorm", "input_layernorm", "ln_1",
)  # fmt: skip
EMBEDDING_NAMES = ("embed_tokens", "wte", "embed_in", "word_embeddings", "embeddings")
LAYER_COUNTS = ("num_hidden_layers", "n_layer", "num_layers", "n_layers")
KIND = re.compile(r"[._](weight|bias)$")


def block_of(name: str) -> tuple[int | None, str]:
    """The layer of a tensor, and its name within it: (3, 'mlp.down_proj.weight'); (None, name) outside the layers."""
    match = BLOCK.fullmatch(WRAPPERS.sub("", name))
    return (int(match[2]), match[3]) if match else (None, WRAPPERS.sub("", name))


def layer_of(name: str) -> int | None:
    return block_of(name)[0]


def module_of(name: str) -> str:
    """The module that a tensor belongs to, named within its layer: 'mlp.down_proj' of its weight and of its bias."""
    return KIND.sub("", block_of(name)[1])


def depth_of(names: Iterable[str]) -> int:
    """How many layers the tensors of these names make."""
    return 1 + max((layer for name in names if (layer := layer_of(name)) is not None), default=-1)


def in_layers(names: Iterable[str], layers: Iterable[int]) -> list[str]:
    wanted = set(layers)
    return [name for name in names if layer_of(name) in wanted]


def at_layer(name: str, layer: int) -> str:
    """The same tensor of another layer."""
    own, within = block_of(name)
    return name.removesuffix(f"{own}.{within}") + f"{layer}.{within}"


def is_mlp(name: str) -> bool:
    return layer_of(name) is not None and module_of(name).split(".")[0] in MLP_NAMES


def is_mlp_output(name: str) -> bool:
    return is_mlp(name) and module_of(name).split(".")[-1] in MLP_OUTPUT_NAMES


def is_attention(name: str, *modules: str) -> bool:
    """Whether a tensor belongs to a module of these names that lies directly in the attention of its layer."""
    first, *inner = module_of(name).split(".")
    inner = inner[1:] if inner[:1] == ["attention"] else inner  # GPT-Neo wraps it once more
    return layer_of(name) is not None and first in ATTENTION_NAMES and len(inner) == 1 and inner[0] in modules


def is_attention_output(name: str) -> bool:
    return is_attention(name, *OUTPUT_NAMES)


def writes_to_the_stream(name: str) -> bool:
    """Whether a tensor is of the last matrix of an MLP, an attention, or what a family has in its place."""
    last = module_of(name).split(".")[-1]
    return is_mlp_output(name) or (layer_of(name) is not None and last in MIXER_OUTPUT_NAMES)


def mlp_norm(names: Iterable[str], layer: int) -> list[str]:
    """The tensors of the norm that the MLP of a layer reads through. Raises: NotTestable where no name is known."""
    by_module: dict[str, list[str]] = {}
    for name in in_layers(names, (layer,)):
        by_module.setdefault(module_of(name), []).append(name)
    only_after = "post_feedforward_layernorm" in by_module and "pre_feedforward_layernorm" not in by_module
    module = next((by_module[norm] for norm in MLP_NORM_NAMES if norm in by_module), None)
    if module is None or only_after:
        raise NotTestable(f"layer {layer} has no norm before its MLP of a name that is known: {', '.join(by_module)}.")
    return module


def final_norm(names: Iterable[str]) -> list[str]:
    """The tensors of the norm after the last layer. Raises: NotTestable where no name is known."""
    norms = [name for name in names if layer_of(name) is None and module_of(name) in FINAL_NORM_NAMES]
    if not norms:
        raise NotTestable(f"no norm after the last layer has a name that is known: {', '.join(FINAL_NORM_NAMES)}.")
    return norms


def embedding(names: Iterable[str]) -> str:
    """The embedding of tokens. Raises: NotTestable where no name is known."""
    for name in names:
        if layer_of(name) is None and module_of(name) in EMBEDDING_NAMES:
            return name
    raise NotTestable(f"no embedding has a name that is known: {', '.join(EMBEDDING_NAMES)}.")


def has_vocabulary(name: str) -> bool:
    """Whether a tensor has a row for every token: the embedding, or an output head that is not tied to it."""
    return name.endswith(HEADS) or (layer_of(name) is None and module_of(name) in EMBEDDING_NAMES)


def input_axis(config: Mapping[str, Any]) -> int:
    """The axis of a stored matrix along which its input lies: 1 of a Linear, 0 of GPT-2's Conv1D."""
    return 0 if BY_FAMILY.get(str(config.get("model_type"))) is CONV1D else 1
