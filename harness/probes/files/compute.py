"""What differs between two checkpoint folders as transformers reads them, each difference a text that names it.

Of the weights, headers alone. What re-saving may change without changing what is computed is no difference: which
fields are left out, how merges are written, which shard holds a tensor, in which dtype.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from depthgauge.models import settings
from depthgauge.models.folder import CONFIG, UNCOMPUTED, read_json, shapes
from depthgauge.models.settings import GENERATION
from depthgauge.models.tokenizer import flat, read_pair
from depthgauge.probes.files import QUANTIZED

# Kept in older folders, and read by nobody: they follow from the configuration.
BUFFERS = ("rotary_emb.inv_freq", "attn.bias", "attn.masked_bias", "attention.bias", "attention.masked_bias")
# Fields of a configuration that need no transformers to say that they are read; any other one is looked up.
READ_BY_MANY = (
    "rope_parameters", "rope_theta", "rope_scaling", "rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon",
    "sliding_window", "num_attention_heads", "num_key_value_heads", "head_dim", "hidden_act", "tie_word_embeddings",
)  # fmt: skip
HEADS = ("lm_head.weight", "embed_out.weight")  # where tied, the embeddings again
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
    mine, its = read_pair(new, old)
    return changed(mine.cuts | mine.beside, its.cuts | its.beside), changed(mine.template, its.template)


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


def changed(new: Mapping[str, Any], old: Mapping[str, Any]) -> list[str]:
    """Fields of other values, in the order of `old`; a field that is not there is None."""
    names = (name for name in dict.fromkeys((*old, *new)) if old.get(name) != new.get(name))
    return [f"{name}: {shown(old.get(name))} -> {shown(new.get(name))}" for name in names]


def shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
