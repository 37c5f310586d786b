"""Which paths carry a skill (arXiv:2410.01334): what the logits owe to heads where tokens repeat, beyond background.

A prompt is random tokens said twice, up to a token whose successor was said before; its background has other tokens in
the place of the first saying. What both owe to a head alike is no part of the skill. Layers and heads are 0-based.
Shapes: S sequences, L layers, H query heads.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from depthgauge.probes.probe import PROBES, Arrays, Opened, check_language_model
from depthgauge.subject import Subject
from depthgauge.types import Checkpoint, Scores

SEQUENCES, LENGTH = 24, 12  # and tokens that are said twice
SHARE, LONGEST, MOST = 0.02, 3, 30  # of the logit difference, for a path to be followed; heads on it; paths
SKILLED = 0.5  # of the best head's score


@PROBES.register
@dataclass(frozen=True, kw_only=True, slots=True)
class SkillPaths:
    """Logits are of the token that followed before, less that of another one of the sequence.

    Arrays: `logit` and `background` (S,); `heads` and `background_heads` (S, L, H), what heads next to the logits add;
    `induction` and `previous` (L, H), mean attention to what followed the same token before, and to the token before;
    `by_length` (S, 4), what paths of 0 to 3 heads carry; `paths` (S,), how many are followed; `names` and `carried`,
    the paths that carry most, on the mean of the sequences where they are followed; `gap` (S,), the sum of all paths
    less the logit difference.
    """

    name: ClassVar[str] = "skill_paths"
    version: ClassVar[int] = 1
    what: ClassVar[str] = "skill paths"

    def parameters(self, one: Checkpoint) -> Mapping[str, Any]:
        return {"sequences": SEQUENCES, "length": LENGTH, "share": SHARE, "longest": LONGEST, "most": MOST}

    def check(self, checkpoint: Checkpoint) -> None:
        check_language_model(checkpoint)

    def take(self, one: Opened) -> Arrays:
        from depthgauge.probes.skill_paths.compute import read

        return read(one.model)


def carried_by_induction_heads(subject: Subject) -> Scores:
    """Per sequence, what heads with half of the best induction score add beyond background.

    As a share of what the token gains by repeating, on the mean of sequences, or of one logit where it gains less.
    """
    values = []
    for one in subject.measure(SkillPaths()):
        gained = float((one.arrays["logit"] - one.arrays["background"]).mean())
        beyond = one.arrays["heads"] - one.arrays["background_heads"]
        induction = skilled(one.arrays["induction"])
        values.append(beyond[:, induction].sum(1) / max(gained, 1.0))
    ids = tuple(map(str, range(len(values[0]))))
    return Scores(ids=ids, values=np.stack(values).astype(float), unit="share", population="prompts")


def skilled(scores_LH: NDArray[np.float64]) -> NDArray[np.bool_]:
    """The heads with half of the best head's score, or more: (L, H)."""
    return np.asarray(scores_LH >= SKILLED * scores_LH.max())


def layers_of_skills(subject: Subject) -> tuple[list[NDArray[np.float64]], list[NDArray[np.float64]]]:
    """The layers of the previous-token heads, and those of the induction heads, by seed: an entry a head."""
    previous, induction = (
        [np.nonzero(skilled(one.arrays[skill]))[0].astype(float) for one in subject.measure(SkillPaths())]
        for skill in ("previous", "induction")
    )
    return previous, induction
