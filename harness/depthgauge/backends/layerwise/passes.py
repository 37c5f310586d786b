"""All texts through one decoder layer before the next is read, and what each layer computes, kept in the store.

Of each batch a run through the model without its layers says how it calls them: with which masks and positions. Then
the layers are read one after the other, and each computes all batches. When the model is run on one of these batches,
its embedding and layers give what they computed, whatever watches them; on any other tokens, and in another mode of
attention, they read their weights and compute.
"""

import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from depthgauge.backends.layerwise.units import Unit
from depthgauge.core.errors import StoreUnusable
from depthgauge.core.installed import MODEL_LIBRARIES, versions
from depthgauge.core.plain import digest
from depthgauge.store.folders import Store

if TYPE_CHECKING:
    import torch

RUNNER = "depthgauge_layerwise"  # the attribute of a model that is read layer by layer
GIB = 2**30
Batch = Sequence[Sequence[int]]  # texts of one length


class OutOfStep(Exception):
    """A family whose layers do more than hand on one residual stream: each batch is run by itself."""


class Call(NamedTuple):
    """How a model calls a layer: all but the stream."""

    args: tuple[Any, ...]
    named: Mapping[str, Any]


class Kept(NamedTuple):
    """Where a pass lies, and the place of each batch in it, by its tokens. `attention` is the mode it was made in."""

    folder: Path
    places: Mapping[tuple[tuple[int, ...], ...], int]
    attention: str


def run_ahead(models: Sequence[Any], batches: Sequence[Batch]) -> None:
    """Have the models among these that are read layer by layer compute batches that they will be run on next."""
    for model in models:
        runner = getattr(model, RUNNER, None)
        if runner is not None:
            runner.run_ahead(batches)


