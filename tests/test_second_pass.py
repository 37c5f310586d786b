"""The second-pass trainer against plain GRPO, and against exact Hessian-vector products."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import AutoModelForCausalLM, set_seed
from transformers.models.qwen3.modeling_qwen3 import Qwen3RMSNorm

from depthgauge import METHODS
from depthgauge.core.errors import UsageError
from depthgauge.core.method import TrainingJob
from depthgauge.core.randomness import undisturbed_randomness
from depthgauge.core.testbed import CORRECT, LoRA, MemoryOptions
from depthgauge.models.load import prepare_libraries
from depthgauge_methods.grpo import DEPTHSCALED, GRADREG, GRPO, GRPOSettings, SecondPass
from depthgauge_methods.second_pass import trainer as trainer_module
from depthgauge_methods.second_pass.adapters import LoRAAdapter
from depthgauge_methods.second_pass.perturb import moved_fraction, norm, shifted
from depthgauge_methods.second_pass.run import build_trainer, save, training_log
from depthgauge_methods.second_pass.schedule import block_of, noise_targets, noisy_blocks, strengths
from depthgauge_methods.second_pass.trainer import refuse_unsupported
from tests.exactly import alphabetical, plain_logps, plain_norm
from tests.processes import refused
from tests.tiny import BLOCKS, tiny_testbed

NO_MEMORY_OPTIONS = MemoryOptions()


@pytest.fixture
def make_trainer(tiny_base, tmp_path):
    """A real TRL trainer on the tiny testbed for given settings."""

    def make(settings: GRPOSettings, steps: int = 3, memory_options: MemoryOptions = NO_MEMORY_OPTIONS):
        prepare_libraries(1)
        testbed = tiny_testbed(tiny_base, steps=steps, save_every_steps=1000)
        method = GRPO.evolve(name="tiny_method", summary="under test")
        folder = tmp_path / f"job{len(list(tmp_path.iterdir()))}"
        if settings.second_pass is not None and settings.second_pass.fidelity_every is None:
            settings = replace(settings, second_pass=replace(settings.second_pass, fidelity_every=0))  # it takes time
        job = TrainingJob(
            method=method,
            testbed=replace(testbed, training=replace(testbed.training, memory_options=memory_options)),
            seed=3,
            device="cpu",
            folder=folder,
            tell=lambda line: None,
        )
        trainer = build_trainer(job, settings)
        trainer.reward_funcs[0] = alphabetical
        return trainer

    return make


def train(trainer):
    with undisturbed_randomness():
        set_seed(trainer.args.seed)
        trainer.train()


def weights(trainer):
    return {name: p.detach().clone() for name, p in trainer.model.named_parameters()}


def logs_without_the_second_pass(trainer):
    own = ("penalty_ratio", "moved_frac", "degenerate_steps", "relative_step", "raw_step", "raw_penalty")
    return [{k: v for k, v in row.items() if k not in own} for row in training_log(trainer, (CORRECT,))]


@pytest.mark.parametrize(
    "forced", [pytest.param(False, id="skipped", marks=pytest.mark.heavy), pytest.param(True, id="forced")]
)
@pytest.mark.parametrize(
    "iterations, memory_options",
    [(1, MemoryOptions()), (1, MemoryOptions(accumulation=2)), (2, MemoryOptions()), (1, MemoryOptions(lora=LoRA()))],
    ids=["plain", "accumulation 2", "num_iterations 2", "adapters"],
)
def test_without_penalty_weights_and_log_are_those_of_plain_grpo_bit_for_bit(
    make_trainer, iterations, memory_options, forced
):
    still = SecondPass(penalty=0.0, forced=forced)
    plain = make_trainer(GRPOSettings(iterations=iterations), steps=4, memory_options=memory_options)
    second = make_trainer(
        GRPOSettings(iterations=iterations, second_pass=still), steps=4, memory_options=memory_options
    )

    train(plain)
    train(second)

    assert forced == any("moved_frac" in row for row in training_log(second, (CORRECT,)))
    assert logs_without_the_second_pass(plain) == logs_without_the_second_pass(second)
    expected, actual = weights(plain), weights(second)
    assert all(torch.equal(expected[name], actual[name]) for name in expected)


def test_a_penalty_changes_the_weights(make_trainer):
    plain = make_trainer(GRPOSettings())
    second = make_trainer(GRPOSettings(second_pass=SecondPass(penalty=0.05)))

    train(plain)
    train(second)

    assert any(not torch.equal(a, b) for a, b in zip(weights(plain).values(), weights(second).values(), strict=True))


class Stop(Exception):
    """Raised inside the second pass."""


@pytest.mark.parametrize("noise", ["none", "shared"])
def test_weights_are_restored_bit_for_bit_when_the_second_pass_raises(make_trainer, monkeypatch, noise):
    trainer = make_trainer(GRPOSettings(second_pass=SecondPass(depth="scaled", noise=noise)))
    before = weights(trainer)
    seen = {}

    def fail(*args, **kwargs):
        if trainer._replayed is not None:
            seen["shifted"] = any(not torch.equal(before[name], p) for name, p in trainer.model.named_parameters())
            raise Stop
        return original(*args, **kwargs)

    original = trainer._compute_loss
    monkeypatch.setattr(trainer, "_compute_loss", fail)

    with pytest.raises(Stop):
        train(trainer)

    assert seen["shifted"]
    assert all(torch.equal(before[name], p) for name, p in trainer.model.named_parameters())
    assert trainer._replayed is None


def test_restoring_copies_and_does_not_subtract():
    weight = torch.tensor([1.0, 1e-8, 3.0])
    before = weight.clone()

    with shifted({"w": weight}, {"w": torch.tensor([1e8, 1.0, -7.0])}, 0.3):
        assert not torch.equal(weight, before)

    assert torch.equal(weight, before)


def gradients_of_one_step(trainer, monkeypatch):
    """The gradients of the first step before and after the second pass, and its window of micro-batches."""
    seen = {}
    original = trainer._regularise

    def record(model, window):
        trained = [(n, p) for n, p in trainer.model.named_parameters() if p.requires_grad]
        seen["g1"] = {n: p.grad.clone() for n, p in trained}
        original(model, window)
        seen["combined"] = {n: p.grad.clone() for n, p in trained}
        seen["window"] = window
        raise Stop

    monkeypatch.setattr(trainer, "_regularise", record)
    with pytest.raises(Stop):
        train(trainer)
    return SimpleNamespace(**seen)


def test_free_blocks_and_embeddings_keep_the_grpo_gradient_bit_for_bit(make_trainer, monkeypatch):
    trainer = make_trainer(GRPOSettings(second_pass=SecondPass(depth="scaled", noise="shared", penalty=0.05)))

    seen = gradients_of_one_step(trainer, monkeypatch)

    places = block_of(trainer.model)
    regularised = strengths(places, num_blocks=BLOCKS, depth="scaled")
    free = [name for name in seen.g1 if name not in regularised]
    assert "model.embed_tokens.weight" in free and "model.norm.weight" in free
    assert {places.get(name) for name in free} == {None, 0}
    assert all(torch.equal(seen.g1[name], seen.combined[name]) for name in free)
    assert any(not torch.equal(seen.g1[name], seen.combined[name]) for name in regularised)


@pytest.fixture
def float64(monkeypatch):
    """Let a trainer compute in float64 and twice differentiably: no float32 norm, no fused head, composed attention."""

    monkeypatch.setattr(Qwen3RMSNorm, "forward", plain_norm)
    monkeypatch.setattr(trainer_module.GRPOTrainer, "_get_per_token_logps_and_entropies", plain_logps)
    with sdpa_kernel(SDPBackend.MATH):
        yield


def exact_gradient(trainer, seen, second: SecondPass):
    """g1 + penalty * lambda * H P g1, with the Hessian-vector product by differentiating twice."""
    parameters = {name: p for name, p in trainer.model.named_parameters() if p.requires_grad}
    places = {name: block for name, block in block_of(trainer.model).items() if name in parameters}
    regularised = strengths(places, num_blocks=BLOCKS, depth=second.depth)
    noise = noise_targets(trainer.model, noisy_blocks(BLOCKS, "early")) if second.noise != "none" else set()
    moved = {n: g if n in regularised or n in noise else torch.zeros_like(g) for n, g in seen.g1.items()}
    trainer.model.zero_grad()
    loss = sum(trainer._compute_loss(trainer.model, micro_batch.inputs) for micro_batch in seen.window)
    first = torch.autograd.grad(loss, list(parameters.values()), create_graph=True)
    along = sum((g * moved[name]).sum() for name, g in zip(parameters, first, strict=True))
    products = dict(zip(parameters, torch.autograd.grad(along, list(parameters.values())), strict=True))
    # of one token, so that the penalty is that of the loss as TRL has it
    return {name: second.penalty * lam * products[name] for name, lam in regularised.items()}


def relative_error(seen, penalty):
    difference = [seen.combined[n] - seen.g1[n] - penalty[n] for n in penalty]
    return norm(iter(difference)) / norm(iter(penalty.values()))


def error_at(make_trainer, monkeypatch, second: SecondPass, memory_options: MemoryOptions = NO_MEMORY_OPTIONS) -> float:
    with monkeypatch.context() as patch:
        trainer = make_trainer(GRPOSettings(second_pass=second), memory_options=memory_options)
        trainer.model.double()
        seen = gradients_of_one_step(trainer, patch)
        return relative_error(seen, exact_gradient(trainer, seen, second))


@pytest.mark.parametrize("depth, noise", [("uniform", "none"), ("scaled", "shared"), ("scaled", "none")])
@pytest.mark.parametrize("difference, step, bar, order", [("forward", 1e-5, 1e-3, 1), ("central", 1e-4, 1e-4, 2)])
def test_the_finite_difference_is_the_hessian_vector_product(
    make_trainer, monkeypatch, float64, depth, noise, difference, step, bar, order
):
    def error(ascent_step):
        second = SecondPass(depth=depth, noise=noise, difference=difference, ascent_step=ascent_step, penalty=0.1)
        return error_at(make_trainer, monkeypatch, second)

    assert error(step) <= bar
    assert error(10 * step) / error(5 * step) == pytest.approx(2**order, rel=0.1)


def test_accumulated_micro_batches_are_one_window(make_trainer, monkeypatch, float64):
    second = SecondPass(ascent_step=1e-5, penalty=0.1)

    assert error_at(make_trainer, monkeypatch, second, MemoryOptions(accumulation=2)) <= 1e-3


@pytest.mark.parametrize("depth, noise", [("uniform", "none"), ("scaled", "shared")])
def test_adapters_are_regularised_in_their_own_coordinates(make_trainer, monkeypatch, float64, depth, noise):
    second = SecondPass(depth=depth, noise=noise, ascent_step=1e-5, penalty=0.1)

    with monkeypatch.context() as patch:
        trainer = make_trainer(
            GRPOSettings(second_pass=second), memory_options=MemoryOptions(lora=LoRA(rank=4, alpha=8))
        )
        trainer.model.double()
        awaken(trainer.model)
        seen = gradients_of_one_step(trainer, patch)
        assert all("lora_" in name for name in seen.g1)
        assert relative_error(seen, exact_gradient(trainer, seen, second)) <= 1e-3


def awaken(model):
    """Give the adapters' second factor some size: at 0, where it starts, the gradient of the first is 0 too."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "lora_B" in name:
                p.copy_(0.1 * torch.randn(p.shape, generator=generator, dtype=p.dtype))


