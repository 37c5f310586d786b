"""Corruptions of what lies in memory: tensors by name, or a loaded model."""

from typing import Any

import torch

from depthgauge.corruptions import CORRUPTIONS, Draws


class Tensors(dict[str, torch.Tensor]):
    """Named tensors as a source."""

    @property
    def shapes(self):
        return {name: tuple(tensor.shape) for name, tensor in self.items()}

    def read(self, name):
        return self[name].clone()


def corrupt_model(model: Any, name: str, *, seed: int = 0, **options: Any) -> Any:
    """The model itself, corrupted in place."""
    parameters = dict(model.named_parameters())
    config = model.config.get_text_config().to_dict()
    tensors = Tensors({name: parameter.detach() for name, parameter in parameters.items()})
    if CORRUPTIONS[name].needs_model:
        options["model"] = model
    with torch.no_grad():
        for changed, tensor in CORRUPTIONS[name].apply(tensors, config, Draws(seed), **options):
            parameters[changed].copy_(tensor)
    return model
