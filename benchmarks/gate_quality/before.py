"""What an older gate and this one say of the same pairs: `python -m benchmarks.gate_quality.before OLDER_CHECKOUT`.

OLDER_CHECKOUT is a work tree of this project at an older commit (`git worktree add PLACE COMMIT`). A tiny baseline is
made as for strangers (`strangers.py`), candidates of it with this commit, and both commits judge each pair by the
command, to the end of the internals. Prints the table of docs/power.md.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from benchmarks.gate_quality.strangers import (
    Kind,
    corrupted,
    edited,
    larger_row,
    quantized,
    save_baseline,
    saved_again,
    swapped_rows,
)
from depthgauge.core.registry import load_entry_points
from depthgauge.models.load import prepare_libraries

HERE = Path(__file__).parents[2]
FAMILY, BITS, GROUP, LAYER = "llama", 4, 8, 1
NOTHING = 0x88888888 - (1 << 32)  # eight codes of 4 bits that stand for 0
SAID = re.compile(r"^(Accepted|Blocked|Inconclusive|Invalid): (.*)$", re.MULTILINE)
CLAIM, PLACE = re.compile(r"\[([a-z0-9-]+)\]"), re.compile(r"\(([^()]*(?:layer \d|row \d)[^()]*)\)")
OF_LAYER = f"model.layers.{LAYER}."


def damaged(change: Callable[[dict[str, Any]], None]) -> Callable[[Path, Path, int], list[int]]:
    """A copy of 4 bits in which what is stored is changed."""

    def make(baseline: Path, candidate: Path, seed: int) -> list[int]:
        rounded = candidate.with_name("rounded")
        quantized(BITS, GROUP)(baseline, rounded, seed)
        return edited(change)(rounded, candidate, seed)

    return make


def no_mlp(tensors: dict[str, Any]) -> None:
    tensors[f"{OF_LAYER}mlp.down_proj.weight_packed"][:] = NOTHING


def no_attention(tensors: dict[str, Any]) -> None:
    tensors[f"{OF_LAYER}self_attn.o_proj.weight_packed"][:] = NOTHING


def no_head(tensors: dict[str, Any]) -> None:
    """The first of four."""
    words = tensors[f"{OF_LAYER}self_attn.o_proj.weight_packed"]
    words[:, : words.shape[1] // 4] = NOTHING


def weaker_norm(tensors: dict[str, Any]) -> None:
    tensors[f"{OF_LAYER}post_attention_layernorm.weight"] *= 0.7


def swapped_layers(tensors: dict[str, Any]) -> None:
    for name in [name for name in tensors if name.startswith(OF_LAYER)]:
        other = name.replace(OF_LAYER, "model.layers.0.")
        tensors[name], tensors[other] = tensors[other], tensors[name]


def larger_scale(tensors: dict[str, Any]) -> None:
    """Of one group of eight weights."""
    tensors[f"{OF_LAYER}mlp.up_proj.weight_scale"][3, 2] *= 2


KINDS = (
    Kind(name="saved in bfloat16", make=saved_again("bfloat16")),
    Kind(name="heads in another order", make=corrupted("reorder_heads", 1)),
    Kind(name="a row times 1.5", make=edited(larger_row), fault=True),
    Kind(name="8 bits, expected to be equal", make=corrupted("quantize_rows", 1 / 127), fault=True),
    Kind(name="8 bits by row", make=quantized(8, None), expect="quantized"),
    Kind(name="4 bits", make=quantized(BITS, GROUP), expect="quantized"),
    *(
        Kind(name=f"4 bits, {name}", make=damaged(change), expect="quantized", fault=True)
        for name, change in {
            "an MLP lost": no_mlp,
            "an attention lost": no_attention,
            "a head lost": no_head,
            "a norm times 0.7": weaker_norm,
            "two layers swapped": swapped_layers,
            "two rows swapped": swapped_rows,
            "a group's scale doubled": larger_scale,
        }.items()
    ),
)


def said(checkout: Path, baseline: Path, candidate: Path, expect: str, place: Path) -> str:
    """What the command of a checkout says: its outcome, the claim that decides, and the place that it names."""
    words = ("compare", baseline, candidate, f"--expect={expect}", "--last-stage=internals", "--device=cpu")
    folders = [checkout / name for name in ("harness", "methods", "testbeds", "suites")]
    done = subprocess.run(
        [sys.executable, "-m", "depthgauge", *map(str, words), f"--store={place}", f"--report-dir={place / 'report'}"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, folders))}, capture_output=True, text=True,
        cwd=candidate.parent, check=False,
    )  # fmt: skip
    return in_words(done.stdout + done.stderr)


def in_words(output: str) -> str:
    """'blocked by within-twins, layer 1 head 2' of what the command writes. Raises: ValueError without a headline."""
    found = SAID.search(output)
    if found is None:
        raise ValueError(f"no headline in {output[-500:]!r}")
    outcome, sentence = found.groups()
    if outcome == "Accepted":
        return "accepted"
    claim, named = CLAIM.search(sentence), PLACE.search(sentence)
    return ", ".join([f"{outcome.lower()} by {claim[1]}" if claim else outcome.lower(), *([named[1]] if named else [])])


def rows(older: Path, kinds: Sequence[Kind] = KINDS) -> Iterator[list[str]]:
    with tempfile.TemporaryDirectory() as place:
        baseline = save_baseline(FAMILY, 0, Path(place) / "baseline")
        for kind in kinds:
            candidate = Path(place) / kind.name.replace(" ", "-") / "candidate"
            candidate.parent.mkdir()
            kind.make(baseline, candidate, 0)
            both = [
                said(checkout, baseline, candidate, kind.expect, Path(place) / name)
                for checkout, name in ((older, "older"), (HERE, "now"))
            ]
            print(kind.name, *both, sep=" | ", file=sys.stderr, flush=True)
            yield [kind.name, "faulty" if kind.fault else "harmless", *both]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("older", type=Path, help="a work tree at an older commit")
    older = parser.parse_args().older.resolve()
    load_entry_points()
    prepare_libraries(1)
    headers = ("candidate", "is", "the gate before", "the gate now")
    print(tabulate(list(rows(older)), headers=headers, tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    main()
