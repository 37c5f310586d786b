"""What a checkpoint's tokenizer does, and which does the same as another's: decided here alone.

Two folders are read as transformers reads them, and compared by what their tokenizers do, however it is written. Where
their files are the same, transformers is not asked: importing it takes longer than all the rest.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from depthgauge.core.errors import InvalidComparison
from depthgauge.models import settings
from depthgauge.models.files import TOKENIZER, VERSIONED, tokenizer_files
from depthgauge.sources.folder import model_type

LAST_USE = ("padding", "truncation")  # of a tokenizer file: what it was last used for
# Of a model in a tokenizer file: fields that do nothing where they are empty, false or left out.
EMPTY_IS_NONE = (
    "continuing_subword_prefix", "end_of_word_suffix", "dropout", "unk_token", "fuse_unk", "byte_fallback",
    "ignore_merges",
)  # fmt: skip
# Of a byte-level part: fields that change offsets alone, or nothing there.
NO_EFFECT = {
    "pre_tokenizer": ("trim_offsets",),
    "decoder": ("trim_offsets", "add_prefix_space", "use_regex"),
}
ADDED, WORD = "added token ", "word "  # before the content, in the names of fields
PROBE = "The QUICK brown fox's cafe\u0301, Größe 3.14:\n\tdef f(x):  return x**2  # 東京 🎉"
FLAGS = ("lstrip", "rstrip", "single_word", "normalized", "special")
SIDES = ("padding_side", "truncation_side", "clean_up_tokenization_spaces")
Fields = dict[str, Any]


class Tokenization(NamedTuple):
    """What a tokenizer does, as flat fields: how it cuts texts, what it does beside that (how tokens become text, on
    which side it pads), which tokens are special, and the lines of the chat templates by their names. `alone` is what
    tokenizer.json does without transformers, where that is something else: families make parts of it anew.
    """

    cuts: Fields
    beside: Fields
    special: Fields
    template: Fields
    alone: Fields


NOTHING = Tokenization({}, {}, {}, {}, {})  # of two that are the same


def read_pair(candidate: Path, baseline: Path) -> tuple[Tokenization, Tokenization]:
    """What the tokenizers of two folders do. Raises: InvalidCheckpoint where one cannot be read."""
    if model_type(candidate) == model_type(baseline) and contents(candidate) == contents(baseline):
        return NOTHING, NOTHING
    return as_transformers_reads(candidate), as_transformers_reads(baseline)


def same_tokenizer(candidate: Path, baseline: Path) -> bool:
    """Whether two folders cut every text into the same tokens, but for tokens that the candidate has added, as those of
    a chat: no text that is measured on holds them. Raises: as `read_pair`.
    """
    first, second = read_pair(candidate, baseline)
    added, before = added_tokens(first.cuts, second.cuts)
    kept = [
        {name: value for name, value in each.cuts.items() if name not in part}
        for each, part in ((first, added), (second, before))
    ]
    return kept[0] == kept[1]


def added_tokens(candidate: Fields, baseline: Fields) -> tuple[Fields, Fields]:
    """Of how two tokenizers cut texts, the fields of each that are about tokens which the candidate alone has added."""
    new = [name.removeprefix(ADDED) for name in candidate if name.startswith(ADDED) and name not in baseline]
    endings = tuple(f"{prefix}{token}" for token in new for prefix in (ADDED, f"of {ADDED}"))
    # A word that has become a token of its own keeps its number.
    known = {f"{WORD}{token}" for token in new if baseline.get(f"{WORD}{token}") == candidate[f"{ADDED}{token}"]}
    names = [name for name in {**baseline, **candidate} if name.endswith(endings) or name in known]
    added, before = ({name: each[name] for name in names if name in each} for each in (candidate, baseline))
    return added, before


def check_same_tokenizer(folder: Path, base: Path) -> None:
    """Raises: InvalidComparison if the two folders would cut a text into different tokens; as `read_pair`."""
    if not same_tokenizer(folder, base):
        raise InvalidComparison(
            f"{folder} has another tokenizer than its base {base}: scores by token cannot be compared; give the "
            "checkpoint the tokenizer of its base.",
            code="other-tokenizer",
        )


def contents(folder: Path) -> dict[str, bytes]:
    """What a tokenizer reads, by its place in the folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in tokenizer_files(folder)}


