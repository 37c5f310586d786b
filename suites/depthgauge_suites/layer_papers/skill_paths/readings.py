"""What claims ask of `skill_paths`: readings, from a candidate's measurements to numbers by unit."""

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.estimate import Measurement, Scores
from depthgauge.core.testbed import Word
from depthgauge.measure.checkpoint_set import CheckpointSet
from depthgauge_suites.layer_papers.skill_paths.probe import LabelPaths, SkillPaths, beyond

SKILLED = 0.5  # of the best head's score


def carried_by_induction_heads(candidate: CheckpointSet) -> Scores:
    """Per sequence, what heads with half of the best induction score add beyond background.

    As a share of what the token gains by repeating, on the mean of sequences, or of one logit where it gains less.
    """
    repeating = candidate.measure(SkillPaths())
    return of_prompts(
        [
            share(measurement, beyond(measurement)[:, skilled(measurement.arrays["induction"])].sum(1))
            for measurement in repeating
        ],
        "share",
    )


def gained_in_context(candidate: CheckpointSet) -> Scores:
    """Per prompt, the logits that the right label gains, over the other one, where labels tell the kinds.

    Raises: NotTestable if the testbed has no words.
    """
    return of_prompts(
        [measurement.arrays["logit"] - measurement.arrays["background"] for measurement in labels(candidate)], "logits"
    )


def included_induction(candidate: CheckpointSet) -> Scores:
    """Per prompt, what induction heads add to a label learnt in context, less what as many heads of their layers do.

    What others do is the mean over all choices of as many heads in each layer. A share as in
    `carried_by_induction_heads`. Raises: NotTestable if the testbed has no words.
    """
    values = []
    for repeated, learnt in zip(candidate.measure(SkillPaths()), labels(candidate), strict=True):
        added = beyond(learnt)
        more = added - added.mean(2, keepdims=True)
        values.append(share(learnt, more[:, skilled(repeated.arrays["induction"])].sum(1)))
    return of_prompts(values, "share")


def learnt_above_induction(candidate: CheckpointSet) -> Scores:
    """Per prompt, what heads above the induction heads add to a label learnt in context, less what those below do.

    A head counts by the share of the induction heads that lie below it, less that of those above: Mann and Whitney's U
    as a rank-biserial correlation. A share as in `carried_by_induction_heads`.

    Raises: NotTestable if the testbed has no words.
    """
    values = []
    for repeated, learnt in zip(candidate.measure(SkillPaths()), labels(candidate), strict=True):
        added, induction = beyond(learnt).sum(2), layers(skilled(repeated.arrays["induction"]))
        order = np.sign(np.subtract.outer(np.arange(added.shape[1]), induction)).mean(1)
        values.append(share(learnt, added @ order))
    return of_prompts(values, "share")


def labels(candidate: CheckpointSet) -> tuple[Measurement, ...]:
    return candidate.measure(LabelPaths(words=candidate.inputs(Word)))


def share(measurement: Measurement, logits_S: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of what the right token gains on the mean of prompts, or of one logit where it gains less: (S,)."""
    gained = float((measurement.arrays["logit"] - measurement.arrays["background"]).mean())
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


def layers_of_skills(candidate: CheckpointSet) -> tuple[list[NDArray[np.float64]], list[NDArray[np.float64]]]:
    """The layers of the previous-token heads, and those of the induction heads, by seed: an entry a head."""
    previous, induction = (
        [layers(skilled(measurement.arrays[skill])) for measurement in candidate.measure(SkillPaths())]
        for skill in ("previous", "induction")
    )
    return previous, induction
