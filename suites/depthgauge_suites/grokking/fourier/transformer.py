"""The one-layer transformer on modular addition: its weights, its data and its logits.

The model of Nanda et al. (2023, arXiv:2301.05217): tokens [a, b, =], no layer norm, learned positions, ReLU, untied,
and the answer a + b mod p read at '='. Shapes: N pairs, P the prime p, H heads, E head dim, D model, M neurons; the
vocabulary is 0..p-1 and then '='.
"""

import json
import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import isqrt, sqrt
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from depthgauge.core.errors import InvalidCheckpoint, NotTestable, UsageError
from depthgauge.models.files import read_json
from depthgauge_suites.grokking.fourier.settings import MODEL_TYPE

if TYPE_CHECKING:
    import torch

WEIGHTS, CONFIG = "model.safetensors", "config.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class ModularTask:
    """Which sums are trained on: a share of all p * p pairs, drawn with a seed; the others are the test."""

    p: int = 113
    train_fraction: float = 0.3
    seed: int = 0

    def __post_init__(self) -> None:
        if not (isinstance(self.p, int) and isinstance(self.seed, int)):
            raise TypeError(f"p and seed are whole numbers, got {self.p!r} and {self.seed!r}")
        if self.p < 3 or any(self.p % k == 0 for k in range(2, isqrt(self.p) + 1)):
            raise UsageError(f"p must be an odd prime, such as 59 or 113, got {self.p}.")
        if not 0 < self.train_fraction < 1:
            raise UsageError(
                f"train_fraction must lie between 0 and 1, so that there are sums to train on and others to test, got "
                f"{self.train_fraction}."
            )
        if not 0 < int(self.train_fraction * self.p**2) < self.p**2:
            raise UsageError(
                f"{self.train_fraction} of {self.p**2} sums leaves none to train on: raise train_fraction."
            )

    def split(self) -> tuple["torch.Tensor", "torch.Tensor"]:
        """The pairs (a, b) to train on and to test, two tensors (N, 2): shuffled as in the paper's code."""
        import torch

        pairs = [(a, b) for a in range(self.p) for b in range(self.p)]
        random.Random(self.seed).shuffle(pairs)
        count = int(self.train_fraction * len(pairs))
        return torch.tensor(pairs[:count]), torch.tensor(pairs[count:])


class Weights(NamedTuple):
    """The weights under their names in TransformerLens, each acting from the right: x @ W.

    Shapes: W_E (P + 1, D), W_pos (3, D), W_Q, W_K and W_V (H, D, E), W_O (H, E, D), W_in (D, M), b_in (M),
    W_out (M, D), b_out (D), W_U (D, P + 1).
    """

    W_E: "torch.Tensor"
    W_pos: "torch.Tensor"
    W_Q: "torch.Tensor"
    W_K: "torch.Tensor"
    W_V: "torch.Tensor"
    W_O: "torch.Tensor"
    W_in: "torch.Tensor"
    b_in: "torch.Tensor"
    W_out: "torch.Tensor"
    b_out: "torch.Tensor"
    W_U: "torch.Tensor"

    @property
    def p(self) -> int:
        return len(self.W_E) - 1

    def to(self, dtype: "torch.dtype") -> "Weights":
        return Weights(*(tensor.to(dtype) for tensor in self))


class Activations(NamedTuple):
    """What the last position computes for N pairs.

    `attention` (N, H, 3) over a, b and '='; `residual` (N, D) after the attention; `neurons` (N, M) after the ReLU;
    `logits` (N, P + 1).
    """

    attention: "torch.Tensor"
    residual: "torch.Tensor"
    neurons: "torch.Tensor"
    logits: "torch.Tensor"


def fresh_weights(p: int, seed: int, *, width: int = 128, heads: int = 4, neurons: int = 512) -> Weights:
    """Normal weights of variance 1 / D, for W_U 1 / (P + 1), and biases 0: the paper's initialisation."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    vocabulary, size = p + 1, width // heads

    def normal(*shape: int, fan: int = width) -> torch.Tensor:
        return torch.randn(shape, generator=generator) / sqrt(fan)

    return Weights(
        W_E=normal(vocabulary, width),
        W_pos=normal(3, width),
        W_Q=normal(heads, width, size),
        W_K=normal(heads, width, size),
        W_V=normal(heads, width, size),
        W_O=normal(heads, size, width),
        W_in=normal(width, neurons),
        b_in=torch.zeros(neurons),
        W_out=normal(neurons, width),
        b_out=torch.zeros(width),
        W_U=normal(width, vocabulary, fan=vocabulary),
    )


def run(weights: Weights, pairs: "torch.Tensor") -> Activations:
    """The last position for pairs (N, 2). Scores and values exist once for each token and place, not for each pair."""
    import torch
    from torch.nn.functional import embedding

    p, (heads, _, size) = weights.p, weights.W_Q.shape
    a, b = pairs[:, 0], pairs[:, 1]
    first, second, last = weights.W_E[:p] + weights.W_pos[0], weights.W_E[:p] + weights.W_pos[1], last_token(weights)
    keys = query_key(weights) / sqrt(size)  # (H, D)
    scores = [embedding(a, first @ keys.T), embedding(b, second @ keys.T), (keys @ last).expand(len(pairs), heads)]
    attention = torch.stack(scores, -1).softmax(-1)
    values = weights.W_V.permute(1, 0, 2).flatten(1)  # (D, H * E)
    to_a, to_b, to_last = (each.repeat_interleave(size, -1) for each in attention.unbind(-1))
    mixed = to_a * embedding(a, first @ values) + to_b * embedding(b, second @ values) + to_last * (last @ values)
    residual = torch.addmm(last, mixed, weights.W_O.flatten(0, 1))
    neurons = torch.addmm(weights.b_in, residual, weights.W_in).relu()
    logits = (residual + torch.addmm(weights.b_out, neurons, weights.W_out)) @ weights.W_U
    return Activations(attention, residual, neurons, logits)


def last_token(weights: Weights) -> "torch.Tensor":
    """'=' in its place, before the attention: (D,)."""
    return weights.W_E[weights.p] + weights.W_pos[2]


def query_key(weights: Weights) -> "torch.Tensor":
    """What each head's query at '=' asks of a residual, before the scale: (H, D)."""
    import torch

    return torch.einsum("d,hde,hke->hk", last_token(weights), weights.W_Q, weights.W_K)


