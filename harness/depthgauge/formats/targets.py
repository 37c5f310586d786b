"""Which modules a configuration means to be quantised, and whether those are."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from depthgauge.core.errors import InvalidCheckpoint
from depthgauge.formats.parts import layer_of, module_of
from depthgauge.formats.tensors import FLOATS, HEADS, Stored

LONGEST, MOST_REPEATS = 300, 6  # of a pattern that is tried: a stranger's could take for ever
REPEATED_GROUP = re.compile(r"\)\s*[*+{?]")
NUMBERS = re.compile(r"(?<=\.)\d+(?=\.|$)")


def names_in(value: Any) -> tuple[str, ...]:
    """The names of a list in a configuration; of anything else none."""
    return tuple(map(str, value)) if isinstance(value, list) else ()


def block_in(value: Any) -> tuple[int, int] | None:
    """The rows and columns of a block, as a configuration has them.

    Raises: InvalidCheckpoint for what is no block, and is not left out.
    """
    if value is None:
        return None
    if isinstance(value, list) and len(value) == 2 and all(type(size) is int and size > 0 for size in value):
        return value[0], value[1]
    raise InvalidCheckpoint(f"config.json has scales for blocks of {value!r}, and not of rows and columns.")


def matches(pattern: str, module: str) -> bool:
    """Whether a regular expression fits a module's name from its start.

    Raises: InvalidCheckpoint for one that could take for ever, or that is none.
    """
    repeats = len(re.findall(r"[*+{]", pattern))
    try:
        if len(pattern) > LONGEST or repeats > MOST_REPEATS or REPEATED_GROUP.search(pattern):
            raise re.error("it repeats too much")
        return re.match(pattern, module) is not None
    except re.error as error:
        raise InvalidCheckpoint(
            f"config.json names modules by the pattern {pattern[:60]!r}, which is not tried ({error}): name "
            "the modules."
        ) from error


def check_all_quantized(
    stored: Mapping[str, Stored], quantized: Iterable[str], left_out: Callable[[str], bool], setting: str,
    *, head: bool = False,
) -> None:  # fmt: skip
    """Raises: InvalidCheckpoint for a matrix that is stored plain although the same of another layer is quantised, and
    the configuration does not leave it out; with `head`, for an untied output head, too.
    """
    kinds = {kind_of(f"{module}.weight") for module in quantized}
    for name, tensor in stored.items():
        module = name.removesuffix(".weight")
        if module == name or tensor.dtype not in FLOATS or len(tensor.shape) != 2:
            continue
        if (kind_of(name) in kinds or (head and name.endswith(HEADS))) and not left_out(module):
            raise InvalidCheckpoint(
                f"{name} in {tensor.path} is stored plain, and {setting} in config.json does not leave it out: what "
                f"loads the folder looks for its codes, and draws the weight at random; name {module} there."
            )


def kind_of(name: str) -> str:
    """The module of a tensor, the same in all layers and for all experts."""
    return NUMBERS.sub("N", f"{'' if layer_of(name) is None else 'layer'}.{module_of(name)}")
