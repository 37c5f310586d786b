"""A GGUF file as an ordinary checkpoint: its weights dequantised by transformers, under transformers' names and with
llama.cpp's permutations undone; its own configuration, tokenizer and chat template. Needs the extra [gguf].
"""

import json
import math
import re
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np

from depthgauge.core.errors import InvalidCheckpoint, StoreUnusable, UsageError
from depthgauge.models.files import CONFIG, read_json
from depthgauge.models.load import prepare_libraries, threads_for_bytes
from depthgauge.models.settings import readable, reason

SUFFIX = ".gguf"
MAGIC, VERSIONS = b"GGUF", (2, 3)
PLAIN = ("F64", "F32", "F16", "BF16", "I8", "I16", "I32", "I64")
FLOAT_BYTES, SPARE = 4, 1.1  # of what is written, in float32


def check_gguf(path: Path) -> Any:
    """The reader of a whole file of a version that is known. No tensor is read.

    Raises: InvalidCheckpoint if it is none, truncated, or a part of a split one; UsageError without the library.
    """
    with path.open("rb") as file:
        start = file.read(8)
    if start[:4] != MAGIC or len(start) < 8:
        raise InvalidCheckpoint(f"{path} is no GGUF file: it does not start with {MAGIC.decode()}.")
    (version,) = struct.unpack("<I", start[4:])
    if version not in VERSIONS:
        raise InvalidCheckpoint(
            f"{path} is a GGUF file of version {version}, and versions {' and '.join(map(str, VERSIONS))} are read: "
            "convert it with a llama.cpp of today, or update depthgauge."
        )
    try:
        from gguf import GGUFReader
    except ImportError as error:
        raise UsageError(f"{path} is a GGUF file: pip install 'depthgauge[gguf]' to compare it.") from error
    try:
        reader = GGUFReader(path)
        ends = [int(tensor.data_offset + tensor.n_bytes) for tensor in reader.tensors]
    except Exception as error:  # whatever a damaged header makes it raise
        raise InvalidCheckpoint(f"{path} is truncated or damaged ({reason(error)}): copy it again.") from error
    if not ends or max(ends) > path.stat().st_size:
        raise InvalidCheckpoint(f"{path} is truncated: copy it again.")
    check_whole(path, reader)
    return reader


def check_whole(path: Path, reader: Any) -> None:
    """Raises: InvalidCheckpoint for a file that is one of several, with those that are missing."""
    count = int(reader.fields["split.count"].contents()) if "split.count" in reader.fields else 1
    if count < 2:
        return
    stem = re.sub(r"-\d{5}-of-\d{5}$", "", path.stem)
    names = [f"{stem}-{part:05}-of-{count:05}{SUFFIX}" for part in range(1, count + 1)]
    missing = [name for name in names if not (path.parent / name).is_file()]
    lost = f"of which {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing, " if missing else ""
    raise InvalidCheckpoint(
        f"{path} is one of {count} parts of a split GGUF, {lost}and one file is read: join them with "
        f"llama-gguf-split --merge {names[0]} whole{SUFFIX}."
    )


def convert(path: Path, into: Path) -> None:
    """Write what a GGUF file holds as a folder in float32, with the type of each quantised weight in its configuration.

    Raises: InvalidCheckpoint if transformers cannot read it, or a weight is NaN or infinite; StoreUnusable where the
    disk has no room.
    """
    reader = check_gguf(path)
    needed = int(SPARE * FLOAT_BYTES * sum(math.prod(map(int, tensor.shape)) for tensor in reader.tensors))
    free = shutil.disk_usage(into).free
    if needed > free:
        raise StoreUnusable(
            f"{path} takes {needed / 2**30:.1f} GiB dequantised, and {free / 2**30:.1f} GiB are free below {into}: "
            "give another place with --store."
        )
    prepare_libraries(threads_for_bytes(needed))
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with readable(path):
        tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name, trust_remote_code=False)
        model, info = AutoModelForCausalLM.from_pretrained(
            path.parent, gguf_file=path.name, dtype=torch.float32, trust_remote_code=False, output_loading_info=True
        )
        lost = sorted(info["missing_keys"]) + sorted(str(key) for key in info["mismatched_keys"])
        if lost:
            raise InvalidCheckpoint(
                f"{path} has no usable weights for {lost[0]} ({len(lost)} in all): convert it anew."
            )
        broken = next((name for name, weight in model.named_parameters() if not weight.isfinite().all()), None)
        if broken is not None:
            raise InvalidCheckpoint(f"{path} has weights in {broken} that are NaN or infinite: convert it anew.")
        types = types_of(model, reader)
        model.hf_quantizer = None
        if hasattr(model.config, "quantization_config"):
            del model.config.quantization_config
        model.config.architectures = [type(model).__name__]
        model.save_pretrained(into)
        tokenizer.save_pretrained(into)
    config = shortened(read_json(into / CONFIG))
    if types:
        config["quantization_config"] = {"quant_method": "gguf", "types": types}
    (into / CONFIG).write_text(json.dumps(config, indent=2), encoding="utf-8")


def shortened(fields: dict[str, Any]) -> dict[str, Any]:
    """Numbers that a GGUF file keeps in float32 as they were written: 1e-06, and not 9.999999974752427e-07."""
    short: dict[str, Any] = {}
    for name, value in fields.items():
        if isinstance(value, float) and float(np.float32(value)) == value:
            short[name] = float(str(np.float32(value)))
        else:
            short[name] = shortened(value) if isinstance(value, dict) else value
    return short


def types_of(model: Any, reader: Any) -> dict[str, str]:
    """The type of every quantised parameter by its name. What is made of several tensors, as experts are, has no name
    of its own in the file, and counts as the type of the fewest bits.
    """
    from gguf import MODEL_ARCH_NAMES, get_tensor_name_map

    architecture = reader.fields["general.architecture"].contents()
    known = next(key for key, name in MODEL_ARCH_NAMES.items() if name == architecture)
    names = get_tensor_name_map(known, model.config.get_text_config().num_hidden_layers)
    kinds = {tensor.name: str(tensor.tensor_type.name) for tensor in reader.tensors}
    coarsest = min(kinds.values(), key=lambda kind: (kind in PLAIN, re.sub(r"\D", "", kind)))
    types = {}
    for name, parameter in model.named_parameters():
        module, dot, last = name.rpartition(".")
        mapped = names.get_name(module) if last in ("weight", "bias") else names.get_name(name)
        kind = kinds.get(f"{mapped}{dot}{last}", coarsest if parameter.dim() > 1 else "F32")
        if kind not in PLAIN:
            types[name] = kind
    return types
