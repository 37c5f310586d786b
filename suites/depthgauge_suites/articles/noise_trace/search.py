"""Which questions a base answers confidently and wrongly, though reasoning leads to the right answer.

Dangi 2026b shakes a model on such a question: it gave a wrong answer a probability of .74 to .80. Bare questions leave
a model in doubt, and shaken doubt shows little. So each testbed's questions are searched for once, by its own base, and
what was found is kept beside them.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from depthgauge.core.errors import NotTestable, StatisticUndefined
from depthgauge_suites.articles.noise_trace.compute import parting
from depthgauge_suites.articles.noise_trace.settings import ReasonedQuestion, TraceQuestion

CONFIDENT, PUBLISHED = 0.5, 0.77  # the least probability of the wrong answer, and what the article's models gave it
ANSWER_TOKENS = 6
FIRST_ANSWER = re.compile(r"\s*([A-Za-z0-9]+(?: [A-Za-z]+)?)")


class Reasoned(NamedTuple):
    """A question with reasoning, its right answer, and how it is asked for again: not yet put to a model."""

    prompt: str
    right: str
    again: str


def confident_and_wrong(
    model: Any, tokenizer: Any, candidates: Iterable[Reasoned], *, number: int
) -> list[ReasonedQuestion]:
    """The `number` questions whose wrong answer has a probability nearest to the published one, of at least one half.

    Raises: NotTestable if the model is confident of no wrong answer.
    """
    departures = [(departure(model, tokenizer, asked), asked) for asked in candidates]
    confident = sorted(
        (abs(probability - PUBLISHED), place)
        for place, (probability, _) in enumerate(departures)
        if probability >= CONFIDENT
    )
    answered = (wrong_answer(model, tokenizer, departures[place][1]) for _, place in confident)
    kept = list(islice((each for each in answered if each is not None), number))
    if not kept:
        raise NotTestable(
            f"the model gives no wrong answer a probability of {CONFIDENT} or more, so its noise trace would be one of "
            "doubt: search among other questions"
        )
    return kept


def departure(model: Any, tokenizer: Any, asked: Reasoned) -> float:
    """The probability of the likeliest token where it is first another than the right answer's; 0 where it never is."""
    import torch

    ids = tokenizer(f"{asked.prompt} {asked.right}")["input_ids"]
    start = len(tokenizer(asked.prompt)["input_ids"])
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([ids], device=model.device)).logits[0, start - 1 : -1].float()
    for row, token in zip(logits.softmax(-1), ids[start:], strict=True):
        if int(row.argmax()) != token:
            return float(row.max())
    return 0.0


def wrong_answer(model: Any, tokenizer: Any, asked: Reasoned) -> ReasonedQuestion | None:
    """The question with what the model says to it, or None where that is no word, or not said as surely."""
    said = FIRST_ANSWER.match(greedy_answer(model, tokenizer, asked.prompt))
    if said is None or said[1] == asked.right:
        return None
    question = TraceQuestion(prompt=asked.prompt, right=asked.right, wrong=said[1])
    try:
        probability = wrong_probability(model, tokenizer, question)
    except StatisticUndefined:  # the same tokens
        return None
    if probability < CONFIDENT:
        return None
    return ReasonedQuestion(
        prompt=asked.prompt, right=asked.right, wrong=said[1], again=asked.again, probability=round(probability, 4)
    )


def greedy_answer(model: Any, tokenizer: Any, prompt: str) -> str:
    ids = tokenizer([prompt], return_tensors="pt")["input_ids"].to(model.device)
    said = model.generate(ids, max_new_tokens=ANSWER_TOKENS, do_sample=False, pad_token_id=tokenizer.eos_token_id)
    return str(tokenizer.decode(said[0, ids.shape[1] :], skip_special_tokens=False))


def wrong_probability(model: Any, tokenizer: Any, question: TraceQuestion) -> float:
    """Of the first token of the wrong answer that the right one does not share."""
    import torch

    at = parting(tokenizer, question)
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([at.prompt_ids], device=model.device), logits_to_keep=1).logits[0, -1]
    return float(logits.float().softmax(-1)[at.targets[1]])


def write(file: Path, questions: Sequence[ReasonedQuestion]) -> None:
    file.write_text(
        "[\n" + ",\n".join(json.dumps(asdict(each), ensure_ascii=False) for each in questions) + "\n]\n",
        encoding="utf-8",
    )


def read(file: Path) -> tuple[ReasonedQuestion, ...]:
    """What a search wrote."""
    return tuple(ReasonedQuestion(**each) for each in json.loads(file.read_text(encoding="utf-8")))