@pytest.mark.parametrize(
    "memory_options, tolerance",
    [
        (MemoryOptions(accumulation=4), 1e-5),
        (MemoryOptions(checkpointing=True), 1e-6),
        (MemoryOptions(precision="bfloat16"), 1e-6),
    ],
    ids=["accumulation", "checkpointing", "bfloat16 over float32"],
)
def test_economies_give_the_gradient_of_the_full_form(make_trainer, monkeypatch, memory_options, tolerance):
    """On the same rollouts: the relative error of the combined gradient, all blocks together."""
    second, rollouts = SecondPass(depth="scaled", noise="shared", ascent_step=0.01, penalty=0.005), []

    def one_step(memory_options):
        with monkeypatch.context() as patch:
            trainer = make_trainer(GRPOSettings(second_pass=second), memory_options=memory_options)
            generate = trainer._generate_and_score_completions

            def once(inputs):
                rollouts or rollouts.append(generate(inputs))
                return dict(rollouts[0])

            patch.setattr(trainer, "_generate_and_score_completions", once)
            return gradients_of_one_step(trainer, patch), {p.dtype for p in trainer.model.parameters()}

    (full, _), (thrifty, dtypes) = one_step(NO_MEMORY_OPTIONS), one_step(memory_options)

    assert dtypes == {torch.float32}
    difference = norm(iter(thrifty.combined[name] - full.combined[name] for name in full.combined))
    assert difference <= tolerance * norm(iter(full.combined.values()))


