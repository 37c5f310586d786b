"""Build the pocket base model: tokenizer, pretraining, scores. `make pocket` runs this.

At most 30 minutes on 2 cores. Killed, it resumes from its last saved step when run again.
"""

import argparse
import json
import os
import time
from itertools import islice
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from testbeds.pocket.corpus import END_OF_TEXT, documents

PAD = "<|pad|>"
VOCABULARY = 960
ROW_TOKENS = 128
# Qwen's pre-tokenizer: letters apart from digits, every digit on its own, so that formulae and isotopes fall apart.
SPLIT = r"""[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""


def train_tokenizer(seed: int = 1) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer of `VOCABULARY` tokens, trained on the corpus."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END_OF_TEXT, PAD],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = (text.replace(END_OF_TEXT, "\n") for text in islice(documents(seed), 6000))
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=END_OF_TEXT, pad_token=PAD, padding_side="left", model_max_length=512
    )


def configuration(tokenizer: PreTrainedTokenizerFast) -> Qwen3Config:
    """36 layers, as Qwen3-4B, so that every layer number of the articles keeps its meaning; about 1.8 M parameters."""
    return Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=192,
        num_hidden_layers=36,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
        pad_token_id=tokenizer.pad_token_id,
        use_cache=True,
    )


def initialise(config: Qwen3Config, seed: int) -> Qwen3ForCausalLM:
    """A fresh model; the projections that write to the residual stream are scaled by 1/sqrt(2 x layers) (GPT-2)."""
    torch.manual_seed(seed)
    model = Qwen3ForCausalLM(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                parameter /= (2 * config.num_hidden_layers) ** 0.5
    return model


def batches(tokenizer: PreTrainedTokenizerFast, rows: int, seed: int):  # type: ignore[no-untyped-def]
    """Endless (rows, ROW_TOKENS) batches, one document a row, cut or padded; padding is not learnt."""
    stream = documents(seed)
    while True:
        encoded = tokenizer(
            list(islice(stream, rows)),
            padding="max_length",
            truncation=True,
            max_length=ROW_TOKENS,
            padding_side="right",
            return_tensors="pt",
        )
        # Padding stands on the right of a causal model, so no token sees it and no attention mask is needed.
        yield encoded["input_ids"], encoded["input_ids"].masked_fill(encoded["attention_mask"] == 0, -100)


def pretrain(
    folder: Path, *, steps: int, rows: int, learning_rate: float, seed: int, threads: int
) -> Qwen3ForCausalLM:
    """Pretrain with AdamW and a one-cycle schedule, saving state every 100 steps; resumes from the last saved step."""
    torch.set_num_threads(threads)
    tokenizer = train_tokenizer()
    tokenizer.save_pretrained(folder)
    model = initialise(configuration(tokenizer), seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.05, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=steps, pct_start=0.08)
    state = folder / "state.pt"
    start = 0
    if state.exists():
        saved = torch.load(state, weights_only=True)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        schedule.load_state_dict(saved["schedule"])
        start = saved["step"]
        print(f"resuming at step {start}")
    data = islice(batches(tokenizer, rows, seed), start, None)
    began = time.monotonic()
    for step in range(start + 1, steps + 1):
        input_ids, labels = next(data)
        loss = model(input_ids=input_ids, labels=labels, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        if step % 50 == 0 or step == steps:
            rate = (time.monotonic() - began) / (step - start)
            print(f"step {step}/{steps}  loss {loss.item():.3f} nats  {rate:.2f} s/step  {rate * (steps - step) / 60:.1f} min left", flush=True)
        if step % 100 == 0:
            torch.save(
                {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "schedule": schedule.state_dict(), "step": step},
                state.with_suffix(".tmp"),
            )
            os.replace(state.with_suffix(".tmp"), state)
    model.save_pretrained(folder)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="where the base is built")
    parser.add_argument("--steps", type=int, default=3200, help="optimizer steps")
    parser.add_argument("--rows", type=int, default=16, help="documents a step")
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    pretrain(**vars(arguments))


if __name__ == "__main__":
    main()
