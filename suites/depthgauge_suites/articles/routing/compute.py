"""How attention among the pieces of a term, and between them and words, differs in each head of two checkpoints.

Shapes: L layers, H heads, T tokens. Row i of a map is the attention of query i over keys 0..i; the first token, where
attention is parked, is no key of any number here.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import StatisticUndefined
from depthgauge.probes.attention.compute import compare, divergence
from depthgauge.probes.attention.fragments import fragment_mask

if TYPE_CHECKING:
    import torch


class Routes(NamedTuple):
    """Numbers of one text by head, (L, H).

    `jsd_bits` and `mae` as `attention.compute.HeadDivergence` has them. Of the change of attention, which is above 0
    where the first model attends more: `within`, its mean over cells whose query and key are two pieces of the term;
    `between`, over those of which exactly one is a piece; `within_size` and `between_size`, the mean absolute changes
    there; `last_piece`, over queries after the term, what its last piece gained minus what its mean other piece did.
    """

    jsd_bits: NDArray[np.float32]
    mae: NDArray[np.float32]
    within: NDArray[np.float32]
    between: NDArray[np.float32]
    within_size: NDArray[np.float32]
    between_size: NDArray[np.float32]
    last_piece: NDArray[np.float32]


class Cells(NamedTuple):
    """Which cells of a map (T, T) lie within a term and between it and words, and the places of its pieces."""

    within: NDArray[np.bool_]
    between: NDArray[np.bool_]
    pieces: NDArray[np.intp]


def cells_of(pieces: NDArray[np.bool_]) -> Cells:
    """From which tokens are pieces of the term, (T,): queries look at earlier keys, and never at the first token.

    Raises: StatisticUndefined for a term of one piece, one that is not in a row, or one at either end of its text.
    """
    places, last = np.flatnonzero(pieces), len(pieces) - 1
    if len(places) < 2 or not pieces[places[0] : places[-1] + 1].all() or places[0] == 0 or places[-1] == last:
        raise StatisticUndefined(
            f"a term needs two tokens or more in a row, and words before and after; its tokens are {places.tolist()} "
            f"of {len(pieces)}: choose another term or text."
        )
    looks = np.tril(np.ones((len(pieces), len(pieces)), bool), -1)
    looks[:, 0] = False
    return Cells(looks & np.outer(pieces, pieces), looks & (pieces[:, None] ^ pieces[None]), places)


def routes(model: Any, other: Any, token_ids: Sequence[int], pieces: NDArray[np.bool_]) -> Routes:
    """How attention changed from `other` to `model` on one text of which some tokens are `pieces` of a term.

    Raises: as `cells_of`, and as `attention.compute.head_divergence`.
    """
    import torch

    chosen = cells_of(pieces)
    within, between = (torch.tensor(cells.ravel()).nonzero()[:, 0] for cells in chosen[:2])
    last, others = int(chosen.pieces[-1]), torch.tensor(chosen.pieces[:-1])

    def reduce(p: "torch.Tensor", q: "torch.Tensor", cells: "torch.Tensor") -> "torch.Tensor":
        known, change = divergence(p, q, cells), (p - q).double()
        flat, after = change.flatten(-2), change[..., last + 1 :, :]
        inside, across = flat[..., within.to(flat.device)], flat[..., between.to(flat.device)]
        last_piece = after[..., last].mean(-1) - after[..., others.to(flat.device)].mean((-1, -2))
        sizes = [inside.abs().mean(-1), across.abs().mean(-1)]
        numbers = [known[..., 0], known[..., 2], inside.mean(-1), across.mean(-1), *sizes, last_piece]
        return torch.stack(numbers, dim=-1)

    (reduced,) = compare(model, other, [token_ids], reduce, least=3)
    return Routes(*np.moveaxis(reduced, -1, 0))


def pieces_of(tokenizer: Any, text: str, term: str) -> NDArray[np.bool_]:
    """Which tokens of a text are pieces of a term. Shape (T,). Raises: as `fragment_mask`."""
    return fragment_mask(tokenizer, text, [term])
