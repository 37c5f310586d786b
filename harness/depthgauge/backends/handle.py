"""A checkpoint that a probe is at, and what can run it here."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from depthgauge.backends.layerwise import LAYERWISE, is_open, open_layerwise
from depthgauge.core.errors import NotHere
from depthgauge.core.method import Checkpoint
from depthgauge.formats.tensors import is_quantized
from depthgauge.models.load import GIB, WORKING_SHARE, Placement, fits, free_bytes, load, make_room, needed_bytes
from depthgauge.store.folders import Store


def silent(line: str) -> None:
    """Where nobody is told."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckpointHandle:
    """A checkpoint that a probe is at: its model and tokenizer are loaded when they are first asked for.

    `together` are the folders that the probe needs at once, its own among them, and `kept` those that are asked about
    next: their models stay in memory where there is room. `store` keeps what a model that is read layer by layer
    computes, so that an interrupted run goes on where it was; without one nothing is kept. `tell` is told how far such
    a model is.
    """

    checkpoint: Checkpoint
    placement: Placement
    together: tuple[Path, ...] = ()
    kept: tuple[Path, ...] = ()
    store: Store | None = None
    tell: Callable[[str], None] = silent

    @property
    def folder(self) -> Path:
        return self.checkpoint.folder

    @property
    def needed(self) -> tuple[Path, ...]:
        return self.together or (self.folder,)

    @property
    def model(self) -> Any:
        """The whole model. Raises: NotHere where memory has no room for it and those it is compared with."""
        if self.placement.device_map == LAYERWISE:
            raise NotHere(f"{self.wants}: leave out --device-map={LAYERWISE} where there is room.")
        if not self.has_room:
            raise NotHere(
                f"{self.wants}; {self.sizes}: choose --dtype=bfloat16, --device-map=auto, or a larger machine."
            )
        return load(self.folder, self.placement)[0]

    @property
    def forward_model(self) -> Any:
        """The model for who runs texts through it and reads no weight: whole where memory has room for it and those
        that it is compared with, and otherwise read layer by layer.
        """
        return self.opened()[0]

    @property
    def tokenizer(self) -> Any:
        return self.opened()[1]

    def opened(self) -> tuple[Any, Any]:
        """`forward_model` and the tokenizer. Raises: NotHere for codes that run as they are, and do not fit whole."""
        if self.placement.device_map != LAYERWISE and self.has_room:
            return load(self.folder, self.placement)
        if self.runs_codes:
            raise NotHere(f"{self.wants}: leave out --as-run, which is for whole models.")
        make_room((), self.placement)
        placement = replace(self.placement, device_map=LAYERWISE)
        if placement != self.placement and not is_open(self.folder, placement):
            self.tell(f"{self.folder.name} is read layer by layer: {self.sizes}")
        return open_layerwise(self.checkpoint, placement, store=self.store, tell=self.tell)

    @property
    def runs_codes(self) -> bool:
        """Whether it is quantised, and run as it is stored."""
        return self.placement.as_run and is_quantized(self.folder)

    @property
    def dequantized(self) -> "CheckpointHandle":
        """The same checkpoint with its weights dequantised."""
        return replace(self, placement=replace(self.placement, as_run=False))

    @property
    def has_room(self) -> bool:
        """Whether memory has room for all that is needed; models that are only kept make place for it."""
        for folders in ((*self.needed, *self.kept), self.needed):
            make_room(folders, self.placement)
            if fits(folders, self.placement):
                return True
        return False

    @property
    def wants(self) -> str:
        """What is needed whole, in words."""
        return f"{self.names} would have to be whole in memory, as what is generated reads all weights for each token"

    @property
    def sizes(self) -> str:
        needed = sum(needed_bytes(folder, self.placement) for folder in self.needed) * WORKING_SHARE / GIB
        free = free_bytes(self.placement.device) / GIB
        return (
            f"{self.names} in {self.placement.dtype} take {needed:.1f} GiB at once, and {free:.1f} GiB are free on "
            f"{self.placement.device}"
        )

    @property
    def names(self) -> str:
        return " and ".join(folder.name for folder in self.needed)
