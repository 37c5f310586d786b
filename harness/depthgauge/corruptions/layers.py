"""Corruptions of whole layers, and of parts of one that need no attention."""

from typing import Any

from depthgauge.core.errors import NotTestable
from depthgauge.corruptions.arithmetic import each, matrices, scaled
from depthgauge.corruptions.corruption import Changes, Config, Layers, middle_layer, weight_corruption
from depthgauge.corruptions.draws import Draws
from depthgauge.formats.parts import (
    LAYER_COUNTS,
    at_layer,
    depth_of,
    in_layers,
    is_mlp,
    is_mlp_output,
    layer_of,
    mlp_norm,
    writes_to_the_stream,
)
from depthgauge.formats.tensors import TensorSource

SHARES = (0.03, 0.1, 0.3, 1)
DISTANCES = (1, 3, 9)


def mlp_outputs(tensors: TensorSource, layer: int) -> list[str]:
    """What is of the last matrix of a layer's MLP; of a layer that has none that is known, all that it has."""
    own = in_layers(tensors.shapes, (layer,))
    return [name for name in own if is_mlp_output(name)] or own


@weight_corruption("fault", layers=middle_layer, doses=SHARES)
def zero_mlp(tensors: TensorSource, config: Config, rng: Draws, dose: float, layers: Layers) -> Changes:
    """What the MLP of a layer writes shrunk by a share: 1 is zeroed.

    Simulates a matrix that was lost when layers were merged, or left at zero by a converter. Of a layer without an MLP,
    as in a state-space model, all is shrunk.
    """
    names = [name for layer in layers for name in mlp_outputs(tensors, layer)]
    return each(tensors, names, lambda name, tensor: scaled(tensor, 1 - dose))


@weight_corruption("fault", layers=middle_layer, doses=SHARES)
def shrink_mlp_norm(tensors: TensorSource, config: Config, rng: Draws, dose: float, layers: Layers) -> Changes:
    """The norm before the MLP of a layer shrunk by a share: 1 is zeroed.

    Simulates a norm that was converted in another convention, such as a gain stored as its difference from 1.
    """
    names = [name for layer in layers for name in mlp_norm(tensors.shapes, layer)]
    return each(tensors, names, lambda name, tensor: scaled(tensor, 1 - dose))


@weight_corruption("fault", layers=middle_layer, doses=(1,))
def skip_layer(tensors: TensorSource, config: Config, rng: Draws, dose: float, layers: Layers) -> Changes:
    """What a layer adds to the residual stream shrunk by a share: at 1 it adds nothing.

    Simulates a layer that was dropped, pruned or not loaded.
    """
    own = in_layers(tensors.shapes, layers)
    names = [name for name in own if writes_to_the_stream(name)] or own
    return each(tensors, names, lambda name, tensor: scaled(tensor, 1 - dose))


@weight_corruption("fault", layers=middle_layer, doses=DISTANCES)
def duplicate_layer(tensors: TensorSource, config: Config, rng: Draws, dose: float, layers: Layers) -> Changes:
    """A layer holds the weights of another, so many below it.

    Simulates shards that were merged with an index off by one.
    """
    for layer in layers:
        other = neighbour(tensors, layer, int(dose))
        for name in in_layers(tensors.shapes, (layer,)):
            yield name, tensors.read(at_layer(name, other))


@weight_corruption("fault", layers=middle_layer, doses=DISTANCES)
def swap_layers(tensors: TensorSource, config: Config, rng: Draws, dose: float, layers: Layers) -> Changes:
    """A layer has changed places with another, so many below it.

    Simulates layers that were ordered by their names, where 10 comes before 9.
    """
    for layer in layers:
        other = neighbour(tensors, layer, int(dose))
        for name in in_layers(tensors.shapes, {layer, other}):
            yield name, tensors.read(at_layer(name, other if layer_of(name) == layer else layer))


def neighbour(tensors: TensorSource, layer: int, distance: int) -> int:
    """The layer so far below, or above where there is none. Raises: NotTestable if it has other tensors."""
    depth = depth_of(tensors.shapes)
    other = layer - distance if layer >= distance else layer + distance
    if other >= depth:
        raise NotTestable(f"layer {layer} of {depth} has no neighbour at a distance of {distance}.")
    here, there = (
        {at_layer(name, 0): tensors.shapes[name] for name in in_layers(tensors.shapes, (near,))}
        for near in (layer, other)
    )
    if here != there:
        raise NotTestable(f"layers {layer} and {other} are built differently.")
    return other


@weight_corruption("fault", layers=middle_layer, doses=(1,))
def drop_tensor(tensors: TensorSource, config: Config, rng: Draws, dose: float, layers: Layers) -> Changes:
    """So many matrices of a layer, those of its MLP first, are left out.

    Simulates a shard that was not written, or a name that was misspelt: what is missing would be drawn at random.
    """
    own = matrices(tensors, in_layers(tensors.shapes, layers))
    for name in sorted(own, key=lambda name: (not is_mlp(name), name))[: int(dose)]:
        yield name, None


def shallower(config: dict[str, Any], dose: float) -> dict[str, Any]:
    """The configuration without the last layers. Raises: NotTestable where it says nothing of each layer by itself."""
    field = next(name for name in LAYER_COUNTS if name in config)
    depth = config[field]
    if "attention_types" in config:
        raise NotTestable("attention_types counts layers by their pattern, which cannot be cut off.")
    by_layer = [name for name, value in config.items() if isinstance(value, list) and len(value) == depth]
    return config | {field: depth - int(dose)} | {name: config[name][: depth - int(dose)] for name in by_layer}


@weight_corruption("fault", config=shallower, doses=(1,))
def drop_last_layers(tensors: TensorSource, config: Config, rng: Draws, dose: float, layers: Layers) -> Changes:
    """The last layers are gone, so many.

    Simulates a file that was cut off, with a configuration that was made to fit.
    Raises: NotTestable where none would be left.
    """
    depth = depth_of(tensors.shapes)
    if dose >= depth:
        raise NotTestable(f"of {depth} layers {int(dose)} cannot be dropped.")
    for name in in_layers(tensors.shapes, range(depth - int(dose), depth)):
        yield name, None
