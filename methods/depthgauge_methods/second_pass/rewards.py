"""Rewards as TRL asks for them."""

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import torch

from depthgauge.core.errors import HarnessError, TrainingFailed
from depthgauge.core.testbed import Item, Reward


def paid(reward: Reward, prompts: Sequence[Item]) -> Callable[..., list[float]]:
    """What each completion is paid; `place` is the number of its prompt. Raises: as `pay_one`."""

    def pay(completions: Sequence[Any], place: Sequence[int], **_: Any) -> list[float]:
        items = [prompts[i] for i in place]
        with ThreadPoolExecutor(reward.max_concurrency) as pool:
            return list(pool.map(partial(pay_one, reward), items, map(text_of, completions)))

    pay.__name__ = reward.name  # TRL's name for it
    return pay


def tossed(reward: Reward) -> Callable[..., list[float]]:
    """In a reward's place and under its name: 1 or 0 by the toss of a coin, from torch's generator."""

    def toss(completions: Sequence[Any], **_: Any) -> list[float]:
        return torch.randint(2, (len(completions),)).float().tolist()

    toss.__name__ = reward.name
    return toss


def pay_one(reward: Reward, item: Item, said: str) -> float:
    """Raises: TrainingFailed, naming the completion, if the reward raises or pays no finite number."""
    try:
        value = float(reward.reward_func(item, said))
        wrong = "" if math.isfinite(value) else f"pays {value}"
    except HarnessError:  # it says itself what is wrong
        raise
    except Exception as error:  # whatever a reward of the user's raises
        value, wrong = math.nan, f"raises {type(error).__name__}: {error}"
    if wrong:
        raise TrainingFailed(
            f"reward {reward.name!r} {wrong} for {said!r} to {item.prompt!r}, and must pay one finite number: fix it, "
            "and the training goes on from its last saved step."
        )
    return value


def text_of(completion: Any) -> str:
    """What was said: a text, or the last turn of a chat."""
    return completion if isinstance(completion, str) else str(completion[-1]["content"])


def total(rewards: Sequence[Reward], logged: Mapping[str, Any]) -> float:
    """The mean reward of a step of TRL's log, by the rewards' own weights: also where a control turns them round."""
    return sum(reward.weight * float(logged[f"rewards/{reward.name}/mean"]) for reward in rewards)
