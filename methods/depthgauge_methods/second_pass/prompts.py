"""The prompts of a training: checked before it starts, and in their order."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from datasets import Dataset

from depthgauge.core.errors import UsageError
from depthgauge.core.testbed import Item, Training
from depthgauge.models.inputs import as_turn, turn
from depthgauge.models.load import context_length


def check_prompts(prompts: Sequence[Item], training: Training, model: Any, tokenizer: Any) -> None:
    """Raises: UsageError for a prompt that is empty, there twice, or too long; NotTestable without a chat template."""
    if not prompts:
        raise UsageError(
            "the testbed's training has no prompts: give it some, or judge a finished checkpoint.", code="empty"
        )
    text, times = Counter(item.prompt for item in prompts).most_common(1)[0]
    if times > 1:
        raise UsageError(f"the training prompt {text!r} is there {times} times: each may be asked once a round.")
    for item in prompts:
        if not item.prompt.strip():
            raise UsageError(f"the training prompt {item.id!r} is empty: leave it out.")
    longest, room = longest_prompt(prompts, tokenizer, chat=training.chat), context_length(model)
    if longest + training.scale.max_completion_tokens > room:
        raise UsageError(
            f"the longest training prompt has {longest} tokens, which with {training.scale.max_completion_tokens} of a "
            f"completion do not fit into the model's context of {room}: cut it, or leave it out."
        )


def longest_prompt(prompts: Sequence[Item], tokenizer: Any, *, chat: bool) -> int:
    """In tokens, as it is asked."""
    asked = [as_turn(tokenizer, item.prompt) if chat else item.prompt for item in prompts]
    return max(map(len, tokenizer(asked)["input_ids"]))


def in_order(prompts: Sequence[Item], needed: int, seed: int, *, chat: bool) -> Dataset:
    """The prompts of the whole training as one epoch: shuffled anew by the seed each time all have been used.

    The Trainer's own shuffling is not resumed: from the second epoch on, a resumed training would see another order.
    """
    generator = np.random.default_rng(seed)
    rounds = -(-needed // len(prompts))
    order = np.concatenate([generator.permutation(len(prompts)) for _ in range(rounds)])[:needed]
    asked = [turn(item.prompt) if chat else item.prompt for item in prompts]
    return Dataset.from_list([{"prompt": asked[place], "place": place} for place in order.tolist()])
