"""Ten families of causal language models, each so small that it is built in a moment.

Weights are large enough for attention to be far from uniform, and sliding windows are shorter than most prompts.
"""

from collections.abc import Callable
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
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


def random_model(family: str, seed: int = 0) -> Any:
    """The family's model with random weights, in float32 and evaluation mode."""
    torch.manual_seed(seed)
    return AutoModelForCausalLM.from_config(FAMILIES[family](), dtype=torch.float32).eval()
