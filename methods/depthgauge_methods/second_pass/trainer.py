"""TRL's GRPO trainer with a second gradient evaluation at shifted weights.

The second pass replays the micro-batches of one accumulation window, after their gradients are summed and before
clipping. It sees the same rollouts, the same random states and the same old log-probabilities, and leaves
rollouts, random states, metrics and the entropy controller as it found them.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from copy import copy
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any

import torch
from torch import Tensor
from trl import GRPOTrainer

from depthgauge.core.errors import TrainingUnhealthy, UsageError
from depthgauge.core.randomness import States, random_states, set_random_states, undisturbed_randomness
from depthgauge_methods.second_pass.fidelity import (
    LEAST_FIDELITY,
    cosine,
    double_backward,
    in_float64,
    plain_logps,
    some_rows,
)
from depthgauge_methods.second_pass.perturb import moved_fraction, norm, shifted
from depthgauge_methods.second_pass.schedule import block_of, depth_scale, noise_targets, noisy_blocks, strengths
from depthgauge_methods.second_pass.sensitivity import Sensitivity
from depthgauge_methods.second_pass.variants import VariantGRPOTrainer
from depthgauge_methods.settings import SecondPass

ENTROPY_CONTROLLER = ("_entropy_window_stats", "entropy_coef", "_last_world_entropy")
NOISE, SENSITIVITY = "noise/", "sensitivity"
Gradient = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """What the second pass needs to repeat one forward and backward exactly."""

    inputs: dict[str, Any]
    num_items: Any
    random_states: States


@dataclass(frozen=True, kw_only=True, slots=True)
class SecondPassPlan:
    """A second pass whose step and penalty are resolved, of a method of that name; `gated` stops a wrong penalty."""

    method: str
    second_pass: SecondPass
    ascent_step: float
    penalty: float
    fidelity_every: int
    gated: bool


@dataclass(frozen=True, slots=True)
class Penalty:
    """What is added to the gradient, by parameter, with the size of its step and the factor of its differences."""

    by_name: Gradient
    strength: Mapping[str, float]
    step: float
    gamma: float


class SecondPassGRPOTrainer(VariantGRPOTrainer):
    """GRPO whose gradient of a block becomes g1 + gamma * lambda * (g2 - g1) / epsilon: see `settings.SecondPass`.

    Raises: UsageError under DeepSpeed, FSDP1 or an fp16 gradient scaler, where that gradient cannot be formed, and for
    a model without the parameters that are to be shifted.
    """

    def __init__(self, *args: Any, plan: SecondPassPlan, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        refuse_unsupported(self)
        self.plan = plan
        self._window: list[MicroBatch] = []
        self._replayed: MicroBatch | None = None
        self._prepared: Any = None
        self._anchor: Tensor | None = None
        self._exact = False
        self._watched = ""
        self._stale_noise: Gradient = {}
        second, self._num_blocks = plan.second_pass, int(self.model.config.get_text_config().num_hidden_layers)
        self._places = block_of(self.model)
        noisy = noisy_blocks(self._num_blocks, second.noise_blocks) if second.noise != "none" else ()
        self._noisy = noise_targets(self.model, noisy) if noisy else set[str]()
        self._sensitivity = Sensitivity(self.model) if second.depth == "measured" else None
        self._in_the_loss = False
        if self.accelerator.native_amp:
            keep_out_of_autocast(self.model, self.accelerator.device.type, self._computes_in_float32)

    def _computes_in_float32(self) -> bool:
        return self._in_the_loss and self.plan.second_pass.precision == "float32"

    # -- one pass over the window, as TRL makes it ---

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        if self._replayed is not None:
            return self._replayed.inputs
        return super()._prepare_inputs(generation_batch) if self._prepared is None else self._prepared

    def _get_per_token_logps_and_entropies(self, *args: Any, **kwargs: Any) -> Any:
        if self._exact:
            return plain_logps(self, *args[:4])
        self._in_the_loss = True
        try:
            with self._watching(*args[:4]):
                out = super()._get_per_token_logps_and_entropies(*args, **kwargs)
        finally:
            self._in_the_loss = False
        self._anchor = out[0].detach()
        return out

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        if self._replayed is not None or not self.model.training:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        states = random_states()
        loss = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        # Without them TRL would take the shifted weights' own log-probabilities as the old ones: the ratio would
        # be 1 again, and g2 the gradient of another function. The copy keeps it out of TRL's buffer of rollouts.
        anchored = dict(inputs)
        if anchored.get("old_per_token_logps") is None:
            anchored["old_per_token_logps"] = self._anchor
        self._window.append(MicroBatch(anchored, num_items_in_batch, states))
        return loss

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        self._watched = "at"
        with highest_precision(), self._under_stale_noise(model, inputs):
            loss: Tensor = super().training_step(model, inputs, num_items_in_batch)
        self._watched = ""
        if self.accelerator.sync_gradients:
            window, self._window = self._window, []
            with highest_precision():
                if self.plan.penalty > 0 or self.plan.second_pass.forced:
                    self._regularise(model, window)
                if self.plan.second_pass.noise == "stale":
                    self._remember_noise()
            if self._sensitivity is not None:
                self._sensitivity.forget()
        return loss

    # -- the second pass ---

    def _regularise(self, model: Any, window: list[MicroBatch]) -> None:
        """Replace the gradient of every regularised block; all other gradients stay bit for bit."""
        weights = {name: p for name, p in self.model.named_parameters() if p.grad is not None}
        g1 = {name: p.grad for name, p in weights.items()}
        direction = self._direction(g1)
        size = norm(iter(direction.values()))
        metrics = self._metrics["train"]
        metrics["degenerate_steps"].append(float(size == 0))
        if size == 0:
            return  # no group had both right and wrong answers: there is no direction to step in
        step = self._epsilon(weights, direction, size)
        fidelity = self._fidelity(model, window[0], weights, g1, step * size) if self._fidelity_is_due() else None
        moved = moved_fraction(weights, direction, step, getattr(torch, self.plan.second_pass.precision))
        self._watched = "beyond"
        try:
            penalty = self._penalty(model, window, weights, g1, direction, step)
        finally:
            self._watched = ""
            for name, p in weights.items():
                p.grad = g1[name]
        metrics["penalty_ratio"].append(
            norm(iter(penalty.by_name.values())) / norm(iter(g1[name] for name in penalty.by_name))
        )
        metrics["relative_step"].append(step * size / norm(iter(weights[name] for name in direction)))
        metrics["raw_step"].append(step / self._loss_divisor)
        metrics["raw_penalty"].append(penalty.gamma / self._loss_divisor)
        if self.plan.penalty > 0:
            for name, added in penalty.by_name.items():
                weights[name].grad = added.add_(g1[name])
        metrics["moved_frac"].append(moved)
        if fidelity is not None:
            metrics["penalty_fidelity"].append(fidelity)
            self._gate(fidelity)

    def _penalty(
        self, model: Any, window: list[MicroBatch], weights: Any, g1: Gradient, direction: Gradient, step: float
    ) -> Penalty:
        """Of the window, whose gradient at the weights is g1."""
        width, near = step, g1
        far = self._gradient_at(model, window, weights, direction, step)
        if self._sensitivity is not None and self._watched:
            self._sensitivity.learn()
        if self.plan.second_pass.difference == "central":
            near = self._gradient_at(model, window, weights, direction, -step)
            width = 2 * step
        strength = self._strength(weights)
        # In the place of the far gradient: a set of gradients more would be the size of the model.
        differences = {name: far[name].sub_(near[name]) for name in strength}
        if self.plan.second_pass.depth == "matched":
            strength = dict.fromkeys(strength, self._dose(differences))
        gamma = self._gamma(differences, strength, g1, step, width)
        return Penalty(
            {name: differences[name].mul_(gamma * lam / width) for name, lam in strength.items()}, strength, step, gamma
        )

    def _gradient_at(self, model: Any, window: list[MicroBatch], weights: Any, direction: Any, step: float) -> Gradient:
        """The gradient of the window's loss at weights shifted by `step * direction`."""
        for p in weights.values():
            p.grad = None
        with undisturbed(self), self._at_stale_noise(weights), shifted(weights, direction, step):
            for micro_batch in window:
                last = micro_batch is window[-1]
                set_random_states(micro_batch.random_states)
                self._replayed = micro_batch
                try:
                    with nullcontext() if last else self.accelerator.no_sync(model):
                        # Trainer's step, not GRPOTrainer's: that one would count a step and move on in the rollouts.
                        super(GRPOTrainer, self).training_step(model, micro_batch.inputs, micro_batch.num_items)
                finally:
                    self._replayed = None
            return {name: p.grad for name, p in weights.items()}

    # -- where to step, how far, and how much of it to add ---

    @property
    def _loss_divisor(self) -> float:
        """What TRL divides a loss by that is summed over the tokens of a completion."""
        return float(self.max_completion_length) if self.loss_type == "dr_grpo" else 1.0

    def _strength(self, weights: Mapping[str, Any]) -> dict[str, float]:
        """Lambda of each regularised parameter, as far as it is known before its penalty is."""
        second = self.plan.second_pass
        if second.shifted == "all":
            return dict.fromkeys(weights, 1.0)
        if second.weighted == "columns":
            return self._lambda(weights, "uniform")
        return self._lambda(weights, second.depth)

    def _lambda(self, weights: Mapping[str, Any], depth: str) -> dict[str, float]:
        places = {name: block for name, block in self._places.items() if name in weights}
        if self._sensitivity is not None:
            of_block = self._sensitivity.strengths()
            return {name: of_block[block] for name, block in places.items()}
        return strengths(places, num_blocks=self._num_blocks, depth=depth)

    def _direction(self, g1: Mapping[str, Tensor]) -> Gradient:
        """Along what each shifted parameter moves, of a gradient of any precision."""
        second = self.plan.second_pass
        weight = strengths(
            {name: block for name, block in self._places.items() if name in g1},
            num_blocks=self._num_blocks,
            depth="uniform" if second.shifted == "blocks" else second.depth,
        )
        targets = set(g1) if second.shifted == "all" else set(weight)
        if second.noise in ("shared", "random"):
            targets |= self._noisy & set(g1)
        direction = {name: g1[name] for name in sorted(targets)}
        if second.weighted != "rows":
            direction = {name: g1[name] * self._column(name) for name in direction}
        if second.noise == "random":
            direction |= self._random_noise({name: g1[name] for name in sorted(self._noisy & set(g1))})
        return direction

    def _column(self, name: str) -> float:
        block = self._places.get(name)
        return (
            1.0
            if block is None
            else strengths({name: block}, num_blocks=self._num_blocks, depth=self.plan.second_pass.depth).get(name, 0.0)
        )

    def _random_noise(self, along: Gradient) -> Gradient:
        """Gaussian directions, each as long as the gradient in whose place it stands; the same for the same step."""
        generator = torch.Generator().manual_seed(1_000_003 * self.args.seed + self.state.global_step)
        drawn = {}
        for name, g in along.items():
            noise = torch.randn(g.shape, generator=generator, dtype=torch.float64).to(g)
            drawn[name] = noise * (g.norm() / noise.norm())
        return drawn

    def _epsilon(self, weights: Mapping[str, Tensor], direction: Gradient, size: float) -> float:
        """Epsilon: what the direction is multiplied by."""
        form, amount = self.plan.second_pass.step_form, self.plan.ascent_step
        if form == "raw":
            return amount * self._loss_divisor
        length = norm(iter(weights[name] for name in direction)) if form == "relative" else 1.0
        return amount * length / size

    def _gamma(
        self, differences: Gradient, strength: Mapping[str, float], g1: Gradient, step: float, width: float
    ) -> float:
        """What the difference of two gradients, divided by the step between them, is multiplied by."""
        form, amount = self.plan.second_pass.penalty_form, self.plan.penalty
        if form == "raw":
            return amount * self._loss_divisor
        if form == "mix":
            return amount * step
        product = norm(differences[name] * lam for name, lam in strength.items()) / width
        return amount * norm(iter(g1[name] for name in strength)) / product if product else 0.0

    def _dose(self, differences: Gradient) -> float:
        """Lambda in every block such that the penalty is as long as with the depth-scaled one."""
        scaled = (tensor * depth_scale(self._places[name], self._num_blocks) for name, tensor in differences.items())
        whole = norm(iter(differences.values()))
        return norm(scaled) / whole if whole else 0.0

    # -- how right the penalty is ---

    def _fidelity_is_due(self) -> bool:
        every = self.plan.fidelity_every
        alone = self.accelerator.num_processes == 1 and not any(
            hasattr(p, "full_tensor") for p in self.model.parameters()
        )
        return alone and every > 0 and self.plan.penalty > 0 and self.state.global_step % every == 0

    def _fidelity(
        self, model: Any, micro_batch: MicroBatch, weights: Mapping[str, Tensor], g1: Gradient, length: float
    ) -> float:
        """The cosine of the penalty of some sequences, for a step of this length, to what double backward gives."""
        few = replace(micro_batch, inputs=some_rows(micro_batch.inputs))
        try:
            near = self._gradient_at(model, [few], weights, {}, 0.0)
            direction = self._direction(near)
            size = norm(iter(direction.values()))
            if size == 0:
                return 1.0  # none of its groups has a gradient: nothing to be wrong about
            penalty = self._penalty(model, [few], weights, near, direction, length / size)
            for p in weights.values():
                p.grad = None
            products = self._exact_products(few, weights)
        finally:
            for name, p in weights.items():
                p.grad = g1[name]
        return cosine(penalty.by_name, {name: products[name] * lam for name, lam in penalty.strength.items()})

    def _exact_products(self, micro_batch: MicroBatch, weights: Any) -> Gradient:
        bare = self.accelerator.unwrap_model(self.model)
        inputs = dict(micro_batch.inputs)
        if self.num_iterations == 1 and not self.use_vllm:
            inputs.pop("old_per_token_logps", None)  # the model's own, and here of another precision
        self._exact = True
        try:
            with undisturbed(self), self._at_stale_noise(weights), in_float64(bare):
                set_random_states(micro_batch.random_states)
                return double_backward(self._compute_loss(bare, inputs), weights, self._direction)
        finally:
            self._exact = False

    def _gate(self, fidelity: float) -> None:
        """Raises: TrainingUnhealthy for a penalty that is mostly something else, of a method that is gated."""
        if self.plan.gated and fidelity < LEAST_FIDELITY:
            raise TrainingUnhealthy(
                f"training {self.plan.method!r} is unhealthy: after step {self.state.global_step} its penalty has a "
                f"cosine of {fidelity:.2f} to that of a double backward pass in float64 (at least {LEAST_FIDELITY}): "
                "it is mostly rounding or curvature; take another ascent_step, or precision='float32'."
            )

    # -- what is remembered from step to step ---

    @contextmanager
    def _under_stale_noise(self, model: Any, inputs: Any) -> Iterator[None]:
        """Shift the noisy weights while a gradient is taken, and not while rollouts are made."""
        if not self._stale_noise:
            yield
            return
        model.train()
        self._prepared = super()._prepare_inputs(inputs)
        try:
            with self._at_stale_noise(dict(self.model.named_parameters())):
                yield
        finally:
            self._prepared = None

    def _at_stale_noise(self, weights: Mapping[str, Tensor]) -> Any:
        return shifted(weights, self._stale_noise, 1.0)

    def _remember_noise(self) -> None:
        """The step of this gradient, in the noisy weights, for the next."""
        weights = {name: p for name, p in self.model.named_parameters() if name in self._noisy and p.grad is not None}
        along = {name: p.grad for name, p in weights.items()}
        size = norm(iter(along.values()))
        step = self._epsilon(weights, along, size) if size else 0.0
        self._metrics["train"]["relative_step"].append(step * size / norm(iter(weights.values())))
        self._stale_noise = {name: g.detach() * step for name, g in along.items()}

    def _watching(self, _model: Any, _ids: Any, _mask: Any, logits_to_keep: int) -> Any:
        if self._sensitivity is None or not self._watched or not torch.is_grad_enabled():
            return nullcontext()
        return self._sensitivity.watching(self._watched, -logits_to_keep - 1)

    def method_state(self) -> dict[str, Tensor]:
        own = {f"{NOISE}{name}": tensor for name, tensor in self._stale_noise.items()}
        if self._sensitivity is not None:
            own[SENSITIVITY] = self._sensitivity.mean
        return super().method_state() | own

    def set_method_state(self, state: dict[str, Tensor]) -> None:
        super().set_method_state(state)
        self._stale_noise = {
            name.removeprefix(NOISE): tensor for name, tensor in state.items() if name.startswith(NOISE)
        }
        if self._sensitivity is not None:
            self._sensitivity.mean = state[SENSITIVITY].cpu()


