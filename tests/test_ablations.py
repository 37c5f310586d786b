"""Every method of the graph trains; and what must be equal among them is."""

import shutil
from dataclasses import replace

import pytest
import torch
from transformers import set_seed

from depthgauge import METHODS
from depthgauge.core.errors import TrainingUnhealthy
from depthgauge.core.method import TrainingJob
from depthgauge.core.randomness import undisturbed_randomness
from depthgauge.core.testbed import CORRECT, MemoryOptions
from depthgauge.models.load import prepare_libraries
from depthgauge_methods.graph import below, page, picture
from depthgauge_methods.second_pass.run import build_trainer, last_complete_state, train_grpo, training_log
from depthgauge_methods.settings import GRPOSettings, SecondPass
from tests.exactly import alphabetical
from tests.processes import ROOT, refused
from tests.tiny import tiny_testbed


class Stop(Exception):
    """Raised when the gradients of the first step are there."""


GRAPH = [name for name in METHODS if type(METHODS[name].settings) is GRPOSettings and not METHODS[name].control]
STEP = {"ascent_step": 1e-3, "penalty": 0.05}


@pytest.fixture
def job(tiny_base, tmp_path):
    """A job of a method on the tiny testbed, in a folder of its own."""

    def make(method, *, steps=2, memory_options=None, save_every_steps=1000, folder=None):
        prepare_libraries(1)
        testbed = tiny_testbed(tiny_base, steps=steps, save_every_steps=save_every_steps)
        training = replace(testbed.training, memory_options=memory_options or MemoryOptions(), method_settings=STEP)
        folder = folder or tmp_path / f"job{len(list(tmp_path.iterdir()))}"
        folder.mkdir(exist_ok=True)
        return TrainingJob(
            method=method, testbed=replace(testbed, training=training), seed=3, device="cpu", folder=folder,
            tell=lambda line: None,
        )  # fmt: skip

    return make


def trained(job, settings=None):
    """The trainer after its training, paid so that hardly any group agrees."""
    trainer = build_trainer(job, settings or job.method.settings)
    if not (settings or job.method.settings).random_rewards:
        trainer.reward_funcs[0] = alphabetical
    with undisturbed_randomness():
        set_seed(job.seed)
        trainer.train()
    return trainer


def weights(trainer):
    return {name: p.detach().clone() for name, p in trainer.model.named_parameters()}


def rows(trainer):
    return training_log(trainer, (CORRECT,))


def second(**settings):
    return GRPOSettings(second_pass=SecondPass(fidelity_every=0, **settings))


def test_every_ablation_names_a_registered_parent_and_differs_from_it():
    for name in GRAPH:
        parent = METHODS[name].parent
        assert (parent is None) == (name == "grpo")
        if parent is not None:
            assert METHODS[name].settings != METHODS[parent].settings
    assert len({repr(METHODS[name].settings) for name in GRAPH}) == len(GRAPH)


@pytest.mark.heavy
@pytest.mark.parametrize("name", GRAPH)
def test_a_method_trains_two_steps_and_says_how_right_its_penalty_is(job, name):
    method = METHODS[name]
    trainer = trained(job(method))
    log = rows(trainer)

    assert len(log) == 2  # of rollouts
    assert trainer.state.global_step == 2 * method.settings.iterations
    assert all(torch.isfinite(p).all() for p in trainer.model.parameters())
    plan = method.settings.second_pass
    if plan is not None and plan.penalty != 0:
        assert {"penalty_ratio", "relative_step", "raw_step", "raw_penalty"} <= set(log[0])
        if plan.precision == "float32" and plan.fidelity_every != 0:
            assert log[0]["penalty_fidelity"] > 0.99
    if method.settings.kl_weight:
        assert "kl" in log[0]


