"""How right the penalty is, by the size of its step and its precision: its cosine to a double backward in float64.

`python -m benchmarks.penalty_fidelity [TESTBED [STEPS]]`. One training of gradreg, whose rollouts are made in bfloat16,
as the testbed has it; in five steps of its first tenth and five of its last the penalty of the same micro-batch is
computed in each form, and none of them changes the training.
"""

import sys
import tempfile
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from tabulate import tabulate
from transformers import set_seed

from depthgauge import METHODS
from depthgauge.core.method import TrainingJob
from depthgauge.core.randomness import undisturbed_randomness
from depthgauge.core.registry import TESTBEDS, load_entry_points
from depthgauge.models.load import prepare_libraries
from depthgauge_methods.second_pass.fidelity import SEQUENCES, cosine, some_rows
from depthgauge_methods.second_pass.perturb import moved_fraction, norm
from depthgauge_methods.second_pass.run import build_trainer
from depthgauge_methods.settings import SecondPass

PUBLISHED_STEP = 4e-6
RELATIVE_STEPS = (PUBLISHED_STEP, 1.7e-5, 1e-4, 1e-3, 1e-2)
PRECISIONS = ("float32", "bfloat16")
MEASURED = 5  # steps of a tenth


def forms() -> list[SecondPass]:
    return [
        SecondPass(ascent_step=step, step_form="relative", penalty=0.5, penalty_form="mix", precision=precision)
        for precision in PRECISIONS
        for step in RELATIVE_STEPS
    ]


def measured_steps(steps: int) -> set[int]:
    """0-based; all of them where a training is shorter."""
    tenth = max(MEASURED, steps // 10)
    return {*range(0, tenth, tenth // MEASURED), *range(steps - tenth, steps, tenth // MEASURED)}


def watch(trainer: Any, chosen: set[int], found: dict[SecondPass, list[tuple[int, float, float]]]) -> None:
    """Note, before the second pass of chosen steps, the step, cosine and moved share of every form."""
    import torch

    regularise = trainer._regularise

    def look(model: Any, window: Any) -> None:
        at = trainer.state.global_step
        if at in chosen:
            weights = {name: p for name, p in trainer.model.named_parameters() if p.grad is not None}
            g1 = {name: p.grad for name, p in weights.items()}
            few = replace(window[0], inputs=some_rows(window[0].inputs))
            plan = trainer.plan
            products = trainer._exact_products(few, weights)
            for form in forms():
                trainer.plan = replace(plan, second_pass=form, ascent_step=form.ascent_step, penalty=form.penalty)
                near = trainer._gradient_at(model, [few], weights, {}, 0.0)
                direction = trainer._direction(near)
                step = trainer._epsilon(weights, direction, norm(iter(direction.values())))
                moved = moved_fraction(weights, direction, step, getattr(torch, form.precision))
                penalty = trainer._penalty(model, [few], weights, near, direction, step)
                found[form].append((at, cosine(penalty.by_name, products), moved))
            print(f"step {at + 1}: " + " ".join(f"{found[form][-1][1]:.3f}" for form in forms()), file=sys.stderr)
            trainer.plan = plan
            for name, p in weights.items():
                p.grad = g1[name]
        regularise(model, window)

    trainer._regularise = look


def section(testbed: str = "pocket", steps: int | None = None) -> str:
    load_entry_points()
    prepare_libraries(1)
    bed = TESTBEDS[testbed]
    training = bed.training_inputs()
    scale = replace(training.scale, steps=steps or training.scale.steps)
    training = replace(
        training, scale=scale, memory_options=replace(training.memory_options, precision="bfloat16"),
        method_settings=dict(training.method_settings) | {"fidelity_every": 0},
    )  # fmt: skip
    found: dict[SecondPass, list[tuple[int, float, float]]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder, undisturbed_randomness():
        job = TrainingJob(
            method=METHODS["gradreg"], testbed=replace(bed, training=training), seed=0, device="cpu",
            folder=Path(folder), tell=lambda line: print(line, file=sys.stderr, flush=True),
        )  # fmt: skip
        trainer = build_trainer(job, job.method.settings)
        watch(trainer, measured_steps(scale.steps), found)
        set_seed(0)
        trainer.train()
    half = scale.steps / 2
    rows = []
    for form, values in found.items():
        early, late = ([cosine for at, cosine, _ in values if (at < half) == first] for first in (True, False))
        least, moved = min(cosine for _, cosine, _ in values), 100 * median(moved for _, _, moved in values)
        medians = (f"{median(part):.4f}" if part else "-" for part in (early, late))
        rows.append((form.precision, f"{form.ascent_step:g}", *medians, f"{least:.4f}", f"{moved:.2g}"))
    headers = ("both gradients in", "step / weights", "median, first tenth", "last tenth", "least", "weights moved, %")
    return (
        f"## The fidelity of the penalty on {testbed}\n\n"
        f"Cosine to a double backward pass in float64, in {len(values)} steps of one training of {scale.steps}, of "
        f"{SEQUENCES} sequences each.\n\n{tabulate(rows, headers=headers, tablefmt='github', disable_numparse=True)}\n"
    )


if __name__ == "__main__":
    asked_testbed, asked_steps = (*sys.argv[1:], None, None)[:2]
    print(section(asked_testbed or "pocket", int(asked_steps) if asked_steps else None))
