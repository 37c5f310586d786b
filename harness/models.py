"""The only door to transformers: checks a checkpoint folder, names it by its content, loads it.

Checking and fingerprinting read files only and import no torch.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from harness.errors import InvalidCheckpoint, InvalidComparison, NotTestable, UsageError
from harness.store import sha256

WEIGHTS, INDEX, TOKENIZER = "model.safetensors", "model.safetensors.index.json", "tokenizer.json"
ATTENTION = "depthgauge"  # the name under which transformers knows an attention of ours
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


def check_folder(folder: Path) -> None:
    """Refuse what is not a whole checkpoint made of data alone, before anything is loaded or trained.

    Raises: UsageError if there is no such folder or it holds no config.json; InvalidCheckpoint if its weights are
    pickled, truncated or missing a shard, or it asks for code of its own.
    """
    if not folder.is_dir():
        raise UsageError(f"there is no checkpoint folder {folder}: give the folder that holds config.json.")
    if not (folder / "config.json").is_file():
        raise UsageError(f"{folder} is not a checkpoint: it holds no config.json; save the model there first.")
    config = read_json(folder / "config.json")
    tokenizer_config = folder / "tokenizer_config.json"
    if "auto_map" in config or (tokenizer_config.is_file() and "auto_map" in read_json(tokenizer_config)):
        raise InvalidCheckpoint(
            f"{folder} asks for remote code (auto_map), which is never run: re-save it with an architecture that "
            "transformers ships."
        )
    if (folder / "adapter_config.json").is_file():
        raise InvalidCheckpoint(
            f"{folder} holds an adapter (adapter_config.json), which would change the weights unseen: merge it, and "
            "save the whole model."
        )
    if not (folder / TOKENIZER).is_file():
        raise InvalidCheckpoint(f"{folder} has no {TOKENIZER}: save the tokenizer beside the model.")
    for shard in weight_files(folder):
        check_safetensors(shard)


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a checkpoint, in the order of their names."""
    if (folder / INDEX).is_file():
        shards = read_json(folder / INDEX).get("weight_map", {})
        names = sorted(set(shards.values())) if isinstance(shards, dict) else []
        missing = [name for name in names if not (folder / name).is_file()]
        if missing or not names:
            lost = ", ".join(missing) or "all shards"
            raise InvalidCheckpoint(f"{folder} is missing {lost}, named in {INDEX}: copy the folder again.")
        return [folder / name for name in names]
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    pickled = sorted(path.name for pattern in PICKLES for path in folder.glob(pattern))
    if pickled:
        raise InvalidCheckpoint(
            f"{folder} has pickled weights ({pickled[0]}), which can run code and are never opened: re-save it with "
            "save_pretrained, which writes safetensors."
        )
    raise InvalidCheckpoint(f"{folder} has no {WEIGHTS}: save the model there with save_pretrained.")


def check_safetensors(path: Path) -> None:
    """Raises: InvalidCheckpoint if the file is shorter than its own header says, or has no readable header."""
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 0 < length <= size - 8:
                raise ValueError
            header = json.loads(file.read(length))
            expected = 8 + length + max(v["data_offsets"][1] for k, v in header.items() if k != "__metadata__")
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise InvalidCheckpoint(f"{path} is not a readable safetensors file: copy it again.") from error
    if size != expected:
        raise InvalidCheckpoint(f"{path} is truncated ({size} of {expected} bytes): copy it again.")


def read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidCheckpoint(f"{path} is not readable JSON: copy it again.") from error
    if not isinstance(value, dict):
        raise InvalidCheckpoint(f"{path} must hold a JSON object, got {type(value).__name__}: copy it again.")
    return value


def fingerprint(folder: Path) -> str:
    """A 16-digit hash of the weights, the configuration, the tokenizer and the chat template of a checkpoint."""
    beside = ("config.json", TOKENIZER, "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")
    hashed = hashlib.sha256()
    for path in [*weight_files(folder), *(folder / name for name in beside)]:
        if path.is_file():
            hashed.update(f"{path.name}:{sha256(path)}\n".encode())
    return hashed.hexdigest()[:16]


def check_same_tokenizer(folder: Path, base: Path) -> None:
    """Raises: InvalidComparison if the two folders would cut a text into different tokens."""

    def vocabulary(path: Path) -> dict[str, Any]:
        tokenizer = read_json(path / TOKENIZER)
        parts = ("model", "pre_tokenizer", "normalizer", "post_processor", "added_tokens")
        found = {part: tokenizer.get(part) for part in parts}
        # Merges are written as pairs or as one text, depending on the version that wrote them.
        merges = (found["model"] or {}).get("merges") or []
        return (
            found
            | {"merges": [m if isinstance(m, str) else " ".join(m) for m in merges]}
            | {"model": {key: value for key, value in (found["model"] or {}).items() if key != "merges"}}
        )

    if vocabulary(folder) != vocabulary(base):
        raise InvalidComparison(
            f"{folder} has another tokenizer than its base {base}: scores by token cannot be compared; give the "
            "checkpoint the tokenizer of its base."
        )


