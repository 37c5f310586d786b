"""Corruptions of tokenizer.json: another number for a word, fewer merges, none at all."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from depthgauge.core.errors import NotTestable
from depthgauge.corruptions.corruption import file_corruption
from depthgauge.corruptions.draws import Draws
from depthgauge.corruptions.folder import edit_json
from depthgauge.models.files import TOKENIZER

TWO_SMALL_LETTERS = re.compile("[a-z]{2}")
Merge = str | list[str]


def edit_merges(folder: Path, change: Callable[[list[Merge]], list[Merge]]) -> None:
    """Raises: NotTestable for a tokenizer without merges."""

    def edited(tokenizer: dict[str, Any]) -> dict[str, Any]:
        if "merges" not in tokenizer.get("model", {}):
            raise NotTestable(f"{TOKENIZER} has no merges: it is no byte-pair encoding.")
        model = tokenizer["model"]
        return tokenizer | {"model": model | {"merges": change(model["merges"])}}

    edit_json(folder / TOKENIZER, edited)


def piece(merge: Merge) -> str:
    return "".join(merge) if isinstance(merge, list) else merge.replace(" ", "")


@file_corruption("fault", version=2)
def character_tokenizer(folder: Path, rng: Draws, dose: float) -> None:
    """A share of the merges of letters are gone, the rarest first: at 1 every word is spelt, formulae are as before.

    Simulates a tokenizer that was rebuilt without its merges. Raises: NotTestable for a tokenizer without merges.
    """

    def without_words(merges: list[Merge]) -> list[Merge]:
        words = [place for place, merge in enumerate(merges) if TWO_SMALL_LETTERS.search(piece(merge))]
        gone = set(words[len(words) - round(dose * len(words)) :])
        return [merge for place, merge in enumerate(merges) if place not in gone]

    edit_merges(folder, without_words)


@file_corruption("fault", doses=(1,), seeded=True)
def drop_merges(folder: Path, rng: Draws, dose: float) -> None:
    """So many merges, drawn at random, are missing.

    Simulates a tokenizer of another version of the model. Raises: as `character_tokenizer`.
    """

    def without(merges: list[Merge]) -> list[Merge]:
        gone = set(rng.generator(TOKENIZER).permutation(len(merges))[: int(dose)].tolist())
        return [merge for place, merge in enumerate(merges) if place not in gone]

    edit_merges(folder, without)


@file_corruption("fault", doses=(1,), seeded=True)
def swap_vocabulary_entries(folder: Path, rng: Draws, dose: float) -> None:
    """So many pairs of words of the vocabulary, drawn at random, have each other's numbers.

    Simulates the tokenizer of a sibling, which differs in a few words. Raises: NotTestable for one without words.
    """

    def swapped(tokenizer: dict[str, Any]) -> dict[str, Any]:
        vocabulary = tokenizer.get("model", {}).get("vocab")
        if not vocabulary:
            raise NotTestable(f"{TOKENIZER} has no vocabulary whose words could change places.")
        special = {added["content"] for added in tokenizer.get("added_tokens") or ()}
        words = (
            {word: place for place, (word, _) in enumerate(vocabulary)} if isinstance(vocabulary, list) else vocabulary
        )
        drawn = rng.generator(TOKENIZER).permutation(sorted(set(words) - special))[: 2 * int(dose)]
        changed = vocabulary.copy()
        for first, second in zip(drawn[::2].tolist(), drawn[1::2].tolist(), strict=True):
            at, other_at = (words[first], words[second]) if isinstance(vocabulary, list) else (first, second)
            changed[at], changed[other_at] = vocabulary[other_at], vocabulary[at]
        return tokenizer | {"model": tokenizer["model"] | {"vocab": changed}}

    edit_json(folder / TOKENIZER, swapped)
