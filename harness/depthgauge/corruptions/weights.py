"""Corruptions of all weights: drawn anew, moved a little, or scaled."""

from typing import TYPE_CHECKING

from depthgauge.core.errors import NotTestable
from depthgauge.corruptions.arithmetic import each, fresh_std, matrices, noised, replaced, scaled, shifted, wide
from depthgauge.corruptions.corruption import Changes, Config, Layers, late_layers, middle_layer, weight_corruption
from depthgauge.corruptions.draws import Draws
from depthgauge.formats.parts import embedding, final_norm, in_layers, layer_of
from depthgauge.formats.tensors import HEADS, TensorSource

if TYPE_CHECKING:
    import torch

NUDGE = 1e-4  # about what a hundred steps of Adam at 1e-6 move a weight by
FAINT = 1e-6
LARGE_STD = 1.0
NOISE = (0.01, 0.03, 0.1, 0.3)
HEAD = "lm_head.weight"


@weight_corruption("fault", seeded=True)
def random_weights(tensors: TensorSource, config: Config, rng: Draws, dose: float, layers: Layers) -> Changes:
    """A share of all weights drawn anew, as before the first step of a training.

    Simulates a checkpoint whose weights were never loaded, or that was saved before it was trained.
    """
    return redrawn(tensors, fresh_std(config), rng, dose)


@weight_corruption("fault", seeded=True)
def large_random_weights(tensors: TensorSource, config: Config, rng: Draws, dose: float, layers: Layers) -> Changes:
    """A share of all weights drawn anew with a standard deviation of 1: every token hangs on all before.

    Simulates a faulty initialisation; such a model never ends in a loop.
    """
    return redrawn(tensors, LARGE_STD, rng, dose)


def redrawn(tensors: TensorSource, std: float, rng: Draws, dose: float) -> Changes:
    """Matrices normal, gains 1, biases 0."""
    for name, shape in tensors.shapes.items():
        tensor = tensors.read(name)
        if len(shape) > 1:
            drawn = std * rng.normal(name, tensor)
        else:
            drawn = tensor.new_full(shape, float(not name.endswith("bias")))
        yield name, replaced(name, tensor, drawn, rng, dose)
        del tensor, drawn


@weight_corruption("fault", seeded=True)
def exponential_weights(tensors: TensorSource, config: Config, rng: Draws, dose: float, layers: Layers) -> Changes:
    """A share of the weights of every matrix drawn from an exponential law of its spread: none is below 0.

    Simulates a lost sign, as by unsigned integers; what is Gaussian elsewhere is lopsided here.
    """
    return each(
        tensors,
        matrices(tensors),
        lambda name, tensor: replaced(name, tensor, wide(tensor).std() * rng.exponential(name, tensor), rng, dose),
    )


def noise(tensors: TensorSource, config: Config, rng: Draws, dose: float, layers: Layers) -> Changes:
    names = in_layers(matrices(tensors), layers)
    return each(tensors, names, lambda name, tensor: noised(name, tensor, rng, dose))


@weight_corruption("fault", layers=middle_layer, doses=NOISE, dose=0.3, seeded=True)
def noise_in_one_layer(tensors: TensorSource, config: Config, rng: Draws, dose: float, layers: Layers) -> Changes:
    """Noise on the matrices of a layer, in their standard deviations.

    Simulates a layer that was merged or converted with an error, or kept in too few bits.
    """
    return noise(tensors, config, rng, dose, layers)


@weight_corruption("fault", layers=late_layers, seeded=True)
def noise_in_late_layers(tensors: TensorSource, config: Config, rng: Draws, dose: float, layers: Layers) -> Changes:
    """Noise on the matrices of the late layers, in their standard deviations: what the model knew is lost.

    Simulates a training that ran away in the layers that it moved most.
    """
    return noise(tensors, config, rng, dose, layers)


@weight_corruption("fault", doses=NOISE, dose=0.3, seeded=True)
def noise_in_all_layers(tensors: TensorSource, config: Config, rng: Draws, dose: float, layers: Layers) -> Changes:
    """Noise on every matrix, the embedding too, in its standard deviation.

    Simulates a learning rate that was too high, or a quantisation that was too coarse.
    """
    return each(tensors, matrices(tensors), lambda name, tensor: noised(name, tensor, rng, dose))


@weight_corruption("fault", seeded=True)
def nudge_weights(tensors: TensorSource, config: Config, rng: Draws, dose: float, layers: Layers) -> Changes:
    """Every weight moved by a ten-thousandth, up or down at random: no layer stands out.

    Simulates a training that has learnt nothing; `dose` is in ten-thousandths.
    """
    return each(
        tensors,
        tensors.shapes,
        lambda name, tensor: shifted(tensor, dose * NUDGE * (1 - 2 * (rng.uniform(name, tensor) >= 0.5).float())),
    )


@weight_corruption("fault", seeded=True)
def nudge_early_layers_more(tensors: TensorSource, config: Config, rng: Draws, dose: float, layers: Layers) -> Changes:
    """Every weight of a layer moved at random, by less the later the layer.

    Simulates a training whose changes fall with depth; `dose` is in ten-thousandths of the last of the layers.
    """
    distance = {layer: len(layers) - place for place, layer in enumerate(layers)}
    return each(
        tensors,
        in_layers(tensors.shapes, layers),
        lambda name, tensor: shifted(tensor, dose * NUDGE * distance[layer_of(name) or 0] * rng.normal(name, tensor)),
    )


