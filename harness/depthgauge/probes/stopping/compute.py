"""Greedy answers to short questions, and whether a stop token ends them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.steps import counted
from depthgauge.models.inputs import as_turn, padded_left
from depthgauge.probes.stopping.settings import TOKENS, ShortQuestion

BATCH = 64
ROUNDS = (8, TOKENS)  # tokens after which answers that have ended leave the batch: most are short


class Answers(NamedTuple):
    """`ended` (Q,), whether an answer ended by itself, `tokens` (Q,), how many came before that, and `said` (Q,)."""

    ended: NDArray[np.bool_]
    tokens: NDArray[np.int64]
    said: NDArray[np.str_]


def answers(model: Any, tokenizer: Any, questions: Sequence[ShortQuestion], stops: Sequence[int]) -> Answers:
    """What is said to each question within TOKENS: as a turn of a chat where there is a template, else as a text.

    Raises: NotTestable for a chat template that fails.
    """
    rows = asked(tokenizer, questions)
    filler = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else next(iter(stops), 0)
    parts = [said(model, rows[start : start + BATCH], stops, filler) for start in counted(range(0, len(rows), BATCH))]
    tokens = [row for part in parts for row in part]
    return Answers(
        np.array([len(row) < TOKENS for row in tokens]),
        np.array([len(row) for row in tokens]),
        np.array([tokenizer.decode(row).strip() for row in tokens], dtype=np.str_),
    )


def asked(tokenizer: Any, questions: Sequence[ShortQuestion]) -> list[list[int]]:
    """The tokens of each question in the form in which this checkpoint is asked."""
    if getattr(tokenizer, "chat_template", None):
        turns = [as_turn(tokenizer, question.request) for question in questions]
        return [tokenizer(turn, add_special_tokens=False)["input_ids"] for turn in turns]
    return [tokenizer(question.prompt)["input_ids"] for question in questions]


def said(model: Any, rows: Sequence[Sequence[int]], stops: Sequence[int], filler: int) -> list[list[int]]:
    """The tokens after each row up to a stop token, or TOKENS of them."""
    spoken: list[list[int]] = [[] for _ in rows]
    before = 0
    for after in ROUNDS:
        left = [place for place, row in enumerate(spoken) if len(row) == before]
        more = go_on(model, [[*rows[place], *spoken[place]] for place in left], stops, filler, after - before)
        for place, tokens in zip(left, more, strict=True):
            spoken[place] += tokens
        before = after
    return spoken


def go_on(model: Any, rows: Sequence[Sequence[int]], stops: Sequence[int], filler: int, tokens: int) -> list[list[int]]:
    """The next tokens after each row, greedily, up to a stop token or so many."""
    import torch

    if not rows:
        return []
    ids, mask = padded_left(rows, filler, model.device)
    ends = {"eos_token_id": list(stops)} if stops else {}
    with torch.inference_mode():
        generated = model.generate(
            input_ids=ids, attention_mask=mask, do_sample=False, max_new_tokens=tokens, pad_token_id=filler, **ends
        )[:, ids.shape[1] :].tolist()
    return [until(row, stops, tokens, filler) for row in generated]


def until(row: list[int], stops: Sequence[int], tokens: int, filler: int) -> list[int]:
    """A row up to its first stop token; one that generation left short of them for another reason is filled."""
    first = next((place for place, token in enumerate(row) if token in stops), None)
    return row[:first] if first is not None else [*row, *[filler] * (tokens - len(row))]