def gradient(job, settings, monkeypatch, divisor=1):
    """The first step's gradient as it is before clipping, and that of the first pass, both in float32."""
    trainer = build_trainer(job, settings)
    trainer.max_completion_length = divisor  # rollouts have been configured by then
    trainer.reward_funcs[0] = alphabetical
    kept = {}
    original = trainer._regularise

    def record(model, window):
        kept["g1"] = {n: p.grad.clone() for n, p in trainer.model.named_parameters()}
        original(model, window)
        kept["all"] = {n: p.grad.clone() for n, p in trainer.model.named_parameters()}
        raise Stop

    monkeypatch.setattr(trainer, "_regularise", record)
    run_until_stopped(trainer, job.seed)
    kept["metrics"] = {name: values[0] for name, values in trainer._metrics["train"].items()}
    kept["places"] = trainer._places
    return kept


def run_until_stopped(trainer, seed):
    with undisturbed_randomness():
        set_seed(seed)
        with pytest.raises(Stop):
            trainer.train()


def added(kept):
    return torch.cat([(kept["all"][n] - kept["g1"][n]).double().flatten() for n in sorted(kept["g1"])])


def off(one, other):
    return float((one - other).norm() / other.norm())


GRPO_METHOD = METHODS["grpo"]


def test_a_mix_of_one_is_usam_and_the_published_half_is_the_mean_of_two_gradients(job, monkeypatch):
    far = gradient(job(GRPO_METHOD), second(shifted="all", penalty=1.0, penalty_form="mix"), monkeypatch)
    half = gradient(job(GRPO_METHOD), second(shifted="all", penalty=0.5, penalty_form="mix"), monkeypatch)
    shift_and_ask = gradient_at_shifted_weights(job(GRPO_METHOD), far["g1"])

    usam = torch.cat([far["all"][n].double().flatten() for n in sorted(far["all"])])
    expected = torch.cat([shift_and_ask[n].double().flatten() for n in sorted(far["all"])])
    assert off(usam, expected) < 1e-6
    mean = torch.cat([half["all"][n].double().flatten() for n in sorted(half["all"])])
    first = torch.cat([half["g1"][n].double().flatten() for n in sorted(half["g1"])])
    assert off(mean, (first + expected) / 2) < 1e-6
    assert off(mean, first) > 1e-4


def gradient_at_shifted_weights(job, g1):
    """Plain GRPO's gradient, on the same rollouts with the same old log-probabilities, at weights shifted by hand."""
    trainer = build_trainer(job, second(forced=True, penalty=0.0))
    trainer.reward_funcs[0] = alphabetical
    found = {}

    def ask(model, window):
        with torch.no_grad():
            for name, p in trainer.model.named_parameters():
                p.add_(g1[name], alpha=STEP["ascent_step"])
                p.grad = None
        loss = trainer._compute_loss(trainer.model, window[0].inputs)
        torch.autograd.backward(loss)
        found.update({n: p.grad.clone() for n, p in trainer.model.named_parameters()})
        raise Stop

    trainer._regularise = ask
    run_until_stopped(trainer, job.seed)
    return found


def test_reversed_and_scaled_penalties_sum_to_the_uniform_one_where_all_blocks_are_shifted(job, monkeypatch):
    of = {
        depth: added(gradient(job(GRPO_METHOD), second(depth=depth, shifted="blocks"), monkeypatch))
        for depth in ("scaled", "reversed", "uniform")
    }

    assert off(of["scaled"] + of["reversed"], of["uniform"]) < 1e-4
    assert off(of["scaled"], of["uniform"]) > 0.1


@pytest.mark.heavy
def test_a_matched_penalty_is_as_long_as_the_scaled_one_where_all_blocks_are_shifted(job, monkeypatch):
    scaled, matched, uniform = (
        added(gradient(job(GRPO_METHOD), second(depth=depth, shifted="blocks"), monkeypatch))
        for depth in ("scaled", "matched", "uniform")
    )

    assert float(matched.norm()) == pytest.approx(float(scaled.norm()), rel=1e-4)
    assert float(torch.nn.functional.cosine_similarity(matched, uniform, dim=0)) == pytest.approx(1, abs=1e-6)