def choose_device(name: str, *, look: bool = True) -> str:
    """'cpu' or 'cuda' for the option --device ('auto' takes the GPU where there is one; 'cpu' without a `look`).

    Raises: UsageError for any other name, or for a GPU that is not there.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise UsageError(f"unknown device {name!r}: choose auto, cpu or cuda.")
    if name == "cpu" or not look or (name == "auto" and not Path("/dev/nvidiactl").exists()):
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if name == "cuda":
        raise UsageError("--device=cuda was asked for, but torch sees no GPU: choose cpu or auto.")
    return "cpu"


def prepare_libraries(threads: int) -> None:
    """Offline, quiet, and with a fixed number of threads: the same sums in the same order on every run."""
    os.environ.update(
        HF_HUB_OFFLINE="1",
        HF_DATASETS_OFFLINE="1",
        HF_HUB_DISABLE_TELEMETRY="1",
        TOKENIZERS_PARALLELISM="false",
        TRL_EXPERIMENTAL_SILENCE="1",
        DISABLE_MULTIPROC="1",
    )
    import torch
    import transformers

    torch.set_num_threads(threads)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()


@lru_cache(maxsize=2)
def load(folder: Path, device: str) -> tuple[Any, Any]:
    """The model (float32, evaluation mode) and tokenizer of a checked folder.

    Its generation_config.json is put aside: a repetition penalty there would change what is asked of it.

    Raises: InvalidCheckpoint if transformers cannot load it whole, or a weight is not finite.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

    check_finite(folder)

    try:
        model, info = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, use_safetensors=True, trust_remote_code=False, output_loading_info=True
        )
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # whatever transformers, tokenizers and safetensors raise, the folder is at fault
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InvalidCheckpoint(f"{folder} cannot be loaded: {first}") from error
    lost = sorted(info["missing_keys"]) + sorted(str(key) for key in info["mismatched_keys"])
    if lost:
        raise InvalidCheckpoint(f"{folder} has no usable weights for {lost[0]} ({len(lost)} in all): save it again.")
    check_causal(model, folder)
    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, bos_token_id=tokenizer.bos_token_id
    )
    return model.to(device).eval(), tokenizer


def check_causal(model: Any, folder: Path) -> None:
    """Raises: NotTestable if what comes later changes what came before, as in an encoder."""
    import torch

    ids = torch.tensor([[0, 1, 2], [0, 1, 0]]) % model.config.get_text_config().vocab_size
    with torch.inference_mode():
        logits = model.eval()(input_ids=ids).logits[:, 0]
    if not torch.equal(logits[0], logits[1]) and bool(logits.isfinite().all()):
        raise NotTestable(
            f"{folder} is a {type(model).__name__} whose tokens see those after them, as an encoder's do: what is "
            "measured here is defined for causal language models."
        )


def check_finite(folder: Path) -> None:
    """Read every tensor once. Raises: InvalidCheckpoint naming the first that holds NaN or infinity."""
    from safetensors import safe_open

    for shard in weight_files(folder):
        with safe_open(shard, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118  not a dict
                bad = int((~tensors.get_tensor(name).isfinite()).sum())
                if bad:
                    raise InvalidCheckpoint(
                        f"{folder} has {bad} weights in {name} that are NaN or infinite: train it again, or save it in "
                        "float32."
                    )


@contextmanager
def attention_computed_by(model: Any, attend: Callable[..., Any], *, masked: bool) -> Iterator[None]:
    """Within it, every attention of `model` is `attend(module, query, key, value, mask, scaling=, **kwargs)`.

    `query` has shape (batch, heads, queries, head dim); `key` and `value` (batch, key-value heads, keys, head dim),
    with positions already rotated in. `attend` returns the heads' outputs, (batch, queries, heads, head dim), and the
    weights or None. The mask is additive and includes sliding windows; None unless `masked`.

    A model that computes its attention without transformers' interface never calls `attend`.
    """
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import eager_mask

    before = model.config._attn_implementation
    AttentionInterface.register(ATTENTION, attend)
    if masked:
        AttentionMaskInterface.register(ATTENTION, eager_mask)
    try:
        model.set_attn_implementation(ATTENTION)
        yield
    finally:
        model.set_attn_implementation(before)
        AttentionInterface._global_mapping.pop(ATTENTION, None)
        AttentionMaskInterface._global_mapping.pop(ATTENTION, None)


def context_length(model: Any) -> int:
    """How many tokens a model takes at most."""
    config = model.config.get_text_config()
    return int(getattr(config, "max_position_embeddings", None) or 2**31)


def vocabulary_size(model: Any) -> int:
    """How many tokens a model can say, and so the first token id that it does not know."""
    return int(model.get_output_embeddings().weight.shape[0])


def layers_and_heads(model: Any) -> tuple[int, int]:
    """How many layers a model has, and how many query heads in each."""
    config = model.config.get_text_config()
    return config.num_hidden_layers, config.num_attention_heads
