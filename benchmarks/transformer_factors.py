"""What it takes to learn 1,024 factors from 100,000 states of one layer of SmolLM2, and to encode 2,000 of them.

Run by `python -m benchmarks.transformer_factors`; the weights are brought by `make smollm2`. The states are those after
layer 15 on random tokens: how many steps the codes take depends on them, what a step takes does not.
"""

import os
import platform
import sys
import time

import numpy as np

from depthgauge.models.load import load, prepare_libraries, vocabulary_size
from depthgauge_suites.layer_papers.transformer_factors import penalty_of
from depthgauge_suites.layer_papers.transformer_factors.coding import encode, learn
from depthgauge_suites.layer_papers.transformer_factors.compute import standardised, states
from depthgauge_testbeds.smollm2.weights import folder

STATES, TOKENS, FACTORS, LAYER, ENCODED = 100_000, 50, 1_024, 15, 2_000


def section() -> str:
    prepare_libraries(os.cpu_count() or 1)
    model = load(folder())[0]
    ids = np.random.default_rng(0).integers(0, vocabulary_size(model), (STATES // TOKENS, TOKENS))
    began = time.perf_counter()
    found = standardised(states(model, ids, np.array([LAYER]))).flatten(0, 2)
    read = time.perf_counter() - began
    penalty = penalty_of(found.shape[1])
    began = time.perf_counter()
    atoms = learn(found, FACTORS, penalty, epochs=1, seed=0, tell=lambda line: print(line, file=sys.stderr))
    learnt = time.perf_counter() - began
    began = time.perf_counter()
    codes = encode(found[:ENCODED], atoms, penalty)
    encoded = time.perf_counter() - began
    left = (found[:ENCODED] - codes.values @ atoms).square().sum() / found[:ENCODED].square().sum()
    return (
        "## What it costs to learn transformer factors\n\n"
        f"{FACTORS:,} factors from {STATES:,} states of layer {LAYER} of SmolLM2 (one epoch): {learnt:.0f} s, "
        f"after {read:.0f} s in which the model computed them. "
        f"{ENCODED:,} states encoded in {encoded:.0f} s to a KKT residual of {codes.kkt:.0e}, of whose squared length "
        f"{1 - float(left):.0%} is explained by {float((codes.values > 0).sum(1).float().mean()):.0f} factors each. "
        f"{os.cpu_count()} cores ({platform.machine()}), float32.\n"
    )


if __name__ == "__main__":
    print(section())
