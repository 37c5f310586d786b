"""What a probe may be asked: heads that exist, tokens that are known, prompts that fit into the context."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import InvalidCheckpoint, InvalidComparison, NotTestable, StatisticUndefined, UsageError
from depthgauge.core.testbed import Text
from depthgauge.models.load import context_length, layers_and_heads, vocabulary_size

Tokens = Sequence[Sequence[int]]


def text_ids(tokenizer: Any, text: Text, model: Any) -> list[int]:
    """The tokens of a text: a chat by the tokenizer's template, or in lines of 'User: ...' where it has none.

    Raises: UsageError for a text that is empty, or longer than the model's context.
    """
    ids: list[int] = tokenizer(rendered(tokenizer, text))["input_ids"]
    longest = context_length(model)
    if not 2 <= len(ids) <= longest:
        raise UsageError(
            f"the text {text.text[:40]!r} has {len(ids)} tokens, and 2 to {longest} fit into the model's context: cut "
            "it, or leave it out of the testbed's probe inputs."
        )
    return ids


def rendered(tokenizer: Any, text: Text) -> str:
    if not text.turns:
        return text.text
    if getattr(tokenizer, "chat_template", None):
        turns = [{"role": role, "content": content} for role, content in text.turns]
        return str(tokenizer.apply_chat_template(turns, tokenize=False))
    return "\n".join(f"{role.capitalize()}: {content}" for role, content in text.turns)


def turn(prompt: str) -> list[dict[str, str]]:
    """A prompt as the only turn of a chat."""
    return [{"role": "user", "content": prompt}]


def as_turn(tokenizer: Any, prompt: str) -> str:
    """A prompt in the form in which a chat model is asked. Raises: NotTestable without a chat template that works."""
    if not getattr(tokenizer, "chat_template", None):
        raise NotTestable(
            "this is asked in chat form, and the checkpoint's tokenizer has no chat template.", code="no-template"
        )
    try:
        return str(tokenizer.apply_chat_template(turn(prompt), tokenize=False, add_generation_prompt=True))
    except Exception as error:  # a template is a program of somebody else's
        raise NotTestable(
            f"the checkpoint's chat template fails on {prompt[:40]!r}: {error}.", code="template-fails"
        ) from error


def check_heads(heads: Sequence[tuple[int, int]], model: Any) -> None:
    """Raises: StatisticUndefined if the model has no such (layer, head)."""
    layers, width = layers_and_heads(model)
    for layer, head in heads:
        if not (0 <= layer < layers and 0 <= head < width):
            raise StatisticUndefined(
                f"there is no head {(layer, head)}: the model has {layers} layers of {width}, from (0, 0)."
            )


def check_same_heads(heads: tuple[int, ...], other_heads: tuple[int, ...]) -> None:
    """Raises: InvalidComparison unless two models, as (layers, heads), can be compared head by head."""
    if heads != other_heads:
        raise InvalidComparison(
            "heads are compared one by one, and one model has {} layers of {} heads where the other has {} of {}: give "
            "two checkpoints of one base.".format(*heads, *other_heads)
        )


def check_prompts(prompts: Tokens, least: int, *models: Any) -> None:
    """Raises: StatisticUndefined without prompts, or if one has fewer than `least` tokens, more than a context, or an
    unknown.

    A token must be known to, and a prompt fit into, every one of the models.
    """
    if not len(prompts):
        raise StatisticUndefined("there is nothing to run a model on: give at least one prompt.", code="empty")
    longest = min(map(context_length, models))
    for i, prompt in enumerate(prompts):
        if not least <= len(prompt) <= longest:
            raise StatisticUndefined(
                f"prompt {i} (counted from 0) has {len(prompt)} tokens, and {least} to {longest} are allowed: leave it "
                "out, or cut it."
            )
        check_known(prompt, f"in prompt {i}", *models)


def check_known(tokens: Sequence[int], where: str, *models: Any) -> None:
    """Raises: StatisticUndefined if a token is not an id that every model knows."""
    known = min(map(vocabulary_size, models))
    strange = [token for token in tokens if not 0 <= token < known]
    if strange:
        raise StatisticUndefined(
            f"there is no token {strange[0]} ({where}), as the model knows 0 to {known - 1}: use its own tokenizer, "
            "and compare only models that share one."
        )


def check_targets(targets: Tokens, prompts: Tokens, model: Any) -> None:
    """Raises: StatisticUndefined unless every prompt has as many targets, at least one, all known."""
    if any(np.ndim(wanted) != 1 for wanted in targets):
        raise StatisticUndefined(
            f"every prompt needs a list of targets, such as [[5, 7], [5, 9]], got {list(targets)}."
        )
    if len(targets) != len(prompts) or len({len(wanted) for wanted in targets} | {0}) != 2:
        raise StatisticUndefined(
            f"every prompt needs as many targets, got {[len(t) for t in targets]} for {len(prompts)}."
        )
    for i, wanted in enumerate(targets):
        check_known(wanted, f"a target of prompt {i}", model)


def check_finite(values: NDArray[np.floating]) -> None:
    """Raises: InvalidCheckpoint if what a model computed is NaN or infinite, which would pass for an extreme value."""
    if not np.isfinite(values).all():
        raise InvalidCheckpoint(
            "this model computes numbers that are NaN or infinite: train or save it again.", code="not-finite"
        )


def check_noise(scale: float, draws: int) -> None:
    """Raises: StatisticUndefined for noise of no size, or no draw of it."""
    if draws < 1:
        raise StatisticUndefined(f"noise needs at least 1 draw, got {draws}.")
    if not 0 <= scale < np.inf:
        raise StatisticUndefined(f"noise has a scale of 0 or more, got {scale}.")


def filler_of(tokenizer: Any) -> int:
    """The token that fills rows up, which no other token sees: many models have none of their own for it."""
    chosen = (tokenizer.pad_token_id, tokenizer.unk_token_id, tokenizer.eos_token_id)
    return next((int(token) for token in chosen if token is not None), 0)


def padded_left(rows: Sequence[Sequence[int]], filler: int, device: Any) -> tuple[Any, Any]:
    """Rows of tokens as one tensor, and which of them are no filler: (rows, longest) each."""
    import torch

    longest = max(map(len, rows))
    ids = torch.tensor([[filler] * (longest - len(row)) + list(row) for row in rows], device=device)
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows], device=device)
    return ids, mask
