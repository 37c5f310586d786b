"""The single rows of embeddings and output head that changed most, named by the vocabulary's entries.

A norm over a whole embedding cannot see a row: of 49,152 rows one that is zeroed moves it by half a percent.
"""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import InvalidCheckpoint
from depthgauge.formats.as_loaded import as_loaded
from depthgauge.formats.folder import tensors
from depthgauge.formats.tensors import Computed, Tensor, numbers, whole
from depthgauge.models import settings
from depthgauge.models.files import TOKENIZER
from depthgauge.probes.weights.compute import TensorDelta, matched

LISTED = 10  # rows of a tensor, of each kind
TENTH, HUNDREDTH = 0.1, 0.01
EXCHANGED = 0.5  # of a norm: a row that moved less holds no other's, and one that holds it is nearer to it than that
UNREADABLE = "�"  # a token that is no whole character


class Row(NamedTuple):
    """A row of a tensor, with its change, factor and share of the change, or with its norm over the median row's if it
    is new.
    """

    tensor: str
    place: int
    values: tuple[float, ...]


def of_rows(deltas: Sequence[TensorDelta], folder: Path, base: Path) -> dict[str, NDArray[Any]]:
    """The rows that changed most: `rows` (R,), 'embed_tokens row 0 <|endoftext|>', `row_change` and `row_factor` (R,),
    and `row_share` (R,), of the squared change of the whole tensor. One that has become what another was in the base,
    which `row_exchanged` (R,) says, names it: 'embed_tokens row 5 'cat', which holds row 9 'dog''.

    `new_rows` (N,) are rows that the base has not, those whose norms are furthest from those of the others first, and
    `new_row_norms` (N,) are their norms over the median row's.
    """
    vocabularies = [delta for delta in deltas if delta.row_norms.size]
    listed = [row for delta in vocabularies for row in most_changed(delta)]
    new = [row for delta in vocabularies for row in new_rows(delta, folder)]
    texts = entries(folder, [row.place for row in (*listed, *new)])
    held = exchanged(listed, folder, base)

    def named(row: Row) -> str:
        words = [f"row {place} {texts[place]}".strip() for place in (row.place, held.get((row.tensor, row.place)))
                 if place is not None]  # fmt: skip
        return f"{short(row.tensor)} {', which holds '.join(words)}"

    return {
        "rows": np.array([named(row) for row in listed], dtype=np.str_),
        "row_change": np.array([row.values[0] for row in listed]),
        "row_factor": np.array([row.values[1] for row in listed]),
        "row_share": np.array([row.values[2] for row in listed]),
        "row_exchanged": np.array([(row.tensor, row.place) in held for row in listed], dtype=float),
        "new_rows": np.array([named(row) for row in new], dtype=np.str_),
        "new_row_norms": np.array([row.values[0] for row in new]),
    }


def short(name: str) -> str:
    return name.removesuffix(".weight").rsplit(".", 1)[-1]


def most_changed(delta: TensorDelta) -> list[Row]:
    """The rows whose relative change or norm factor is largest, with both, and their share of the squared change."""
    changes, factors = relative_changes(delta.row_norms), norm_factors(delta.row_norms)
    squares = delta.row_norms[0] ** 2
    shares = ratio(squares, squares.sum())
    most = np.concatenate([np.argsort(-each, kind="stable")[:LISTED] for each in (changes, factors)])
    return [
        Row(delta.name, row, (float(changes[row]), float(factors[row]), float(shares[row])))
        for row in dict.fromkeys(most.tolist())
    ]


def exchanged(rows: Sequence[Row], folder: Path, base: Path) -> dict[tuple[str, int], int]:
    """By tensor and row, the other of these rows that it has become: of two that were swapped, each is the other."""
    moved: dict[str, list[int]] = {}
    for row in rows:
        if row.values[0] > EXCHANGED:
            moved.setdefault(row.tensor, []).append(row.place)
    several = {name: places for name, places in moved.items() if len(places) > 1}
    pairs = {pair.ours.name: pair for pair in matched(folder, base)} if several else {}
    held = {}
    for name, places in several.items():
        after, before = (rows_of(tensor, places) for tensor in (pairs[name].ours, pairs[name].base))
        apart = np.linalg.norm(after[:, None] - before, axis=-1)
        for at, other in enumerate(apart.argmin(axis=1)):
            limit = EXCHANGED * min(apart[at, at], float(np.linalg.norm(before[other])))
            if apart[at, other] < limit:
                held[name, places[at]] = places[other]
    return held