@pytest.mark.heavy
def test_columns_scale_the_shift_and_rows_the_penalty(job, monkeypatch):
    rows_, columns, both = (
        gradient(job(GRPO_METHOD), second(depth="scaled", weighted=weighted, difference="central"), monkeypatch)
        for weighted in ("rows", "columns", "both")
    )
    free = [name for name, block in rows_["places"].items() if block == 0]

    assert all(torch.equal(rows_["all"][n], rows_["g1"][n]) for n in free)
    assert all(torch.equal(both["all"][n], both["g1"][n]) for n in free)
    assert any(not torch.equal(columns["all"][n], columns["g1"][n]) for n in free)
    # The two are transposes of each other: g1 . Lambda H g1 is the same both ways.
    g1 = torch.cat([rows_["g1"][n].double().flatten() for n in sorted(rows_["g1"])])
    inside = torch.cat([
        torch.full((rows_["g1"][n].numel(),), float(n in rows_["places"]), dtype=torch.float64)
        for n in sorted(rows_["g1"])
    ])  # fmt: skip
    every = gradient(job(GRPO_METHOD), second(depth="scaled", shifted="blocks", difference="central"), monkeypatch)
    assert float((g1 * inside) @ added(columns)) == pytest.approx(float((g1 * inside) @ added(every)), rel=2e-2)


def test_random_noise_is_as_long_as_the_gradient_and_points_elsewhere(job):
    trainer = build_trainer(job(GRPO_METHOD), second(depth="scaled", noise="random"))
    g1 = {n: torch.randn_like(p) for n, p in trainer.model.named_parameters()}
    direction, again = trainer._direction(g1), trainer._direction(g1)

    for name in trainer._noisy:
        assert torch.equal(direction[name], again[name])
        assert float(direction[name].norm()) == pytest.approx(float(g1[name].norm()), rel=1e-5)
        assert float(torch.nn.functional.cosine_similarity(direction[name].flatten(), g1[name].flatten(), dim=0)) < 0.9
    assert all(torch.equal(direction[n], g1[n]) for n in direction if n not in trainer._noisy)


@pytest.mark.parametrize("settings", [STEP, {"ascent_step": 1e-4, "step_form": "relative", "penalty": 0.3,
                                                 "penalty_form": "relative"}], ids=["raw", "relative"])  # fmt: skip
def test_the_length_that_a_loss_is_divided_by_changes_no_direction_and_no_ratio(job, monkeypatch, settings):
    """Longer completions are allowed, and all are as short as before: padding in the loss, and nothing else."""
    one, other = (gradient(job(GRPO_METHOD), second(**settings), monkeypatch, divisor) for divisor in (1, 2))

    assert off(2 * added(other), added(one)) < 1e-5
    for name in ("penalty_ratio", "relative_step", "raw_step", "raw_penalty"):
        assert other["metrics"][name] == pytest.approx(one["metrics"][name], rel=1e-5), name
    if settings != STEP:
        assert one["metrics"]["penalty_ratio"] == pytest.approx(0.3, rel=1e-5)
        assert one["metrics"]["relative_step"] == pytest.approx(1e-4, rel=1e-5)


def test_the_second_pass_computes_in_float32_under_bfloat16_and_the_published_one_does_not(job):
    """Rollouts are made in bfloat16; the penalty of the published form is hardly the one it means."""
    in_bfloat16 = MemoryOptions(precision="bfloat16")
    right, published = (
        rows(trained(job(replace(GRPO_METHOD, settings=settings), steps=1, memory_options=in_bfloat16)))[0]
        for settings in (
            GRPOSettings(second_pass=SecondPass()),
            GRPOSettings(second_pass=SecondPass(precision="bfloat16"), gated=False),
        )
    )

    assert right["penalty_fidelity"] > 0.99 > published["penalty_fidelity"]
    assert right["moved_frac"] > 0.9 > published["moved_frac"]


