"""How large each number of queries, keys and values is, where the attention reads it and on its way there."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import NotTestable, StatisticUndefined
from depthgauge.models.anatomy import block_parts, blocks, first_part
from depthgauge.models.attention import Attention, layers_attended_by
from depthgauge.models.inputs import check_finite
from depthgauge.models.load import context_length
from depthgauge_suites.layer_papers.massive_values.settings import LONGEST

if TYPE_CHECKING:
    import torch

PLACES = {"projected": ("q_proj", "k_proj"), "normed": ("q_norm", "k_norm")}
Moments = NDArray[np.float64]
Note = Callable[[str, "torch.Tensor"], None]


def starts(model: Any, tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """The first tokens of each text. Raises: StatisticUndefined where a text has fewer than two."""
    longest = min(LONGEST, context_length(model))
    token_ids = [tokenizer(text)["input_ids"][:longest] for text in texts]
    for text, ids in zip(texts, token_ids, strict=True):
        if len(ids) < 2:
            raise StatisticUndefined(
                f"the text {text[:40]!r} has {len(ids)} tokens, and sizes are means over 2 or more."
            )
    return token_ids


def read(model: Any, token_ids: Sequence[Sequence[int]]) -> dict[str, NDArray[Any]]:
    """The arrays of `MassiveValues`. Raises: as `moments`."""
    sizes = {name: np.sqrt(squares) for name, (_, squares) in moments(model, token_ids).items()}
    turned = speeds(model)
    return sizes | ({"speeds": turned} if len(turned) == sizes["k"].shape[-1] else {})


def moments(model: Any, token_ids: Sequence[Sequence[int]]) -> dict[str, Moments]:
    """Means of each number and of its square over all positions: 'q' (2, L, H, D), 'k' and 'v' (2, L, G, D) and so on.

    Raises: NotTestable for a family that computes its attention by itself; InvalidCheckpoint if one is not finite.
    """
    by_text = [sums_of(model, ids) for ids in token_ids]
    positions = sum(map(len, token_ids))
    averages = {name: np.sum([moment[name] for moment in by_text], axis=0) / positions for name in by_text[0]}
    for each in averages.values():
        check_finite(each)
    return averages


def sums_of(model: Any, ids: Sequence[int]) -> dict[str, Moments]:
    """As `moments`, of one text, and sums."""
    import torch

    seen: dict[str, list[Moments]] = {}

    def note(name: str, states_T: "torch.Tensor") -> None:
        doubles = states_T.double()
        seen.setdefault(name, []).append(torch.stack([doubles.sum(0), doubles.square().sum(0)]).cpu().numpy())

    def attend(_: int, attention: Attention, value: "torch.Tensor") -> "torch.Tensor":
        for name, states in (("q", attention.query), ("k", attention.key), ("v", value)):
            note(name, states[0].transpose(0, 1))
        return attention.outputs(value)

    with layers_attended_by(model, attend), on_the_way(model, note), torch.inference_mode():
        model.base_model(input_ids=torch.tensor([list(ids)], device=model.device), use_cache=False)
    if not seen.get("q"):
        raise NotTestable(f"{type(model).__name__} computes its attention by itself, and shows no queries and keys")
    return {
        name: np.stack(states, axis=1).reshape(2, len(states), *seen[name[0]][0].shape[1:])
        for name, states in seen.items()
        if np.size(states) == np.size(seen[name[0]])  # a projection may hold a gate beside its queries
    }


@contextmanager
def on_the_way(model: Any, note: Note) -> Iterator[None]:
    """Within it, queries and keys are noted as they leave their projection, and a norm of their own."""
    with ExitStack() as hooks:
        for block in blocks(model):
            attention = block_parts(block).attention
            for place, names in PLACES.items():
                for side, name in zip("qk", names, strict=True):
                    module = first_part(attention, name)
                    if module is not None:
                        hooks.callback(module.register_forward_hook(noting(note, f"{side}_{place}")).remove)
        yield


def noting(note: Note, name: str) -> Callable[..., None]:
    return lambda _module, _inputs, output: note(name, output[0].flatten(1))


def speeds(model: Any) -> NDArray[np.float64]:
    """By how many radians a position turns each number of a head; empty where that has no one answer."""
    import torch

    rotary = first_part(model.base_model, "rotary_emb")
    if rotary is None:
        return np.empty(0)
    second = torch.ones(1, 1, dtype=torch.long, device=model.device)
    try:
        cosine, sine = rotary(torch.zeros(1, 1, 1, device=model.device), second)
    except (TypeError, KeyError, ValueError):  # its layers rotate in several ways
        return np.empty(0)
    return np.asarray(torch.atan2(sine, cosine)[0, 0].double().cpu().numpy())
