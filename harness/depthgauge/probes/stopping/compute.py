"""Greedy answers to short questions, and whether a stop token ends them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from depthgauge.models.inputs import as_turn, padded_left
from depthgauge.probes.stopping.settings import TOKENS, ShortQuestion

BATCH = 64


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
    parts = [said(model, rows[start : start + BATCH], stops, filler) for start in range(0, len(rows), BATCH)]
    tokens_QT = np.concatenate(parts)
    stopped_QT = np.isin(tokens_QT, list(stops))
    ended = np.asarray(stopped_QT.any(axis=1))
    lengths = np.where(ended, stopped_QT.argmax(axis=1), TOKENS)
    texts = [tokenizer.decode(row[:length]).strip() for row, length in zip(tokens_QT.tolist(), lengths, strict=True)]
    return Answers(ended, lengths, np.array(texts, dtype=np.str_))


def asked(tokenizer: Any, questions: Sequence[ShortQuestion]) -> list[list[int]]:
    """The tokens of each question in the form in which this checkpoint is asked."""
    if getattr(tokenizer, "chat_template", None):
        turns = [as_turn(tokenizer, question.request) for question in questions]
        return [tokenizer(turn, add_special_tokens=False)["input_ids"] for turn in turns]
    return [tokenizer(question.prompt)["input_ids"] for question in questions]


def said(model: Any, rows: Sequence[Sequence[int]], stops: Sequence[int], filler: int) -> NDArray[np.int64]:
    """The tokens after each row, (rows, TOKENS); what comes after a stop token is one, or filler."""
    import torch

    ids, mask = padded_left(rows, filler, model.device)
    ends = {"eos_token_id": list(stops)} if stops else {}
    with torch.inference_mode():
        found = model.generate(
            input_ids=ids, attention_mask=mask, do_sample=False, max_new_tokens=TOKENS, pad_token_id=filler, **ends
        )[:, ids.shape[1] :]
    whole = np.full((len(rows), TOKENS), filler, dtype=np.int64)
    whole[:, : found.shape[1]] = found.cpu().numpy()
    return whole