def test_a_merged_adapter_is_the_model_that_was_trained(make_trainer, tmp_path):
    lora = LoRA(rank=4)
    trainer = make_trainer(GRPOSettings(second_pass=SecondPass()), memory_options=MemoryOptions(lora=lora))
    train(trainer)
    tokens = torch.tensor([[3, 4, 5, 6, 3]])
    with torch.no_grad():
        trained = trainer.model.eval()(input_ids=tokens).logits
        save(trainer, LoRAAdapter(lora), tmp_path / "merged")
        base = AutoModelForCausalLM.from_pretrained(trainer.model.config._name_or_path)
        merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
        torch.testing.assert_close(merged(input_ids=tokens).logits, trained, rtol=1e-5, atol=1e-6)
        assert not torch.allclose(base(input_ids=tokens).logits, trained, rtol=1e-5, atol=1e-6)


def test_plain_bfloat16_is_refused_with_the_reason():
    with pytest.raises(ValueError, match="in plain bfloat16 a small step rounds to nothing"):
        MemoryOptions(precision="plain bfloat16")
    with pytest.raises(ValueError, match="at least 1 micro-batch, got 0"):
        MemoryOptions(accumulation=0)


def test_without_the_frozen_anchor_another_operator_is_estimated(make_trainer, monkeypatch, float64):
    second = SecondPass(ascent_step=1e-5, penalty=0.1)
    original = trainer_module.MicroBatch

    def forget_anchor(inputs, *rest):
        return original({k: v for k, v in inputs.items() if k != "old_per_token_logps"}, *rest)

    frozen = error_at(make_trainer, monkeypatch, second)
    trainer = make_trainer(GRPOSettings(second_pass=second))
    trainer.model.double()
    with monkeypatch.context() as patch:
        seen = gradients_of_one_step(trainer, patch)
    penalty = exact_gradient(trainer, seen, second)
    with monkeypatch.context() as patch:
        patch.setattr(trainer_module, "MicroBatch", forget_anchor)
        loose = make_trainer(GRPOSettings(second_pass=second))
        loose.model.double()
        drifted = relative_error(gradients_of_one_step(loose, patch), penalty)

    assert frozen <= 1e-3
    assert drifted >= 0.1


