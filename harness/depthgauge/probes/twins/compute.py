"""What a copy of a model does to its residual stream, layer by layer and head by head, and to what it says next.

Every layer of the copy is given what the same layer of the original was given, so that an error counts where it is
made. Shapes: P texts, B texts in a batch, T tokens, L layers, H heads, D numbers of the stream, V tokens known.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from depthgauge.backends.pairs import batches
from depthgauge.core.errors import InvalidCheckpoint, NotTestable
from depthgauge.models.anatomy import block_parts, blocks, edited_blocks, is_conv1d, widened
from depthgauge.models.inputs import Tokens

if TYPE_CHECKING:
    import torch

Floats = NDArray[np.float64]


class Errors(NamedTuple):
    """Of one copy. `jumps` (L,): by how much each layer moved the residual stream, over its length, a mean over tokens.
    `heads` (L, H): by how much what a head adds to the stream moved, over its length; NaN in layers without heads.
    `divergence`: KL(original || copy) of the next token, a mean over tokens, in nats.
    """

    jumps: Floats
    heads: Floats
    divergence: float


@dataclass(kw_only=True)
class Batch:
    """What the original computed of texts of one length: `states` after each block, (B, T, D); `mixed`, what each
    layer's output projection was given; `log_probabilities` (B, T, V).
    """

    ids: "torch.Tensor"
    states: list["torch.Tensor"] = field(default_factory=list)
    mixed: dict[int, "torch.Tensor"] = field(default_factory=dict)
    log_probabilities: "torch.Tensor"


class Original:
    """A model, and what it computed of some texts: what its copies are held to."""

    def __init__(self, model: Any, token_ids: Tokens, heads: int) -> None:
        self.heads = heads
        self.outputs = output_projections(model, heads)
        self.weights = {layer: from_heads(module, heads) for layer, module in self.outputs.items()}
        self.depth = len(blocks(model))
        width = int(model.config.get_text_config().hidden_size)
        self.batches = [
            self.batch(model, [token_ids[i] for i in chosen]) for chosen in batches(token_ids, self.depth * width)
        ]

    def batch(self, model: Any, ids: Sequence[Sequence[int]]) -> Batch:
        import torch

        tensor = torch.tensor(ids, device=model.device)
        states: list[torch.Tensor] = []
        mixed: dict[int, torch.Tensor] = {}

        def keep(layer: int, output: "torch.Tensor") -> "torch.Tensor":
            states.append(output)
            return output

        with edited_blocks(model, keep), watched(self.outputs, mixed), torch.inference_mode():
            logits = widened(model(input_ids=tensor, use_cache=False).logits)
        return Batch(ids=tensor, states=states, mixed=mixed, log_probabilities=logits.log_softmax(-1))

    def errors(self, copy: Any) -> Errors:
        """How far a copy is from the original. Raises: InvalidCheckpoint where it computes what is not finite."""
        outputs = output_projections(copy, self.heads)
        weights = {layer: from_heads(module, self.heads) for layer, module in outputs.items()}
        jumps, tokens, kl = np.zeros(self.depth), 0, 0.0
        moved, length = np.zeros((self.depth, self.heads)), np.zeros((self.depth, self.heads))
        for batch in self.batches:
            jumps += self.jumps_of(copy, outputs, weights, batch, moved, length)
            kl += divergence(copy, batch)
            tokens += batch.ids.numel()
        if not (np.isfinite(jumps).all() and np.isfinite(kl)):
            raise InvalidCheckpoint(
                "a copy computes numbers that are NaN or infinite: quantise it again.", code="not-finite"
            )
        with np.errstate(invalid="ignore", divide="ignore"):
            return Errors(jumps / tokens, np.where(length > 0, moved / length, np.nan), kl / tokens)

    def jumps_of(
        self, copy: Any, outputs: dict[int, Any], weights: "dict[int, torch.Tensor]", batch: Batch,
        moved: Floats, length: Floats,
    ) -> Floats:  # fmt: skip
        """The relative changes of the stream by layer, (L,), summed over tokens; those of heads are added up."""
        import torch

        moved_by_layer = np.zeros(self.depth)
        mixed: dict[int, torch.Tensor] = {}

        def compare(layer: int, output: "torch.Tensor") -> "torch.Tensor":
            before = batch.states[layer].to(output.device)
            delta = torch.linalg.vector_norm(widened(output) - widened(before), dim=-1)
            moved_by_layer[layer] = float((delta / torch.linalg.vector_norm(widened(before), dim=-1)).double().sum())
            if layer in mixed:
                ours, theirs = mixed.pop(layer), batch.mixed[layer]
                for head in range(self.heads):
                    before_H = written(theirs, self.weights[layer], head)
                    delta_H = written(ours, weights[layer], head) - before_H
                    moved[layer, head] += float(torch.linalg.vector_norm(delta_H, dim=-1).double().sum())
                    length[layer, head] += float(torch.linalg.vector_norm(before_H, dim=-1).double().sum())
            return before

        with edited_blocks(copy, compare), watched(outputs, mixed), torch.inference_mode():
            copy.base_model(input_ids=batch.ids, use_cache=False)
        return moved_by_layer


def divergence(copy: Any, batch: Batch) -> float:
    """KL(original || copy), summed over tokens."""
    import torch

    with torch.inference_mode():
        other = widened(copy(input_ids=batch.ids, use_cache=False).logits).log_softmax(-1)
        ours = batch.log_probabilities
        return float((ours.exp() * (ours - other)).sum(-1).double().sum())


def written(mixed: "torch.Tensor", weights: "torch.Tensor", head: int) -> "torch.Tensor":
    """What one head adds to the stream: (B, T, D)."""
    size = weights.shape[1]
    product: torch.Tensor = mixed[..., head * size : (head + 1) * size].float() @ weights[head]
    return product


def output_projections(model: Any, heads: int) -> dict[int, Any]:
    """The output projection of the attention of each layer that has one of `heads` heads."""
    modules = {}
    for layer, block in enumerate(blocks(model)):
        try:
            module = block_parts(block).output
            from_heads(module, heads)
        except NotTestable:
            continue
        modules[layer] = module
    return modules


def from_heads(module: Any, heads: int) -> "torch.Tensor":
    """The rows of an output projection by the head that they read: (H, E, D), in float32.

    Raises: NotTestable for a module that is no matrix, or whose inputs are no multiple of the heads.
    """
    import torch

    if not (isinstance(module, torch.nn.Linear) or is_conv1d(module)):
        raise NotTestable(f"a {type(module).__name__} is no matrix that heads write through.")
    weight = module.weight.detach() if is_conv1d(module) else module.weight.detach().T
    if len(weight) % heads:
        raise NotTestable(f"{len(weight)} inputs are no multiple of {heads} heads.")
    by_head: torch.Tensor = weight.float().reshape(heads, -1, weight.shape[1])
    return by_head


@contextmanager
def watched(modules: dict[int, Any], seen: "dict[int, torch.Tensor]") -> Iterator[None]:
    """Within it, what each module is given is put into `seen`."""

    def hook(layer: int) -> Any:
        def keep(_module: Any, inputs: Any) -> None:
            seen[layer] = inputs[0]

        return keep

    with ExitStack() as hooks:
        for layer, module in modules.items():
            hooks.callback(module.register_forward_pre_hook(hook(layer)).remove)
        yield