def as_transformers_reads(folder: Path) -> Tokenization:
    """Raises: InvalidCheckpoint if transformers cannot read it."""
    tokenizer = settings.tokenizer(folder)
    backend = getattr(tokenizer, "backend_tokenizer", None)
    cuts, decoder = parts_of(backend.to_str()) if backend is not None else (words(tokenizer.get_vocab()), {})
    sides = {name: getattr(tokenizer, name, None) for name in SIDES}
    special = {name: str(token) for name, token in tokenizer.special_tokens_map.items() if isinstance(token, str)}
    return Tokenization(
        cuts=cuts, beside=decoder | sides, special=special, template=lines(getattr(tokenizer, "chat_template", None)),
        alone={} if backend is None else read_alone(folder, backend),
    )  # fmt: skip


def read_alone(folder: Path, backend: Any) -> Fields:
    """Whether tokenizer.json cuts a probe text otherwise than transformers, `backend`, or makes another text of the
    same tokens: what does not go through transformers reads the file as it is. Special tokens at either end are left
    out.
    """
    path = next(iter(tokenizer_files(folder)), folder)
    if not (path.name == TOKENIZER or VERSIONED.fullmatch(path.name)):
        return {}
    from tokenizers import Tokenizer

    with settings.readable(folder):
        file = Tokenizer.from_file(str(path))
        for each in (file, backend):
            each.no_truncation()
            each.no_padding()
        cut, expected = (each.encode(PROBE, add_special_tokens=False) for each in (file, backend))
        text = file.decode(expected.ids)
        differences = {"cuts of tokenizer.json alone": cut.tokens} if cut.ids != expected.ids else {}
        return (
            differences
            if text == backend.decode(expected.ids)
            else differences | {"decoder of tokenizer.json alone": text}
        )


def parts_of(backend: str) -> tuple[Fields, Fields]:
    """Of a tokenizer of the library tokenizers as JSON: how it cuts texts, and how its tokens become text."""
    parts = {name: part for name, part in json.loads(backend).items() if name not in (*LAST_USE, "version")}
    added = parts.pop("added_tokens")
    model = {name: value for name, value in parts.pop("model").items() if value or name not in EMPTY_IS_NONE}
    vocabulary = model.pop("vocab", {})
    decoder = simple(parts.pop("decoder", None), "decoder")
    shaped = {name: simple(part, name) for name, part in parts.items()}
    known = {token["content"]: token["id"] for token in added}
    if isinstance(vocabulary, dict):
        vocabulary = {word: index for word, index in vocabulary.items() if word not in known}
        cuts = words(vocabulary)
    else:  # pieces with their scores, in the order of their ids
        cuts = {f"piece {index}": piece for index, piece in enumerate(vocabulary)}
    cuts |= {f"{ADDED}{content!r}": index for content, index in known.items()}
    for token in added:
        cuts |= {f"{flag} of {ADDED}{token['content']!r}": token[flag] for flag in FLAGS if token[flag]}
    merges = [tuple(merge) if isinstance(merge, list) else merge for merge in model.pop("merges", ())]
    cuts |= {"merges": merges, **dict(flat({**shaped, "model": model}))}
    return {name: value for name, value in cuts.items() if value is not None}, dict(flat({"decoder": decoder}))


def simple(part: Any, name: str) -> Any:
    """A part of a tokenizer in its shortest form: without what does nothing in it, and no sequence around one part."""
    if not isinstance(part, Mapping):
        return part
    kind = part.get("type")
    if kind == "Sequence":
        key = next(key for key, value in part.items() if isinstance(value, list))
        inner = [step for each in part[key] if (step := simple(each, name)) is not None]
        steps = [step for each in inner for step in each.get("steps", [each])]
        if len(steps) > 1:
            return {"steps": steps}
        return steps[0] if steps else None
    if kind == "TemplateProcessing" and not any("SpecialToken" in step for step in (*part["single"], *part["pair"])):
        return None  # it adds no token
    if kind == "ByteLevel":
        if name == "post_processor":
            return None  # it moves offsets, and no token
        return {key: value for key, value in part.items() if key not in NO_EFFECT.get(name, ())}
    return part


def words(vocabulary: Mapping[str, Any]) -> Fields:
    return {f"{WORD}{word!r}": index for word, index in vocabulary.items()}


def lines(template: Any) -> Fields:
    """A chat template line by line; several of them by name."""
    templates = dict(template) if isinstance(template, dict) else {"default": template or ""}
    return {
        f"{'' if name == 'default' else name} line {i + 1}".strip(): line
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
