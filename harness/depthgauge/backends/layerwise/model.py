"""A model whose modules read their weights when they are run.

A parameter that is not read is NaN everywhere, and takes no memory: whoever computes with it is told by the result.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depthgauge.backends.layerwise.passes import RUNNER, Runner
from depthgauge.backends.layerwise.units import Unit, placeholder
from depthgauge.backends.layerwise.weights import FolderParameters
from depthgauge.core.errors import InvalidCheckpoint
from depthgauge.core.method import Checkpoint
from depthgauge.models import settings
from depthgauge.models.anatomy import blocks
from depthgauge.models.load import KEPT, Kept, Placement, kept_as, prepared
from depthgauge.store.folders import Store

if TYPE_CHECKING:
    import torch

LAYERWISE = "layerwise"  # a device map of ours
OPENED: dict[Kept, tuple[Any, Any]] = {}


def open_layerwise(
    checkpoint: Checkpoint, placement: Placement, *, store: Store | None, tell: Callable[[str], None]
) -> tuple[Any, Any]:
    """The model of a checkpoint, read layer by layer, and its tokenizer; the last two are kept.

    Raises: as `read_model`.
    """
    key = kept_as(checkpoint.folder, placement)
    if key not in OPENED:
        while len(OPENED) >= KEPT:
            model, _ = OPENED.pop(next(iter(OPENED)))
            getattr(model, RUNNER).let_go_of_head()
        model = empty_model(checkpoint.folder, placement)
        attach(model, FolderParameters(checkpoint.folder))
        OPENED[key] = prepared(model, checkpoint.folder, placement)
    getattr(OPENED[key][0], RUNNER).keep_passes(checkpoint.fingerprint, store, tell, checkpoint.name)
    return OPENED[key]


def is_open(folder: Path, placement: Placement) -> bool:
    return kept_as(folder, placement) in OPENED


def empty_model(folder: Path, placement: Placement) -> Any:
    """The model of a folder with its buffers, and parameters that are NaN and take no memory."""
    import torch
    from accelerate import init_empty_weights

    config = settings.configuration(folder)
    for part in {id(part): part for part in (config, config.get_text_config())}.values():
        if hasattr(part, "quantization_config"):
            del part.quantization_config  # what is stored is read dequantised
    dtype = getattr(torch, placement.dtype_of(folder))
    with settings.readable(folder), init_empty_weights(include_buffers=False):
        model = settings.auto_class(config).from_config(config, dtype=dtype, trust_remote_code=False)
    model.tie_weights()  # what registers a parameter above has broken the ties
    in_float32 = tuple(model._get_dtype_plan(dtype))
    unread: dict[int, torch.nn.Parameter] = {}
    for name, module, key in parameters_of(model):
        parameter = module._parameters[key]
        wide = any(part in name for part in in_float32)
        kept = unread.setdefault(
            id(parameter), placeholder(parameter.shape, torch.float32 if wide else parameter.dtype, placement.device)
        )
        module._parameters[key] = kept
    for module in model.modules():
        for key, buffer in module._buffers.items():
            module._buffers[key] = None if buffer is None else buffer.to(placement.device)
    return model


def parameters_of(model: Any) -> Iterator[tuple[str, Any, str]]:
    """The name of every parameter, tied ones too, and the module and key that hold it."""
    for prefix, module in model.named_modules():
        for key, parameter in list(module._parameters.items()):
            if parameter is not None:
                yield f"{prefix}.{key}" if prefix else key, module, key


def attach(model: Any, files: FolderParameters) -> Runner:
    """Have every module of a model read its weights when it is run: layers, the embedding and the output matrix. What
    is left is small, and read now.

    Raises: InvalidCheckpoint if a parameter is in no file, or has another shape there.
    """
    untie(model, files)
    embedding, head, layers = model.get_input_embeddings(), model.get_output_embeddings(), list(blocks(model))
    names: dict[int, list[str]] = {}
    for name, module, key in parameters_of(model):
        names.setdefault(id(module._parameters[key]), []).append(name)

    def unit(*modules: Any) -> Unit:
        owned = {id(parameter): parameter for module in modules for parameter in module.parameters()}
        return Unit([(parameter, reading(parameter, names[key], files)) for key, parameter in owned.items()])

    tied = embedding.weight is head.weight
    of_embedding = unit(embedding, head) if tied else unit(embedding)
    streamed = [of_embedding, of_embedding if tied else unit(head), *map(unit, layers)]
    owned = {id(parameter) for each in streamed for parameter, _ in each.owned}
    rest = {id(parameter): parameter for parameter in model.parameters() if id(parameter) not in owned}
    Unit([(parameter, reading(parameter, names[key], files)) for key, parameter in rest.items()]).read()
    read_buffers(model, files)
    runner = Runner(model, embedding, layers, streamed)
    setattr(model, RUNNER, runner)
    return runner


def untie(model: Any, files: FolderParameters) -> None:
    """Give each of several tied names that files hold a parameter of its own: transformers uses a stored output matrix
    of other numbers as it is, whatever the configuration says. One of the same numbers is not in `files`.
    """
    seen: set[int] = set()
    for name, module, key in parameters_of(model):
        parameter = module._parameters[key]
        if name in files and id(parameter) in seen:
            module._parameters[key] = placeholder(parameter.shape, parameter.dtype, parameter.device)
        elif name in files:
            seen.add(id(parameter))


def reading(parameter: Any, names: list[str], files: FolderParameters) -> "Callable[[], torch.Tensor]":
    """What reads a parameter. Raises: InvalidCheckpoint if none of its names is in a file with its shape."""
    name = next((name for name in names if name in files), None)
    if name is None or files.parameters[name].shape != tuple(parameter.shape):
        raise InvalidCheckpoint(f"{files.folder} has no usable weights for {names[0]}: save it again.")
    return lambda: files.read(name, parameter.dtype)


def read_buffers(model: Any, files: FolderParameters) -> None:
    """Those that a checkpoint stores, such as a router's corrections."""
    for prefix, module in model.named_modules():
        for key, buffer in module._buffers.items():
            name = f"{prefix}.{key}"
            if buffer is not None and name in files:
                module._buffers[key] = files.read(name, buffer.dtype).to(buffer.device)
