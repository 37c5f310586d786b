"""What differs between two checkpoint folders as transformers reads them, each difference a text that names it.

Of the weights, headers alone. What re-saving may change without changing what is computed is no difference: which
fields are left out, how merges are written, which shard holds a tensor, in which dtype.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from depthgauge.models import settings
from depthgauge.models.folder import UNCOMPUTED, shapes
from depthgauge.probes.files import QUANTIZED

# Kept in older folders, and read by nobody: they follow from the configuration.
BUFFERS = ("rotary_emb.inv_freq", "attn.bias", "attn.masked_bias", "attention.bias", "attention.masked_bias")
HEADS = ("lm_head.weight", "embed_out.weight")  # where tied, the embeddings again
PADDED = ("padding", "truncation")  # of a tokenizer file: what it was last used for
# Settings of generation that change how fast it runs or what it returns beside the text, and not the text.
UNSAID = (
    "transformers_version", "use_cache", "cache_implementation", "cache_config", "max_cache_len", "output_attentions",
    "output_hidden_states", "output_scores", "output_logits", "return_dict_in_generate", "disable_compile",
    "compile_config", "low_memory", "prefill_chunk_size",
)  # fmt: skip
LONGEST = 60  # characters of a value that are shown


def differences(new: Path, old: Path) -> dict[str, list[str]]:
    """The differences of `new` from `old`, by the part in which they lie."""
    mine, its = settings.tokenizer(new), settings.tokenizer(old)
    return {
        "tensors": tensor_differences(new, old),
        "config": changed(computed(new), computed(old)),
        "tokenizer": changed(cut(mine), cut(its)),
        "chat template": changed(said(mine.chat_template), said(its.chat_template)),
        "generation": changed(generated(new), generated(old)),
    }


def tensor_differences(new: Path, old: Path) -> list[str]:
    """Names that one folder has and the other has not, and shapes."""
    mine, its = stored(new), stored(old)
    found = [f"{name} is missing" for name in its if name not in mine]
    found += [f"{name}: {its[name]} -> {mine[name]}" for name in its if name in mine and mine[name] != its[name]]
    return found + [f"{name} is new" for name in mine if name not in its]


def stored(folder: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of the tensors that a model reads."""
    tied = getattr(settings.configuration(folder).get_text_config(), "tie_word_embeddings", False)
    unread = BUFFERS + (HEADS if tied else ())
    return {name: shape for name, (_, shape) in shapes(folder).items() if not name.endswith(unread)}


def computed(folder: Path) -> dict[str, Any]:
    """Every field of the configuration that says what is computed, with the defaults of those that were left out."""
    fields = dict(flat(settings.configuration(folder).to_dict()))
    return {name: value for name, value in fields.items() if name.split(".")[0] not in (*UNCOMPUTED, QUANTIZED)}


def cut(tokenizer: Any) -> dict[str, Any]:
    """All that decides how a text is cut, and which tokens are special."""
    parts = json.loads(tokenizer.backend_tokenizer.to_str())
    words = {"added token": {one["content"]: one["id"] for one in parts.pop("added_tokens")}}
    words |= {"word": parts["model"].pop("vocab", {}), "special token": tokenizer.special_tokens_map}
    return dict(flat({name: part for name, part in parts.items() if name not in PADDED})) | {
        f"{kind} {name!r}": value for kind, named in words.items() for name, value in dict(named).items()
    }


def said(template: Any) -> dict[str, Any]:
    """A chat template line by line; several of them by name."""
    templates = template if isinstance(template, dict) else {"": template or ""}
    return {
        f"{name} line {i + 1}".strip(): line
        for name, text in templates.items()
        for i, line in enumerate(text.splitlines())
    }


def generated(folder: Path) -> dict[str, Any]:
    """How the model generates where it is not told."""
    fields = flat(settings.generation(folder).to_dict())
    return {name: value for name, value in fields if not name.startswith("_") and name.partition(".")[0] not in UNSAID}


def flat(fields: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Nested mappings as one, with dots in its names."""
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def changed(new: Mapping[str, Any], old: Mapping[str, Any]) -> list[str]:
    """Fields of other values, in the order of `old`; a field that is not there is None."""
    names = (name for name in dict.fromkeys((*old, *new)) if old.get(name) != new.get(name))
    return [f"{name}: {shown(old.get(name))} -> {shown(new.get(name))}" for name in names]


def shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
