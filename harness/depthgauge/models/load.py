"""A checkpoint folder as a model and a tokenizer on a device."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from depthgauge.core.errors import InvalidCheckpoint, NotHere, NotTestable, UsageError
from depthgauge.formats.folder import plain_tensors
from depthgauge.formats.tensors import is_quantized, whole
from depthgauge.models import settings
from depthgauge.models.files import check_finite, read_config, shapes, weight_bytes

BYTES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}
STORED = {"F64": "float64", "F32": "float32", "BF16": "bfloat16", "F16": "float16"}
GIB = 2**30
KEPT = 2  # models in memory
THREADS = "DEPTHGAUGE_THREADS"  # in the environment of an executor's workers
SMALL_BYTES = 64 * 2**20
WORKING_SHARE = 1.2  # of the weights: what a forward pass on a few thousand tokens needs beside them


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """Where models run and in which precision; `dtype` 'auto' is each checkpoint's own. With `as_run` a quantised
    folder is run as it is stored, and not dequantised.
    """

    device: str = "cpu"
    dtype: str = "float32"
    device_map: str | None = None
    as_run: bool = False

    def dtype_of(self, folder: Path) -> str:
        return stored_dtype(folder) if self.dtype == "auto" else self.dtype


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
        raise UsageError("--device=cuda was asked for, but torch sees no GPU: choose cpu or auto.", code="no-gpu")
    return "cpu"


def check_dtype(name: str, device: str) -> str | None:
    """What is to be said of a dtype on a device, or None. Raises: UsageError for one that is not known."""
    if name not in ("auto", "float32", "bfloat16"):
        raise UsageError(f"unknown dtype {name!r}: choose float32, bfloat16, or auto for each checkpoint's own.")
    if name == "bfloat16" and device == "cpu" and lacks_bfloat16():
        return "this CPU has no instructions for bfloat16: its matrices are multiplied in float32, which is slower"
    return None


def lacks_bfloat16() -> bool:
    """Whether this CPU is known to have no instructions for bfloat16."""
    cpu = Path("/proc/cpuinfo")
    return cpu.is_file() and "bf16" not in cpu.read_text(encoding="utf-8")


NO_MODELS: list[str] = []  # why this process opens none


def forbid_models(why: str) -> None:
    """In a process that was forked, where torch would wait for threads that are not there."""
    NO_MODELS[:] = [why]


def prepare_libraries(threads: int) -> None:
    """Offline, quiet, and with a fixed number of threads: the same sums in the same order on every run.

    Raises: UsageError where models are forbidden.
    """
    if NO_MODELS:
        raise UsageError(NO_MODELS[0])
    # Threads that wait in a loop keep other processes, pytest-xdist's workers first, from the cores they wait for.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
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


def threads_for(folder: Path) -> int:
    """The cores that are this process's share of the machine: a worker of an executor is told, pytest-xdist's share it.

    One for a small model: its matrices are so short that threads would wait for each other longer than they compute.
    """
    return threads_for_bytes(weight_bytes(folder))


def threads_for_bytes(size: int) -> int:
    """As `threads_for`, for weights of this size."""
    if size < SMALL_BYTES:
        return 1
    if THREADS in os.environ:
        return int(os.environ[THREADS])
    return max(1, (os.cpu_count() or 1) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))


Kept = tuple[Path, Placement, tuple[int, ...]]
LOADED: dict[Kept, tuple[Any, Any]] = {}  # the last pair: what is compared next shares one with it


def load(folder: Path, placement: Placement = Placement()) -> tuple[Any, Any]:
    """The model and tokenizer as `read_model` makes them, kept until others are asked for: they must not be changed."""
    key = kept_as(folder, placement)
    if key not in LOADED:
        while len(LOADED) >= KEPT:  # before the next is read: three never lie in memory
            del LOADED[next(iter(LOADED))]
        LOADED[key] = read_model(folder, placement)
    return LOADED[key]


def kept_as(folder: Path, placement: Placement) -> Kept:
    """What a model is kept under: a folder that was written anew holds another one."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    return folder, placement, tuple(path.stat().st_mtime_ns for path in files)


def make_room(folders: tuple[Path, ...], placement: Placement) -> None:
    """Put aside the models of other folders."""
    wanted = {kept_as(folder, placement) for folder in folders}
    for key in [key for key in LOADED if key not in wanted]:
        del LOADED[key]


