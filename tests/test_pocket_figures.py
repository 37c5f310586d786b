"""The pocket testbed's figures are those of commit 5743aa9, before probes had rooms; keys change only on purpose.

`data/pocket_figures.json` holds, of the base and of two controls, the mean and standard deviation of each measurement's
arrays, read from a store that the commit made, and its key, written anew when versions left it that determine nothing.
"""

import json
from pathlib import Path

import numpy as np
import pytest

import depthgauge.methods  # noqa: F401  registers them
from depthgauge import METHODS, exams
from depthgauge.context import RunContext
from depthgauge.installed import versions
from depthgauge.probes import attention, circuits, greedy_trace, noise_trace, sinks, tokenization, weights
from depthgauge.store.folders import Store
from depthgauge.subject import Subject
from depthgauge.testbeds.pocket import POCKET

RECORDED = json.loads((Path(__file__).parent / "data" / "pocket_figures.json").read_text())["measurements"]
SAMPLED = ("history", "mathematics")  # answers drawn at a temperature: their keys are compared, and not their figures
TAKEN = {
    "attention": lambda one, base: attention.change(one, base),
    "circuits": lambda one, base: circuits.taken(one),
    "entropy": lambda one, base: one.measure(greedy_trace.GreedyTrace(openings=one.material(greedy_trace.Opening))),
    "sinks": lambda one, base: one.measure(sinks.Sinks(passages=one.material(sinks.Passage))),
    "tokenization": lambda one, base: tokenization.taken_apart(one),
    "weights": lambda one, base: weights.deltas(one, base),
}


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    return RunContext(
        testbed=POCKET, store=Store(tmp_path_factory.mktemp("pocket"), run="figures"), tell=lambda line: None
    )


def taken(entry, context):
    one, base = (Subject.of(METHODS[name], (0,), context) for name in (entry["checkpoint"], "base"))
    if entry["probe"] == "noise_trace":
        return noise_trace.traces(one, copying=entry["copying"])[0]
    if entry["probe"] == "exam":
        return one.measure(exams.InlineExam(exam=POCKET.exam(entry["exam"])))[0]
    return TAKEN[entry["probe"]](one, base)[0]


@pytest.mark.full
@pytest.mark.parametrize(
    "entry",
    [entry for entry in RECORDED if entry["exam"] not in SAMPLED],
    ids=lambda entry: f"{entry['probe']}-{entry['checkpoint']}-{entry['copying']}",
)
def test_a_measurement_has_the_key_and_the_figures_that_it_had(entry, context):
    found = taken(entry, context)

    if entry["versions"] == versions(entry["versions"]):
        assert found.key == entry["key"]
    for name, (mean, spread) in entry["figures"].items():
        values = found.arrays[name].astype(float)
        values = values[np.isfinite(values)]
        assert (values.mean(), values.std()) == pytest.approx((mean, spread), rel=1e-6, abs=1e-6), name
