"""What differs between two checkpoint folders as transformers reads them, each difference a text that names it.

Of the weights, headers alone. What re-saving may change without changing what is computed is no difference: which
fields are left out, how merges are written, which shard holds a tensor, in which dtype.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from depthgauge.models import settings
from depthgauge.models.files import CONFIG, read_json, shapes
from depthgauge.models.settings import GENERATION
from depthgauge.probes.files.probe import QUANTIZED
from depthgauge.sources.folder import UNCOMPUTED
from depthgauge.sources.tokenizer import flat, read_pair

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


def differences(candidate: Path, baseline: Path) -> dict[str, list[str]]:
    """The differences of `candidate` from `baseline`, by the part in which they lie.

    What the files say alone is not read by transformers: importing it takes longer than all the rest.
    """
    tokenizer, template = tokenizer_differences(candidate, baseline)
    return {
        "tensors": tensor_differences(candidate, baseline),
        "config": config_differences(candidate, baseline),
        "tokenizer": tokenizer,
        "chat template": template,
        "generation": generation_differences(candidate, baseline),
    }


def tensor_differences(candidate: Path, baseline: Path) -> list[str]:
    """Names that one folder has and the other has not, and shapes, of the tensors that a model reads."""
    if shapes(candidate) == shapes(baseline):
        return []
    mine, its = stored(candidate), stored(baseline)
    found = [f"{name} is missing" for name in its if name not in mine]
    found += [f"{name}: {its[name]} -> {mine[name]}" for name in its if name in mine and mine[name] != its[name]]
    return found + [f"{name} is new" for name in mine if name not in its]


def stored(folder: Path) -> dict[str, tuple[int, ...]]:
    found = {name: shape for name, (_, shape) in shapes(folder).items() if not name.endswith(BUFFERS)}
    heads = [name for name in found if name.endswith(HEADS)]
    if heads and getattr(settings.configuration(folder).get_text_config(), "tie_word_embeddings", False):
        return {name: shape for name, shape in found.items() if name not in heads}
    return found


def config_differences(candidate: Path, baseline: Path) -> list[str]:
    """Fields that say what is computed; where one folder leaves some out, with their defaults."""
    mine, its = (dict(flat(read_json(folder / CONFIG))) for folder in (candidate, baseline))
    other = {name.split(".")[0] for name in {*mine, *its} if mine.get(name) != its.get(name)}
    if mine.keys() != its.keys() or not other <= {*UNCOMPUTED, QUANTIZED, *READ_BY_MANY}:
        mine, its = (dict(flat(settings.fields_read(folder))) for folder in (candidate, baseline))
    return [] if mine == its else changed(computed(mine), computed(its))


def computed(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name.split(".")[0] not in (*UNCOMPUTED, QUANTIZED)}


def tokenizer_differences(candidate: Path, baseline: Path) -> tuple[list[str], list[str]]:
    """Of how texts are cut, and of the chat template."""
    mine, its = read_pair(candidate, baseline)
    return changed(mine.cuts | mine.beside, its.cuts | its.beside), changed(mine.template, its.template)


def generation_differences(candidate: Path, baseline: Path) -> list[str]:
    """Of how the models generate where they are not told: by a file, or else by the configuration."""
    mine, its = (
        dict(flat(read_json(path))) if path.is_file() else None
        for path in (candidate / GENERATION, baseline / GENERATION)
    )
    if mine is None or its is None or mine.keys() != its.keys():
        mine, its = (dict(flat(settings.generation(folder).to_dict())) for folder in (candidate, baseline))
    return changed(affecting(mine), affecting(its))


def affecting(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Those that change what is said."""
    return {name: one for name, one in fields.items() if name[0] != "_" and name.partition(".")[0] not in UNSAID}


def changed(candidate: Mapping[str, Any], baseline: Mapping[str, Any]) -> list[str]:
    """Fields of other values, in the order of `baseline`; a field that is not there is None."""
    names = (name for name in dict.fromkeys((*baseline, *candidate)) if baseline.get(name) != candidate.get(name))
    return [f"{name}: {shown(baseline.get(name))} -> {shown(candidate.get(name))}" for name in names]


def shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
