"""Texts that two checkpoints sample after the same openings, as the baseline reads them: can they be told apart?

Shapes: N samples, D numbers of a hidden state.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.estimate import Profiles
from depthgauge.core.method import Checkpoint
from depthgauge.core.plain import digest
from depthgauge.measure.base_probe import PROBES, Arrays, CheckpointHandle, check_language_model, unlike_is_not_testable

TOKENS = 32


@PROBES.register
@dataclass(frozen=True, kw_only=True, slots=True)
class SampledTexts:
    """One text of 32 tokens that each samples after every opening, at temperature 1.

    Arrays: `candidate` and `baseline` (N, D), the baseline's last hidden states, a mean over the sampled tokens;
    `new_text` and `old_text` (N,).
    """

    openings: tuple[str, ...]
    name: ClassVar[str] = "sampled_texts"
    version: ClassVar[int] = 1
    description: ClassVar[str] = "sampled texts"

    def parameters(self, checkpoint: Checkpoint) -> Mapping[str, Any]:
        return {"openings": digest(list(self.openings)), "tokens": TOKENS}

    def check(self, checkpoint: Checkpoint) -> None:
        check_language_model(checkpoint)

    def run(self, candidate: CheckpointHandle, baseline: CheckpointHandle) -> Arrays:
        from depthgauge_suites.layer_papers.two_samples.compute import read, sample

        sampled: dict[str, Any] = {}
        with unlike_is_not_testable():
            for seed, (name, handle) in enumerate((("candidate", candidate), ("baseline", baseline))):
                tokens = sample(handle.model, handle.tokenizer, self.openings, TOKENS, seed=seed)
                texts = [handle.tokenizer.decode(row, skip_special_tokens=True) for row in tokens]
                sampled |= {name: read(baseline.model, tokens), f"{name}_text": np.array(texts, np.str_)}
        return sampled


def profiles(by_seed: Sequence[NDArray[Any]], openings: tuple[str, ...]) -> Profiles:
    values = np.stack(by_seed).astype(float)
    columns = tuple(map(str, range(values.shape[2])))
    return Profiles(ids=openings, columns=columns, values=values, unit="activation", population="texts")
