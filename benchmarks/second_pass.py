"""What a second gradient evaluation costs, as a ratio to plain GRPO in the same run.

Real TRL training on the pocket testbed, a few steps a round, the methods in turn. The time of a step is taken with the
generation of its rollouts and without.
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

from tabulate import tabulate

from depthgauge import METHODS
from depthgauge.core.method import TrainingJob
from depthgauge.core.randomness import undisturbed_randomness
from depthgauge.models.load import prepare_libraries
from depthgauge_methods.second_pass.run import build_trainer
from depthgauge_testbeds.pocket import POCKET

COMPARED = ("grpo", "gradreg", "depthscaled_nonoise", "depthscaled")
ROUNDS, STEPS = 4, 6


def step_times(name: str) -> tuple[list[float], list[float]]:
    """Seconds of each training step but the first, with generation and without."""
    method = METHODS[name]
    short = replace(method, settings=replace(method.settings, steps=STEPS))
    with tempfile.TemporaryDirectory() as folder, undisturbed_randomness():
        job = TrainingJob(
            method=short, testbed=POCKET, seed=0, device="cpu", folder=Path(folder), tell=lambda line: None
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
        began = time.perf_counter()
        try:
            return original(*args, **kwargs)
        finally:
            times.append(time.perf_counter() - began)

    setattr(trainer, name, clocked)
    return times


def section() -> str:
    prepare_libraries(POCKET.scale.threads)
    whole: dict[str, list[float]] = defaultdict(list)
    without: dict[str, list[float]] = defaultdict(list)
    for round_ in range(ROUNDS):
        for name in COMPARED[round_ % len(COMPARED) :] + COMPARED[: round_ % len(COMPARED)]:
            print(f"round {round_ + 1}/{ROUNDS}: {name}", file=sys.stderr, flush=True)
            steps, bare = step_times(name)
            whole[name] += steps
            without[name] += bare
    table = tabulate(
        [
            (
                name,
                f"{median(whole[name]):.2f}",
                f"{median(whole[name]) / median(whole['grpo']):.2f}",
                f"{median(without[name]):.2f}",
                f"{median(without[name]) / median(without['grpo']):.2f}",
            )
            for name in COMPARED
        ],
        headers=("method", "step (s)", "ratio to grpo", "without generation (s)", "ratio to grpo"),
        tablefmt="github",
        disable_numparse=True,
    )
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("torch", "transformers", "trl"))
    return (
        "## The second pass\n\n"
        f"Median of {ROUNDS * (STEPS - 1)} steps a method, the methods in turn, on the pocket testbed: "
        f"{POCKET.scale.completions_per_step} completions a step, float32, {POCKET.scale.threads} thread of "
        f"{os.cpu_count()} cores ({platform.machine()}); {versions}.\n\n{table}\n"
    )


if __name__ == "__main__":
    print(section())