def test_a_batch_without_reward_variance_takes_no_step(make_trainer, monkeypatch):
    trainer = make_trainer(GRPOSettings(second_pass=SecondPass()), steps=2)
    trainer.reward_funcs[0] = lambda completions, **_: [1.0] * len(completions)
    train(trainer)

    assert [row["degenerate_steps"] for row in training_log(trainer, (CORRECT,))] == [1.0, 1.0]
    assert not any("penalty_ratio" in row for row in training_log(trainer, (CORRECT,)))


def fake_trainer(*, deepspeed=False, fsdp=None, scaler=None):
    state = SimpleNamespace(fsdp_plugin=SimpleNamespace(fsdp_version=fsdp))
    return SimpleNamespace(
        is_deepspeed_enabled=deepspeed,
        is_fsdp_enabled=fsdp is not None,
        accelerator=SimpleNamespace(scaler=scaler, state=state),
    )


@pytest.mark.parametrize(
    "setup, name",
    [({"deepspeed": True}, "DeepSpeed"), ({"fsdp": 1}, "FSDP1"), ({"scaler": object()}, "fp16")],
)
def test_set_ups_that_hide_the_gradient_are_refused_in_one_sentence(setup, name):
    with refused(UsageError, name):
        refuse_unsupported(fake_trainer(**setup))


def test_plain_and_fsdp2_set_ups_are_accepted():
    refuse_unsupported(fake_trainer())
    refuse_unsupported(fake_trainer(fsdp=2))


def test_moved_fraction_counts_what_rounding_leaves():
    weight = {"w": torch.tensor([1.0, 1.0, 1.0, 1e-9])}

    assert moved_fraction(weight, {"w": torch.ones(4)}, 1e-8, torch.float32) == 0.25
    assert moved_fraction(weight, {"w": torch.ones(4)}, 1e-3, torch.float32) == 1.0
    assert moved_fraction(weight, {"w": torch.ones(4)}, 1e-3, torch.bfloat16) == 0.25
    assert moved_fraction(weight, {"w": torch.zeros(4)}, 1.0, torch.float32) == 0.0


def test_at_published_sizes_a_step_moves_a_thousandth_of_the_weights_in_bfloat16():
    """Weights of deviation 0.03, and a gradient of norm 0.75 spread over 4e9 of them, as the articles' runs logged."""
    generator = torch.Generator().manual_seed(0)
    weight, along = (torch.randn(10**6, generator=generator) * std for std in (0.03, 0.75 / 4e9**0.5))
    in_bfloat16 = moved_fraction({"w": weight.bfloat16()}, {"w": along.bfloat16()}, 0.01, torch.bfloat16)
    over_float32 = moved_fraction({"w": weight}, {"w": along}, 0.01, torch.bfloat16)

    assert 0.0005 < in_bfloat16 < 0.002
    assert 0.002 < over_float32 < 0.006
    assert moved_fraction({"w": weight}, {"w": along}, 0.01, torch.float32) > 0.95


def test_the_ablation_differs_from_its_parent_by_the_noise_alone():
    parent, child = DEPTHSCALED.settings.second_pass, METHODS["depthscaled_nonoise"].settings.second_pass

    assert (parent.depth, parent.noise) == ("scaled", "shared")
    assert (child.depth, child.noise) == ("scaled", "none")
    assert METHODS["depthscaled_nonoise"].parent == "depthscaled"
    assert GRADREG.settings.second_pass == SecondPass()
