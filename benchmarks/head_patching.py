"""Subsets of heads patched at the last token: as rows of one run against a run each, on the pocket base.

Run by `python -m benchmarks.head_patching`.
"""

import os
import platform
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tabulate import tabulate

from depthgauge.models.anatomy import block_parts, blocks
from depthgauge.models.load import layers_and_heads, load, prepare_libraries
from depthgauge_suites.layer_papers.head_sharing.compute import Case, Repair, patched, repair_of
from depthgauge_testbeds.pocket import POCKET
from depthgauge_testbeds.pocket.prose import openings

SUBSETS, ROUNDS, TOKENS = 100, 3, 32
ALLOWED = 1e-5


def one_by_one(model: Any, repair: Repair, layer: int, heads_SH: NDArray[np.bool_]) -> NDArray[np.float64]:
    """A whole run a subset, with a hook that replaces what the output projection is given."""
    import torch

    module, size = block_parts(blocks(model)[layer]).output, len(repair.donor.heads[layer]) // heads_SH.shape[1]
    found = []
    for subset in heads_SH:
        parts = torch.from_numpy(np.repeat(subset, size))

        def replace(_module: Any, inputs: Any, parts: Any = parts) -> Any:
            states = inputs[0].clone()
            states[0, -1, parts] = repair.donor.heads[layer][parts]
            return (states,)

        hook = module.register_forward_pre_hook(replace)
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([repair.ids])).logits[0, -1]
        hook.remove()
        found.append(float(logits[repair.case.right] - logits[repair.case.wrong]))
    return np.array(found)


def timed(form: Callable[[], NDArray[np.float64]]) -> tuple[NDArray[np.float64], float]:
    seconds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        found = form()
        seconds.append(time.perf_counter() - began)
    return found, median(seconds)


def section() -> str:
    prepare_libraries(1)
    model, tokenizer = load(POCKET.base)
    texts = [" ".join(openings(8)[place : place + 4]) for place in (0, 4)]
    forms = [tokenizer(text)["input_ids"][:TOKENS] for text in texts]
    repair = repair_of(model, Case(forms, 5, 6), np.array([True, False]))
    layers, heads = layers_and_heads(model)
    layer, subsets = layers // 2, np.random.default_rng(0).random((SUBSETS, heads)) < 0.5
    ours, seconds = timed(lambda: patched(model, repair, [layer] * SUBSETS, subsets))
    naive, its_seconds = timed(lambda: one_by_one(model, repair, layer, subsets))
    if np.abs(ours - naive).max() > ALLOWED:
        raise SystemExit("the one run does not find what a run each finds: its time says nothing")
    rows = [("rows of one run", seconds, 1.0), ("a run each", its_seconds, its_seconds / seconds)]
    body = [(name, f"{taken:.3f}", f"{ratio:.1f}") for name, taken, ratio in rows]
    table = tabulate(body, ("form", "time (s)", "ratio"), tablefmt="github", disable_numparse=True)
    return (
        "## What it costs to patch subsets of heads\n\n"
        f"{SUBSETS} subsets of the heads of layer {layer} of the pocket base, at the last of {TOKENS} tokens; margins "
        f"are equal to {np.abs(ours - naive).max():.0e}. Median of {ROUNDS} rounds, 1 thread of {os.cpu_count()} cores "
        f"({platform.machine()}), float32.\n\n{table}\n"
    )


if __name__ == "__main__":
    print(section())
