"""The greedy entropy trace: how sure a model is of each next token when it always takes the likeliest.

Shapes: B prompts, T steps, V vocabulary.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import InvalidCheckpoint, StatisticUndefined
from depthgauge.core.steps import counted
from depthgauge.models.inputs import filler_of, padded_left

if TYPE_CHECKING:
    import torch

Row = Sequence[float] | NDArray[np.number]  # one prompt's trace

STEPS = 80
BATCH = 64
COLLAPSE_NATS = 0.05
# A collapse that was published lies below 0.05 nats for 13 steps. A spelt-out word is certain for a few steps, and that
# is no collapse.
COLLAPSE_RUN_STEPS = 10
SMOOTHING_STEPS = 5  # the window of the moving average, where a figure of entropy by step is smoothed


class EntropyTrace(NamedTuple):
    """`entropy_nats` and `token_ids`, both of shape (B, T)."""

    entropy_nats: NDArray[np.float32]
    token_ids: NDArray[np.int64]


def token_entropy(logits_BV: "torch.Tensor") -> "torch.Tensor":
    """Shannon entropy in nats of the softmax of raw logits, in float32: logsumexp(z) - sum softmax(z) z. Shape (B,)."""
    import torch

    logits_BV = logits_BV.float()
    return torch.logsumexp(logits_BV, dim=-1) - (torch.softmax(logits_BV, dim=-1) * logits_BV).sum(-1)


def entropy_trace(
    model: Any, tokenizer: Any, prompts: Sequence[str], *, steps: int = STEPS, batch: int = BATCH
) -> EntropyTrace:
    """Entropy in nats of each of `steps` greedy tokens after each prompt, end-of-text or not.

    Temperature 1 on raw logits, float32. Prompts are batched, padded on the left, and decoded with a KV cache; the
    numbers are those of each prompt alone, to float32 rounding.

    Raises: StatisticUndefined without prompts; InvalidCheckpoint if a logit is not finite.
    """
    if not prompts:
        raise StatisticUndefined("an entropy trace needs at least one prompt.", code="empty")
    traces = [decode(model, tokenizer, prompts[i : i + batch], steps) for i in range(0, len(prompts), batch)]
    return EntropyTrace(*(np.concatenate(parts) for parts in zip(*traces, strict=True)))


def decode(model: Any, tokenizer: Any, prompts: Sequence[str], steps: int) -> EntropyTrace:
    import torch

    if not keeps_a_cache(model):
        return one_by_one(model, tokenizer, prompts, steps)
    rows = [tokenizer(prompt)["input_ids"] for prompt in prompts]
    input_ids, attention_mask = padded_left(rows, filler_of(tokenizer), model.device)
    positions, cache = (attention_mask.cumsum(-1) - 1).clamp(min=0), None
    entropies, tokens = [], []
    with torch.inference_mode():
        for _ in counted(range(steps)):
            out = model(
                input_ids=input_ids,
                attention_mask=attention_mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
            logits_BV, cache = out.logits[:, -1], out.past_key_values
            check_finite_logits(logits_BV)
            entropies.append(token_entropy(logits_BV))
            input_ids = logits_BV.argmax(-1, keepdim=True)
            tokens.append(input_ids[:, 0])
            attention_mask = torch.cat([attention_mask, attention_mask.new_ones(len(input_ids), 1)], dim=1)
            positions = positions[:, -1:] + 1
    return EntropyTrace(torch.stack(entropies, 1).cpu().numpy(), torch.stack(tokens, 1).cpu().numpy())


def keeps_a_cache(model: Any) -> bool:
    """Whether a run hands out keys and values to go on from; state-space models keep their state in other ways."""
    import torch

    with torch.inference_mode():
        out = model(input_ids=torch.zeros((1, 2), dtype=torch.long, device=model.device), use_cache=True)
    return getattr(out, "past_key_values", None) is not None


def one_by_one(model: Any, tokenizer: Any, prompts: Sequence[str], steps: int) -> EntropyTrace:
    """The slow form: every prompt alone, and run whole again for each token, so that no state has to be carried."""
    import torch

    entropies, tokens = [], []
    with torch.inference_mode():
        for prompt in counted(prompts):
            ids, trace = tokenizer([prompt], return_tensors="pt")["input_ids"].to(model.device), []
            start = ids.shape[1]
            for _ in range(steps):
                logits_BV = model(input_ids=ids, use_cache=False).logits[:, -1]
                check_finite_logits(logits_BV)
                trace.append(token_entropy(logits_BV))
                ids = torch.cat([ids, logits_BV.argmax(-1, keepdim=True)], dim=1)
            entropies.append(torch.cat(trace))
            tokens.append(ids[0, start:])
    return EntropyTrace(torch.stack(entropies).cpu().numpy(), torch.stack(tokens).cpu().numpy())


def check_finite_logits(logits_BV: "torch.Tensor") -> None:
    if not logits_BV.isfinite().all():
        raise InvalidCheckpoint(
            "a logit is NaN or infinite: the entropy of this checkpoint is undefined.", code="not-finite"
        )


def smoothed(rows: Row, *, window: int = SMOOTHING_STEPS) -> NDArray[np.float64]:
    """The moving average over `window` steps, over the last axis, (..., T - window + 1).

    Raises: StatisticUndefined for a trace shorter than the window.
    """
    values = np.asarray(rows, np.float64)
    if not 1 <= window <= values.shape[-1]:
        raise StatisticUndefined(f"a moving average over {window} steps needs as many, got {values.shape[-1]}.")
    return np.asarray(np.lib.stride_tricks.sliding_window_view(values, window, axis=-1).mean(axis=-1))


def below_for(rows: Row, *, below: float = COLLAPSE_NATS, run: int = COLLAPSE_RUN_STEPS) -> NDArray[np.bool_]:
    """At which steps `run` consecutive steps below `below` nats start: over the last axis, (..., T - run + 1)."""
    low = np.asarray(rows) < below
    if low.shape[-1] < run:
        return np.zeros((*low.shape[:-1], 0), bool)
    return np.asarray(np.lib.stride_tricks.sliding_window_view(low, run, axis=-1).all(axis=-1))


def collapse_step(entropy_nats: Row, *, below: float = COLLAPSE_NATS, run: int = COLLAPSE_RUN_STEPS) -> int | None:
    """The step (0-based) that starts the first `run` consecutive steps below `below` nats; None if there is none."""
    starts = np.flatnonzero(below_for(entropy_nats, below=below, run=run))
    return int(starts[0]) if len(starts) else None


def first_repeat_step(token_ids: Row, *, n: int = 3) -> int | None:
    """The step (0-based) at which an n-gram that was seen before is completed for the first time; None if never."""
    seen: set[tuple[int, ...]] = set()
    for end in range(n, len(token_ids) + 1):
        ngram = tuple(int(token) for token in token_ids[end - n : end])
        if ngram in seen:
            return end - 1
        seen.add(ngram)
    return None


class Loop(NamedTuple):
    """A text that ends in a loop: after `pre_period` tokens it repeats with `period`."""

    period: int
    pre_period: int


def loop_length(token_ids: Row) -> int:
    """The period of the loop that a text ends in; without a loop the least period that its tokens are too few to show.

    A loop is seen twice or not at all, so of 80 tokens the longest that shows has 40, and no loop counts 41.
    """
    seen = loop(token_ids)
    return len(token_ids) // 2 + 1 if seen is None else seen.period


def loop(token_ids: Row, *, repeats: int = 2) -> Loop | None:
    """The loop that a text ends in: the shortest period seen at least `repeats` times at its end; None if none."""
    ids = [int(token) for token in token_ids]
    for period in range(1, len(ids) // repeats + 1):
        length = period
        while length < len(ids) and ids[-length - 1] == ids[-length - 1 + period]:
            length += 1
        if length >= repeats * period:
            return Loop(period=period, pre_period=len(ids) - length)
    return None
