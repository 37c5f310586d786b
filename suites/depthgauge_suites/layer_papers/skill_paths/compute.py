"""Paths on prompts that ask for a skill, and on their background."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthgauge.models.paths import Chain, Reads, Run, follow, record
from depthgauge_suites.layer_papers.skill_paths.prompts import Prompt
from depthgauge_suites.layer_papers.skill_paths.settings import LONGEST, MOST, SHARE

SHOWN = 12  # paths


def read(model: Any, prompts: Iterable[Prompt], back: Mapping[str, int]) -> dict[str, NDArray[Any]]:
    """What prompts owe to heads, a row each, and the strongest paths; by name, mean attention so many places back.

    Raises: NotTestable and StatisticUndefined, as `models.paths.record`.
    """
    rows: dict[str, list[Any]] = {}
    carried: dict[Chain, list[float]] = {}
    for prompt in prompts:
        run = record(model, prompt.ids, prompt.right, prompt.wrong)
        background = record(model, prompt.background, prompt.right, prompt.wrong)
        paths = follow(run, least=SHARE * max(abs(run.logit), 1.0), longest=LONGEST, most=MOST)
        for chain, through in paths.items():
            carried.setdefault(chain, []).append(through.total())
        row = {
            "logit": run.logit,
            "background": background.logit,
            "heads": next_to_the_logits(run),
            "background_heads": next_to_the_logits(background),
            "by_length": by_length(paths),
            "paths": len(paths) - 1,
            "gap": sum(through.total() for through in paths.values()) - run.logit,
        }
        attention = {name: attention_at(run, places) for name, places in back.items()}
        for name, value in (row | attention).items():
            rows.setdefault(name, []).append(value)
    arrays = {name: np.array(values) for name, values in rows.items()}
    return arrays | {name: arrays[name].mean(0) for name in back} | strongest(carried)


def next_to_the_logits(run: Run) -> NDArray[np.float64]:
    return np.asarray(follow(run, least=np.inf, longest=0, most=0)[()].heads.numpy())


def attention_at(run: Run, back: int) -> NDArray[np.float64]:
    """Each head's mean attention to the token so many places back, (L, H)."""
    return np.array([layer.maps.diagonal(-back, dim1=1, dim2=2).mean(1).cpu().numpy() for layer in run.layers])


def by_length(chains: dict[Chain, Reads]) -> NDArray[np.float64]:
    """What is carried by paths of 0 to `LONGEST` heads; a head that is not followed counts as one more."""
    sums = np.zeros(LONGEST + 2)
    for chain, through in chains.items():
        heads = float(through.heads.sum())
        sums[len(chain)] += through.total() - heads
        sums[len(chain) + 1] += heads
    return np.append(sums[:LONGEST], sums[LONGEST:].sum())


def strongest(carried: dict[Chain, list[float]]) -> dict[str, NDArray[Any]]:
    """The paths with the largest sums over sequences, as '3.1 → 5.2 → logits'."""
    chains: Sequence[Chain] = sorted((c for c in carried if c), key=lambda c: -abs(sum(carried[c])))[:SHOWN]
    names = [" → ".join([*(f"{layer}.{head}" for layer, head in reversed(chain)), "logits"]) for chain in chains]
    return {
        "names": np.array(names, np.str_),
        "carried": np.array([np.mean(carried[chain]) for chain in chains], float),
    }
