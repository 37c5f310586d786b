"""The gate on models that nobody tuned it on: `python -m benchmarks.gate_quality.strangers [--families fixed|last]`.

Tiny baselines of eight families, each trained for some seconds so that they know something. Harmless copies and faults
of each are judged as a user judges them, by `depthgauge.compare`, the shortcut for equal folders included, under their
own expectation and without tasks, which stand apart (`python -m benchmarks.task_power`). A row is written down at once
in strangers.jsonl, so that the command goes on where it was stopped. Margins were fixed on the first four families; the
last four are judged once. What is said of them is said of new seeds of these families.
"""

import argparse
import json
import logging
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.families import random_model
from benchmarks.gate_quality.judged import layer_named
from benchmarks.gate_quality.pairs import Pair, planted, record, results
from depthgauge import compare
from depthgauge.checks.inputs import texts
from depthgauge.core.errors import HarnessError
from depthgauge.core.registry import load_entry_points
from depthgauge.core.result import Outcome
from depthgauge.corruptions import CORRUPTIONS
from depthgauge.models.load import prepare_libraries

ROWS = Path(__file__).with_name("strangers.jsonl")
DOCS = Path(__file__).parents[2] / "docs"
FIXED, LAST = ("llama", "qwen3", "gemma", "gpt2"), ("phi3", "qwen3_moe", "mistral", "falcon_h1")
VOCABULARY, CONTEXT, WINDOW = 512, 1024, 64
STEPS, BATCH, LENGTH, RATE = 120, 16, 64, 3e-3
SHAPES: dict[str, dict[str, Any]] = {
    "gpt2": {"n_positions": CONTEXT}, "mistral": {"max_position_embeddings": CONTEXT, "sliding_window": WINDOW},
}  # fmt: skip
FAULTS = {  # by the seed of the baseline, which draws the layer
    "zero_mlp": 1.0, "zero_attention": 1.0, "zero_heads": 1.0, "shrink_mlp_norm": 1.0, "swap_layers": 1.0,
    "scale_rope_theta": -1.0, "shift_eos_token": 1.0, "foreign_chat_template": 1.0, "shrink_stop_row": 0.8,
}  # fmt: skip
REWRITTEN = ("save_in_shards", "add_config_field", "round_stochastically", "round_to_bfloat16", "reorder_heads")


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """A way to make a candidate of a baseline: what is expected of it, and whether it is at fault.

    `make(baseline, candidate, seed)` fills a folder and returns the layers at fault.
    """

    name: str
    make: Callable[[Path, Path, int], list[int]]
    expect: str = "equal"
    fault: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """What the gate said of one pair. `named` is the place that the headline names, `at` the layers at fault."""

    family: str
    seed: int
    kind: str
    expect: str
    fault: bool
    exit: int
    stage: str
    claim: str
    named: str
    layer: int | None
    at: list[int]
    seconds: float
    headline: str


# -- baselines ------------------------------------------------------------------------------------------------------


def tokenizer() -> Any:
    """Pieces of bytes, learnt on the project's own pages: every text has tokens, few enough for a model of seconds."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=["<end>", "<pad>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    made.train_from_iterator(corpus(), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token="<end>", pad_token="<pad>", padding_side="left", model_max_length=CONTEXT
    )


def corpus() -> list[str]:
    """Pages of the documentation, and texts of many kinds that are no probe's input: the openings."""
    return [*(page.read_text() for page in sorted(DOCS.glob("*.md"))), *(text for _, text in texts.openings())]


def save_baseline(family: str, seed: int, folder: Path, steps: int = STEPS) -> Path:
    """A random tiny model of the family, trained for some seconds."""
    import torch

    made = tokenizer()
    fields = SHAPES.get(family, {"max_position_embeddings": CONTEXT})
    model = random_model(family, seed, vocab_size=VOCABULARY, initializer_range=0.05, **fields)
    ids = torch.tensor(made("<end>".join(corpus()))["input_ids"])
    optimizer, draw = torch.optim.AdamW(model.parameters(), lr=RATE), torch.Generator().manual_seed(seed)
    model.train()
    for _ in range(steps):
        starts = torch.randint(len(ids) - LENGTH, (BATCH,), generator=draw)
        batch = torch.stack([ids[start : start + LENGTH] for start in starts])
        loss = model(input_ids=batch, labels=batch, use_cache=False).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    model.eval().save_pretrained(folder)
    made.save_pretrained(folder)
    return folder