def rows_of(tensor: Tensor, places: Sequence[int]) -> NDArray[np.float64]:
    """Some rows of a matrix, (R, width)."""
    if isinstance(tensor, Computed):  # it is computed whole
        return whole(tensor)[list(places)].astype(np.float64)
    width = tensor.shape[1]
    return np.stack([numbers(tensor, place * width, (place + 1) * width) for place in places]).astype(np.float64)


def relative_changes(row_norms: NDArray[np.float64]) -> NDArray[np.float64]:
    """The norm of a row's change over that of the base's row, or over a tenth of the median row's if that is more.

    A row that no training reached may be nearly 0, and is divided by what it is beside the others. Shape (rows,).
    """
    moved, base, _ = row_norms
    return ratio(moved, np.maximum(base, TENTH * np.median(base)))


def norm_factors(row_norms: NDArray[np.float64]) -> NDArray[np.float64]:
    """By what factor, at least 1, a row grew or shrank beside the others, (rows,).

    It has grown by its norm over the larger of what it was and the median row, so that a row which a training reaches
    for the first time is nothing odd, and shrunk by what it was over its norm, or over a hundredth of the median row's
    if that is more. If all rows grew alike, none did beside the others.
    """
    _, base, ours = row_norms
    middle = np.median(base)
    alike = np.median(ours) / middle if middle and np.median(ours) else 1.0
    now = ours / alike
    grown, shrunk = ratio(now, np.maximum(base, middle)), ratio(base, np.maximum(now, HUNDREDTH * middle))
    return np.maximum(np.maximum(grown, shrunk), 1.0)


def ratio(above: NDArray[np.float64], below: NDArray[np.float64] | np.float64) -> NDArray[np.float64]:
    """The quotient; 0 where both are 0, and a finite number, which is huge, where that below alone is."""
    return above / np.maximum(below, np.finfo(np.float32).tiny)


def new_rows(delta: TensorDelta, folder: Path) -> list[Row]:
    """Rows that the base has not and their norms over the median row's, those furthest from it first."""
    by_file, known = tensors(folder), delta.row_norms.shape[1]
    stored = by_file[delta.name] if delta.name in by_file else as_loaded(folder)[delta.name]
    rows, width = stored.shape
    if rows == known:
        return []
    at_end = numbers(stored, known * width, rows * width).reshape(-1, width)
    norms = np.linalg.norm(at_end.astype(np.float64), axis=1)
    sizes = ratio(norms, np.array(np.median(delta.row_norms[2])))
    order = np.argsort(-np.abs(np.log(np.maximum(sizes, np.finfo(float).tiny))), kind="stable")[:LISTED]
    return [Row(delta.name, known + row, (float(sizes[row]),)) for row in order.tolist()]


def entries(folder: Path, rows: Sequence[int]) -> dict[int, str]:
    """What each row stands for, as text in quotes; empty where the tokenizer cannot be read."""
    with suppress(InvalidCheckpoint):
        tokenizer = read_tokenizer(folder)
        return {row: entry(tokenizer, row) for row in rows}
    return dict.fromkeys(rows, "")


def read_tokenizer(folder: Path) -> Any:
    """By the library tokenizers alone where it can: importing transformers takes longer than all the rest."""
    if not (folder / TOKENIZER).is_file():
        return settings.tokenizer(folder).backend_tokenizer
    from tokenizers import Tokenizer

    with settings.readable(folder):
        return Tokenizer.from_file(str(folder / TOKENIZER))


def entry(tokenizer: Any, row: int) -> str:
    piece = tokenizer.id_to_token(row)
    if piece is None:
        return "(no token)"
    text = tokenizer.decode([row], skip_special_tokens=False)
    return repr(piece if UNREADABLE in text or not text else text)
