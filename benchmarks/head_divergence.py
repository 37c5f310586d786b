"""All heads of two checkpoints compared: one pass over both against the loop over prompts, layers and heads.

Run by `python -m benchmarks.head_divergence`. Each form runs in a process of its own, so that its peak memory is its
own. All compute the five numbers of HeadDivergence.
"""

import importlib.metadata
import multiprocessing
import os
import platform
import resource
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from copy import deepcopy
from statistics import median
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import jensenshannon
from tabulate import tabulate

from depthgauge.models.load import load, prepare_libraries
from depthgauge.probes.attention.compute import head_divergence
from depthgauge_testbeds.pocket import POCKET
from depthgauge_testbeds.pocket.prose import openings

PROMPTS, ROUNDS = 100, 3
ALLOWED = 1e-6
Form = Callable[[Any, Any, list[list[int]]], NDArray[np.floating]]
Map = NDArray[np.floating]


class Measured(NamedTuple):
    """`found` (prompts, layers, heads, 5), the median of the rounds in seconds, and the memory added at its peak."""

    found: NDArray[np.floating]
    seconds: float
    peak_mib: float


def one_pass(model: Any, other: Any, prompts: list[list[int]]) -> NDArray[np.floating]:
    return np.stack(head_divergence(model, other, prompts), axis=-1)


def head_by_head(model: Any, other: Any, prompts: list[list[int]]) -> NDArray[np.floating]:
    """As notebooks do it: one scipy call a head, over all of its rows."""

    def bits(p: Map, q: Map, first_key: int) -> float:
        rows, keys = slice(1 + first_key, None), slice(first_key, None)
        return float(np.mean(jensenshannon(p[rows, keys], q[rows, keys], base=2, axis=-1) ** 2))

    return every_head(model, other, prompts, bits)


def row_by_row(model: Any, other: Any, prompts: list[list[int]]) -> NDArray[np.floating]:
    """The definition: one scipy call a row, over the keys that it sees."""

    def bits(p: Map, q: Map, first_key: int) -> float:
        rows, keys = range(1 + first_key, len(p)), [slice(first_key, i + 1) for i in range(len(p))]
        return float(np.mean([jensenshannon(p[i, keys[i]], q[i, keys[i]], base=2) ** 2 for i in rows]))

    return every_head(model, other, prompts, bits)


def every_head(
    model: Any, other: Any, prompts: list[list[int]], bits: Callable[[Map, Map, int], float]
) -> NDArray[np.floating]:
    """The five numbers of HeadDivergence, in loops over prompts, layers and heads."""
    import torch

    def head(p: Map, q: Map) -> tuple[float, ...]:
        mae = np.abs(p - q)[np.tril_indices(len(p))][1:].mean()
        return bits(p, q, 0), bits(p, q, 1), mae, p[:, 0].mean(), q[:, 0].mean()

    for each in (model, other):
        each.set_attn_implementation("eager")
    found = []
    for ids in prompts:
        with torch.no_grad():
            pair = [each(torch.tensor([ids]), output_attentions=True).attentions for each in (model, other)]
        # In float64: in float32 scipy takes the root of a sum that rounding can leave below 0.
        layers = zip(*([layer[0].double().numpy() for layer in maps] for maps in pair), strict=True)
        found.append([[head(p, q) for p, q in zip(*layer, strict=True)] for layer in layers])
    return np.array(found)


FORMS: dict[str, tuple[Form, int]] = {
    "one pass": (one_pass, ROUNDS),
    "head by head": (head_by_head, ROUNDS),
    "row by row": (row_by_row, 1),
}


def measured(name: str) -> Measured:
    form, rounds = FORMS[name]
    prepare_libraries(1)
    model, tokenizer = load(POCKET.base)
    other, prompts = perturbed(model), prompts_of(tokenizer)
    form(model, other, prompts[:1])  # what is set up once is not counted
    before, seconds = peak_mib(), []
    for _ in range(rounds):
        began = time.perf_counter()
        found = form(model, other, prompts)
        seconds.append(time.perf_counter() - began)
    return Measured(found, median(seconds), peak_mib() - before)


def perturbed(model: Any) -> Any:
    """A copy whose every weight matrix is off by a hundredth of its own spread, as after a short training."""
    import torch

    other, generator = deepcopy(model), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in other.parameters():
            if weight.ndim > 1:
                weight += 0.01 * weight.std() * torch.randn(weight.shape, generator=generator)
    return other


def prompts_of(tokenizer: Any) -> list[list[int]]:
    """24 to 32 tokens of several openings joined."""
    texts = openings(4 * PROMPTS)
    joined = [" ".join(texts[4 * i : 4 * i + 4]) for i in range(PROMPTS)]
    return [tokenizer(text)["input_ids"][: 24 + i % 9] for i, text in enumerate(joined)]


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def section() -> str:
    """The measurement as a section of Markdown: what the forms find, then what they cost."""
    processes = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), max_tasks_per_child=1)
    with processes:
        results = dict(zip(FORMS, processes.map(measured, FORMS), strict=True))
    ours, definition = results["one pass"], results["row by row"].found
    if np.abs(ours.found - definition).max() > ALLOWED:
        raise SystemExit("the one pass does not find what scipy's definition gives: its time says nothing")
    table = tabulate(
        [
            (
                name,
                f"{np.abs(result.found - definition).max():.1e}",
                f"{result.seconds:.2f}",
                f"{result.seconds / ours.seconds:.1f}",
                f"{result.peak_mib:.0f}",
            )
            for name, result in results.items()
        ],
        headers=("form", "largest difference", "time (s)", "ratio to one pass", "memory added (MiB)"),
        tablefmt="github",
        disable_numparse=True,
    )
    prompts, layers, heads, _ = definition.shape
    bits = definition[..., 0]
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("torch", "transformers", "scipy"))
    return (
        "## What it costs to compare all attention heads of two checkpoints\n\n"
        f"The pocket base against a copy whose weights are 1% off: {layers * heads} heads on {prompts} prompts of 24 "
        f"to 32 tokens, whose divergences are {bits.min():.1e} to {bits.max():.1e} bits. All five numbers are "
        "computed of each head, and differences are those to scipy's definition, row by row. "
        f"Median of {ROUNDS} rounds (row by row: one), 1 thread of {os.cpu_count()} cores ({platform.machine()}), "
        f"float32; {versions}.\n\n{table}\n"
    )


def main() -> None:
    print(section())


if __name__ == "__main__":
    main()
