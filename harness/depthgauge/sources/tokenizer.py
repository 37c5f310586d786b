"""How a checkpoint's tokenizer cuts texts, and which is the same as another's: decided here alone.

Two folders are read as transformers reads them: defaults filled in, merges in one form. Where their files are the same,
or differ in the two that decide it alone, transformers is not asked: importing it takes longer than all the rest.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from depthgauge.core.errors import InvalidComparison
from depthgauge.models import settings
from depthgauge.models.files import CHAT_TEMPLATE, TOKENIZER
from depthgauge.sources.folder import model_type

FILES = ("*token*", "*vocab*", "merges.txt", "*.model", "*.jinja")  # that a tokenizer reads
ALONE = {TOKENIZER, CHAT_TEMPLATE}  # files that say all where the others are the same
PADDED = ("padding", "truncation")  # of a tokenizer file: what it was last used for
SAYING = "decoder"  # of a tokenizer file: how tokens become text again
Fields = dict[str, Any]


class Tokenization(NamedTuple):
    """What a tokenizer does, as flat fields: how texts are cut, which tokens are special and how tokens become text,
    and the lines of the chat template.
    """

    cuts: Fields
    beside: Fields
    template: Fields


def read_pair(one: Path, other: Path) -> tuple[Tokenization, Tokenization]:
    """What the tokenizers of two folders do. Raises: InvalidCheckpoint where one cannot be read."""
    mine, its = files_of(one), files_of(other)
    same_kind = model_type(one) == model_type(other)
    changed = {name for name in {*mine, *its} if mine.get(name) != its.get(name)}
    if same_kind and not changed:
        nothing = Tokenization({}, {}, {})
        return nothing, nothing
    if same_kind and changed <= ALONE and mine.keys() & its.keys() >= ALONE:
        return from_files(one, mine), from_files(other, its)
    return as_transformers_reads(one), as_transformers_reads(other)


def same_tokenizer(one: Path, other: Path) -> bool:
    """Whether two folders cut every text into the same tokens. Raises: as `read_pair`."""
    mine, its = read_pair(one, other)
    return mine.cuts == its.cuts


def check_same_tokenizer(folder: Path, base: Path) -> None:
    """Raises: InvalidComparison if the two folders would cut a text into different tokens; as `read_pair`."""
    if not same_tokenizer(folder, base):
        raise InvalidComparison(
            f"{folder} has another tokenizer than its base {base}: scores by token cannot be compared; give the "
            "checkpoint the tokenizer of its base."
        )


def files_of(folder: Path) -> dict[str, bytes]:
    """What a tokenizer reads, by its place in the folder."""
    found = {path for pattern in FILES for path in folder.rglob(pattern) if path.is_file()}
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(found)}


def from_files(folder: Path, files: Mapping[str, bytes]) -> Tokenization:
    """By the two files that decide it alone, where all others are the same."""
    from tokenizers import Tokenizer

    with settings.readable(folder):
        backend = Tokenizer.from_buffer(files[TOKENIZER]).to_str()
        return tokenization(backend, {}, files[CHAT_TEMPLATE].decode())


def as_transformers_reads(folder: Path) -> Tokenization:
    found = settings.tokenizer(folder)
    return tokenization(found.backend_tokenizer.to_str(), found.special_tokens_map, found.chat_template)


def tokenization(backend: str, special: Mapping[str, Any], template: Any) -> Tokenization:
    """Of a tokenizer of the library tokenizers as JSON."""
    parts = {name: part for name, part in json.loads(backend).items() if name not in PADDED}
    decoder = dict(flat({SAYING: parts.pop(SAYING, None)}))
    words = {"added token": {one["content"]: one["id"] for one in parts.pop("added_tokens")}}
    words |= {"word": parts["model"].pop("vocab", {})}
    return Tokenization(
        cuts=dict(flat(parts)) | named(words),
        beside=decoder | named({"special token": dict(special)}),
        template=lines(template),
    )


def named(words: Mapping[str, Any]) -> Fields:
    return {f"{kind} {name!r}": value for kind, values in words.items() for name, value in dict(values).items()}


def lines(template: Any) -> Fields:
    """A chat template line by line; several of them by name."""
    templates = template if isinstance(template, dict) else {"": template or ""}
    return {
        f"{name} line {i + 1}".strip(): line
        for name, text in templates.items()
        for i, line in enumerate(text.splitlines())
    }


def flat(fields: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Nested mappings as one, with dots in its names."""
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value
