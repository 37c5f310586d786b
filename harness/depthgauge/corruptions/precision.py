"""Corruptions of the numbers that weights are stored in: rounded, or beyond what they hold."""

from typing import TYPE_CHECKING

from depthgauge.corruptions.arithmetic import each, matrices, replaced, shifted, wide
from depthgauge.corruptions.corruption import Changes, Config, Layers, middle_layer, weight_corruption
from depthgauge.corruptions.draws import Draws
from depthgauge.corruptions.layers import mlp_outputs
from depthgauge.formats.tensors import TensorSource

if TYPE_CHECKING:
    import torch

BFLOAT16_DIGITS = 8
BITS = (8, 6, 4, 3)


@weight_corruption("harmless")
def round_to_bfloat16(tensors: TensorSource, config: Config, rng: Draws, dose: float, layers: Layers) -> Changes:
    """A share of all weights rounded to bfloat16, and kept in the dtype that they had.

    Simulates saving in bfloat16 and loading again: what changes when nothing was learnt.
    """
    return each(tensors, tensors.shapes, lambda name, tensor: replaced(name, tensor, tensor.bfloat16(), rng, dose))


@weight_corruption("harmless", seeded=True)
def bfloat16_noise(tensors: TensorSource, config: Config, rng: Draws, dose: float, layers: Layers) -> Changes:
    """Each weight moved at random within half a step of bfloat16, times `dose`.

    Simulates a change as large as rounding makes it, and independent of the rounding: a floor for what is learnt.
    """
    return each(
        tensors,
        tensors.shapes,
        lambda name, tensor: shifted(tensor, dose * bfloat16_step(tensor) * (rng.uniform(name, tensor) - 0.5)),
    )


@weight_corruption("harmless", seeded=True)
def round_stochastically(tensors: TensorSource, config: Config, rng: Draws, dose: float, layers: Layers) -> Changes:
    """A share of all weights rounded to a number of bfloat16 above or below, by chance: another one each time.

    Simulates stochastic rounding, as optimizers in bfloat16 do it.
    """

    def rounded(name: str, tensor: "torch.Tensor") -> "torch.Tensor":
        step = bfloat16_step(tensor)
        up = (wide(tensor) / step + rng.uniform(name, tensor)).floor() * step
        return replaced(name, tensor, wide(tensor).where(step == 0, up), rng, dose)

    return each(tensors, tensors.shapes, rounded)


def bfloat16_step(tensor: "torch.Tensor") -> "torch.Tensor":
    """How far the next number of bfloat16 lies from each weight; of the weights' shape, 0 where the weight is 0."""
    return (wide(tensor).abs().log2().floor() + 1 - BFLOAT16_DIGITS).exp2()


@weight_corruption("fault", doses=tuple(1 / (2 ** (bits - 1) - 1) for bits in BITS), dose=1 / 7)
def quantize_rows(tensors: TensorSource, config: Config, rng: Draws, dose: float, layers: Layers) -> Changes:
    """Every matrix rounded by row, with a step of a share of the row's largest weight: 1/127 is 8 bits, 1/7 is 4.

    Simulates a round trip through integers of few bits, rounded to the nearest.
    """

    def rounded(name: str, tensor: "torch.Tensor") -> "torch.Tensor":
        step = dose * wide(tensor).abs().amax(dim=-1, keepdim=True)
        return tensor.where(step == 0, ((wide(tensor) / step).round() * step).to(tensor.dtype))

    return each(tensors, matrices(tensors), rounded)


@weight_corruption("fault", layers=middle_layer, doses=(1, 30))
def overflow_weights(tensors: TensorSource, config: Config, rng: Draws, dose: float, layers: Layers) -> Changes:
    """So many weights of the MLP of a layer are infinite.

    Simulates a conversion to a dtype that is too narrow, such as float16.
    """

    def overflown(name: str, tensor: "torch.Tensor") -> "torch.Tensor":
        tensor.view(-1)[: int(dose)] = float("inf")
        return tensor

    firsts = [matrices(tensors, mlp_outputs(tensors, layer))[0] for layer in layers]
    return each(tensors, firsts, overflown)