def test_a_penalty_that_is_mostly_rounding_stops_the_training(job):
    method = replace(GRPO_METHOD, settings=GRPOSettings(second_pass=SecondPass(ascent_step=1e-12, penalty=1e-12)))
    with refused(TrainingUnhealthy, "step 0", "cosine", "ascent_step"):
        trained(job(method))


@pytest.mark.heavy
def test_neftune_disturbs_the_loss_and_not_the_rollouts(job):
    plain, noisy = trained(job(GRPO_METHOD)), trained(job(METHODS["grpo_neftune"]))

    assert rows(plain)[0]["reward"] == rows(noisy)[0]["reward"]
    assert any(not torch.equal(a, b) for a, b in zip(weights(plain).values(), weights(noisy).values(), strict=True))
    assert not noisy.model.get_input_embeddings()._forward_hooks


@pytest.mark.heavy
@pytest.mark.parametrize("name", ["noise_only", "measured_decay", "grpo_resets"])
def test_what_a_method_remembers_is_in_its_state(job, name):
    """Killed before the last of five steps is saved, and resumed at the fourth: the same weights bit for bit."""
    method = METHODS[name]
    if name == "grpo_resets":
        method = replace(method, settings=replace(method.settings, reference_reset_every=1))
    whole = job(method, steps=5, save_every_steps=2)
    train_grpo(whole)
    broken = job(method, steps=5, save_every_steps=2)
    train_grpo(broken)
    states = broken.folder / ".trainer"
    shutil.rmtree(states / "checkpoint-5")
    newest = last_complete_state(states)
    assert newest is not None and newest.name == "checkpoint-4" and (newest / "method_state.safetensors").is_file()
    for name in ("model.safetensors", "training_log.json"):
        (broken.folder / name).unlink()
    train_grpo(broken)

    assert (broken.folder / "model.safetensors").read_bytes() == (whole.folder / "model.safetensors").read_bytes()
    assert (broken.folder / "training_log.json").read_text() == (whole.folder / "training_log.json").read_text()


def looked_at(original, trainer, found):
    def look(*args, **kwargs):
        found.append(weights(trainer))
        return original(*args, **kwargs)

    return look


def test_noise_alone_is_of_the_step_before_and_in_early_attention_only(job):
    trainer = build_trainer(job(METHODS["noise_only"]), METHODS["noise_only"].settings)
    trainer.reward_funcs[0] = alphabetical
    seen = {"_generate_and_score_completions": [], "_compute_loss": []}
    for name, found in seen.items():
        setattr(trainer, name, looked_at(getattr(trainer, name), trainer, found))
    with undisturbed_randomness():
        set_seed(3)
        trainer.train()
    shifted = [
        {name for name in rollouts if not torch.equal(rollouts[name], loss[name])}
        for rollouts, loss in zip(*seen.values(), strict=True)
    ]

    assert shifted == [set(), trainer._noisy]
    assert all(name.startswith("model.layers.0.self_attn") for name in trainer._noisy)


@pytest.mark.heavy
def test_a_coin_pays_nothing_for_what_is_said(job):
    trainer = trained(job(METHODS["grpo_random_rewards"]))

    assert 0.2 < rows(trainer)[0]["reward"] < 0.8
    assert trainer.reward_funcs[0].__name__ == "correct"


def test_the_graph_in_the_docs_is_that_of_the_registry():
    docs = ROOT / "docs"

    assert (docs / "methods.svg").read_text() == picture(), "run 'make methods'"
    assert (docs / "methods.md").read_text() == page(), "run 'make methods'"
    assert next(method.name for _, method in below(None)) == "grpo"
    assert set(GRAPH) <= {method.name for _, method in below(None)}
