"""Flows of showers: the toy they are drawn from, the laws of a flow, its files, and what a classifier makes of them."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import gammainc

from depthgauge import METHODS
from depthgauge.core.errors import InvalidCheckpoint, NotTestable
from depthgauge.core.method import TrainingJob
from depthgauge.measure.checkpoint_set import CheckpointSet
from depthgauge.measure.context import RunContext
from depthgauge.stats import classifier_auc
from depthgauge.store.folders import Store
from depthgauge_methods.showers import TEACHER
from depthgauge_suites.layer_papers import showers
from depthgauge_suites.layer_papers.showers import simulation
from depthgauge_suites.layer_papers.showers.flow import ShowerFlow, load, save
from depthgauge_testbeds.showers import SHOWERS
from tests.processes import refused


def shares(energy, count=20_000, seed=0):
    """Simulated shares of the energy: (count, layers, rings)."""
    cells = simulation.simulate(np.full(count, float(energy)), np.random.default_rng(seed))
    return np.exp(cells).reshape(count, simulation.LAYERS, simulation.RINGS) - simulation.FLOOR


# -- the toy ---


def test_without_variation_between_showers_the_mean_profile_is_the_gamma_distribution(monkeypatch):
    monkeypatch.setattr(simulation, "STEEPNESS_SPREAD", 0.0)
    monkeypatch.setattr(simulation, "DEPTH_SPREAD", 0.0)
    energy = 50.0
    shape = 1 + simulation.STEEPNESS * (np.log(energy / simulation.CRITICAL_ENERGY_GEV) + 0.5)
    edges = simulation.STEEPNESS * simulation.LAYER_DEPTH * np.arange(simulation.LAYERS + 1)
    expected = np.diff(gammainc(shape, edges))
    found = shares(energy).sum(axis=2).mean(axis=0)

    # Some of each layer leaks beyond the last ring, the more the deeper it is.
    assert found / found.sum() == pytest.approx(expected / expected.sum(), abs=0.02)
    assert (found < expected).all()


def test_more_energetic_showers_are_deeper_and_relatively_steadier():
    depth = [(shares(energy).sum(2).mean(0) @ np.arange(simulation.LAYERS)) for energy in (1, 10, 100)]
    spread = [shares(energy).sum((1, 2)).std() for energy in (1, 10, 100)]

    assert depth == sorted(depth) and spread == sorted(spread, reverse=True)


@pytest.mark.heavy
def test_simulated_showers_are_not_told_from_others_of_the_same_energies():
    areas = []
    for seed in range(20):
        random = np.random.default_rng([7, seed])
        one, other = (showers.seen(simulation.simulate(showers.asked_energies(), random)) for _ in range(2))
        areas.append(classifier_auc(showers.beside(one[None]), showers.beside(other[None]), estimand="area"))

    assert np.mean([one.point for one in areas]) == pytest.approx(0.5, abs=0.015)
    assert sum(one.low <= 0.5 <= one.high for one in areas) >= 17


@pytest.mark.parametrize("seed", range(5))
def test_a_layer_that_holds_three_tenths_more_is_told(seed):
    cells = simulation.simulate(showers.asked_energies(), np.random.default_rng([8, seed]))
    cells[:, 2 * simulation.RINGS : 3 * simulation.RINGS] += np.log(1.3)
    found = classifier_auc(
        showers.beside(showers.seen(cells)[None]), showers.beside(showers.seen(showers.simulated_cells())[None]),
        estimand="area",
    )  # fmt: skip

    assert found.low > 0.6


# -- flows ---


@pytest.fixture
def flow(request):
    torch.manual_seed(0)
    return ShowerFlow(student=request.param)


both = pytest.mark.parametrize("flow", [False, True], indirect=True, ids=["teacher", "student"])


@both
def test_what_a_flow_draws_is_as_likely_as_it_says_when_asked(flow):
    law = flow.given(torch.linspace(1, 100, 64))
    drawn, likelihood = law.rsample_and_log_prob()

    torch.testing.assert_close(law.log_prob(drawn), likelihood, atol=2e-3, rtol=1e-4)


@both
def test_a_saved_flow_draws_the_same_showers(flow, tmp_path):
    flow.mean += 3
    save(flow, tmp_path)
    asked = torch.tensor([1.0, 10.0, 100.0])
    again = load(tmp_path)

    assert again.student == flow.student
    assert torch.equal(again.draw(asked, 5), flow.draw(asked, 5))
    assert not torch.equal(again.draw(asked, 6), flow.draw(asked, 5))


def test_drawing_leaves_the_generator_of_others_as_it_was():
    torch.manual_seed(3)
    flow, before = ShowerFlow(student=False), torch.get_rng_state()
    flow.draw(torch.ones(2), 0)

    assert torch.equal(torch.get_rng_state(), before)


def test_other_weights_are_refused_in_a_sentence(tmp_path):
    save(ShowerFlow(student=False), tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    save(ShowerFlow(student=True), other)
    (tmp_path / "model.safetensors").write_bytes((other / "model.safetensors").read_bytes())

    with refused(InvalidCheckpoint, code="not-a-flow"):
        load(tmp_path)


def test_without_zuko_one_sentence_names_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "zuko", None)
    with refused(NotTestable, "pip install 'depthgauge[flows]'"):
        ShowerFlow(student=False)


# -- trained ---


def train(folder, name, **settings):
    folder.mkdir()
    method = replace(METHODS[name], settings=replace(METHODS[name].settings, **settings))
    TEACHER.train(TrainingJob(
        method=method, testbed=SHOWERS, seed=0, device="cpu", folder=folder, tell=lambda line: None,
    ))  # fmt: skip
    return load(folder)


@pytest.mark.heavy
def test_training_brings_a_flow_nearer_and_a_student_nearer_to_its_teacher(tmp_path):
    teacher = train(tmp_path / "teacher", "shower_teacher", steps=300)
    student = train(tmp_path / "student", "shower_student", steps=300)
    fresh = train(tmp_path / "fresh", "shower_teacher", steps=0)
    asked = torch.tensor(showers.asked_energies(), dtype=torch.float32)
    seen = {
        name: showers.beside(showers.seen(flow.draw(asked, seed).numpy())[None])
        for seed, (name, flow) in enumerate({"teacher": teacher, "student": student, "fresh": fresh}.items())
    }
    true = showers.beside(showers.seen(showers.simulated_cells())[None])
    area = {name: classifier_auc(one, true, estimand="area") for name, one in seen.items()}

    assert area["fresh"].low > 0.7 and area["teacher"].high < 0.65 and area["student"].high < 0.7
    assert classifier_auc(seen["student"], seen["teacher"], estimand="area").high < 0.65


def test_what_is_no_flow_draws_no_showers(tiny_base, tmp_path):
    testbed = replace(SHOWERS, base=tiny_base)
    context = RunContext(testbed=testbed, store=Store(tmp_path, run="here"), tell=lambda line: None)

    with refused(NotTestable, code="no-showers"):
        showers.drawn(CheckpointSet.of(METHODS["base_model"], (0,), context))