# -- candidates -----------------------------------------------------------------------------------------------------


def corrupted(name: str, dose: float) -> Callable[[Path, Path, int], list[int]]:
    def make(baseline: Path, candidate: Path, seed: int) -> list[int]:
        return planted(Pair(kind=name, dose=dose, seed=seed), baseline, candidate)

    return make


def saved_again(dtype: str) -> Callable[[Path, Path, int], list[int]]:
    """As transformers saves what it has loaded, in another precision or its own."""

    def make(baseline: Path, candidate: Path, seed: int) -> list[int]:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        AutoModelForCausalLM.from_pretrained(baseline, dtype=getattr(torch, dtype)).save_pretrained(candidate)
        AutoTokenizer.from_pretrained(baseline).save_pretrained(candidate)
        return []

    return make


def edited(change: Callable[[dict[str, Any]], None]) -> Callable[[Path, Path, int], list[int]]:
    """A copy whose tensors are changed in place."""

    def make(baseline: Path, candidate: Path, seed: int) -> list[int]:
        from safetensors.torch import load_file, save_file

        shutil.copytree(baseline, candidate)
        tensors = load_file(candidate / "model.safetensors")
        change(tensors)
        save_file(tensors, candidate / "model.safetensors", metadata={"format": "pt"})
        return []

    return make


def embedding_of(tensors: dict[str, Any]) -> Any:
    return next(tensors[name] for name in tensors if name.endswith(("embed_tokens.weight", "wte.weight")))


def larger_row(tensors: dict[str, Any]) -> None:
    """The row of the blank, which is in every text, times 1.5."""
    embedding_of(tensors)[222] *= 1.5  # the blank's byte is the 221st of ByteLevel's alphabet after two special tokens


def swapped_rows(tensors: dict[str, Any]) -> None:
    rows = embedding_of(tensors)
    rows[[70, 80]] = rows[[80, 70]]


def quantized(bits: int, group: int | None) -> Callable[[Path, Path, int], list[int]]:
    """Rounded to the nearest by compressed-tensors, by groups of a row or by rows, and stored so."""

    def make(baseline: Path, candidate: Path, seed: int) -> list[int]:
        import torch
        from compressed_tensors.compressors import ModelCompressor
        from compressed_tensors.quantization import (
            QuantizationArgs,
            QuantizationConfig,
            QuantizationScheme,
            apply_quantization_config,
        )
        from transformers import AutoModelForCausalLM, AutoTokenizer

        model = AutoModelForCausalLM.from_pretrained(baseline, dtype=torch.float32)
        by = {"strategy": "group", "group_size": group} if group else {"strategy": "channel"}
        weights = QuantizationArgs(num_bits=bits, type="int", symmetric=True, **by)
        scheme = QuantizationScheme(targets=["Linear"], weights=weights)
        apply_quantization_config(
            model,
            QuantizationConfig(config_groups={"group_0": scheme}, ignore=["lm_head"], quantization_status="frozen"),
        )
        rounded = [module for module in model.modules() if hasattr(module, "weight_scale")]
        if not rounded:
            raise NotImplementedError("no linear layer that compressed-tensors rounds")
        for module in rounded:
            parts = module.weight.data.unflatten(1, (-1, group or module.weight.shape[1]))
            scale = parts.abs().amax(dim=2) / (2 ** (bits - 1) - 0.5)
            module.weight_scale.data.copy_(scale.to(module.weight_scale.dtype))
        compressor = ModelCompressor.from_pretrained_model(model)
        compressor.compress_model(model)
        model.save_pretrained(candidate)
        AutoTokenizer.from_pretrained(baseline).save_pretrained(candidate)
        compressor.update_config(str(candidate))
        return []

    return make


