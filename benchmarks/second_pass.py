"""What a second gradient evaluation costs, as a ratio to plain GRPO in the same run.

Real TRL training on the pocket testbed, a few steps a round, the methods in turn. The processor's time of a step is
taken with the generation of its rollouts and without; the first step, in which the penalty is checked, is left out.
"""

import importlib.metadata
import os
import platform
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Literal

from tabulate import tabulate

from depthgauge import METHODS
from depthgauge.core.method import TrainingJob
from depthgauge.core.randomness import undisturbed_randomness
from depthgauge.models.load import prepare_libraries
from depthgauge_methods.second_pass.run import build_trainer
from depthgauge_testbeds.pocket import POCKET

Precision = Literal["float32", "bfloat16"]
COMPARED: tuple[tuple[str, Precision], ...] = (
    ("grpo", "float32"), ("gradreg", "float32"), ("depthscaled_nonoise", "float32"), ("depthscaled", "float32"),
    ("grpo", "bfloat16"), ("gradreg", "bfloat16"),
)  # fmt: skip
ROUNDS, STEPS = 4, 6


def step_times(name: str, precision: Precision) -> tuple[list[float], list[float]]:
    """Seconds of each training step but the first, with generation and without."""
    method = METHODS[name]
    training = POCKET.training_inputs()
    testbed = replace(
        POCKET, training=replace(training, memory_options=replace(training.memory_options, precision=precision))
    )
    short = replace(method, settings=replace(method.settings, steps=STEPS))
    with tempfile.TemporaryDirectory() as folder, undisturbed_randomness():
        job = TrainingJob(
            method=short, testbed=testbed, seed=0, device="cpu", folder=Path(folder), tell=lambda line: None
        )
        trainer = build_trainer(job, short.settings)
        whole, generation = timed(trainer, "training_step"), timed(trainer, "_generate_and_score_completions")
        trainer.train()
    return whole[1:], [a - b for a, b in zip(whole, generation, strict=True)][1:]


def timed(trainer: object, name: str) -> list[float]:
    """Replace a method by one that notes its own duration in the returned list."""
    times: list[float] = []
    original = getattr(trainer, name)

    def clocked(*args: object, **kwargs: object) -> object:
        began = time.process_time()
        try:
            return original(*args, **kwargs)
        finally:
            times.append(time.process_time() - began)

    setattr(trainer, name, clocked)
    return times


def section() -> str:
    prepare_libraries(POCKET.threads or 1)
    whole: dict[tuple[str, str], list[float]] = defaultdict(list)
    without: dict[tuple[str, str], list[float]] = defaultdict(list)
    for round_ in range(ROUNDS):
        start = round_ % len(COMPARED)
        for name, precision in COMPARED[start:] + COMPARED[:start]:
            print(f"round {round_ + 1}/{ROUNDS}: {name} {precision}", file=sys.stderr, flush=True)
            steps, bare = step_times(name, precision)
            whole[name, precision] += steps
            without[name, precision] += bare
    rows = []
    for name, precision in COMPARED:
        cells = [name, precision]
        for times in (whole, without):
            took, plain = median(times[name, precision]), median(times["grpo", precision])
            cells += [f"{took:.2f}", f"{took / plain:.2f}"]
        rows.append(cells)
    headers = ("method", "the rest in", "step (s)", "ratio to grpo", "without generation (s)", "ratio to grpo")
    table = tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True)
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("torch", "transformers", "trl"))
    return (
        "## The second pass\n\n"
        f"Median of {ROUNDS * (STEPS - 1)} steps a method, the methods in turn, on the pocket testbed: "
        f"{POCKET.training_inputs().scale.completions_per_step} completions a step, gradients of the second pass in "
        f"float32, {POCKET.threads} thread of {os.cpu_count()} cores ({platform.machine()}); {versions}.\n\n{table}\n"
    )


if __name__ == "__main__":
    print(section())
