"""Paths on tokens that repeat, and on their background."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthgauge.errors import NotTestable
from depthgauge.models.load import context_length, vocabulary_size
from depthgauge.models.paths import Chain, Reads, Run, follow, record
from depthgauge.probes.skill_paths import LENGTH, LONGEST, MOST, SEQUENCES, SHARE

SHOWN, FEWEST = 12, 3  # paths, and tokens that are said twice


def read(model: Any) -> dict[str, NDArray[Any]]:
    """The arrays of `SkillPaths`. Raises: NotTestable for a model of few tokens, or as `models.paths.record`."""
    length = min(LENGTH, context_length(model) // 2, vocabulary_size(model) // 2)
    if length < FEWEST:
        raise NotTestable(f"random tokens said twice are {FEWEST} or more, and {length} fit this model")
    random = np.random.default_rng(0)
    rows: dict[str, list[Any]] = {}
    carried: dict[Chain, list[float]] = {}
    for _ in range(SEQUENCES):
        tokens = random.choice(vocabulary_size(model), 2 * length, replace=False).tolist()
        said, others, place = tokens[:length], tokens[length:], int(random.integers(1, length - 1))
        target, other = said[place + 1], said[(place + 1 + length // 2) % length]
        run = record(model, [*said, *said[: place + 1]], target, other)
        background = record(model, [*others, *said[: place + 1]], target, other)
        found = follow(run, least=SHARE * max(abs(run.logit), 1.0), longest=LONGEST, most=MOST)
        for chain, its in found.items():
            carried.setdefault(chain, []).append(its.total())
        row = {
            "logit": run.logit,
            "background": background.logit,
            "heads": next_to_the_logits(run),
            "background_heads": next_to_the_logits(background),
            "induction": attention_at(run, length - 1),
            "previous": attention_at(run, 1),
            "by_length": by_length(found),
            "paths": len(found) - 1,
            "gap": sum(its.total() for its in found.values()) - run.logit,
        }
        for name, value in row.items():
            rows.setdefault(name, []).append(value)
    arrays = {name: np.array(values) for name, values in rows.items()}
    means = {name: arrays[name].mean(0) for name in ("induction", "previous")}
    return arrays | means | strongest(carried)


def next_to_the_logits(run: Run) -> NDArray[np.float64]:
    return np.asarray(follow(run, least=np.inf, longest=0, most=0)[()].heads.numpy())


def attention_at(run: Run, back: int) -> NDArray[np.float64]:
    """Each head's mean attention to the token so many places back, (L, H)."""
    return np.array([layer.maps.diagonal(-back, dim1=1, dim2=2).mean(1).cpu().numpy() for layer in run.layers])


def by_length(found: dict[Chain, Reads]) -> NDArray[np.float64]:
    """What is carried by paths of 0 to `LONGEST` heads; a head that is not followed counts as one more."""
    sums = np.zeros(LONGEST + 2)
    for chain, its in found.items():
        heads = float(its.heads.sum())
        sums[len(chain)] += its.total() - heads
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
