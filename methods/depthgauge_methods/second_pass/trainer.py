"""TRL's GRPO trainer with a second gradient evaluation at shifted weights.

The second pass replays the micro-batches of one accumulation window, after their gradients are summed and before
clipping. It sees the same rollouts, the same random states and the same old log-probabilities, and leaves
rollouts, random states, metrics and the entropy controller as it found them.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from copy import copy
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from trl import GRPOTrainer

from depthgauge.core.errors import UsageError
from depthgauge.core.randomness import States, random_states, set_random_states, undisturbed_randomness
from depthgauge_methods.second_pass.perturb import moved_fraction, norm, shifted
from depthgauge_methods.second_pass.schedule import noise_targets, strengths

ENTROPY_CONTROLLER = ("_entropy_window_stats", "entropy_coef", "_last_world_entropy")


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """What the second pass needs to repeat one forward and backward exactly."""

    inputs: dict[str, Any]
    num_items: Any
    random_states: States


@dataclass(frozen=True, kw_only=True, slots=True)
class SecondPassPlan:
    """The numbers of a second pass, resolved: see `depthgauge_methods.grpo.SecondPass`."""

    depth: str
    noise: bool
    ascent_step: float
    penalty: float
    difference: str
    forced: bool


class SecondPassGRPOTrainer(GRPOTrainer):  # type: ignore[misc]
    """GRPO whose gradient of a block becomes g1 + penalty * lambda * (g2 - g1) / ascent_step.

    Raises: UsageError under DeepSpeed, FSDP1 or an fp16 gradient scaler, where that gradient cannot be formed.
    """

    def __init__(self, *args: Any, plan: SecondPassPlan, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        refuse_unsupported(self)
        self.plan = plan
        self._window: list[MicroBatch] = []
        self._replayed: MicroBatch | None = None
        self._anchor: Tensor | None = None

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        if self._replayed is not None:
            return self._replayed.inputs
        return super()._prepare_inputs(generation_batch)

    def _get_per_token_logps_and_entropies(self, *args: Any, **kwargs: Any) -> Any:
        out = super()._get_per_token_logps_and_entropies(*args, **kwargs)
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
        loss: Tensor = super().training_step(model, inputs, num_items_in_batch)
        if self.accelerator.sync_gradients:
            window, self._window = self._window, []
            if self.plan.penalty > 0 or self.plan.forced:
                self._regularise(model, window)
        return loss

    def _regularise(self, model: Any, window: list[MicroBatch]) -> None:
        """Replace the gradient of every regularised block; all other gradients stay bit for bit."""
        weights = {name: p for name, p in self.model.named_parameters() if p.grad is not None}
        num_blocks = self.model.config.num_hidden_layers
        strength = strengths(weights, num_blocks=num_blocks, depth=self.plan.depth)
        targets = set(strength) | (noise_targets(weights, num_blocks=num_blocks) if self.plan.noise else set())
        g1 = {name: p.grad for name, p in weights.items()}
        direction = {name: g1[name] for name in sorted(targets)}
        step = self.plan.ascent_step
        g1_norm = norm(iter(direction.values()))
        metrics = self._metrics["train"]
        metrics["degenerate_steps"].append(float(g1_norm == 0))
        if g1_norm == 0:
            return  # no group had both right and wrong answers: there is no direction to step in
        moved = moved_fraction(weights, direction, step)
        try:
            far = self._gradient_at(model, window, weights, direction, step)
            near = g1
            if self.plan.difference == "central":
                near = self._gradient_at(model, window, weights, direction, -step)
                step = 2 * step
        finally:
            for name, p in weights.items():
                p.grad = g1[name]
        # In the place of the far gradient: a set of gradients more would be the size of the model.
        penalties = {
            name: far[name].sub_(near[name]).mul_(self.plan.penalty * lam / step) for name, lam in strength.items()
        }
        metrics["penalty_ratio"].append(norm(iter(penalties.values())) / norm(iter(g1[name] for name in strength)))
        if self.plan.penalty > 0:
            for name, penalty in penalties.items():
                weights[name].grad = penalty.add_(g1[name])
        metrics["moved_frac"].append(moved)

    def _gradient_at(
        self, model: Any, window: list[MicroBatch], weights: Any, direction: Any, step: float
    ) -> dict[str, Tensor]:
        """The gradient of the window's loss at weights shifted by `step * direction`."""
        for p in weights.values():
            p.grad = None
        with undisturbed(self), shifted(weights, direction, step):
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
