"""How a candidate is rounded, tensor by tensor, and copies of the baseline rounded so: no folder is written."""

import hashlib
import zlib
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import NotTestable
from depthgauge.formats.folder import tensors
from depthgauge.formats.guess import guessed
from depthgauge.formats.levels import Levels
from depthgauge.formats.parts import layer_of
from depthgauge.formats.rules import EXAMPLES, Rule, levels_by, rule_named
from depthgauge.formats.tensors import Computed, Stored, Tensor, whole
from depthgauge.formats.unfolding import Unfolding
from depthgauge.models.as_loaded import Parameter, WithoutMapping, parameters

if TYPE_CHECKING:
    import torch

NARROW = {"BF16": "bfloat16", "F16": "float16"}
KEPT = 4  # roundings, without their levels


class Rounding:
    """The levels of each quantised weight of a folder, and the dtype of each plain one, beside the baseline's weights;
    or those of a rule, such as int4-g32.

    `guess` says in words what was guessed of a folder that is stored plain; it is empty where the format says it all.

    Raises: NotTestable for a folder of other tensors than the baseline's, or on no grid that is known.
    """

    def __init__(self, rounded_as: Path | str, base: Path) -> None:
        self.base, self.theirs, self.guess = base, tensors(base), ""
        self.levels: dict[str, Callable[[], Levels]] = {}
        self.narrow: dict[str, str] = {}
        self.folds = Unfolding({})
        if isinstance(rounded_as, Path):
            self.like(rounded_as)
            return
        rule = rule_named(rounded_as)
        if rule is None:
            raise NotTestable(f"{rounded_as!r} is no way to round: name a quantised checkpoint, or {EXAMPLES}.")
        for name, tensor in self.theirs.items():
            if layer_of(name) is not None and len(tensor.shape) == 2:
                self.levels[name] = partial(by_rule, rule, tensor)

    def like(self, folder: Path) -> None:
        ours, theirs = tensors(folder), self.theirs
        unlike = [name for name in ours if name not in theirs or theirs[name].shape != ours[name].shape]
        if unlike or ours.keys() != theirs.keys():
            name = unlike[0] if unlike else next(iter(theirs.keys() - ours.keys()))
            raise NotTestable(
                f"{folder} and {self.base} do not store {name} alike: twins are made of a baseline with the same "
                "tensors."
            )
        quantized = {name: tensor for name, tensor in ours.items() if isinstance(tensor, Computed)}
        hidden = next((name for name, tensor in quantized.items() if tensor.levels is None), None)
        if hidden is not None:
            raise NotTestable(f"{hidden} in {folder} is stored in a type whose levels are not known.")
        self.levels = {name: tensor.levels for name, tensor in quantized.items() if tensor.levels is not None}
        if not self.levels:
            self.levels, self.guess = guessed(folder, ours)
        self.narrow |= {
            name: tensor.dtype for name, tensor in ours.items()
            if isinstance(tensor, Stored) and name not in self.levels and tensor.dtype in NARROW
            and tensor.dtype != theirs[name].dtype
        }  # fmt: skip
        self.folds = Unfolding({name: (ours[name], theirs[name]) for name in ours})

    def digest(self) -> str:
        """Of all that decides what a twin is, besides the baseline."""
        digest = hashlib.blake2b(digest_size=16)
        for name in sorted(self.levels):
            digest.update(name.encode())
            for array in (*self.levels[name](), self.folds.columns.get(name), self.folds.rows.get(name)):
                digest.update(b"-" if array is None else np.ascontiguousarray(array).tobytes())
        digest.update(repr(sorted(self.narrow.items())).encode())
        return digest.hexdigest()

    def twin(self, name: str, levels: Levels, seed: int) -> NDArray[np.floating]:
        """A weight of the baseline on the candidate's levels; within a twentieth of a step of a tie by a coin."""
        weight = self.folds.folded(name, whole(self.theirs[name])).astype(np.float32, copy=False)
        drawn = np.random.default_rng([seed, zlib.crc32(name.encode())]).random(weight.shape, np.float32)
        return self.folds.unfolded(name, levels.by_coin(weight, drawn))

    def put(self, copy: Any, seed: int) -> None:
        """Give a copy of the baseline's model the weights of a twin."""
        import torch

        state, twins = copy.state_dict(), {}
        for parameter in self.made():
            for name in parameter.sources:
                levels = self.levels.get(name)
                if levels is not None:
                    twins[name] = torch.from_numpy(np.ascontiguousarray(self.twin(name, levels(), seed)))
            sources = [twins.pop(name) if name in twins else self.plain(name) for name in parameter.sources]
            state[parameter.name].copy_(sources[0] if parameter.convert is None else parameter.convert(sources))

    def plain(self, name: str) -> "torch.Tensor":
        """A weight that is not quantised, through the dtype that the candidate keeps it in."""
        import torch

        weight = torch.from_numpy(whole(self.theirs[name]))
        return weight.to(getattr(torch, NARROW[self.narrow[name]])).float() if name in self.narrow else weight

    def made(self) -> list[Parameter]:
        """The parameters of the model that a twin has otherwise. Raises: NotTestable where no name is known."""
        changed = {*self.levels, *self.narrow}
        try:
            all_made = parameters(self.base, {name: tensor.shape for name, tensor in self.theirs.items()})
        except WithoutMapping as error:
            raise NotTestable(f"this version of transformers does not say how it loads weights: {error}.") from error
        return [parameter for parameter in all_made if changed & {*parameter.sources}]


def by_rule(rule: Rule, tensor: Tensor) -> Levels:
    return levels_by(rule, whole(tensor), tensor.name)


@lru_cache(KEPT)
def digest_of(rounded_as: Path | str, base: Path, _states: tuple[Any, ...]) -> tuple[str, str]:
    rounding = Rounding(rounded_as, base)
    return rounding.digest(), rounding.guess


def grid_of(rounded_as: Path | str, base: Path) -> tuple[str, str]:
    """The digest of how a folder is rounded, and what is guessed of it. Raises: as `Rounding`."""
    states = tuple(
        (path.name, path.stat().st_mtime_ns, path.stat().st_size)
        for folder in (rounded_as, base)
        if isinstance(folder, Path)
        for path in sorted(folder.iterdir())
        if path.is_file()
    )
    return digest_of(rounded_as, base, states)
