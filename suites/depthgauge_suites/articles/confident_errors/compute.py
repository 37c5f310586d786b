"""How sure a model is of the option that it chooses, and whether it is the right one. Shapes: N items."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import InvalidCheckpoint
from depthgauge.core.randomness import undisturbed
from depthgauge.core.testbed import Item, ItemTask
from depthgauge.models.inputs import as_turn
from depthgauge.tasks.item_runner import log_likelihoods, option_texts


def options_chosen(task: ItemTask, items: Sequence[Item], model: Any, tokenizer: Any) -> dict[str, NDArray[Any]]:
    """`share` (N,), of the probability of an item's options what the chosen one has; `right` (N,), whether it is right.

    An option's probability is that of all its tokens after the prompt.

    Raises: as `item_runner.log_likelihoods`; InvalidCheckpoint if one is not finite.
    """
    with undisturbed(model):
        model.eval()
        prompts = [as_turn(tokenizer, item.prompt) if task.chat else item.prompt for item in items]
        likelihoods = iter(log_likelihoods(option_texts(task, items, prompts), model, tokenizer))
    shares, right = [], []
    for item in items:
        nats = np.array([next(likelihoods) for _ in item.options])
        if not np.isfinite(nats).all():
            raise InvalidCheckpoint(
                f"a log-likelihood is {nats}, so how sure the checkpoint is cannot be said.", code="not-confident"
            )
        shares.append(float(1 / np.exp(nats - nats.max()).sum()))
        right.append(item.options[int(nats.argmax())] == item.answer)
    return {"share": np.array(shares), "right": np.array(right)}
