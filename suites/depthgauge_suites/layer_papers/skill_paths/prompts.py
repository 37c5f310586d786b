"""Prompts that ask for a skill, each with a background: the same without what gives the answer."""

from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Any, NamedTuple

import numpy as np

from depthgauge.core.errors import NotTestable
from depthgauge.models.load import context_length, vocabulary_size
from depthgauge_suites.layer_papers.skill_paths.settings import EXAMPLES, LABELS, LENGTH, PROMPTS, SEQUENCES

FEWEST = 3  # tokens that are said twice


class Prompt(NamedTuple):
    """Token ids of a prompt and of its background; the token that goes on rightly, and one that does not."""

    ids: Sequence[int]
    background: Sequence[int]
    right: int
    wrong: int


def said_twice(model: Any) -> int:
    """How many random tokens can be said twice. Raises: NotTestable for a model of few tokens."""
    length = min(LENGTH, context_length(model) // 2, vocabulary_size(model) // 2)
    if length < FEWEST:
        raise NotTestable(f"random tokens said twice are {FEWEST} or more, and {length} fit this model")
    return length


def repeats(length: int, vocabulary: int) -> Iterator[Prompt]:
    """Random tokens said twice, up to one whose successor was said before; the background's first saying is another."""
    random = np.random.default_rng(0)
    for _ in range(SEQUENCES):
        tokens = random.choice(vocabulary, 2 * length, replace=False).tolist()
        said, others, place = tokens[:length], tokens[length:], int(random.integers(1, length - 1))
        again = said[: place + 1]
        yield Prompt([*said, *again], [*others, *again], said[place + 1], said[(place + 1 + length // 2) % length])


def labelled(tokenizer: Any, words: Mapping[str, Sequence[str]]) -> Iterator[Prompt]:
    """Words of two kinds with a label each, and one whose label is asked; the background's labels tell no kind.

    Raises: NotTestable without two kinds of enough words, or where both labels are one token.
    """
    each = EXAMPLES // 2
    kinds = [kind for kind, examples_of in words.items() if len(set(examples_of)) > each]
    if len(kinds) < 2:
        raise NotTestable(f"labels are learnt of two kinds of words, {each + 1} of each, and there are {len(kinds)}")
    labels = [tokenizer(label, add_special_tokens=False)["input_ids"][-1] for label in LABELS]
    if labels[0] == labels[1]:
        raise NotTestable("labels {!r} and {!r} end in the same token".format(*LABELS))
    random = Random(0)
    for _ in range(PROMPTS):
        asked, other = (random.sample(sorted(set(words[kind])), each + 1) for kind in random.sample(kinds, 2))
        right, wrong = random.sample(labels, 2)
        examples = [*((word, right) for word in asked[:each]), *((word, wrong) for word in other[:each])]
        dealt = [right, wrong] * each  # as many of each label in either kind
        order = random.sample(range(EXAMPLES), EXAMPLES)
        shown = [examples[i] for i in order]
        untold = [(examples[i][0], dealt[i]) for i in order]
        yield Prompt(written(tokenizer, shown, asked[each]), written(tokenizer, untold, asked[each]), right, wrong)


def written(tokenizer: Any, examples: Sequence[tuple[str, int]], word: str) -> list[int]:
    """The tokens of one word and its label a line, up to the label that is asked."""
    ids = list(tokenizer("")["input_ids"])
    for example, label in examples:
        ids += [*pieces(tokenizer, f"{example}:"), label, *pieces(tokenizer, "\n")]
    return ids + pieces(tokenizer, f"{word}:")


def pieces(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])
