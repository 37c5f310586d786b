"""Build the pocket base model: tokenizer, pretraining, scores. `make pocket` runs this.

About half an hour on 2 cores. Killed, it resumes from its last saved step when run again. The sums of a pretraining
depend on the number of threads and on the machine, so a rebuilt base has the same skills and not the same bits.
"""

import argparse
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from depthgauge.core.plain import digest
from depthgauge.models.load import load, prepare_libraries
from depthgauge.sources.folder import fingerprint
from depthgauge.store.folders import write_atomically
from depthgauge.tasks.item_runner import answer_items
from depthgauge_testbeds.pocket import BASE, TASKS
from depthgauge_testbeds.pocket.corpus import END_OF_TEXT, documents

RECORD = BASE.parent / "base.json"
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


def configuration(tokenizer: PreTrainedTokenizerFast, layers: int = 36) -> Qwen3Config:
    """36 layers, as Qwen3-4B, so that every layer number of the articles keeps its meaning; about 1.8 M parameters."""
    return Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=192,
        num_hidden_layers=layers,
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


def batches(
    stream: Iterator[str], tokenizer: PreTrainedTokenizerFast, rows: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Endless (rows, ROW_TOKENS) input_ids and labels, a document a row, cut or padded; padding is not learnt."""
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


@dataclass(frozen=True, kw_only=True, slots=True)
class BaseRecipe:
    """What the base was pretrained with. The corpus itself is code, under version control beside this file."""

    steps: int = 3200
    rows: int = 16
    learning_rate: float = 3e-3
    seed: int = 0


class Pretraining:
    """AdamW with a one-cycle schedule; its state is saved every 100 steps and taken up again."""

    def __init__(
        self,
        recipe: BaseRecipe,
        config: Qwen3Config,
        documents: Iterator[str],
        tokenizer: PreTrainedTokenizerFast,
        state: Path,
    ) -> None:
        self.recipe = recipe
        self.documents = documents
        self.tokenizer = tokenizer
        self.state = state
        self.model = initialise(config, recipe.seed)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.98), weight_decay=0.05, fused=True
        )
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, recipe.learning_rate, total_steps=recipe.steps, pct_start=0.08
        )
        self.step = 0

    def run(self) -> Qwen3ForCausalLM:
        """All steps that are left, with a line of progress every 50."""
        self.restore()
        began, first = time.monotonic(), self.step
        for input_ids, labels in islice(batches(self.documents, self.tokenizer, self.recipe.rows), first, None):
            if self.step == self.recipe.steps:
                break
            loss = self.learn(input_ids, labels)
            if self.step % 50 == 0:
                rate_s = (time.monotonic() - began) / (self.step - first)
                left_min = rate_s * (self.recipe.steps - self.step) / 60
                print(
                    f"step {self.step}/{self.recipe.steps}  loss {loss:.3f} nats  {left_min:.1f} min left", flush=True
                )
            if self.step % 100 == 0:
                self.save()
        return self.model

    def learn(self, input_ids: torch.Tensor, labels: torch.Tensor) -> float:
        loss = self.model(input_ids=input_ids, labels=labels, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.schedule.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        return float(loss.detach())

    def parts(self) -> dict[str, Any]:
        return {"model": self.model, "optimizer": self.optimizer, "schedule": self.schedule}

    def save(self) -> None:
        aside = self.state.with_suffix(".aside")
        torch.save({name: part.state_dict() for name, part in self.parts().items()} | {"step": self.step}, aside)
        os.replace(aside, self.state)

    def restore(self) -> None:
        if self.state.exists():
            saved = torch.load(self.state, weights_only=True)
            for name, part in self.parts().items():
                part.load_state_dict(saved[name])
            self.step = saved["step"]
            print(f"resuming at step {self.step}", flush=True)


def state_key(recipe: BaseRecipe, tokenizer: PreTrainedTokenizerFast) -> str:
    """Names the unfinished work: another recipe, corpus or tokenizer must not be continued from it."""
    return digest([asdict(recipe), tokenizer.backend_tokenizer.to_str(), list(islice(documents(recipe.seed), 500))])


def record(folder: Path, recipe: BaseRecipe) -> None:
    """Score the base on its tasks, and write recipe, fingerprint and scores beside it."""
    prepare_libraries(threads=1)
    model, tokenizer = load(folder)
    scores = {task.name: round(float(answer_items(task, model, tokenizer)["score"].mean()), 4) for task in TASKS}
    print(f"task scores: {scores}", flush=True)
    content = {"recipe": asdict(recipe), "fingerprint": fingerprint(folder), "scores": scores}
    write_atomically(RECORD, json.dumps(content, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("build/pocket"), help="where unfinished work is kept")
    parser.add_argument("--steps", type=int, default=BaseRecipe().steps, help="optimizer steps (default: %(default)s)")
    parser.add_argument("--record", action="store_true", help="only score the present base again")
    arguments = parser.parse_args()
    recipe = BaseRecipe(steps=arguments.steps)
    if not arguments.record:
        torch.set_num_threads(os.cpu_count() or 1)
        arguments.work.mkdir(parents=True, exist_ok=True)
        tokenizer = train_tokenizer()
        state = arguments.work / f"{state_key(recipe, tokenizer)}.pt"
        model = Pretraining(recipe, configuration(tokenizer), documents(recipe.seed), tokenizer, state).run()
        model.save_pretrained(BASE)
        train_tokenizer().save_pretrained(BASE)  # a fresh one: use leaves padding and truncation in its file
        state.unlink(missing_ok=True)
    record(BASE, recipe)


if __name__ == "__main__":
    main()