def read_model(folder: Path, placement: Placement) -> tuple[Any, Any]:
    """The model (evaluation mode, float32 unless the placement says otherwise) and tokenizer of a checked folder.

    Its generation_config.json is put aside: a repetition penalty there would change what is asked of it.

    Raises: InvalidCheckpoint if transformers cannot load it whole, or a weight is not finite.
    """
    import torch

    where: dict[str, Any] = {}
    if placement.device_map is not None:
        where["device_map"] = placement.device_map
    elif placement.device != "cpu":
        where["device_map"] = {"": placement.device}  # tensor by tensor: never a second copy
    where |= {"dtype": getattr(torch, placement.dtype_of(folder)), "output_loading_info": True}
    if is_quantized(folder):
        model, info = as_stored(folder, where) if placement.as_run else dequantized(folder, where)
    else:
        check_finite(folder)
        with settings.readable(folder):
            model, info = settings.auto_class(settings.configuration(folder)).from_pretrained(
                folder, use_safetensors=True, trust_remote_code=False, **where
            )
    lost = sorted(info["missing_keys"]) + sorted(str(key) for key in info["mismatched_keys"])
    if lost:
        raise InvalidCheckpoint(f"{folder} has no usable weights for {lost[0]} ({len(lost)} in all): save it again.")
    return prepared(model, folder, placement)


def prepared(model: Any, folder: Path, placement: Placement) -> tuple[Any, Any]:
    """A model that was loaded, as everybody is given it, and its tokenizer. Raises: NotTestable as `check_causal`."""
    from transformers import GenerationConfig

    # Said and not left to the environment, as the tokenizer's file keeps it: a copy has one fingerprint everywhere.
    tokenizer = settings.tokenizer(folder)
    check_causal(model, folder)
    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, bos_token_id=tokenizer.bos_token_id
    )
    if placement.device == "cpu" and lacks_bfloat16():
        multiply_in_float32(model)
    return model.eval(), tokenizer


