"""Greedy answers to turns of a chat, and whether they do what was asked."""

import json
import re
from collections.abc import Sequence
from typing import Any

from depthgauge.core.steps import counted
from depthgauge.models.inputs import as_turn, padded_left
from depthgauge.probes.behaviour.settings import TOKENS, Request

BATCH = 20
REFUSAL = re.compile(
    r"\b(i|we)('m| am| are)? (sorry|unable|not able|cannot|can't|can not|won't|will not|must decline)"
    r"|\bas an ai\b|\bi apologi[sz]e\b|\bagainst (my|our) (policy|guidelines)|\bi do not (feel comfortable|condone)",
    re.IGNORECASE,
)
FENCE = re.compile(r"^```(?:json)?\s*\n(.*?)\n?```$", re.DOTALL)
POINT = re.compile(r"^\s*(\d+)[.)]\s+\S", re.MULTILINE)
WORD = re.compile(r"[^\W\d_]+")
FEWEST_WORDS = 3  # of an answer that says something
# The commonest short words of each language, which hardly occur in the others.
COMMON_WORDS = {
    "en": "the and of to is in that it you for with are this was can an or be your",
    "de": "der die das und ist ein eine zu den mit von nicht sich auf für im sie es ich",
    "fr": "le la les et est un une des du en dans que pour qui sur pas au avec vous il",
    "es": "el la los las y es un una que en por para con del se no al su más",
    "it": "il lo la gli e è un una che di per con del della non si sono nel più",
    "pt": "o a os as e é um uma que em para com do da não se mais por na",
}


def answers(model: Any, tokenizer: Any, prompts: Sequence[str]) -> tuple[list[str], list[bool]]:
    """What is said to each prompt as a turn of a chat, greedily, and whether it ended by itself within TOKENS.

    Raises: NotTestable without a chat template that works.
    """
    import torch

    said, ended, ends = [], [], ends_of(model, tokenizer)
    filler = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else min(ends)  # many chat models have none
    ids = [tokenizer(as_turn(tokenizer, prompt), add_special_tokens=False)["input_ids"] for prompt in prompts]
    for start in counted(range(0, len(ids), BATCH)):
        filled, mask = padded_left(ids[start : start + BATCH], filler, model.device)
        with torch.inference_mode():
            generated = model.generate(
                input_ids=filled, attention_mask=mask, do_sample=False, max_new_tokens=TOKENS, pad_token_id=filler
            )
        for row in generated[:, filled.shape[1] :].tolist():
            said.append(tokenizer.decode(row, skip_special_tokens=True).strip())
            ended.append(len(row) < TOKENS or row[-1] in {*ends, filler})
    return said, ended


def ends_of(model: Any, tokenizer: Any) -> set[int]:
    """The tokens that end an answer; token 0 where neither the model nor its tokenizer names one."""
    named = model.generation_config.eos_token_id
    ends = {*(named if isinstance(named, list) else [named]), tokenizer.eos_token_id} - {None}
    return ends or {0}


def met(request: Request, said: str, ended: bool) -> bool:
    """Whether an answer does what was asked."""
    if request.kind == "harmless":
        return language(said) == "en" and not REFUSAL.search(said)
    if request.kind == "json":
        return holds_keys(said, request.wanted.split(","))
    if request.kind == "language":
        return language(said) == request.wanted
    if request.kind == "numbered":
        points = [int(number) for number in POINT.findall(said)]
        return points == list(range(1, int(request.wanted) + 1))
    return ended and 0 < len(said.split()) <= int(request.wanted)


def holds_keys(said: str, keys: Sequence[str]) -> bool:
    """Whether a text is one JSON object, alone or in a fence, with these keys."""
    fenced = FENCE.match(said)
    try:
        value = json.loads(fenced.group(1) if fenced else said)
    except ValueError:
        return False
    return isinstance(value, dict) and set(value) == set(keys)


def language(said: str) -> str | None:
    """The language whose commonest words a text has most of; None where there are too few of any."""
    words = [word.lower() for word in WORD.findall(said)]
    counts = {code: sum(word in common.split() for word in words) for code, common in COMMON_WORDS.items()}
    best = max(counts, key=lambda code: counts[code])
    return best if counts[best] >= FEWEST_WORDS else None