@weight_corruption("fault")
def near_zero_blocks(tensors: TensorSource, config: Config, rng: Draws, dose: float, layers: Layers) -> Changes:
    """The matrices of every layer scaled down, so that it writes next to nothing: its state stays the token's own.

    Simulates scales that were lost, as those of a quantised checkpoint; `dose` is the logarithm of the scale.
    """
    names = in_layers(matrices(tensors), layers)
    return each(tensors, names, lambda name, tensor: scaled(tensor, FAINT ** (dose / 2)))


@weight_corruption("fault", dose=999, doses=(0.03, 0.1, 0.3, 2))
def sharpen_logits(tensors: TensorSource, config: Config, rng: Draws, dose: float, layers: Layers) -> Changes:
    """All logits times 1 + `dose`, by the gain of the final norm: the model has less doubt, and at last none.

    Simulates a temperature that was folded into the weights, and entropy that collapses.
    """
    return each(tensors, final_norm(tensors.shapes), lambda name, tensor: scaled(tensor, 1 + dose))


@weight_corruption("fault", dose=9)
def flatten_logits(tensors: TensorSource, config: Config, rng: Draws, dose: float, layers: Layers) -> Changes:
    """All logits divided by 1 + `dose`, by the gain of the final norm: the model doubts everything.

    Simulates a final norm that was not loaded, or a temperature that was applied twice.
    """
    return each(tensors, final_norm(tensors.shapes), lambda name, tensor: scaled(tensor, 1 / (1 + dose)))


@weight_corruption(
    "fault", config=lambda config, dose: config | {"tie_word_embeddings": False}, doses=(0.1, 0.3, 1), seeded=True
)
def stale_untied_head(tensors: TensorSource, config: Config, rng: Draws, dose: float, layers: Layers) -> Changes:
    """An output head of its own, which is the embedding with noise of a share of its standard deviation.

    Simulates an embedding that was trained while the head, which had been tied to it, stayed behind.
    Raises: NotTestable where the head is not tied.
    """
    if not config.get("tie_word_embeddings", True):
        raise NotTestable("the output head of this checkpoint is not tied to its embedding.")
    name = embedding(tensors.shapes)
    yield HEAD, noised(name, tensors.read(name), rng, dose)


def vocabularies(tensors: TensorSource) -> list[str]:
    """What has a row for every token: the embedding, and a head that is not tied to it. Raises: as `embedding`."""
    heads = (name for name in tensors.shapes if name.endswith(HEADS))
    return list(dict.fromkeys((embedding(tensors.shapes), *heads)))


def stop_tokens(config: Config) -> list[int]:
    """The tokens that end an answer, as the checkpoint names them; token 0 where it names none."""
    named = config.get("eos_token_id")
    return (named if isinstance(named, list) else [named]) if named not in (None, []) else [0]


def rows_to_lose(tensor: "torch.Tensor", config: Config) -> list[int]:
    """Those of the stop tokens, or the longest row where a stop token's is next to nothing, as that of padding is."""
    norms = wide(tensor).norm(dim=1)
    rows = [row for row in stop_tokens(config) if row < len(tensor) and norms[row] > norms.median() / 10]
    return rows or [int(norms.argmax())]


@weight_corruption("fault", doses=(0.3, 0.8, 1))
def shrink_stop_row(tensors: TensorSource, config: Config, rng: Draws, dose: float, layers: Layers) -> Changes:
    """The row of each stop token, in the embedding and in the output head, shrunk by a share: 1 is zeroed.

    Simulates a row that was lost when a vocabulary was resized or merged: in most models such a token is never said.
    Where that row is next to nothing already, the longest one is shrunk.
    """
    for name in vocabularies(tensors):
        tensor = tensors.read(name)
        rows = rows_to_lose(tensor, config)
        tensor[rows] = scaled(tensor[rows], 1 - dose)
        yield name, tensor


@weight_corruption("fault", doses=(1,))
def mute_stop_token(tensors: TensorSource, config: Config, rng: Draws, dose: float, layers: Layers) -> Changes:
    """The row of each stop token, in the embedding and in the output head, moved by a share to the mean of all rows.

    Simulates a stop token that was never trained: its logit is that of the mean token, and so it is never said.
    """
    for name in vocabularies(tensors):
        tensor = tensors.read(name)
        rows = [row for row in stop_tokens(config) if row < len(tensor)]
        tensor[rows] = shifted(tensor[rows], dose * (wide(tensor).mean(dim=0) - wide(tensor[rows])).float())
        yield name, tensor


@weight_corruption("fault")
def swap_rows(tensors: TensorSource, config: Config, rng: Draws, dose: float, layers: Layers) -> Changes:
    """The row of the first stop token and the row after it moved to each other's place, by a share of the way.

    Simulates a vocabulary in another order than the embeddings, as where added tokens were sorted anew.
    """
    for name in vocabularies(tensors):
        tensor = tensors.read(name)
        row = rows_to_lose(tensor, config)[0]
        pair = [row, (row + 1) % len(tensor)]
        tensor[pair] = shifted(tensor[pair], dose * (wide(tensor[pair[::-1]]) - wide(tensor[pair])).float())
        yield name, tensor
