"""What goes wrong where quantised weights are written or read: codes in another order, scales of something else."""

from typing import TYPE_CHECKING

from depthgauge.corruptions.arithmetic import each, matrices, wide
from depthgauge.corruptions.corruption import Changes, Config, Layers, all_layers, middle_layer, weight_corruption
from depthgauge.corruptions.draws import Draws
from depthgauge.corruptions.layers import neighbour
from depthgauge.formats.parts import at_layer, in_layers
from depthgauge.formats.tensors import TensorSource

if TYPE_CHECKING:
    import torch

GROUP = 32  # weights that share a scale


@weight_corruption("fault", layers=all_layers, doses=(0.1, 0.3, 1))
def swap_nibbles(tensors: TensorSource, config: Config, rng: Draws, dose: float, layers: Layers) -> Changes:
    """Neighbouring columns change places in the matrices of the layers, in a share of the columns.

    Simulates codes of 4 bits that are read with the other nibble of each byte first.
    """

    def swapped(name: str, tensor: "torch.Tensor") -> "torch.Tensor":
        pairs = int(dose * (tensor.shape[-1] // 2))
        first = tensor[..., : 2 * pairs]
        tensor[..., : 2 * pairs] = first.reshape(*first.shape[:-1], pairs, 2).flip(-1).flatten(-2)
        return tensor

    return each(tensors, matrices(tensors, in_layers(tensors.shapes, layers)), swapped)


@weight_corruption("fault", layers=middle_layer, doses=(0.3, 1, 3))
def scale_one_group(tensors: TensorSource, config: Config, rng: Draws, dose: float, layers: Layers) -> Changes:
    """The first 32 weights of every matrix of a layer are larger by so many times themselves.

    Simulates the scale of one group that was damaged, or read from another place.
    """

    def grown(name: str, tensor: "torch.Tensor") -> "torch.Tensor":
        group = tensor.view(-1, tensor.shape[-1])[0, :GROUP]
        group.copy_((wide(group) * (1 + dose)).to(tensor.dtype))
        return tensor

    return each(tensors, matrices(tensors, in_layers(tensors.shapes, layers)), grown)


@weight_corruption("fault", layers=middle_layer, doses=(0.3, 1))
def scales_of_another_layer(tensors: TensorSource, config: Config, rng: Draws, dose: float, layers: Layers) -> Changes:
    """Groups of 32 weights of a layer get the size of those of the layer below, or of that above the first; a dose
    below 1 is a power of the ratio.

    Simulates scales that were written under the wrong layer's name.
    """
    for layer in layers:
        below = neighbour(tensors, layer, 1)
        for name in matrices(tensors, in_layers(tensors.shapes, (layer,))):
            wanted = largest(tensors.read(at_layer(name, below)))  # no more of it is kept
            yield name, rescaled(tensors.read(name), wanted, dose)


def groups(tensor: "torch.Tensor") -> "torch.Tensor":
    """In rows of a group each; columns at the end that fill none are left out."""
    columns = tensor.shape[-1] // GROUP * GROUP or tensor.shape[-1]
    return wide(tensor[..., :columns]).reshape(-1, min(GROUP, columns))


def largest(tensor: "torch.Tensor") -> "torch.Tensor":
    return groups(tensor).abs().amax(-1, keepdim=True)


def rescaled(tensor: "torch.Tensor", wanted: "torch.Tensor", dose: float) -> "torch.Tensor":
    """With these largest weights of its groups."""
    own = largest(tensor)
    ratio = (wanted / own.where(own > 0, wanted.clamp_min(1))) ** dose
    columns = tensor.shape[-1] // GROUP * GROUP or tensor.shape[-1]
    tensor[..., :columns] = (groups(tensor) * ratio).reshape(*tensor.shape[:-1], columns).to(tensor.dtype)
    return tensor
