"""Forty tiny baselines of eight families, trained for seconds on the project's own documentation, letter by letter."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.families import LETTERS, VOCABULARY
from depthgauge.checks.inputs.texts import texts

DOCS = Path(__file__).parents[2] / "docs"
WIDTH, LAYERS, HEADS, CONTEXT, WINDOW = 64, 4, 4, 128, 24
STEPS, BATCH, LENGTH, RATE = 200, 16, 64, 3e-3
EVALUATED, LONGEST = 16, 96  # texts, and letters of each

END = dict(bos_token_id=None, eos_token_id=0, pad_token_id=1)
SHAPE = dict(
    vocab_size=VOCABULARY, hidden_size=WIDTH, intermediate_size=2 * WIDTH, num_hidden_layers=LAYERS,
    num_attention_heads=HEADS, max_position_embeddings=CONTEXT, **END,
)  # fmt: skip
GROUPED = SHAPE | dict(num_key_value_heads=2)
LOCAL = ["sliding_attention", "full_attention", "sliding_attention", "full_attention"]
FAMILIES: Mapping[str, Mapping[str, Any]] = {
    "llama": GROUPED,
    "qwen3": GROUPED | dict(head_dim=16),
    "gemma3_text": GROUPED | dict(
        head_dim=16, query_pre_attn_scalar=16, sliding_window=WINDOW, layer_types=LOCAL
    ),
    "gpt2": dict(
        vocab_size=VOCABULARY, n_positions=CONTEXT, n_embd=WIDTH, n_layer=LAYERS, n_head=HEADS, n_inner=2 * WIDTH, **END
    ),
    "phi": SHAPE,
    "mixtral": GROUPED | dict(num_local_experts=4, num_experts_per_tok=2),
    "mistral": GROUPED | dict(sliding_window=WINDOW),
    "lfm2": GROUPED | dict(
        layer_types=["conv", "full_attention", "conv", "full_attention"], block_auto_adjust_ff_dim=False
    ),
}  # fmt: skip
FIRST_FOUR = ("llama", "qwen3", "gpt2", "phi")  # on which thresholds are fixed
CODES = {letter: 2 + place for place, letter in enumerate(LETTERS)}


def encoded(text: str) -> list[int]:
    return [CODES[letter] for letter in " ".join(text.split()) if letter in CODES]


def corpus() -> list[int]:
    return [code for path in sorted(DOCS.glob("*.md")) for code in encoded(path.read_text())]


def evaluated() -> list[list[int]]:
    """Texts that nobody trained on, two of each kind."""
    chosen = texts()[:: max(1, len(texts()) // EVALUATED)][:EVALUATED]
    return [encoded(one.text)[:LONGEST] for one in chosen]


def trained(family: str, seed: int, codes: list[int]) -> Any:
    """A model that knows some of how the documentation is spelt."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(seed)
    config = AutoConfig.for_model(family, **dict(FAMILIES[family]))
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).train()
    data, generator = torch.tensor(codes), torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.1)
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1, (step + 1) / 20, (STEPS - step) / 50)
        starts = torch.randint(len(data) - LENGTH, (BATCH,), generator=generator)
        batch = torch.stack([data[start : start + LENGTH] for start in starts.tolist()])
        loss = model(input_ids=batch, labels=batch, use_cache=False).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return model.eval()
