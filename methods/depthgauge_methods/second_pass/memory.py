"""What a training will hold in memory, before it starts: counted where it can be, and one forward pass for the rest.

Weights, gradients and AdamW's two moments are in float32; the second pass keeps the first gradient beside the second,
and the weights that it shifts. What autograd keeps of a forward pass is counted on one sequence of full length, in any
family; a micro-batch has as many. Logits are never there as a whole: TRL scores tokens tile by tile. Rollouts need keys
and values in the place of all this, not beside it.
"""

from typing import Any, NamedTuple

import torch
from torch.multiprocessing.reductions import StorageWeakRef

from depthgauge.core.errors import UsageError
from depthgauge.core.testbed import MemoryOptions, Training
from depthgauge.models.load import GIB, free_bytes
from depthgauge_methods.second_pass.schedule import noise_targets, strengths
from depthgauge_methods.settings import GRPOSettings

FLOAT32 = 4
LOWER = (
    "lower completions_per_step, or use MemoryOptions with accumulation, checkpointing, lora or optimizer='adamw_8bit'"
)
# TRL's fused head scores so many tokens against so many words at once; without Triton its steps are copies.
TILE_TOKENS, TILE_WORDS, CPU_COPIES = 4096, 32768, 7
OPTIMIZER_BYTES = {"adamw_8bit": 2, "adamw_torch_8bit": 2, "paged_adamw_8bit": 2}  # a number trained; others' are 8


class MemoryPlan(NamedTuple):
    """Bytes of each part."""

    weights: int
    gradients: int
    shifted_weights: int
    optimizer: int
    activations: int
    logits: int

    @property
    def peak(self) -> int:
        return sum(self)

    def __str__(self) -> str:
        parts = (f"{name.replace('_', ' ')} {bytes_ / GIB:.2f}" for name, bytes_ in self._asdict().items() if bytes_)
        return f"{self.peak / GIB:.2f} GiB ({', '.join(parts)})"


def memory_plan(
    model: Any, settings: GRPOSettings, training: Training, longest_prompt: int, *, sequences: int
) -> MemoryPlan:
    """Of a model that is there, with its adapters if it has some. The longest prompt is in tokens; `sequences` make a
    micro-batch.
    """
    trained = {name: p.numel() for name, p in model.named_parameters() if p.requires_grad}
    second, blocks = settings.second_pass, model.config.num_hidden_layers
    shifted: set[str] = set()
    gradients = 1
    if second is not None:
        shifted = set(strengths(trained, num_blocks=blocks, depth=second.depth))
        shifted |= noise_targets(trained, num_blocks=blocks) if second.noise else set()
        gradients = 3 if second.difference == "central" else 2
    memory_options, scale = training.memory_options, training.scale
    tokens = longest_prompt + scale.max_completion_tokens
    numbers = sum(trained.values())
    return MemoryPlan(
        weights=sum(p.numel() * p.element_size() for p in model.parameters()),
        gradients=FLOAT32 * numbers * gradients,
        shifted_weights=FLOAT32 * sum(trained[name] for name in shifted),
        optimizer=OPTIMIZER_BYTES.get(memory_options.optimizer, 2 * FLOAT32) * numbers,
        activations=sequences * activations(model, tokens, memory_options),
        logits=logits(model, sequences * tokens),
    )


def logits(model: Any, tokens: int) -> int:
    """Bytes by which a micro-batch of so many tokens is scored: one tile, and where there is no Triton its copies."""
    scored, words = min(tokens, TILE_TOKENS), min(len(model.get_output_embeddings().weight), TILE_WORDS)
    copies = 0 if model.device.type == "cuda" else CPU_COPIES
    return FLOAT32 * scored * (TILE_WORDS + copies * words)


def activations(model: Any, tokens: int, memory_options: MemoryOptions) -> int:
    """Bytes a sequence. Checkpointing keeps the input of every block, and one block's activations at a time."""
    kept = kept_by_autograd(model, tokens, memory_options)
    blocks, width = int(model.config.num_hidden_layers), int(model.config.hidden_size)
    return kept // blocks + FLOAT32 * blocks * tokens * width if memory_options.checkpointing else kept


def kept_by_autograd(model: Any, tokens: int, memory_options: MemoryOptions) -> int:
    """Bytes that one sequence of so many tokens leaves for the backward pass; they are counted and let go."""
    ours = {p.untyped_storage()._cdata for p in model.parameters()}
    counted: dict[int, tuple[StorageWeakRef, int]] = {}  # while it is referred to, no later storage takes its place

    def count(tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage._cdata not in ours:
            counted[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())  # type: ignore[no-untyped-call]

    ids = torch.zeros((1, tokens), dtype=torch.long, device=model.device)
    halved = torch.autocast(
        model.device.type, torch.bfloat16, enabled=memory_options.precision == "bfloat16", cache_enabled=False
    )
    with halved, torch.autograd.graph.saved_tensors_hooks(count, lambda nothing: nothing):
        model(input_ids=ids, use_cache=False, logits_to_keep=1)
    return sum(bytes_ for _, bytes_ in counted.values())


def check_fits(plan: MemoryPlan, device: str) -> None:
    """Raises: UsageError, before anything is trained, saying how much is missing and what to lower."""
    free, needed = free_bytes(device), plan.peak - plan.weights  # the weights are there already
    if needed > free:
        raise UsageError(
            f"this training needs {plan} on {device}, {(needed - free) / GIB:.2f} GiB more than is free: {LOWER}."
        )