def keep_out_of_autocast(model: Any, device: str, when: Any) -> None:
    """Let a model compute in the precision of its weights whenever `when()` is so, under whatever autocast it is run.

    accelerate wraps autocast round a model's forward, so this must lie inside: before the model is prepared.
    """
    forward = model.forward

    @wraps(forward)
    def chosen(*args: Any, **kwargs: Any) -> Any:
        with torch.autocast(device, enabled=False) if when() else nullcontext():
            return forward(*args, **kwargs)

    model.forward = chosen


@contextmanager
def highest_precision() -> Iterator[None]:
    """Products of float32 matrices in float32, and not in TF32."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def refuse_unsupported(trainer: Any) -> None:
    """Raises: UsageError, in one sentence, for a set-up whose gradients the second pass cannot read or replace."""
    accelerator = trainer.accelerator
    if trainer.is_deepspeed_enabled:
        raise UsageError(
            "the second pass does not work under DeepSpeed, which steps inside backward and hides the gradient: use "
            "FSDP2 or plain data parallelism."
        )
    if trainer.is_fsdp_enabled and getattr(accelerator.state.fsdp_plugin, "fsdp_version", 1) == 1:
        raise UsageError(
            "the second pass does not work under FSDP1, whose parameters are flattened: set fsdp_version: 2."
        )
    if accelerator.scaler is not None:
        raise UsageError(
            "the second pass does not work with an fp16 gradient scaler, which would multiply the ascent step by the "
            "loss scale: train in float32 or bf16."
        )


@contextmanager
def undisturbed(trainer: Any) -> Iterator[None]:
    """Leave random states, logged metrics and TRL's entropy controller as the first pass left them."""
    metrics = {key: list(values) for key, values in trainer._metrics["train"].items()}
    controller = {name: copy(getattr(trainer, name)) for name in ENTROPY_CONTROLLER if hasattr(trainer, name)}
    try:
        with undisturbed_randomness():
            yield
    finally:
        trainer._metrics["train"].clear()
        trainer._metrics["train"].update(metrics)
        for name, value in controller.items():
            setattr(trainer, name, value)
