"""Which heads repair an answer that depends on how the question is put (arXiv:2508.19414), by activation patching.

Heads are patched at the input of the output projection, where each has numbers of its own, and at the last token alone:
from a form of the question that is answered right into one that is answered wrong. Layers and heads are 0-based.
Shapes: C comparisons, F forms, L layers, H query heads, K = even heads + 1, D draws.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from depthgauge.errors import NotTestable
from depthgauge.probes.probe import PROBES, Arrays, Opened, check_language_model
from depthgauge.subject import Subject
from depthgauge.types import Checkpoint, Measurement, Scores, Text, digest

DRAWS = 100  # of pairs of a comparison and a subset, at each size of it; fewer where there are no more
FEWEST = 5  # comparisons that a layer must repair before its heads are told apart
Parity = Literal["even", "odd"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """A question in several forms, that go on with `right` or with `wrong`; a chat is asked by the template."""

    forms: tuple[Text, ...]
    right: str
    wrong: str


@PROBES.register
@dataclass(frozen=True, kw_only=True, slots=True)
class HeadSharing:
    """Arrays: `right` (C, F), which forms are answered right; `repaired` (C, L), whether all heads of a layer repair
    it, where one form is right and one wrong; `layer`, the one that repairs most; of those that it repairs, `even`,
    `odd`, `even_slices` and `odd_slices` (C,), 1, 0 or NaN elsewhere, the latter two by slices of the projection's
    output, which are no heads; `successes` and `tried` (K,), by how many of the even heads are patched; `heads`, of a
    layer.
    """

    comparisons: tuple[Comparison, ...]
    name: ClassVar[str] = "head_sharing"
    version: ClassVar[int] = 1
    what: ClassVar[str] = "head sharing"

    def parameters(self, one: Checkpoint) -> Mapping[str, Any]:
        asked = [
            [[form.text, list(form.turns)] for form in each.forms] + [each.right, each.wrong]
            for each in self.comparisons
        ]
        return {"comparisons": digest(asked), "draws": DRAWS}

    def check(self, checkpoint: Checkpoint) -> None:
        check_language_model(checkpoint)

    def take(self, one: Opened) -> Arrays:
        from depthgauge.probes.head_sharing.compute import read

        return read(one.model, one.tokenizer, self.comparisons)


def taken(subject: Subject) -> tuple[Measurement, ...]:
    return subject.measure(HeadSharing(comparisons=subject.material(Comparison)))


def depends_on_form(subject: Subject) -> Scores:
    """Per comparison, 1 if one form is answered right and another one wrong."""
    right = np.stack([one.arrays["right"] for one in taken(subject)])
    return scores(subject, np.logical_and(right.any(2), ~right.all(2)))


def repaired_by(subject: Subject, parity: Parity) -> Scores:
    """Per comparison that all heads of the best layer repair, 1 if those of one parity do.

    Raises: NotTestable where a layer has one head, or repairs fewer than 5.
    """
    repairs = np.stack([one.arrays[parity] for one in repairing(subject)])
    return scores(subject, repairs, np.isfinite(repairs).all(0))


def curve(subject: Subject) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """By seed and number of even heads patched, how often they repair, and of how many tries.

    Raises: NotTestable as `repaired_by`.
    """
    found = repairing(subject)
    successes, tried = (np.stack([one.arrays[name] for one in found]) for name in ("successes", "tried"))
    return successes, tried


def repairing(subject: Subject) -> tuple[Measurement, ...]:
    found = taken(subject)
    for one in found:
        repaired = int(one.arrays["repaired"].sum(0).max())
        if one.arrays["heads"] < 2:
            raise NotTestable(f"{subject.name!r} has one head a layer, and even ones cannot be told from odd ones")
        if repaired < FEWEST:
            raise NotTestable(
                f"all heads of the best layer of {subject.name!r} repair {repaired} comparisons, and {FEWEST} are "
                "needed before its heads are told apart"
            )
    return found


def scores(subject: Subject, values: NDArray[Any], kept: NDArray[np.bool_] | None = None) -> Scores:
    names = [each.forms[0].text for each in subject.material(Comparison)]
    kept = np.ones(len(names), bool) if kept is None else kept
    ids = tuple(name for name, its in zip(names, kept, strict=True) if its)
    return Scores(ids=ids, values=values[:, kept].astype(float), unit="share", population="prompts", right=1.0)
