"""The parameters of a model, each read from a checkpoint's files when it is asked for."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from depthgauge.core.errors import InvalidCheckpoint, NotTestable
from depthgauge.formats.folder import tensors
from depthgauge.formats.tensors import RAW, Stored, Tensor, whole
from depthgauge.models.as_loaded import Parameter, WithoutMapping, parameters

if TYPE_CHECKING:
    import torch

DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
PIECE = 1 << 24  # elements that are read at once


class FolderParameters:
    """What the model of a folder is made of, in any format that is read, under the names of its parameters.

    Raises: InvalidCheckpoint where the files cannot be read; NotTestable where the installed transformers does not say
    how it loads names.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stored: Mapping[str, Tensor] = tensors(folder)
        try:
            made = parameters(folder, {name: tensor.shape for name, tensor in self.stored.items()})
        except WithoutMapping as error:
            raise NotTestable(
                f"the installed transformers does not say under which names it loads {folder}, which is needed to read "
                "it layer by layer: install 5.23 or newer."
            ) from error
        self.parameters: Mapping[str, Parameter] = {parameter.name: parameter for parameter in made}
        self.checked: set[str] = set()  # stored tensors that were seen to be finite

    def __contains__(self, name: str) -> bool:
        return name in self.parameters

    def read(self, name: str, dtype: "torch.dtype") -> "torch.Tensor":
        """A parameter in a dtype, as `from_pretrained` would make it.

        Raises: InvalidCheckpoint, the first time, if a number in it is NaN or infinite.
        """
        parameter = self.parameters[name]
        sources = [self._read_stored(source, dtype) for source in parameter.sources]
        return sources[0] if parameter.convert is None else parameter.convert(sources).to(dtype)

    def _read_stored(self, name: str, dtype: "torch.dtype") -> "torch.Tensor":
        import torch

        tensor = self.stored[name]
        if isinstance(tensor, Stored):
            values, finite = stored_values(tensor, dtype, look=name not in self.checked)
        else:
            made = torch.from_numpy(whole(tensor))
            finite = bool(made.isfinite().all())
            values = made.to(dtype)
        if not finite:
            raise InvalidCheckpoint(
                f"{self.folder} has weights in {name} that are NaN or infinite: train it again, or save it in float32.",
                code="not-finite",
            )
        self.checked.add(name)
        return values


def stored_values(stored: Stored, dtype: "torch.dtype", *, look: bool) -> tuple["torch.Tensor", bool]:
    """A tensor in a dtype, and whether all numbers in it are finite, if that is looked at; read a piece at a time."""
    import torch

    of_file, width = getattr(torch, DTYPES[stored.dtype]), np.dtype(RAW[stored.dtype]).itemsize
    values, finite = torch.empty(stored.shape, dtype=dtype), True
    flat = values.view(-1)
    for first in range(0, flat.numel(), PIECE):
        last = min(first + PIECE, flat.numel())
        raw = np.fromfile(stored.path, np.uint8, (last - first) * width, offset=stored.offset + first * width)
        piece = torch.from_numpy(raw).view(of_file)
        finite = finite and (not look or bool(piece.isfinite().all()))
        flat[first:last] = piece
    return values, finite
