"""Which paths carry a skill (arXiv:2410.01334): what the logits owe to heads, beyond what they owe on a background.

Where tokens repeat, a prompt is random tokens said twice, up to a token whose successor was said before; its background
has other tokens in the place of the first saying. Where labels are learnt in context, it is words of two kinds with a
label each, up to a word without; its background has labels that tell no kind. What both owe to a head alike is no part
of the skill. Layers and heads are 0-based. Shapes: S prompts, L layers, H query heads.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from depthgauge.probes.probe import PROBES, Arrays, Opened, check_language_model
from depthgauge.subject import Subject
from depthgauge.types import Checkpoint, Measurement, Scores, Word, by_kind, digest

SEQUENCES, LENGTH = 24, 12  # and tokens that are said twice
PROMPTS, EXAMPLES, LABELS = 24, 16, (" A", " B")  # of labelled words; the latter of one token, the last
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
        from depthgauge.models.load import vocabulary_size
        from depthgauge.probes.skill_paths.compute import read
        from depthgauge.probes.skill_paths.prompts import repeats, said_twice

        length = said_twice(one.model)
        prompts = repeats(length, vocabulary_size(one.model))
        return read(one.model, prompts, {"induction": length - 1, "previous": 1})


@PROBES.register
@dataclass(frozen=True, kw_only=True, slots=True)
class LabelPaths:
    """Logits are of the label that words of this kind had in the prompt, less that of the other label.

    Arrays: as `SkillPaths`, without attention.
    """

    words: tuple[Word, ...]
    name: ClassVar[str] = "label_paths"
    version: ClassVar[int] = 1
    what: ClassVar[str] = "paths of labels learnt in context"

    def parameters(self, one: Checkpoint) -> Mapping[str, Any]:
        asked = {"words": digest(by_kind(self.words)), "prompts": PROMPTS, "examples": EXAMPLES, "labels": list(LABELS)}
        return {**asked, "share": SHARE, "longest": LONGEST, "most": MOST}

    def check(self, checkpoint: Checkpoint) -> None:
        check_language_model(checkpoint)

    def take(self, one: Opened) -> Arrays:
        from depthgauge.probes.skill_paths.compute import read
        from depthgauge.probes.skill_paths.prompts import labelled

        return read(one.model, labelled(one.tokenizer, by_kind(self.words)), {})


def carried_by_induction_heads(subject: Subject) -> Scores:
    """Per sequence, what heads with half of the best induction score add beyond background.

    As a share of what the token gains by repeating, on the mean of sequences, or of one logit where it gains less.
    """
    repeating = subject.measure(SkillPaths())
    return of_prompts(
        [share(one, beyond(one)[:, skilled(one.arrays["induction"])].sum(1)) for one in repeating], "share"
    )


def gained_in_context(subject: Subject) -> Scores:
    """Per prompt, the logits that the right label gains, over the other one, where labels tell the kinds.

    Raises: NotTestable if the testbed has no words.
    """
    return of_prompts([one.arrays["logit"] - one.arrays["background"] for one in labels(subject)], "logits")


def included_induction(subject: Subject) -> Scores:
    """Per prompt, what induction heads add to a label learnt in context, less what as many heads of their layers do.

    What others do is the mean over all choices of as many heads in each layer. A share as in
    `carried_by_induction_heads`. Raises: NotTestable if the testbed has no words.
    """
    values = []
    for repeated, learnt in zip(subject.measure(SkillPaths()), labels(subject), strict=True):
        added = beyond(learnt)
        more = added - added.mean(2, keepdims=True)
        values.append(share(learnt, more[:, skilled(repeated.arrays["induction"])].sum(1)))
    return of_prompts(values, "share")


def learnt_above_induction(subject: Subject) -> Scores:
    """Per prompt, what heads above the induction heads add to a label learnt in context, less what those below do.

    A head counts by the share of the induction heads that lie below it, less that of those above: Mann and Whitney's U
    as a rank-biserial correlation. A share as in `carried_by_induction_heads`.

    Raises: NotTestable if the testbed has no words.
    """
    values = []
    for repeated, learnt in zip(subject.measure(SkillPaths()), labels(subject), strict=True):
        added, induction = beyond(learnt).sum(2), layers(skilled(repeated.arrays["induction"]))
        order = np.sign(np.subtract.outer(np.arange(added.shape[1]), induction)).mean(1)
        values.append(share(learnt, added @ order))
    return of_prompts(values, "share")


def labels(subject: Subject) -> tuple[Measurement, ...]:
    return subject.measure(LabelPaths(words=subject.material(Word)))


def beyond(one: Measurement) -> NDArray[np.float64]:
    """What heads next to the logits add beyond background: (S, L, H)."""
    return np.asarray(one.arrays["heads"] - one.arrays["background_heads"], float)


def share(one: Measurement, logits_S: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of what the right token gains on the mean of prompts, or of one logit where it gains less: (S,)."""
    gained = float((one.arrays["logit"] - one.arrays["background"]).mean())
    return logits_S / max(gained, 1.0)


def of_prompts(values: list[NDArray[np.float64]], unit: str) -> Scores:
    ids = tuple(map(str, range(len(values[0]))))
    return Scores(ids=ids, values=np.stack(values).astype(float), unit=unit, population="prompts")


def skilled(scores_LH: NDArray[np.float64]) -> NDArray[np.bool_]:
    """The heads with half of the best head's score, or more: (L, H)."""
    return np.asarray(scores_LH >= SKILLED * scores_LH.max())


def layers(heads_LH: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The layer of each head chosen."""
    return np.nonzero(heads_LH)[0].astype(float)


def layers_of_skills(subject: Subject) -> tuple[list[NDArray[np.float64]], list[NDArray[np.float64]]]:
    """The layers of the previous-token heads, and those of the induction heads, by seed: an entry a head."""
    previous, induction = (
        [layers(skilled(one.arrays[skill])) for one in subject.measure(SkillPaths())]
        for skill in ("previous", "induction")
    )
    return previous, induction