class Runner:
    """What stands in for the `forward` of the modules of one model.

    `units` are those of the embedding, of the output matrix, and of each layer. Of these at most one is in memory,
    and the output matrix until the next is read.
    """

    def __init__(self, model: Any, embedding: Any, layers: Sequence[Any], units: Sequence[Unit]) -> None:
        self.model, self.layers = model, layers
        self.of_embedding, self.of_head, *self.of_layers = units
        self.embed, self.apply_head = embedding.forward, model.get_output_embeddings().forward
        self.compute = [layer.forward for layer in layers]
        embedding.forward = self._embedding
        model.get_output_embeddings().forward = self._head
        for place, layer in enumerate(layers):
            layer.forward = self._layer(place)
        self.recorded: list[Call] | None = None  # while it is listened how layers are called
        self.kept: Kept | None = None
        self.replayed: int | None = None  # the batch whose states are given out
        self.embedded: Any = None  # what the embedding gave last
        self.stream: Any = None  # what the last layer handed on
        self.store: Store | None = None

    def keep_passes(self, fingerprint: str, store: Store | None, tell: Callable[[str], None], name: str) -> None:
        """From now on `run_ahead` keeps what it computes of this checkpoint in a store."""
        self.fingerprint, self.store, self.tell, self.name = fingerprint, store, tell, name

    def run_ahead(self, batches: Sequence[Batch]) -> None:
        """Compute what every layer makes of these batches, or find it in the store. Nothing without a store.

        Raises: StoreUnusable where the disk has no room for it; CorruptEntry where what is there is not what was
        written.
        """
        if self.store is None:
            return
        rows = [tuple(tuple(ids) for ids in batch) for batch in batches]
        attention = str(self.model.config._attn_implementation)
        description = {
            "checkpoint": self.fingerprint, "batches": digest([[list(ids) for ids in batch] for batch in rows]),
            "dtype": str(self.model.dtype), "device": str(self.model.device), "attention": attention,
            "versions": versions(MODEL_LIBRARIES),
        }  # fmt: skip
        with suppress(OutOfStep):
            folder = self.store.get_or_create("passes", description, lambda place: self._pass(place, rows), resume=True)
            self.kept = Kept(folder, {batch: place for place, batch in enumerate(rows)}, attention)

    def _pass(self, folder: Path, batches: Sequence[Batch]) -> None:
        """Write what the embedding and every layer makes of the batches; layers that are there are not run again."""
        import torch
        from safetensors.torch import load_file, save_file

        self.check_room(folder, batches)
        with torch.inference_mode():
            embedded, entered, calls = self._listen(batches)
            save(save_file, folder / "embedding.safetensors", embedded)
            save(save_file, folder / "entered.safetensors", entered)
            states, began, done = entered, time.monotonic(), 0
            for place, layer in enumerate(self.of_layers):
                file = folder / name_of(place)
                if file.is_file():
                    if not (folder / name_of(place + 1)).is_file():
                        stored = load_file(file)
                        states = [stored[str(i)].to(entered[i].device) for i in range(len(batches))]
                    continue
                left = (time.monotonic() - began) / done * (len(self.of_layers) - place) if done else None
                self.tell(f"measuring layer {place + 1} of {len(self.of_layers)} of {self.name}{time_left(left)}")
                with layer.in_memory():
                    states = [
                        self._computed(place, state, call[place]) for state, call in zip(states, calls, strict=True)
                    ]
                save(save_file, file, states)
                done += 1

    def check_room(self, folder: Path, batches: Sequence[Batch]) -> None:
        """Raises: StoreUnusable unless the states of all layers fit onto the disk."""
        tokens = sum(len(batch) * len(batch[0]) for batch in batches)
        width = int(self.model.config.get_text_config().hidden_size)
        needed, free = (
            tokens * width * (len(self.layers) + 2) * self.model.dtype.itemsize,
            shutil.disk_usage(folder).free,
        )
        if needed > free:
            raise StoreUnusable(
                f"what the layers of {self.name} compute takes {needed / GIB:.1f} GiB, and {free / GIB:.1f} GiB are "
                f"free in {folder}: make room there, or choose another place with --store."
            )

    def _listen(self, batches: Sequence[Batch]) -> "tuple[list[torch.Tensor], list[torch.Tensor], list[list[Call]]]":
        """What comes out of the embedding and enters the first layer, of each batch, and how each layer is called."""
        import torch

        embedded, entered, calls = [], [], []
        with self.of_embedding.in_memory():
            for batch in batches:
                self.recorded, self.stream = [], None
                try:
                    self.model.base_model(input_ids=torch.tensor(batch, device=self.model.device), use_cache=False)
                    calls.append(self.recorded)
                finally:
                    self.recorded = None
                if len(calls[-1]) != len(self.layers):
                    raise OutOfStep
                embedded.append(self.embedded)
                entered.append(self.stream)
        return embedded, entered, calls

    def _computed(self, place: int, stream: "torch.Tensor", call: Call) -> "torch.Tensor":
        """What a layer makes of a stream."""
        import torch

        output = self.compute[place](stream, *call.args, **call.named)
        if not isinstance(output, torch.Tensor) or output.shape != stream.shape:
            raise OutOfStep
        return output

    def _embedding(self, input_ids: "torch.Tensor", *args: Any, **named: Any) -> "torch.Tensor":
        self.replayed = self._place_of(input_ids)
        if self.replayed is not None:
            return self._stored("embedding.safetensors")
        with self.of_embedding.in_memory():
            embedded: torch.Tensor = self.embed(input_ids, *args, **named)
        self.embedded = embedded
        return embedded

    def _place_of(self, input_ids: "torch.Tensor") -> int | None:
        """That of a batch that was run ahead; None for other tokens, and while layers are listened to."""
        if self.kept is None or self.recorded is not None:
            return None
        if self.kept.attention != self.model.config._attn_implementation:
            return None
        return self.kept.places.get(tuple(map(tuple, input_ids.tolist())))

    def _stored(self, name: str) -> "torch.Tensor":
        from safetensors import safe_open

        assert self.kept is not None
        with safe_open(self.kept.folder / name, framework="pt") as states:
            state: torch.Tensor = states.get_tensor(str(self.replayed)).to(self.model.device)
        return state

    def _layer(self, place: int) -> Callable[..., Any]:
        def forward(hidden_states: "torch.Tensor", *args: Any, **named: Any) -> Any:
            if self.recorded is not None:
                return self._record(place, hidden_states, Call(args, named))
            if self.replayed is not None and not self._goes_on(place, hidden_states):
                self.replayed = None  # somebody has changed the stream: from here on it is another one
            if self.replayed is not None:
                self.stream = self._stored(name_of(place))
                return self.stream
            self.let_go_of_head()
            with self.of_layers[place].in_memory():
                return self.compute[place](hidden_states, *args, **named)

        return forward

    def _record(self, place: int, stream: "torch.Tensor", call: Call) -> "torch.Tensor":
        """Note a call, and hand the stream on. Raises: OutOfStep for a call that is of more than this stream."""
        assert self.recorded is not None
        in_step = stream.dim() == 3 and place == len(self.recorded) and (place == 0 or stream is self.stream)
        if not in_step or not all(map(is_fixed, (*call.args, *call.named.values()))):
            raise OutOfStep
        self.recorded.append(call)
        self.stream = stream
        return stream

    def _goes_on(self, place: int, stream: "torch.Tensor") -> bool:
        """Whether a layer is given what it was given when it was run ahead."""
        import torch

        if place == 0:
            return torch.equal(stream, self._stored("entered.safetensors"))
        return stream is self.stream

    def _head(self, *args: Any, **named: Any) -> Any:
        """It stays in memory: batch after batch asks for it while layers give what they computed."""
        self.of_head.read()
        return self.apply_head(*args, **named)

    def let_go_of_head(self) -> None:
        if self.of_head.is_read:
            self.of_head.let_go()


def is_fixed(value: Any) -> bool:
    """Whether an argument of a layer is the same whatever other layers compute."""
    import torch

    if isinstance(value, tuple):
        return all(map(is_fixed, value))
    return value is None or isinstance(value, bool | int | float | str | torch.Tensor)


def name_of(place: int) -> str:
    return f"layer-{place:04}.safetensors"


def save(save_file: Callable[..., None], path: Path, states: "Sequence[torch.Tensor]") -> None:
    """Whole or not at all: a run that is interrupted goes on after the last whole one."""
    aside = path.with_name(f".{path.name}")
    save_file({str(i): state.contiguous().cpu() for i, state in enumerate(states)}, aside)
    os.replace(aside, path)


def time_left(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f", {seconds:.0f} s left" if seconds < 90 else f", {seconds / 60:.0f} min left"
