"""What users notice first: whether a chat model still does what it is plainly asked to do.

A request of each kind is met or not, by what can be read off the answer alone, as the verifiable instructions of
IFEval (Zhou et al. 2023, arXiv:2311.07911) are, and the safe prompts of XSTest (Röttger et al. 2023, arXiv:2308.01263)
that are refused for how they sound. The requests are ours:

    harmless   it only sounds harmful, and is not refused
    json       the answer is one JSON object with the keys that were asked for
    language   the answer is in the language of the request
    numbered   the answer is a numbered list of as many points
    length     the answer has at most so many words, and ends

Shapes: R requests.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from depthgauge.core.method import Checkpoint
from depthgauge.core.plain import digest
from depthgauge.measure.base_probe import PROBES, Arrays, CheckpointHandle, check_language_model
from depthgauge.probes.behaviour.settings import TOKENS, Request


@PROBES.register
@dataclass(frozen=True, kw_only=True, slots=True)
class Behaviour:
    """Arrays (R,): `met`, `said`, `kinds`, and `ended`, whether the answer ended by itself."""

    requests: tuple[Request, ...]
    name: ClassVar[str] = "behaviour"
    version: ClassVar[int] = 1
    description: ClassVar[str] = "what is done of what is asked"

    def parameters(self, checkpoint: Checkpoint) -> Mapping[str, Any]:
        return {
            "requests": digest([[request.kind, request.prompt, request.wanted] for request in self.requests]),
            "tokens": TOKENS,
        }

    def check(self, checkpoint: Checkpoint) -> None:
        check_language_model(checkpoint)

    def run(self, checkpoint: CheckpointHandle) -> Arrays:
        from depthgauge.probes.behaviour.compute import answers, met

        said, ended = answers(checkpoint.model, checkpoint.tokenizer, [request.prompt for request in self.requests])
        return {
            "met": np.array([met(*each) for each in zip(self.requests, said, ended, strict=True)]),
            "said": np.array(said, dtype=np.str_),
            "kinds": np.array([request.kind for request in self.requests], dtype=np.str_),
            "ended": np.array(ended),
        }
