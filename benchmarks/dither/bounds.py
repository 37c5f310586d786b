"""What quantisations cost tiny baselines, and how far groups are shifted: `python -m benchmarks.dither.bounds`.

Bounds of `--expect=quantized` are fixed on four families, and verified once on four others. A line of bounds.jsonl is a
baseline; its seeds are not those of the experiment with dithers.
"""

import json
import sys
from collections.abc import Callable, Mapping
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.dither.__main__ import by_rows, hessians, put, quantisable
from benchmarks.dither.baselines import FAMILIES, FIRST_FOUR, HEADS, corpus, evaluated, trained
from benchmarks.dither.quantisers import (
    Floats,
    Grid,
    Hessian,
    Quantised,
    asymmetric,
    clipped,
    gptq,
    k_like,
    symmetric,
)
from depthgauge.formats.levels import listed
from depthgauge.formats.packing import BYTES_AS_FLOATS
from depthgauge.models.load import prepare_libraries
from depthgauge.probes.twins.compute import Batch, Original
from depthgauge.probes.weights.quantized import groups_of

RESULTS = Path(__file__).with_name("bounds.jsonl")
SEEDS = (100, 101)
GROUPS_TRIED = 50
NARROWEST = 32  # weights of a group that is looked at
FAULTS: Mapping[str, tuple[float, float]] = {  # what is added in steps, and what is multiplied
    "zero + 1": (1, 1), "scale x 1.25": (0, 1.25), "scale x 0.8": (0, 0.8), "scale x 2": (0, 2),
}  # fmt: skip
Quantise = Callable[[Floats, Hessian], Quantised]


def fp8(weight: Floats, hessian: Hessian) -> Quantised:
    """By row."""
    scale = np.abs(weight).max(-1, keepdims=True) / 448
    levels = listed(BYTES_AS_FLOATS["F8_E4M3"], np.broadcast_to(np.where(scale > 0, scale, 1), weight.shape))
    return Quantised(levels, levels.nearest(weight))


def awq(weight: Floats, hessian: Hessian) -> Quantised:
    """Columns that read large numbers are multiplied before they are rounded, and divided after (Lin et al. 2023)."""
    if hessian is None:
        return asymmetric(weight, None)
    size = np.sqrt(np.sqrt(np.maximum(np.diag(hessian), 1e-12)))
    factor = (size / np.exp(np.log(size).mean())).astype(np.float32)
    found = asymmetric(weight * factor, None)
    levels = found.levels._replace(scale=found.levels.scale / factor, offset=found.levels.offset / factor)
    return Quantised(levels, found.weight / factor)


WAYS: Mapping[str, tuple[int, Quantise]] = {
    "int8 by row": (8, partial(symmetric, grid=Grid(8, 0))),
    "fp8 by row": (8, fp8),
    "6 bits K-like": (6, partial(k_like, grid=Grid(6, 16))),
    "6 bits": (6, partial(symmetric, grid=Grid(6, 32))),
    "5 bits K-like": (5, partial(k_like, grid=Grid(5, 32))),
    "5 bits": (5, partial(symmetric, grid=Grid(5, 32))),
    "4 bits": (4, symmetric),
    "4 bits, groups of 64": (4, partial(symmetric, grid=Grid(4, 64))),
    "4 bits asymmetric": (4, asymmetric),
    "4 bits MSE-clipped": (4, clipped),
    "GPTQ": (4, gptq),
    "AWQ": (4, awq),
    "4 bits K-like": (4, k_like),
    "3 bits": (3, partial(symmetric, grid=Grid(3, 32))),
    "3 bits, groups of 64": (3, partial(symmetric, grid=Grid(3, 64))),
    "3 bits K-like": (3, partial(k_like, grid=Grid(3, 16))),
    "2 bits K-like": (2, partial(k_like, grid=Grid(2, 16), scale_bits=4)),
}