KINDS = (
    Kind(name="saved again", make=saved_again("float32")),
    Kind(name="saved in bfloat16", make=saved_again("bfloat16")),
    *(Kind(name=name, make=corrupted(name, CORRUPTIONS[name].dose)) for name in REWRITTEN),
    Kind(name="8 bits by row", make=quantized(8, None), expect="quantized"),
    Kind(name="4 bits in groups of 8", make=quantized(4, 8), expect="quantized"),
    Kind(name="4 bits in groups of 16", make=quantized(4, 16), expect="quantized"),
    *(Kind(name=name, make=corrupted(name, dose), fault=True) for name, dose in FAULTS.items()),
    Kind(name="a row times 1.5", make=edited(larger_row), fault=True),
    Kind(name="two rows swapped", make=edited(swapped_rows), fault=True),
)


# -- judged ---------------------------------------------------------------------------------------------------------


def judged(kind: Kind, family: str, seed: int, baseline: Path, place: Path) -> Row | None:
    """What the gate says of one candidate; None where the family cannot have it, as a model without rotary positions
    has no base of them.
    """
    candidate = place / "candidate"
    shutil.rmtree(candidate, ignore_errors=True)
    try:
        at = kind.make(baseline, candidate, seed)
    except (HarnessError, StopIteration, NotImplementedError, ImportError) as error:
        print(f"{family} {seed}: no {kind.name}: {str(error).splitlines()[0] if str(error) else error!r}", flush=True)
        return None
    began = time.monotonic()
    try:
        found = compare(
            baseline, candidate, store=str(place / "store"), expect=kind.expect, last_stage="generation", device="cpu",
            tell=lambda line: None,
        )  # fmt: skip
    except HarnessError as error:
        exit_code, rows, headline = error.exit_code, (), f"Invalid: {error}"
    else:
        exit_code, rows, headline = found.exit_code, found.rows, str(found.headline)
    first = next((row for row in rows if row.fails or row.lost_capability), None)
    refuted = [row.estimate.where for row in rows if row.required and row.outcome is Outcome.REFUTED and row.estimate]
    return Row(
        family=family, seed=seed, kind=kind.name, expect=kind.expect, fault=kind.fault, exit=exit_code,
        stage=first.stage if first else "", claim=first.claim if first else "",
        named=first.estimate.where if first and first.estimate else "", layer=layer_named([*refuted, headline]), at=at,
        seconds=round(time.monotonic() - began, 1), headline=headline[:300],
    )  # fmt: skip


def planned(families: tuple[str, ...], seeds: int, kinds: tuple[Kind, ...]) -> Iterator[tuple[int, str, Kind]]:
    """Seed after seed, so that what is cut off has all families and kinds."""
    for seed in range(seeds):
        for family in families:
            yield from ((seed, family, kind) for kind in kinds)


def run(families: tuple[str, ...], seeds: int, kinds: tuple[Kind, ...], rows: Path, steps: int = STEPS) -> None:
    """Judge what the file of rows does not have yet, and append it."""
    done = {(one["seed"], one["family"], one["kind"]) for one in results(rows)}
    with tempfile.TemporaryDirectory() as place:
        made: tuple[int, str] | None = None
        for seed, family, kind in planned(families, seeds, kinds):
            if (seed, family, kind.name) in done:
                continue
            baseline = Path(place) / "baseline"
            if made != (seed, family):
                for old in Path(place).iterdir():
                    shutil.rmtree(old)
                made = (seed, family)
                save_baseline(family, seed, baseline, steps)
            found = judged(kind, family, seed, baseline, Path(place))
            if found is not None:
                record(rows, asdict(found))
                print(json.dumps(asdict(found))[:240], flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", choices=("fixed", "last", "all"), default="all", help="default: %(default)s")
    parser.add_argument("--seeds", type=int, default=50, help="baselines of each family (%(default)s)")
    parser.add_argument("--rows", type=Path, default=ROWS, help="default: %(default)s")
    parser.add_argument("--smoke", action="store_true", help="one baseline, one harmless copy and one fault")
    given = parser.parse_args()
    load_entry_points()
    prepare_libraries(1)
    logging.getLogger("compressed_tensors").setLevel(logging.ERROR)
    if given.smoke:
        few = tuple(kind for kind in KINDS if kind.name in ("saved in bfloat16", "zero_mlp"))
        run(FIXED[:1], 1, few, given.rows, steps=20)
        return
    families = {"fixed": FIXED, "last": LAST, "all": FIXED + LAST}[given.families]
    run(families, given.seeds, KINDS, given.rows)


if __name__ == "__main__":
    main()
