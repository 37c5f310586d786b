"""The pocket testbed's figures are those of commit 5743aa9.

`data/pocket_figures.json` holds, of the base and of its copy in bfloat16, the mean and standard deviation of each
measurement's arrays, read from a store that the commit made.
"""

import json
from pathlib import Path

import numpy as np
import pytest

import depthgauge_methods  # noqa: F401  registers them
from depthgauge import METHODS, tasks
from depthgauge.corruptions import corrupted
from depthgauge.measure.checkpoint_set import CheckpointSet
from depthgauge.measure.context import RunContext
from depthgauge.probes import attention, circuits, greedy_entropy, sinks, weights
from depthgauge.store.folders import Store
from depthgauge_suites.articles import tokenization
from depthgauge_testbeds.pocket import POCKET

RECORDED = json.loads((Path(__file__).parent / "data" / "pocket_figures.json").read_text())["measurements"]
SAMPLED = ("history", "mathematics")  # answers sampled at a temperature: another CPU samples others
# Float32 has a relative precision of 1.2e-7, and CPUs add in different orders. Over 36 layers that changed means by up
# to 6e-6 of their size, from a CPU with AVX-512 to one without vector instructions.
ROUNDING = 1e-4
# A choice between two near-equal tokens may flip. One opening of 128 that goes on otherwise, or three answers of 600
# that change, move a mean by about 1 %.
FLIPPED = 1e-2
CHOSEN = {
    "entropy_nats", "token_ids", "score", "greedy", "read_out", "shuffled", "positional", "distance", "previous_p",
    "duplicate_p", "induction_p", "positional_p",
}  # fmt: skip
TAKEN = {
    "attention": lambda one, base: attention.change(one, base),
    "circuits": lambda one, base: circuits.taken(one),
    "greedy_entropy": lambda one, base: one.measure(
        greedy_entropy.GreedyEntropy(openings=one.inputs(greedy_entropy.Opening))
    ),
    "sinks": lambda one, base: one.measure(sinks.Sinks(passages=one.inputs(sinks.Passage))),
    "tokenization": lambda one, base: tokenization.taken_apart(one),
    "weights": lambda one, base: weights.deltas(one, base),
}


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    return RunContext(
        testbed=POCKET, store=Store(tmp_path_factory.mktemp("pocket"), run="figures"), tell=lambda line: None
    )


def taken(entry, context):
    base = CheckpointSet.of(METHODS["base_model"], (0,), context)
    one = base if entry["checkpoint"] == "base_model" else corrupted(context)[entry["checkpoint"]]
    if entry["probe"] == "item_task":
        return one.measure(tasks.ItemTaskProbe(task=POCKET.task(entry["task"])))[0]
    return TAKEN[entry["probe"]](one, base)[0]


@pytest.mark.full
@pytest.mark.parametrize(
    "entry",
    [entry for entry in RECORDED if entry["task"] not in SAMPLED],
    ids=lambda entry: f"{entry['probe']}-{entry['checkpoint']}-{entry['task']}",
)
def test_a_measurement_has_the_figures_that_it_had(entry, context):
    found = taken(entry, context)
    for name, (mean, spread) in entry["figures"].items():
        values = found.arrays[name].astype(float)
        values = values[np.isfinite(values)]
        near = (FLIPPED if name in CHOSEN else ROUNDING) * max(abs(mean), spread)
        assert (values.mean(), values.std()) == pytest.approx((mean, spread), rel=0, abs=near), name