def shifts(weight: Floats, base: Floats, levels: Any) -> NDArray[np.float64]:
    """By group of 32, in steps."""
    found = groups_of(weight, base, *levels.steps(base), size=NARROWEST)
    shift: NDArray[np.float64] = np.sqrt(found.explained / found.step)
    return shift


def faulty_shifts(found: Quantised, base: Floats, rng: np.random.Generator) -> dict[str, list[float]]:
    """The shift of groups whose scale or zero is wrong, and of no other."""
    rows, columns = base.shape
    result: dict[str, list[float]] = {fault: [] for fault in FAULTS}
    for _ in range(GROUPS_TRIED):
        row, at = int(rng.integers(rows)), int(rng.integers(columns // NARROWEST)) * NARROWEST
        cut = (slice(row, row + 1), slice(at, at + NARROWEST))
        levels = found.levels._replace(scale=found.levels.scale[cut], offset=found.levels.offset[cut])
        even = np.array_equal(levels.table, np.arange(len(levels.table)))
        for fault, (steps, factor) in FAULTS.items():
            if steps and not even:
                continue  # a table has no zero
            wrong = levels._replace(scale=levels.scale * factor, offset=levels.offset * factor + steps * levels.scale)
            weight = found.weight[cut] * factor + steps * levels.scale
            result[fault].append(float(shifts(weight.astype(np.float32), base[cut], wrong)[0, 0]))
    return result


def behaviour(copy: Any, batches: list[Batch]) -> tuple[float, float]:
    """Mean KL(baseline || copy) in nats, and the share of tokens after which the likeliest is the same."""
    import torch

    kl, same, tokens = 0.0, 0, 0
    for batch in batches:
        with torch.inference_mode():
            other = copy(input_ids=batch.ids, use_cache=False).logits.float().log_softmax(-1)
        mine = batch.log_probabilities
        kl += float((mine.exp() * (mine - other)).sum(-1).double().sum())
        same += int((mine.argmax(-1) == other.argmax(-1)).sum())
        tokens += batch.ids.numel()
    return kl / tokens, same / tokens


def one_baseline(family: str, seed: int, codes: list[int]) -> dict[str, Any]:
    model = trained(family, seed, codes)
    original, copy = Original(model, evaluated(), HEADS), deepcopy(model)
    names, read = quantisable(model), hessians(model, [codes[at : at + 64] for at in range(0, 4096, 64)])
    rng, ways = np.random.default_rng(seed), {}
    for way, (_, quantise) in WAYS.items():
        shift, faults = 0.0, dict.fromkeys(FAULTS, np.inf)
        for place, name in enumerate(names):
            base = by_rows(model, name).copy()
            found = quantise(base, read.get(name))
            put(copy, name, found.weight)
            shift = max(shift, float(shifts(found.weight, base, found.levels).max()))
            if place % 7 == 0:
                for fault, sizes in faulty_shifts(found, base, rng).items():
                    faults[fault] = min(faults[fault], *sizes, np.inf)
        kl, same = behaviour(copy, original.batches)
        ways[way] = {
            "kl": round(kl, 5), "same": round(same, 4), "shift": round(shift, 3),
            "faults": {fault: round(least, 3) for fault, least in faults.items() if np.isfinite(least)},
        }  # fmt: skip
    return {"family": family, "seed": seed, "fixed_on": family in FIRST_FOUR, "ways": ways}


def main() -> None:
    prepare_libraries(1)
    done = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.is_file() else []
    codes, wanted = corpus(), sys.argv[1:] or list(FAMILIES)
    for seed in SEEDS:
        for family in wanted:
            if not any((line["family"], line["seed"]) == (family, seed) for line in done):
                line = one_baseline(family, seed, codes)
                with RESULTS.open("a") as file:
                    file.write(json.dumps(line) + "\n")
                print(family, seed, flush=True)


if __name__ == "__main__":
    main()
