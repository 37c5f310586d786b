"""A language model as a judge of completions: a reward from any endpoint that speaks OpenAI's chat protocol.

A judge that is slow, busy or away is asked again until patience ends; one that answers in prose is asked again, and
then named.
"""

import json
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from depthgauge.core.errors import TrainingFailed
from depthgauge.core.testbed import Item, Reward

OBJECT = re.compile(r"\{[^{}]*\}")
TRIES = 3
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0


class UselessAnswer(ValueError):
    """What the judge said holds no marks."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Judge:
    """`endpoint` ends before /chat/completions; the key is read from the environment variable `key_from`.

    The `prompt` has places for {prompt}, {answer} and {said}, and asks for a JSON object with the names of the `marks`,
    each from 0 to 1; a mark's value is what it weighs. Raise `version` when one of them changes.
    """

    endpoint: str
    model: str
    prompt: str
    marks: Mapping[str, float]
    version: int = 1
    key_from: str = "OPENAI_API_KEY"
    timeout_s: float = 60.0
    patience_s: float = 600.0
    max_concurrency: int = 16

    def reward(self) -> Reward:
        """The weighted sum of the marks. The judge's name is part of the recipe, its address is not."""
        name = re.sub(r"\W", "_", f"judged_by_{self.model}")
        return Reward(name=name, reward_func=self.score, max_concurrency=self.max_concurrency, version=self.version)

    def score(self, item: Item, said: str) -> float:
        """Raises: TrainingFailed if no marks are available."""
        text = self.prompt.format(prompt=item.prompt, answer=item.answer, said=said)
        for _ in range(TRIES):
            answer = self.ask(text)
            try:
                return sum(weight * mark(answer, name) for name, weight in self.marks.items())
            except UselessAnswer:
                continue
        raise TrainingFailed(
            f"the judge {self.model!r} answers {answer[:80]!r} where marks were asked for, {TRIES} times: choose "
            "another judge. Training goes on from its last saved step."
        )

    def ask(self, text: str) -> str:
        """One answer, however long the judge is away. Raises: TrainingFailed when patience ends, or at a refusal."""
        import requests

        body: dict[str, Any] = {"model": self.model, "temperature": 0, "messages": [{"role": "user", "content": text}]}
        headers = {"Authorization": f"Bearer {os.environ.get(self.key_from, '')}"}
        given_up, pause_s = time.monotonic() + self.patience_s, FIRST_PAUSE_S
        while True:
            try:
                reply = requests.post(
                    f"{self.endpoint.rstrip('/')}/chat/completions", json=body, headers=headers, timeout=self.timeout_s
                )
                if reply.ok:
                    return str(reply.json()["choices"][0]["message"]["content"])
                reason = f"status {reply.status_code}"
                if reply.status_code < 500 and reply.status_code not in (408, 409, 429):
                    raise TrainingFailed(
                        f"the judge at {self.endpoint} refuses ({reason}): check the address, the model "
                        f"{self.model!r} and the key in {self.key_from}."
                    )
            except (requests.RequestException, ValueError, LookupError, TypeError) as error:
                reason = type(error).__name__
            if time.monotonic() + pause_s > given_up:
                raise TrainingFailed(
                    f"the judge at {self.endpoint} has not answered for {self.patience_s:.0f} s ({reason}): start it "
                    "and run again. Training goes on from its last saved step."
                )
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def mark(answer: str, name: str) -> float:
    """A mark from 0 to 1 in the last JSON object of an answer. Raises: UselessAnswer if it is not there."""
    for text in reversed(OBJECT.findall(answer)):
        try:
            value = float(as_object(text)[name])
        except (ValueError, LookupError, TypeError):
            continue
        if 0 <= value <= 1:
            return value
    raise UselessAnswer(answer)


def as_object(text: str) -> dict[str, Any]:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise UselessAnswer(text)
    return value
