"""Ten families of causal language models, each so small that it is built in a moment.

Weights are large enough for attention to be far from uniform, and sliding windows are shorter than most prompts.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import (
    AutoModelForCausalLM,
    BertConfig,
    BertLMHeadModel,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    Olmo2Config,
    Phi3Config,
    PretrainedConfig,
    Qwen2Config,
    Qwen3Config,
)

VOCABULARY, CONTEXT, WINDOW = 97, 64, 4
END = dict(bos_token_id=None, eos_token_id=0, pad_token_id=1)
SHAPE = dict(
    vocab_size=VOCABULARY,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=3,
    num_attention_heads=4,
    max_position_embeddings=CONTEXT,
    initializer_range=0.3,
    **END,
)
GROUPED = SHAPE | dict(num_key_value_heads=2)
SOFTCAPS = dict(attn_logit_softcapping=5.0, final_logit_softcapping=10.0)
LOCAL_AND_GLOBAL = ["sliding_attention", "full_attention", "sliding_attention"]

FAMILIES: dict[str, Callable[[], PretrainedConfig]] = {
    "llama": lambda: LlamaConfig(**GROUPED),
    "mistral": lambda: MistralConfig(**GROUPED, sliding_window=WINDOW),
    "qwen2": lambda: Qwen2Config(**GROUPED),
    "qwen3": lambda: Qwen3Config(**GROUPED, head_dim=16),
    "gemma2": lambda: Gemma2Config(
        **GROUPED,
        **SOFTCAPS,
        head_dim=16,
        query_pre_attn_scalar=16,
        sliding_window=WINDOW,
        layer_types=LOCAL_AND_GLOBAL,
    ),
    "gemma3": lambda: Gemma3TextConfig(
        **GROUPED, head_dim=16, query_pre_attn_scalar=16, sliding_window=WINDOW, layer_types=LOCAL_AND_GLOBAL
    ),
    "phi3": lambda: Phi3Config(**GROUPED),
    "olmo2": lambda: Olmo2Config(**GROUPED),
    "gpt2": lambda: GPT2Config(
        vocab_size=VOCABULARY, n_positions=CONTEXT, n_embd=32, n_layer=3, n_head=4, initializer_range=0.3, **END
    ),
    "gpt_neox": lambda: GPTNeoXConfig(**SHAPE),
}


every_family = pytest.mark.parametrize("family", FAMILIES)

PROMPTS = [[5, 6, 7, 8, 9, 3], [4, 8, 1], [9, 9, 9, 9, 9, 9], [11]]
EVERY_TOKEN = range(VOCABULARY)


def random_model(family: str, seed: int = 0) -> Any:
    """The family's model with random weights, in float32 and evaluation mode."""
    torch.manual_seed(seed)
    return AutoModelForCausalLM.from_config(FAMILIES[family](), dtype=torch.float32).eval()


def uneven_model(family: str) -> Any:
    """A random model whose norms and biases are random too: fresh ones are all 1 or 0, and could be forgotten."""
    model = random_model(family)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter += 0.3 * torch.randn(parameter.shape)
    return model


def without_biases(model: Any) -> Any:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
    return model


def hooks(model: Any) -> int:
    """How many hooks a model holds."""
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())


def logits_of(model: Any, ids: list[int]) -> NDArray[np.float64]:
    """The logits (T, V) of a prompt."""
    with torch.inference_mode():
        return model(torch.tensor([ids])).logits[0].double().numpy()


def alike(one: Any, other: Any) -> NDArray[np.float64]:
    """The cosine of two arrays along their last axis: 1 where one is the other times a positive number."""
    one, other = np.asarray(one), np.asarray(other)
    return (one * other).sum(-1) / np.linalg.norm(one, axis=-1) / np.linalg.norm(other, axis=-1)


def encoder() -> Any:
    """A BERT with a language-model head: its tokens see those after them."""
    shape = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4)
    return BertLMHeadModel(BertConfig(vocab_size=VOCABULARY, max_position_embeddings=CONTEXT, **shape)).eval()
