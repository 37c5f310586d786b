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

from depthgauge.core.estimate import Measurement
from depthgauge.core.method import Checkpoint
from depthgauge.core.plain import digest
from depthgauge.core.testbed import Word, by_kind
from depthgauge.measure.base_probe import PROBES, Arrays, CheckpointHandle, check_language_model
from depthgauge_suites.layer_papers.skill_paths.settings import (
    EXAMPLES,
    LABELS,
    LENGTH,
    LONGEST,
    MOST,
    PROMPTS,
    SEQUENCES,
    SHARE,
)


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
    description: ClassVar[str] = "skill paths"

    def parameters(self, checkpoint: Checkpoint) -> Mapping[str, Any]:
        return {"sequences": SEQUENCES, "length": LENGTH, "share": SHARE, "longest": LONGEST, "most": MOST}

    def check(self, checkpoint: Checkpoint) -> None:
        check_language_model(checkpoint)

    def run(self, checkpoint: CheckpointHandle) -> Arrays:
        from depthgauge.models.load import vocabulary_size
        from depthgauge_suites.layer_papers.skill_paths.compute import read
        from depthgauge_suites.layer_papers.skill_paths.prompts import repeats, said_twice

        length = said_twice(checkpoint.model)
        prompts = repeats(length, vocabulary_size(checkpoint.model))
        return read(checkpoint.model, prompts, {"induction": length - 1, "previous": 1})


@PROBES.register
@dataclass(frozen=True, kw_only=True, slots=True)
class LabelPaths:
    """Logits are of the label that words of this kind had in the prompt, less that of the other label.

    Arrays: as `SkillPaths`, without attention.
    """

    words: tuple[Word, ...]
    name: ClassVar[str] = "label_paths"
    version: ClassVar[int] = 1
    description: ClassVar[str] = "paths of labels learnt in context"

    def parameters(self, checkpoint: Checkpoint) -> Mapping[str, Any]:
        asked = {"words": digest(by_kind(self.words)), "prompts": PROMPTS, "examples": EXAMPLES, "labels": list(LABELS)}
        return {**asked, "share": SHARE, "longest": LONGEST, "most": MOST}

    def check(self, checkpoint: Checkpoint) -> None:
        check_language_model(checkpoint)

    def run(self, checkpoint: CheckpointHandle) -> Arrays:
        from depthgauge_suites.layer_papers.skill_paths.compute import read
        from depthgauge_suites.layer_papers.skill_paths.prompts import labelled

        return read(checkpoint.model, labelled(checkpoint.tokenizer, by_kind(self.words)), {})


def beyond(measurement: Measurement) -> NDArray[np.float64]:
    """What heads next to the logits add beyond background: (S, L, H)."""
    return np.asarray(measurement.arrays["heads"] - measurement.arrays["background_heads"], float)
