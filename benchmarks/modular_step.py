"""A training step on modular addition: ours against the model as one would write it down.

`python -m benchmarks.modular_step` prints the table that `make bench` writes to RESULTS.md. Theirs keeps all three
positions through the whole model; ours computes the last position only, and each token's scores and values once.
"""

import importlib.metadata
import os
import time
from statistics import median

import torch
from tabulate import tabulate

from depthgauge_methods.full_batch import Training
from depthgauge_methods.grokking import GrokkingSettings
from tests.full_sequence import full_sequence_losses

STEPS, ROUNDS, THREADS = 100, 5, 2


def our_losses(training: Training, steps: int) -> list[float]:
    return [training.advance() for _ in range(steps)]


FORMS = {"ours": our_losses, "full sequence": full_sequence_losses}


def apart_in_float64() -> float:
    """The largest difference between the two forms' losses: in float32 Adam makes much of what rounding leaves."""
    torch.set_default_dtype(torch.float64)
    ours, theirs = (torch.tensor(form(Training(GrokkingSettings(), 0, "cpu"), STEPS)) for form in FORMS.values())
    torch.set_default_dtype(torch.float32)
    return float((ours - theirs).abs().max())


def section() -> str:
    torch.set_num_threads(THREADS)
    settings, seconds = GrokkingSettings(), {name: [] for name in FORMS}
    for _ in range(ROUNDS):
        for name, form in FORMS.items():
            training = Training(settings, seed=0, device="cpu")
            began = time.perf_counter()
            form(training, STEPS)
            seconds[name].append((time.perf_counter() - began) / STEPS)
    fastest = median(seconds["ours"])
    rows = [(name, f"{1000 * median(s):.1f}", f"{median(s) / fastest:.1f}") for name, s in seconds.items()]
    table = tabulate(rows, headers=("form", "ms a step", "ratio to ours"), tablefmt="github", disable_numparse=True)
    return (
        "## A training step on modular addition\n\n"
        f"p = {settings.p}, {len(Training(settings, 0, 'cpu').train)} pairs, float32 with a float64 loss; median of "
        f"{ROUNDS} rounds of {STEPS} steps in turn, {THREADS} threads of {os.cpu_count()} cores; torch "
        f"{importlib.metadata.version('torch')}. With all weights in float64 the losses of {STEPS} steps differ by "
        f"at most {apart_in_float64():.1e} nats.\n\n{table}\n"
    )


if __name__ == "__main__":
    print(section())
