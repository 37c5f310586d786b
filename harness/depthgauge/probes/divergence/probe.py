"""What a checkpoint would say next, beside another one: the divergence of the two at every token of every text.

The divergence is KL(baseline || candidate), in nats: what the baseline would miss in the candidate. A training moves
what it trains, and a fault moves all there is, so that the median over a text's tokens, and not the mean, tells them
apart.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.estimate import Measurement
from depthgauge.core.method import Checkpoint
from depthgauge.core.plain import digest
from depthgauge.core.testbed import Text
from depthgauge.measure.base_probe import PROBES, Arrays, CheckpointHandle, check_language_model


@PROBES.register
@dataclass(frozen=True, kw_only=True, slots=True)
class NextToken:
    """Arrays of all tokens in the order of the texts, and of the K most changed ones, the most changed first.

    `kl` KL(baseline || candidate) of what follows the token, in nats, and `reverse_kl` KL(candidate || baseline);
    `log_likelihood`, `baseline_log_likelihood` of the token that does follow, NaN at the end of a text; `changed`
    whether another token is the likeliest; `text_of` its text. `kinds` of the texts, (texts,). `top_text`,
    `top_position` where a changed one stands; `top_token`, `top_context` what is written there and up to it; `top_old`,
    `top_new` what either model would say next; `top_old_probability`, `top_new_probability` what each gives to the
    baseline's word. Of a candidate that is run as it is stored also `kl_of_weights`, `changed_by_weights`,
    `kl_of_running` and `changed_by_running` (`measures.costs`).
    """

    texts: tuple[Text, ...]
    name: ClassVar[str] = "divergence"
    version: ClassVar[int] = 2
    description: ClassVar[str] = "next-token divergence"

    def parameters(self, checkpoint: Checkpoint) -> Mapping[str, Any]:
        return {"texts": digest([[text.text, text.kind, [list(turn) for turn in text.turns]] for text in self.texts])}

    def check(self, checkpoint: Checkpoint) -> None:
        check_language_model(checkpoint)

    def run(self, candidate: CheckpointHandle, baseline: CheckpointHandle) -> Arrays:
        from depthgauge.probes.divergence.measures import next_token

        return next_token(candidate, baseline, self.texts)


def medians(measurement: Measurement) -> NDArray[np.float64]:
    """The median divergence of each text."""
    kl, text_of = measurement.arrays["kl"].astype(float), measurement.arrays["text_of"]
    return np.array([np.median(kl[text_of == text]) for text in range(text_of[-1] + 1)])


def means(measurement: Measurement, name: str) -> NDArray[np.float64]:
    """The mean over each text's tokens of an array (tokens,)."""
    return by_text(measurement, measurement.arrays[name])


def greatest(measurement: Measurement) -> NDArray[np.float64]:
    """The largest divergence of a token in each text."""
    largest = np.zeros(int(measurement.arrays["text_of"][-1]) + 1)
    np.maximum.at(largest, measurement.arrays["text_of"], measurement.arrays["kl"].astype(float))
    return largest


def by_text(measurement: Measurement, values: NDArray[Any]) -> NDArray[np.float64]:
    """The mean over each text's tokens of values (tokens,), those left out that are NaN."""
    known = ~np.isnan(values.astype(float))
    text_of, texts = measurement.arrays["text_of"], int(measurement.arrays["text_of"][-1]) + 1
    counts = np.bincount(text_of, known, texts)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.bincount(text_of, np.where(known, values, 0.0), texts) / counts)
