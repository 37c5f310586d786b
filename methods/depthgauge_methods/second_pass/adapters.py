"""Adapters: few parameters trained in place of the weights, which any method of GRPO can be given.

Shapes: I inputs of a projection, O outputs, R the rank.
"""

from abc import ABC, abstractmethod
from typing import Any

import torch

from depthgauge.core.errors import NotTestable, UsageError
from depthgauge.core.testbed import LoRA, MemoryOptions
from depthgauge.models.anatomy import block_parts, blocks
from depthgauge_methods.settings import AdapterSettings, Gift, GRPOSettings


class Adapter(ABC):
    """What is put into a model before a training, and merged into its weights after it."""

    @abstractmethod
    def attach(self, arguments: dict[str, Any]) -> None:
        """Change the trainer's arguments, of which `model` is one, so that it trains the adapter alone."""

    @abstractmethod
    def merge(self, model: Any) -> Any:
        """The model as whole weights."""


class LoRAAdapter(Adapter):
    """By peft."""

    def __init__(self, lora: LoRA) -> None:
        self.lora = lora

    def attach(self, arguments: dict[str, Any]) -> None:
        from peft import LoraConfig

        arguments["peft_config"] = LoraConfig(
            r=self.lora.rank,
            lora_alpha=self.lora.alpha,
            lora_dropout=0.0,
            target_modules=list(self.lora.targets) or "all-linear",
            task_type="CAUSAL_LM",
        )

    def merge(self, model: Any) -> Any:
        return model.merge_and_unload()


class GiftAdapter(Adapter):
    """Weights generated from the weights (Savadikar et al. 2023, arXiv:2312.00700, two linear maps): W + W A B.

    A (I, R) and B (R, I) are shared by all layers. As W (x + A B x) is the same, a projection's input is changed, and
    nothing of the size of W is made.
    """

    def __init__(self, gift: Gift) -> None:
        self.gift = gift

    def attach(self, arguments: dict[str, Any]) -> None:
        """Raises: NotTestable for a model whose attention has no such projections."""
        model = arguments["model"]
        model.requires_grad_(False)
        model.gift = torch.nn.ModuleDict(
            {
                name: Generator(self.projections(model, name)[0].in_features, self.gift.rank)
                for name in self.gift.targets
            }
        )
        model.gift_hooks = [
            module.register_forward_pre_hook(model.gift[name].before)
            for name in self.gift.targets
            for module in self.projections(model, name)
        ]

    def merge(self, model: Any) -> Any:
        with torch.no_grad():
            for name in self.gift.targets:
                for module in self.projections(model, name):
                    generated = module.weight.double() @ model.gift[name].product().double()
                    module.weight.copy_(module.weight.double() + generated)  # rounded once
        for hook in model.gift_hooks:
            hook.remove()
        del model.gift, model.gift_hooks
        return model

    def projections(self, model: Any, name: str) -> list[Any]:
        projections = [getattr(block_parts(block).attention, name, None) for block in blocks(model)]
        if not all(isinstance(module, torch.nn.Linear) for module in projections):
            raise NotTestable(
                f"{type(model).__name__} has no linear {name} in each of its layers, for gift to generate"
            )
        return projections


class Generator(torch.nn.Module):
    """The two maps; B starts at 0, so that a training starts at the base."""

    def __init__(self, inputs: int, rank: int) -> None:
        super().__init__()
        if rank > inputs:
            raise UsageError(f"gift has rank {rank}, and a projection of {inputs} inputs allows {inputs} at most.")
        self.down = torch.nn.Parameter(torch.randn(inputs, rank) / inputs**0.5)
        self.up = torch.nn.Parameter(torch.zeros(rank, inputs))

    def before(self, _: Any, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        states = inputs[0]
        return (states + (states @ self.up.T) @ self.down.T, *inputs[1:])

    def product(self) -> torch.Tensor:
        return self.down @ self.up


def adapter_of(settings: GRPOSettings, memory_options: MemoryOptions) -> Adapter | None:
    """The method's own adapter, or else the testbed's. Raises: UsageError where it cannot be trained so."""
    chosen = settings.adapter if isinstance(settings, AdapterSettings) else memory_options.lora
    if isinstance(chosen, Gift):
        if settings.second_pass is not None:
            raise UsageError(
                "gift has no weights in blocks, and the second pass regularises those: use lora, or none.",
                code="regularised",
            )
        if memory_options.vllm:
            raise UsageError("gift changes what projections read, which vLLM does not know: set vllm=False.")
        return GiftAdapter(chosen)
    return None if chosen is None else LoRAAdapter(chosen)
