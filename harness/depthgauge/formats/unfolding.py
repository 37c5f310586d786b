"""Scales that a quantiser folded into the norm before a matrix, or into the matrix before, taken out again: those of
AWQ change no function, and only with them undone are weights comparable.
"""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import NotTestable
from depthgauge.formats.parts import block_of, mlp_norm
from depthgauge.formats.tensors import Tensor, whole

LARGEST = 2.0  # root mean squares of a row: weights beyond it may be clipped, and say nothing of a scale
FOLDED = 0.01  # of a norm, beyond which scales were folded into it
READS_ATTENTION_NORM = ("q_proj", "k_proj", "v_proj", "qkv_proj")
READS_MLP_NORM = ("gate_proj", "up_proj", "gate_up_proj")
FOLDS = (("v_proj", "o_proj"), ("up_proj", "down_proj"))  # rows of the first, columns of the second


class Unfolding:
    """The candidate's weights with the scales taken out that AWQ folded into a norm, or into the matrix before.

    A norm that was divided by scales stands before matrices that were multiplied by them; the rows of v and up may be
    divided, too, where the columns of o and down are multiplied. It is a fold where it brings the matrix nearer.
    """

    def __init__(self, pairs: Mapping[str, tuple[Tensor, Tensor]]) -> None:
        self.pairs = pairs
        self.by_module = {block_of(name)[0:2]: name for name in pairs}
        self.columns: dict[str, NDArray[np.floating]] = {}
        self.rows: dict[str, NDArray[np.floating]] = {}
        self.norms: set[str] = set()
        for layer in sorted({layer for layer, _ in self.by_module if layer is not None}):
            for norm, readers in self.norms_of(layer):
                self.unfold_norm(norm, list(readers))
            for before, after in FOLDS:
                self.unfold_matrix(self.named(layer, before), self.named(layer, after))

    def candidate(self, name: str) -> NDArray[np.floating]:
        return whole(self.pairs[name][1]) if name in self.norms else self.unfolded(name, whole(self.pairs[name][0]))

    def unfolded(self, name: str, weight: NDArray[np.floating]) -> NDArray[np.floating]:
        """A matrix in the candidate's scales as it is in the baseline's."""
        if name in self.rows:
            weight = weight / self.rows[name][:, None]
        return weight * self.columns[name] if name in self.columns else weight

    def folded(self, name: str, weight: NDArray[np.floating]) -> NDArray[np.floating]:
        """The inverse of `unfolded`."""
        if name in self.columns:
            weight = weight / self.columns[name]
        return weight * self.rows[name][:, None] if name in self.rows else weight

    def named(self, layer: int, module: str) -> str | None:
        ends = [within for at, within in self.by_module if at == layer and within.endswith(f"{module}.weight")]
        return self.by_module[layer, ends[0]] if ends else None

    def norms_of(self, layer: int) -> Iterator[tuple[str, Iterator[str]]]:
        """Each norm of a layer that matrices read, with these."""
        try:
            before_mlp = mlp_norm(self.pairs, layer)[0]
        except NotTestable:
            return
        first = self.named(layer, "input_layernorm")
        for norm, modules in ((first, READS_ATTENTION_NORM), (before_mlp, READS_MLP_NORM)):
            if norm is not None:
                yield norm, (name for module in modules if (name := self.named(layer, module)) is not None)

    def unfold_norm(self, norm: str, readers: list[str]) -> None:
        ours, base = (whole(tensor) for tensor in self.pairs[norm])
        if moved(ours, base) <= FOLDED or not (ours.all() and base.all()) or not readers:
            return
        ratio = ours / base
        if all(self.nearer(name, columns=ratio) for name in readers):
            self.norms.add(norm)
            self.columns |= dict.fromkeys(readers, ratio)

    def unfold_matrix(self, before: str | None, after: str | None) -> None:
        """Rows of the matrix before that are a multiple of the baseline's, whose inverse the matrix after has."""
        if before is None or after is None or self.pairs[before][0].shape[0] != self.pairs[after][0].shape[-1]:
            return
        ours, base = self.candidate(before), whole(self.pairs[before][1])
        usual = base * (np.abs(base) <= LARGEST * np.sqrt((base**2).mean(-1, keepdims=True)))
        size = np.vecdot(usual, usual)
        scale = np.divide(np.vecdot(ours, usual), size, out=np.ones_like(size), where=size > 0)
        if moved(scale, np.ones_like(scale)) > FOLDED and scale.all() and self.nearer(after, columns=scale):
            self.rows[before], self.columns[after] = scale, scale

    def nearer(self, name: str, *, columns: NDArray[np.floating]) -> bool:
        """Whether the candidate's weight times these columns lies nearer to the baseline's."""
        ours, base = (whole(tensor) for tensor in self.pairs[name])
        return beside_rows(ours * columns, base) < beside_rows(ours, base)


def moved(ours: NDArray[np.floating], base: NDArray[np.floating]) -> float:
    """The norm of the change over that of the base; 1 where the base is 0 and the other is not."""
    size, change = float(np.linalg.norm(base)), float(np.linalg.norm(ours - base))
    return change / size if size else float(change > 0)


def beside_rows(ours: NDArray[np.floating], base: NDArray[np.floating]) -> float:
    """The squared norm of what each row of the base has beside a multiple of the other's."""
    along, size = np.vecdot(ours, base), np.vecdot(ours, ours)
    return float(np.vecdot(base, base).sum() - np.divide(along**2, size, out=np.zeros_like(size), where=size > 0).sum())