def all_pairs(p: int) -> "torch.Tensor":
    """All (a, b), b running fastest: (p * p, 2)."""
    import torch

    return torch.cartesian_prod(torch.arange(p), torch.arange(p))


def losses(logits: "torch.Tensor", pairs: "torch.Tensor", p: int) -> "torch.Tensor":
    """The cross-entropy of each pair in nats, (N,), in the logits' precision, over as many classes as they have."""
    from torch.nn.functional import cross_entropy

    return cross_entropy(logits, pairs.sum(-1) % p, reduction="none")


def save(weights: Weights, path: Path) -> None:
    """Write the weights as one safetensors file."""
    from safetensors.torch import save_file

    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in weights._asdict().items()}, path)


def save_checkpoint(weights: Weights, task: ModularTask, folder: Path) -> None:
    """Write a checkpoint folder: the weights, and a config.json that says which sums they were trained on."""
    save(weights, folder / WEIGHTS)
    (folder / CONFIG).write_text(json.dumps({"model_type": MODEL_TYPE} | asdict(task), indent=1), encoding="utf-8")


def load(path: Path, device: str = "cpu") -> Weights:
    """The weights of one safetensors file.

    Raises: InvalidCheckpoint if a weight is missing, has another shape than the others ask for, or is not finite.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors: Mapping[str, torch.Tensor] = load_file(path, device=device)
    except (OSError, SafetensorError) as error:
        raise InvalidCheckpoint(
            f"{path} is not a readable safetensors file: copy it again.", code="unreadable"
        ) from error
    missing = [name for name in Weights._fields if name not in tensors]
    if missing:
        raise InvalidCheckpoint(
            f"{path} holds no {missing[0]}: a one-layer transformer has {', '.join(Weights._fields)}."
        )
    weights = Weights(**{name: tensors[name] for name in Weights._fields})
    check(weights, str(path))
    return weights


def load_checkpoint(folder: Path, device: str = "cpu") -> tuple[Weights, ModularTask]:
    """The weights of a folder, and the sums that they were trained on.

    Raises: UsageError if there is no such folder, or its task cannot be; NotTestable if it is a checkpoint of another
    kind; InvalidCheckpoint as `load`.
    """
    if not (folder / CONFIG).is_file():
        raise UsageError(f"{folder} is not a checkpoint: give the folder that holds {CONFIG} and {WEIGHTS}.")
    config = read_json(folder / CONFIG)
    kind = config.get("model_type")
    if kind != MODEL_TYPE:
        raise NotTestable(f"{folder} is a {kind} checkpoint, and this is defined for {MODEL_TYPE} checkpoints.")
    weights = load(folder / WEIGHTS, device)
    try:
        task = ModularTask(p=config["p"], train_fraction=config["train_fraction"], seed=config["seed"])
    except (KeyError, TypeError) as error:
        raise InvalidCheckpoint(
            f"{folder / CONFIG} must name p and seed, whole numbers, and train_fraction: copy it again."
        ) from error
    if task.p != weights.p:
        raise InvalidCheckpoint(f"{folder} says p = {task.p}, and its weights have {weights.p} numbers: copy it again.")
    return weights, task


def check(weights: Weights, name: str) -> None:
    """Raises: InvalidCheckpoint naming the first weight that has another shape than the others ask for, or a NaN."""
    for field, axes in (("W_E", 2), ("W_Q", 3), ("b_in", 1)):
        shape = tuple(getattr(weights, field).shape)
        if len(shape) != axes:
            raise InvalidCheckpoint(f"{name} has {field} of shape {shape}, expected {axes} axes.")
    (vocabulary, width), (heads, _, size), neurons = weights.W_E.shape, weights.W_Q.shape, len(weights.b_in)
    expected = dict.fromkeys(("W_Q", "W_K", "W_V"), (heads, width, size)) | {
        "W_E": (vocabulary, width),
        "W_pos": (3, width),
        "W_O": (heads, size, width),
        "W_in": (width, neurons),
        "b_in": (neurons,),
        "W_out": (neurons, width),
        "b_out": (width,),
        "W_U": (width, vocabulary),
    }
    for field, tensor in weights._asdict().items():
        if tuple(tensor.shape) != expected[field]:
            raise InvalidCheckpoint(f"{name} has {field} of shape {tuple(tensor.shape)}, expected {expected[field]}.")
        if not bool(tensor.isfinite().all()):
            raise InvalidCheckpoint(f"{name} has a NaN or an infinity in {field}: train it again.", code="not-finite")
