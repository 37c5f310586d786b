"""What a folder is that transformers cannot read as it is, and the way to one that it can, in a sentence each."""

import re
from collections.abc import Iterable
from pathlib import Path

PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
# Patterns of files that name what wrote a folder, and what its user does; the first that matches is said.
WRITERS = (
    (
        ("model-*-of-*.safetensors",),
        "holds shards of weights ({0}) without model.safetensors.index.json, which says which tensor lies where: copy "
        "the index from where the model was saved",
    ),
    (
        ("latest_checkpointed_iteration.txt", "iter_*/common.pt", "common.pt", "*/mp_rank_*/model_optim_rng.pt"),
        "holds a checkpoint of Megatron ({0}): export it to the Hugging Face format with Megatron-Bridge "
        "(bridge.export_ckpt), and give that folder",
    ),
    (
        ("model_world_size_*_rank_*.pt", "actor/model_world_size_*_rank_*.pt", "*/actor/model_world_size_*_rank_*.pt"),
        "holds shards of verl ({0}): merge them with 'python -m verl.model_merger merge --backend fsdp --local_dir "
        "FOLDER --target_dir OUTPUT', and give OUTPUT",
    ),
    (
        ("*.distcp", "*/*.distcp", "*/.metadata", ".metadata"),
        "holds shards of torch.distributed.checkpoint, as FSDP saves them ({0}): merge them with 'accelerate "
        "merge-weights FOLDER OUTPUT', and give OUTPUT with the model's config.json and tokenizer beside it",
    ),
    (
        ("*zero_pp_rank*", "*/*zero_pp_rank*", "zero_to_fp32.py", "*/mp_rank_*_model_states.pt"),
        "holds the state of DeepSpeed ({0}): merge it with DeepSpeed's zero_to_fp32.py and '--safe_serialization', and "
        "give the folder that it writes",
    ),
    (
        ("*.gguf",),
        "holds GGUF files ({0}): name the file itself, or give the folder that it was made from",
    ),
    (
        ("*.nemo", "model_weights/*", "weights/common.pt", "*/model_weights"),
        "holds a checkpoint of NeMo or Megatron ({0}): export it to the Hugging Face format with NeMo's exporter "
        "(llm.export_ckpt, target 'hf'), and give that folder",
    ),
    (
        ("consolidated*.safetensors", "consolidated*.pth", "params.json"),
        "holds weights in the format of their publisher ({0}): convert them with the script of their family in "
        "transformers (convert_..._weights_to_hf.py), and give the folder that it writes",
    ),
    (
        ("weights.*.safetensors", "*.npz"),
        "holds weights in the format of MLX ({0}): give the folder that they were converted from",
    ),
    (
        ("*.onnx", "onnx/*.onnx", "openvino_model.xml", "tf_model.h5", "flax_model.msgpack", "*.engine"),
        "holds an export for another runtime ({0}): give the folder that it was made from",
    ),
    (
        ("adapter_model.*",),
        "holds an adapter's weights ({0}) without adapter_config.json: copy that file from where it was trained",
    ),
    (
        PICKLES,
        "has pickled weights ({0}), which can run code and are never opened: re-save it with save_pretrained, which "
        "writes safetensors",
    ),
    (
        ("*.safetensors",),
        "holds {0}, and no model.safetensors, which is what transformers reads: rename it",
    ),
)  # fmt: skip
# Wrappers that write their own name into every tensor's, and how to save without it.
WRAPPERS = {
    "_orig_mod": "torch.compile; save the model that was compiled (model._orig_mod)",
    "_fsdp_wrapped_module": "FSDP; save with accelerate's get_state_dict, or merge the shards",
    "_checkpoint_wrapped_module": "activation checkpointing; save the wrapped module",
    "_forward_module": "Fabric; save the module that it wraps",
}
LEADING = {
    "module.": "DistributedDataParallel or DeepSpeed; save model.module",
    "base_model.model.": "peft; call merge_and_unload() before saving",
    "pretrained_model.": "TRL's value head; save model.pretrained_model",
    "policy.": "a trainer's wrapper; save the policy alone",
    "actor.": "a trainer's wrapper; save the actor alone",
}
ADAPTED = re.compile(r"\.(base_layer|lora_[AB]|lora_magnitude_vector|modules_to_save)\.")
LISTED = 3
POINTER = b"version https://git-lfs.github.com/spec/"


def without_weights(folder: Path) -> str:
    """Why a folder has no weights that transformers reads."""
    said = what_is_there(folder)
    return (
        f"{folder} {said}."
        if said
        else f"{folder} has no model.safetensors: save the model there with save_pretrained."
    )


def what_is_there(folder: Path) -> str | None:
    """What a folder holds in place of weights that transformers reads, and the way to these; None for nothing known."""
    links = [path for path in sorted(folder.glob("*.safetensors*")) if path.is_symlink() and not path.exists()]
    if links:
        return (
            f"holds the link {links[0].name}, and not the file that it leads to ({links[0].readlink()}): copy the "
            "folder with its files ('cp -rL', 'rsync -L'), or download it again"
        )
    for patterns, said in WRITERS:
        names = [str(path.relative_to(folder)) for pattern in patterns for path in sorted(folder.glob(pattern))]
        if names:
            more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
            return said.format(", ".join(names[:LISTED]) + more)
    return None


def pointer(path: Path) -> str | None:
    """That a file is a pointer of Git LFS and not what it points to, in a sentence."""
    with path.open("rb") as file:
        if file.read(len(POINTER)) != POINTER:
            return None
    return (
        f"{path} is a pointer of Git LFS, and not the file that it stands for: run 'git lfs pull' in its repository, "
        "or download it with 'hf download'."
    )


def wrapped_names(folder: Path, names: Iterable[str]) -> str | None:
    """Why a model would be loaded without its weights: an adapter's state, or a wrapper's prefix in tensors' names."""
    listed = list(names)
    adapted = next((name for name in listed if ADAPTED.search(f".{name}")), None)
    if adapted is not None:
        return (
            f"{folder} holds the state of a model with an adapter that is not merged ({adapted}): call "
            "merge_and_unload() and save that, or save the adapter alone with the peft model's save_pretrained."
        )
    for wrapper, by in WRAPPERS.items():
        wrapped = next((name for name in listed if wrapper in name.split(".")), None)
        if wrapped is not None:
            return prefixed(folder, f"{wrapper}.", wrapped, by)
    for prefix, by in LEADING.items():
        if listed and all(name.startswith(prefix) for name in listed):
            return prefixed(folder, prefix, listed[0], by)
    return None


def prefixed(folder: Path, prefix: str, name: str, by: str) -> str:
    return (
        f"the tensors of {folder} have the prefix {prefix!r} ({name}), so that transformers finds none of them: it is "
        f"that of {by}, or rename the tensors."
    )
