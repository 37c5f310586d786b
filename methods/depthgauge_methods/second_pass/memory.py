"""What a training will hold in memory, before it starts: counted where it can be, and one forward pass for the rest.

Weights, gradients and AdamW's two moments are in float32; the second pass keeps the first gradient beside the second,
and the weights that it shifts. What autograd keeps of a forward pass is counted on one sequence of full length, in any
family; a micro-batch has as many. Logits are never there as a whole: TRL scores tokens tile by tile. Rollouts need keys
and values in the place of all this, not beside it.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch.multiprocessing.reductions import StorageWeakRef

from depthgauge.core.errors import UsageError
from depthgauge.core.testbed import Training
from depthgauge.models.load import GIB, free_bytes
from depthgauge_methods.second_pass.fidelity import SEQUENCES
from depthgauge_methods.second_pass.schedule import block_of, noise_targets, noisy_blocks, strengths
from depthgauge_methods.settings import FIDELITY_EVERY, GRPOSettings, SecondPass

FLOAT32 = 4
LOWER = (
    "lower completions_per_step, or use MemoryOptions with accumulation, checkpointing, lora or optimizer='adamw_8bit'"
)
# TRL's fused head scores so many tokens against so many words at once; without Triton its steps are copies.
GRAPH_OF_A_GRADIENT = 7  # in float64, to what a forward pass keeps in float32
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
    check_of_the_penalty: int = 0

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
    second = settings.second_pass
    shifted: set[str] = set()
    gradients = 1
    if second is not None:
        shifted = shifted_parameters(model, second) & set(trained)
        gradients = 3 if second.difference == "central" else 2
    memory_options, scale = training.memory_options, training.scale
    tokens = longest_prompt + scale.max_completion_tokens
    numbers, weights = sum(trained.values()), sum(p.numel() for p in model.parameters())
    in_bfloat16 = memory_options.precision == "bfloat16" and (second is None or second.precision == "bfloat16")
    sequence = activations(model, tokens, memory_options.checkpointing, in_bfloat16=in_bfloat16)
    needed = MemoryPlan(
        weights=sum(p.numel() * p.element_size() for p in model.parameters()),
        gradients=FLOAT32 * numbers * gradients,
        shifted_weights=FLOAT32 * sum(trained[name] for name in shifted),
        optimizer=OPTIMIZER_BYTES.get(memory_options.optimizer, 2 * FLOAT32) * numbers,
        activations=sequences * sequence,
        logits=logits(model, sequences * tokens),
    )
    if second is None or not checked_every(second, training.method_settings):
        return needed
    # In float64: weights, a gradient and its graph, and their product. In float32: what is compared, and g1.
    passing = needed.shifted_weights + needed.activations + needed.logits + needed.gradients
    check = 8 * (weights + 2 * numbers) + 3 * FLOAT32 * numbers
    check += (
        min(sequences, SEQUENCES) * sequence * (GRAPH_OF_A_GRADIENT if not in_bfloat16 else 2 * GRAPH_OF_A_GRADIENT)
    )
    return needed._replace(check_of_the_penalty=max(0, check - passing))


def shifted_parameters(model: Any, second: SecondPass) -> set[str]:
    """The names of those that a second pass keeps as they were: shifted by its step, or by noise."""
    if second.shifted == "all":
        return {name for name, _ in model.named_parameters()}
    blocks = int(model.config.num_hidden_layers)
    depth = "uniform" if second.shifted == "blocks" else second.depth
    shifted = set(strengths(block_of(model), num_blocks=blocks, depth=depth))
    return (
        shifted if second.noise == "none" else shifted | noise_targets(model, noisy_blocks(blocks, second.noise_blocks))
    )


def logits(model: Any, tokens: int) -> int:
    """Bytes by which a micro-batch of so many tokens is scored: one tile, and where there is no Triton its copies."""
    scored, words = min(tokens, TILE_TOKENS), min(len(model.get_output_embeddings().weight), TILE_WORDS)
    copies = 0 if model.device.type == "cuda" else CPU_COPIES
    return FLOAT32 * scored * (TILE_WORDS + copies * words)


def activations(model: Any, tokens: int, checkpointing: bool, *, in_bfloat16: bool) -> int:
    """Bytes a sequence. Checkpointing keeps the input of every block, and one block's activations at a time."""
    kept = kept_by_autograd(model, tokens, in_bfloat16=in_bfloat16)
    blocks, width = int(model.config.num_hidden_layers), int(model.config.hidden_size)
    return kept // blocks + FLOAT32 * blocks * tokens * width if checkpointing else kept


def checked_every(second: SecondPass, method_settings: Mapping[str, Any]) -> int:
    """After how many steps the penalty is compared with that of a double backward pass; 0 for never."""
    given = int(method_settings.get("fidelity_every", FIDELITY_EVERY))
    return given if second.fidelity_every is None else second.fidelity_every


def kept_by_autograd(model: Any, tokens: int, *, in_bfloat16: bool = False) -> int:
    """Bytes that one sequence of so many tokens leaves for the backward pass; they are counted and let go."""
    ours = {p.untyped_storage()._cdata for p in model.parameters()}
    counted: dict[int, tuple[StorageWeakRef, int]] = {}  # while it is referred to, no later storage takes its place

    def count(tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage._cdata not in ours:
            counted[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())  # type: ignore[no-untyped-call]

    ids = torch.zeros((1, tokens), dtype=torch.long, device=model.device)
    halved = torch.autocast(model.device.type, torch.bfloat16, enabled=in_bfloat16, cache_enabled=False)
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