def dequantized(folder: Path, where: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The plain model of a quantised folder, and what transformers says of its loading. It needs none of the libraries
    that quantised it.

    Raises: InvalidCheckpoint naming a tensor that holds NaN or infinity, or that cannot be read.
    """
    import torch

    weights = {}
    for name, tensor in plain_tensors(folder).items():
        weight = torch.from_numpy(whole(tensor))
        if not bool(weight.isfinite().all()):
            raise InvalidCheckpoint(
                f"{folder} has weights in {name} that are NaN or infinite: quantise it again.", code="not-finite"
            )
        weights[name] = weight.to(where["dtype"])
    config = settings.configuration(folder)
    for part in {id(part): part for part in (config, config.get_text_config())}.values():
        if hasattr(part, "quantization_config"):
            del part.quantization_config
    with settings.readable(folder):
        with torch.device("meta"):
            empty = settings.auto_class(config).from_config(config, trust_remote_code=False)
        # It takes the weights as they are, and makes no second copy.
        loaded: tuple[Any, dict[str, Any]] = type(empty).from_pretrained(
            None, config=empty.config, state_dict=weights, **where
        )
    return loaded


def as_stored(folder: Path, where: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The model of a quantised folder as transformers runs it: codes stay codes where it can, and activations are
    quantised where the folder says so.

    Raises: NotHere, with what the library says, where it cannot be loaded or run whole.
    """
    import torch
    from transformers import AutoModelForCausalLM

    try:
        model, info = AutoModelForCausalLM.from_pretrained(
            folder, use_safetensors=True, trust_remote_code=False, **where
        )
        lost = sorted(map(str, (*info["missing_keys"], *info["mismatched_keys"])))
        if lost:
            raise RuntimeError(f"no usable weights for {lost[0]}")
        with torch.inference_mode():
            model(input_ids=torch.zeros((1, 2), dtype=torch.long, device=model.device))
    except Exception as error:  # each library of a format has its own
        raise NotHere(
            f"{folder} cannot be run as it is stored in {str(where['dtype']).removeprefix('torch.')} "
            f"({settings.reason(error)}): leave out --as-run, choose --dtype=auto, or install what it asks for."
        ) from error
    return model, info


def multiply_in_float32(model: Any) -> None:
    """Let linear layers of bfloat16 widen their weights for each product: emulated, it takes several times as long.

    Sums are in float32 either way; what goes in and comes out stays bfloat16. A class, and not a method bound to each
    layer: a layer that refers to itself is freed late, and with it the model.
    """
    import torch

    class Widened(torch.nn.Linear):
        def forward(self, states: torch.Tensor) -> torch.Tensor:
            bias = None if self.bias is None else self.bias.float()
            return torch.nn.functional.linear(states.float(), self.weight.float(), bias).to(states.dtype)

    for module in model.modules():
        if type(module) is torch.nn.Linear and module.weight.dtype is torch.bfloat16:
            module.__class__ = Widened


def load_uncached(folder: Path, dtype: str = "float32") -> tuple[Any, Any]:
    """A model and tokenizer of one's own, to train or to change: those of `load` are shared, and must not."""
    LOADED.clear()
    return read_model(folder, Placement(dtype=dtype))


def sizes_by_dtype(folder: Path) -> dict[str, int]:
    """How many numbers the weights hold, by the dtype they are stored in, or computed in; from the headers alone."""
    sizes: dict[str, int] = {}
    weights = plain_tensors(folder).values() if is_quantized(folder) else ()
    for dtype, shape in [(tensor.dtype, tensor.shape) for tensor in weights] or shapes(folder).values():
        sizes[dtype] = sizes.get(dtype, 0) + math.prod(shape)
    return sizes


def stored_dtype(folder: Path) -> str:
    """The dtype that a configuration names, or else that most weights are stored in; float32 for any other."""
    config = read_config(folder)
    named = str(config.get("dtype") or config.get("torch_dtype") or "").removeprefix("torch.")
    if named in BYTES:
        return named
    sizes = sizes_by_dtype(folder)
    return STORED.get(max(sizes, key=lambda dtype: sizes[dtype]), "float32")


def needed_bytes(folder: Path, placement: Placement) -> int:
    """What a model's weights take in memory; what is stored as integers stays as it is."""
    as_floats = BYTES[placement.dtype_of(folder)]
    return sum(count * (as_floats if dtype in STORED else 1) for dtype, count in sizes_by_dtype(folder).items())


def fits(folders: tuple[Path, ...], placement: Placement) -> bool:
    """Whether what memory is free has room for those of these models that are not loaded yet."""
    if placement.device_map is not None:
        return True  # accelerate spreads them, over disks too
    missing = [folder for folder in dict.fromkeys(folders) if kept_as(folder, placement) not in LOADED]
    needed = sum(needed_bytes(folder, placement) for folder in missing)
    return needed * WORKING_SHARE <= free_bytes(placement.device)


def free_bytes(device: str) -> int:
    if device != "cpu":
        import torch

        unused = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()  # kept by torch for its next tensors
        return int(torch.cuda.mem_get_info()[0]) + unused
    import psutil

    return int(psutil.virtual_memory().available)


def check_causal(model: Any, folder: Path) -> None:
    """Raises: NotTestable if what comes later changes what came before, as in an encoder."""
    import torch

    ids = torch.tensor([[0, 1, 2], [0, 1, 0]], device=model.device) % model.config.get_text_config().vocab_size
    with torch.inference_mode():
        logits = model.eval()(input_ids=ids).logits[:, 0]
    if not torch.equal(logits[0], logits[1]) and bool(logits.isfinite().all()):
        raise NotTestable(
            f"{folder} is a {type(model).__name__} whose tokens see those after them, as an encoder's do: what is "
            "measured here is defined for causal language models.",
            code="not-causal",
        )


def context_length(model: Any) -> int:
    """How many tokens a model takes at most."""
    config = model.config.get_text_config()
    return int(getattr(config, "max_position_embeddings", None) or 2**31)


def vocabulary_size(model: Any) -> int:
    """How many tokens a model can say, and so the first token id that it does not know."""
    return int(model.get_output_embeddings().weight.shape[0])


def layers_and_heads(model: Any) -> tuple[int, int]:
    """How many layers a model has, and how many query heads in each. Raises: NotTestable for one without attention."""
    config = model.config.get_text_config()
    heads = getattr(config, "num_attention_heads", None)
    if not isinstance(heads, int):
        raise NotTestable(f"{type(model).__name__} has no attention heads, and this is asked of them.")
    return config.num_hidden_layers, heads
