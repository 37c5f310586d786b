"""What a corruption is, and the two decorators that register one."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from depthgauge.core.errors import NotTestable
from depthgauge.core.registry import CORRUPTIONS
from depthgauge.corruptions.draws import Draws
from depthgauge.formats.parts import depth_of
from depthgauge.formats.tensors import TensorSource

if TYPE_CHECKING:
    import torch

Kind = Literal["harmless", "fault"]
Config = Mapping[str, Any]
Layers = tuple[int, ...]
Changes = Iterator[tuple[str, "torch.Tensor | None"]]
Function = TypeVar("Function", bound=Callable[..., Any])


def all_layers(depth: int) -> Layers:
    return tuple(range(depth))


def middle_layer(depth: int) -> Layers:
    return (depth // 2,)


def late_layers(depth: int) -> Layers:
    """From five ninths of the depth on."""
    return tuple(range(round(5 / 9 * depth), depth))


@dataclass(frozen=True, kw_only=True, slots=True)
class Corruption:
    """A way to change a checkpoint: a `fault` that a claim must refute, or `harmless`, what no gate may block.

    Of `change_tensors`, `change_config` and `change_files` it has one or several, carried out in this order.
    `dose` is how much is done where nobody says it, and `doses` those that the gate's own quality is judged at, mild
    ones first. `default_layers` gives the layers from the depth. Another `seed` gives another checkpoint where it is
    `seeded`. One that `needs_model` is given the loaded model. `requires` names the packages whose versions change what
    it does; raise `version` when its code does: the store then makes it again.
    """

    name: str
    summary: str
    kind: Kind
    change_tensors: Callable[..., Changes] | None = None
    change_config: Callable[[dict[str, Any], float], dict[str, Any]] | None = None
    change_files: Callable[[Path, Draws, float], None] | None = None
    default_layers: Callable[[int], Layers] = all_layers
    dose: float = 1
    doses: tuple[float, ...] = ()
    seeded: bool = False
    needs_model: bool = False
    requires: tuple[str, ...] = ()
    version: int = 1

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise ValueError(f"a corruption's name must be an identifier, as it names a fixture, got {self.name!r}")
        if not self.summary:
            raise ValueError(f"corruption {self.name!r} needs a docstring that says what it does and what it simulates")

    def apply(
        self,
        tensors: TensorSource,
        config: Config,
        rng: Draws,
        dose: float | None = None,
        layers: Layers | None = None,
        model: Any = None,
    ) -> Changes:
        """The tensors that it changes, one at a time, by name: None for one that is left out.

        `config` is that of the language model. `dose` 0 changes no tensor.

        Raises: NotTestable, as soon as it is known, for a model that cannot be corrupted in this way.
        """
        if self.change_tensors is None:
            return
        depth = depth_of(tensors.shapes)
        chosen = self.default_layers(depth) if layers is None else layers
        if not set(chosen) <= set(range(depth)):
            raise NotTestable(f"{self.name} of layers {chosen}: this checkpoint has layers 0 to {depth - 1}.")
        given = {"model": model} if self.needs_model else {}
        yield from self.change_tensors(tensors, config, rng, self.dose if dose is None else dose, chosen, **given)


def weight_corruption(
    kind: Kind,
    *,
    name: str | None = None,
    layers: Callable[[int], Layers] = all_layers,
    config: Callable[[dict[str, Any], float], dict[str, Any]] | None = None,
    **options: Any,
) -> Callable[[Function], Function]:
    """Register a generator `(tensors, config, rng, dose, layers)` of changed tensors, under its name or another.

    The first sentence of its docstring is the summary; the rest says which accident it simulates. `options` are fields
    of `Corruption`.
    """

    def register(function: Function) -> Function:
        CORRUPTIONS.register(
            Corruption(
                name=name or function.__name__,
                summary=summary_of(function),
                kind=kind,
                change_tensors=function,
                change_config=config,
                default_layers=layers,
                **options,
            )
        )
        return function

    return register


def file_corruption(kind: Kind, **options: Any) -> Callable[[Function], Function]:
    """Register a function `(folder, rng, dose)` that edits a copy of a checkpoint's folder, as `weight_corruption`.

    Every file there is a copy of its own, but for the weights: these are links to the checkpoint's. Replace such a
    file, and never write into it.
    """

    def register(function: Function) -> Function:
        made = Corruption(
            name=function.__name__, summary=summary_of(function), kind=kind, change_files=function, **options
        )
        CORRUPTIONS.register(made)
        return function

    return register


def summary_of(function: Callable[..., Any]) -> str:
    """The first paragraph of its docstring, in a line without its full stop."""
    return " ".join((function.__doc__ or "").strip().partition("\n\n")[0].split()).removesuffix(".")
