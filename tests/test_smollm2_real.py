"""The real language model of 135 M parameters: trained for two steps by every method, and asked by every probe once."""

import json
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file

from depthgauge import METHODS
from depthgauge.core.method import TrainingJob
from depthgauge.core.testbed import Text, Word
from depthgauge.measure.checkpoint_set import CheckpointSet
from depthgauge.measure.context import RunContext
from depthgauge.models.load import prepare_libraries
from depthgauge.probes.activations import ActivationDifference
from depthgauge.probes.attention import HeadChange, MarkedText
from depthgauge.probes.circuits import HeadScores
from depthgauge.probes.divergence import NextToken
from depthgauge.probes.greedy_entropy import GreedyEntropy, Opening
from depthgauge.probes.sinks import Passage, Sinks
from depthgauge.probes.weights import WeightDeltas
from depthgauge.store.folders import Store
from depthgauge.tasks import ItemTaskProbe
from depthgauge_methods.grpo import GRADREG
from depthgauge_suites.articles.confident_errors import ConfidentErrors
from depthgauge_suites.articles.noise_trace import NoiseTrace, ReasonedQuestion, TraceQuestion
from depthgauge_suites.articles.published_opening import PublishedOpening, PublishedTrace
from depthgauge_suites.articles.routing import Routing, RoutingText
from depthgauge_suites.articles.tokenization import Compound, Tokenization
from depthgauge_suites.layer_papers.head_sharing import Comparison, HeadSharing
from depthgauge_suites.layer_papers.massive_values import MassiveValues
from depthgauge_testbeds.smollm2 import SMOLLM2

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(not SMOLLM2.base.is_dir(), reason="SmolLM2 is not here: 'make smollm2' brings it"),
]
STEPS = 2
SCALE = replace(
    SMOLLM2.training.scale, steps=STEPS, completions_per_step=8, group_size=4, max_completion_tokens=12,
    save_every_steps=100,
)  # fmt: skip


@pytest.fixture(autouse=True)
def two_threads():
    prepare_libraries(2)


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """The testbed with little of each probe input, so that every probe takes seconds."""
    few = {
        ReasonedQuestion: 1, PublishedOpening: 1, RoutingText: 13, Text: 4, Opening: 2, TraceQuestion: 2, MarkedText: 4,
        Passage: 4, Compound: 36, Word: 400, Comparison: 3,
    }  # fmt: skip
    probe_inputs = {kind: (lambda kind=kind, n=n: SMOLLM2.inputs(kind)[:n]) for kind, n in few.items()}
    # Of 8 completions of 12 tokens the penalty has a cosine of .90 to a double backward pass: too near its bound.
    settings = dict(SMOLLM2.training.method_settings) | {"fidelity_every": 0}
    training = replace(SMOLLM2.training, scale=SCALE, method_settings=settings)
    testbed = replace(SMOLLM2, probe_inputs=probe_inputs, training=training)
    store = Store(tmp_path_factory.mktemp("real"), run="real")
    return RunContext(testbed=testbed, store=store, tell=lambda line: None)


def candidate(name, context):
    return CheckpointSet.of(METHODS[name], (0,), context)


def log_of(name, context):
    folder = candidate(name, context).checkpoints[0].folder
    return json.loads((folder / "training_log.json").read_text()), load_file(folder / "model.safetensors")


def test_every_method_trains_and_logs_what_its_health_is_read_from(few):
    plain, weights = log_of("grpo", few)
    for name in ("gradreg", "depthscaled", "depthscaled_nonoise"):
        log, its = log_of(name, few)

        assert len(log) == STEPS
        assert log[0]["reward"] == plain[0]["reward"]  # the first rollouts are the base's
        assert all(0 < row["penalty_ratio"] < 10 and row["moved_frac"] > 0.5 for row in log if "moved_frac" in row)
        assert any("moved_frac" in row for row in log)
        assert any(not np.array_equal(weights[key], its[key]) for key in weights)


def test_without_a_penalty_the_second_pass_trains_plain_grpo_bit_for_bit(few, tmp_path):
    scale = replace(SCALE, steps=5)
    testbed = replace(few.testbed, training=replace(few.testbed.training, scale=scale))
    second = replace(GRADREG.settings.second_pass, penalty=0.0, forced=True)
    still = replace(GRADREG, name="still", settings=replace(GRADREG.settings, second_pass=second))
    weights = {}
    for method in (METHODS["grpo"], still):
        folder = tmp_path / method.name
        folder.mkdir()
        method.train(
            TrainingJob(method=method, testbed=testbed, seed=0, device="cpu", folder=folder, tell=print, threads=2)
        )
        weights[method.name] = load_file(folder / "model.safetensors")
    log = json.loads((tmp_path / "still" / "training_log.json").read_text())

    assert sum("moved_frac" in row for row in log) >= 3  # the second pass ran where a group had both rights and wrongs
    assert all(np.array_equal(weights["grpo"][key], weights["still"][key]) for key in weights["grpo"])


def test_every_probe_of_one_model_has_an_answer(few):
    base, given = candidate("base_model", few), few.testbed.inputs
    task = few.testbed.task("science")
    short = replace(task, items=lambda: task.items()[::60])
    options = few.testbed.task("science_options").items()
    probes = [
        NoiseTrace(questions=given(TraceQuestion)), NoiseTrace(questions=given(TraceQuestion), dose="spread"),
        GreedyEntropy(openings=given(Opening)), Sinks(passages=given(Passage)), HeadScores(),
        Tokenization(words=given(Word), compounds=given(Compound)), ItemTaskProbe(task=short),
        MassiveValues(texts=tuple(map(str, given(Passage)))), PublishedTrace(opening=given(PublishedOpening)[0]),
        NoiseTrace(questions=tuple(each.asked() for each in given(ReasonedQuestion)), form="reasoned"),
        NoiseTrace(questions=tuple(each.answered() for each in given(ReasonedQuestion)), form="appended"),
        ConfidentErrors(task=replace(few.testbed.task("science_options"), items=lambda: options[::60])),
    ]  # fmt: skip
    for probe in probes:
        (taken,) = base.measure(probe)
        assert taken.not_testable_reason is None
        assert all(np.isfinite(array).all() for array in taken.arrays.values() if array.dtype.kind == "f")
    (shared,) = base.measure(HeadSharing(comparisons=given(Comparison)))
    assert shared.arrays["right"].shape == (3, 5) and shared.arrays["repaired"].shape == (3, 30)


def test_every_probe_of_two_models_has_an_answer(few):
    trained, base, given = candidate("grpo", few), candidate("base_model", few), few.testbed.inputs
    probes = [
        WeightDeltas(), HeadChange(texts=given(MarkedText)), NextToken(texts=given(Text)),
        Routing(texts=given(RoutingText)[11:]),
        ActivationDifference(texts=given(Text)),
    ]  # fmt: skip
    for probe in probes:
        (taken,) = trained.compare(probe, base)
        assert taken.not_testable_reason is None
        assert taken.arrays


def test_what_is_known_of_real_models_is_seen(few):
    """The best induction head scores .87, and most heads give the first token most of their attention."""
    base = candidate("base_model", few)
    (scores,), (sinks,) = base.measure(HeadScores()), base.measure(Sinks(passages=few.testbed.inputs(Passage)))

    assert scores.arrays["induction"].mean(0).max() > 0.5
    assert (sinks.arrays["natural"].mean(0) > 0.3).mean() > 0.5
