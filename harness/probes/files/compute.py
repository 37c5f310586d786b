"""What differs between two checkpoint folders as transformers reads them, each difference a text that names it.

Of the weights, headers alone. What re-saving may change without changing what is computed is no difference: which
fields are left out, how merges are written, which shard holds a tensor, in which dtype.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from depthgauge.models import settings
from depthgauge.models.folder import CHAT_TEMPLATE, CONFIG, TOKENIZER, UNCOMPUTED, model_type, read_json, shapes
from depthgauge.models.settings import GENERATION
from depthgauge.probes.files import QUANTIZED

# Kept in older folders, and read by nobody: they follow from the configuration.
BUFFERS = ("rotary_emb.inv_freq", "attn.bias", "attn.masked_bias", "attention.bias", "attention.masked_bias")
# Fields of a configuration that need no transformers to say that they are read; any other one is looked up.
READ_BY_MANY = (
    "rope_parameters", "rope_theta", "rope_scaling", "rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon",
    "sliding_window", "num_attention_heads", "num_key_value_heads", "head_dim", "hidden_act", "tie_word_embeddings",
)  # fmt: skip
HEADS = ("lm_head.weight", "embed_out.weight")  # where tied, the embeddings again
OF_TOKENIZER = ("*token*", "*vocab*", "merges.txt", "*.model", "*.jinja")  # files
ALONE = {TOKENIZER, CHAT_TEMPLATE}  # files that say all where the others are the same
PADDED = ("padding", "truncation")  # of a tokenizer file: what it was last used for
# Settings of generation that change how fast it runs or what it returns beside the text, and not the text.
UNSAID = (
    "transformers_version", "use_cache", "cache_implementation", "cache_config", "max_cache_len", "output_attentions",
    "output_hidden_states", "output_scores", "output_logits", "return_dict_in_generate", "disable_compile",
    "compile_config", "low_memory", "prefill_chunk_size",
)  # fmt: skip
LONGEST = 60  # characters of a value that are shown


def differences(new: Path, old: Path) -> dict[str, list[str]]:
    """The differences of `new` from `old`, by the part in which they lie.

    What the files say alone is not read by transformers: importing it takes longer than all the rest.
    """
    tokenizer, template = tokenizer_differences(new, old)
    return {
        "tensors": tensor_differences(new, old),
        "config": config_differences(new, old),
        "tokenizer": tokenizer,
        "chat template": template,
        "generation": generation_differences(new, old),
    }


def tensor_differences(new: Path, old: Path) -> list[str]:
    """Names that one folder has and the other has not, and shapes, of the tensors that a model reads."""
    if shapes(new) == shapes(old):
        return []
    mine, its = stored(new), stored(old)
    found = [f"{name} is missing" for name in its if name not in mine]
    found += [f"{name}: {its[name]} -> {mine[name]}" for name in its if name in mine and mine[name] != its[name]]
    return found + [f"{name} is new" for name in mine if name not in its]


def stored(folder: Path) -> dict[str, tuple[int, ...]]:
    found = {name: shape for name, (_, shape) in shapes(folder).items() if not name.endswith(BUFFERS)}
    heads = [name for name in found if name.endswith(HEADS)]
    if heads and getattr(settings.configuration(folder).get_text_config(), "tie_word_embeddings", False):
        return {name: shape for name, shape in found.items() if name not in heads}
    return found


def config_differences(new: Path, old: Path) -> list[str]:
    """Fields that say what is computed; where one folder leaves some out, with their defaults."""
    mine, its = (dict(flat(read_json(folder / CONFIG))) for folder in (new, old))
    other = {name.split(".")[0] for name in {*mine, *its} if mine.get(name) != its.get(name)}
    if mine.keys() != its.keys() or not other <= {*UNCOMPUTED, QUANTIZED, *READ_BY_MANY}:
        mine, its = (dict(flat(settings.fields_read(folder))) for folder in (new, old))
    return [] if mine == its else changed(computed(mine), computed(its))


def computed(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name.split(".")[0] not in (*UNCOMPUTED, QUANTIZED)}


def tokenizer_differences(new: Path, old: Path) -> tuple[list[str], list[str]]:
    """Of how texts are cut, and of the chat template."""
    mine, its = files_of(new), files_of(old)
    other = {name for name in {*mine, *its} if mine.get(name) != its.get(name)}
    same_kind = model_type(new) == model_type(old)
    if same_kind and not other:
        return [], []
    if same_kind and other <= ALONE and mine.keys() & its.keys() >= ALONE:
        both = [from_files(files) for files in (mine, its)]
    else:
        both = [as_transformers_reads(folder) for folder in (new, old)]
    (cuts, template), (old_cuts, old_template) = both
    return changed(cuts, old_cuts), changed(template, old_template)


def files_of(folder: Path) -> dict[str, bytes]:
    """What a tokenizer reads, by its place in the folder."""
    found = {path for pattern in OF_TOKENIZER for path in folder.rglob(pattern) if path.is_file()}
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(found)}


def from_files(files: Mapping[str, bytes]) -> tuple[dict[str, Any], dict[str, Any]]:
    """By the two files that decide it alone, where all others are the same."""
    from tokenizers import Tokenizer

    return cut(Tokenizer.from_buffer(files[TOKENIZER]).to_str(), {}), lines(files[CHAT_TEMPLATE].decode())


def as_transformers_reads(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    found = settings.tokenizer(folder)
    return cut(found.backend_tokenizer.to_str(), found.special_tokens_map), lines(found.chat_template)


def cut(backend: str, special: Mapping[str, Any]) -> dict[str, Any]:
    """All that decides how a text is cut, and which tokens are special."""
    parts = json.loads(backend)
    words = {"added token": {one["content"]: one["id"] for one in parts.pop("added_tokens")}}
    words |= {"word": parts["model"].pop("vocab", {}), "special token": dict(special)}
    return dict(flat({name: part for name, part in parts.items() if name not in PADDED})) | {
        f"{kind} {name!r}": value for kind, named in words.items() for name, value in dict(named).items()
    }


def lines(template: Any) -> dict[str, Any]:
    """A chat template line by line; several of them by name."""
    templates = template if isinstance(template, dict) else {"": template or ""}
    return {
        f"{name} line {i + 1}".strip(): line
        for name, text in templates.items()
        for i, line in enumerate(text.splitlines())
    }


def generation_differences(new: Path, old: Path) -> list[str]:
    """Of how the models generate where they are not told: by a file, or else by the configuration."""
    mine, its = (
        dict(flat(read_json(path))) if path.is_file() else None for path in (new / GENERATION, old / GENERATION)
    )
    if mine is None or its is None or mine.keys() != its.keys():
        mine, its = (dict(flat(settings.generation(folder).to_dict())) for folder in (new, old))
    return changed(affecting(mine), affecting(its))


def affecting(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Those that change what is said."""
    return {name: one for name, one in fields.items() if name[0] != "_" and name.partition(".")[0] not in UNSAID}


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
