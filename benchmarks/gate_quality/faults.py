"""What goes wrong with checkpoints, planted: each fault edits a copy of a folder by a dose, where a seed says.

Matrices are named as Llama and Qwen name them. Layers are 0-based.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from depthgauge.models.folder import CHAT_TEMPLATE, CONFIG, TOKENIZER, WEIGHTS
from depthgauge.models.settings import GENERATION

Tensors = dict[str, torch.Tensor]
Layers = tuple[int, ...]  # those at fault
FINAL_NORM = "model.norm.weight"


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """`plant(folder, dose, draw)` edits the folder and returns the layers at fault, or None where there are none.

    One that is `fixed` draws nothing: a second pair would be the first again.
    """

    name: str
    summary: str
    doses: tuple[float, ...]
    plant: Callable[[Path, float, np.random.Generator], Layers | None]
    files: bool = False  # seen without reading a weight
    fixed: bool = False


FAULTS: dict[str, Fault] = {}


def fault(summary: str, *doses: float, files: bool = False, fixed: bool = False) -> Callable[..., None]:
    """Register a function of a folder, a dose and a generator as a fault by its name."""

    def register(plant: Callable[[Path, float, np.random.Generator], Layers | None]) -> None:
        name = plant.__name__.replace("_", "-")
        FAULTS[name] = Fault(name=name, summary=summary, doses=doses or (1,), plant=plant, files=files, fixed=fixed)

    return register


# -- what a file is rewritten with ---


def edit_weights(folder: Path, edit: Callable[[Tensors], None]) -> None:
    tensors = load_file(folder / WEIGHTS)
    edit(tensors)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / WEIGHTS, {"format": "pt"})


def edit_json(path: Path, **fields: object) -> None:
    found = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(found | fields, indent=1))


def depth(folder: Path) -> int:
    return int(json.loads((folder / CONFIG).read_text())["num_hidden_layers"])


def a_layer(folder: Path, draw: np.random.Generator) -> int:
    return int(draw.integers(depth(folder)))


def of_layer(tensors: Tensors, layer: int, part: str = "") -> Tensors:
    return {name: one for name, one in tensors.items() if name.startswith(f"model.layers.{layer}.{part}")}


def noise_like(one: torch.Tensor, draw: np.random.Generator) -> torch.Tensor:
    drawn = torch.from_numpy(draw.standard_normal(one.shape).astype(np.float32))
    return (drawn * one.float().std()).to(one.dtype)


def matrices(tensors: Mapping[str, torch.Tensor]) -> list[torch.Tensor]:
    return [one for one in tensors.values() if one.ndim == 2]


# -- weights ---


@fault("noise on the matrices of one layer, in their standard deviations", 0.01, 0.03, 0.1, 0.3)
def noise_in_one_layer(folder: Path, dose: float, draw: np.random.Generator) -> Layers:
    layer = a_layer(folder, draw)

    def edit(tensors: Tensors) -> None:
        for one in matrices(of_layer(tensors, layer)):
            one += dose * noise_like(one, draw)

    edit_weights(folder, edit)
    return (layer,)


@fault("noise on every matrix, in its standard deviation", 0.01, 0.03, 0.1, 0.3)
def noise_in_all_layers(folder: Path, dose: float, draw: np.random.Generator) -> None:
    def edit(tensors: Tensors) -> None:
        for one in matrices(tensors):
            one += dose * noise_like(one, draw)

    edit_weights(folder, edit)


def scaled_part(folder: Path, draw: np.random.Generator, part: str, factor: float) -> Layers:
    layer = a_layer(folder, draw)

    def edit(tensors: Tensors) -> None:
        for one in of_layer(tensors, layer, part).values():
            one *= factor

    edit_weights(folder, edit)
    return (layer,)


@fault("the MLP of one layer shrunk by a share; 1 is zeroed", 0.03, 0.1, 0.3, 1)
def mlp_shrunk(folder: Path, dose: float, draw: np.random.Generator) -> Layers:
    return scaled_part(folder, draw, "mlp.down_proj", 1 - dose)


@fault("the attention of one layer shrunk by a share; 1 is zeroed", 0.03, 0.1, 0.3, 1)
def attention_shrunk(folder: Path, dose: float, draw: np.random.Generator) -> Layers:
    return scaled_part(folder, draw, "self_attn.o_proj", 1 - dose)


@fault("the norm before the MLP of one layer shrunk by a share; 1 is zeroed", 0.03, 0.1, 0.3, 1)
def norm_shrunk(folder: Path, dose: float, draw: np.random.Generator) -> Layers:
    return scaled_part(folder, draw, "post_attention_layernorm", 1 - dose)


@fault("a layer takes the place of another, so many below it", 1, 3, 9)
def layer_duplicated(folder: Path, dose: float, draw: np.random.Generator) -> Layers:
    layer = int(draw.integers(dose, depth(folder)))

    def edit(tensors: Tensors) -> None:
        for name, one in of_layer(tensors, layer).items():
            one.copy_(tensors[name.replace(f"layers.{layer}.", f"layers.{layer - int(dose)}.")])

    edit_weights(folder, edit)
    return (layer,)


@fault("two layers change places, so far apart", 1, 3, 9)
def layers_swapped(folder: Path, dose: float, draw: np.random.Generator) -> Layers:
    upper = int(draw.integers(dose, depth(folder)))
    lower = upper - int(dose)

    def edit(tensors: Tensors) -> None:
        for name in of_layer(tensors, upper):
            other = name.replace(f"layers.{upper}.", f"layers.{lower}.")
            tensors[name], tensors[other] = tensors[other].clone(), tensors[name].clone()

    edit_weights(folder, edit)
    return lower, upper


@fault("a layer adds nothing to the stream, as if it were dropped")
def layer_silenced(folder: Path, dose: float, draw: np.random.Generator) -> Layers:
    layer = a_layer(folder, draw)

    def edit(tensors: Tensors) -> None:
        for part in ("self_attn.o_proj", "mlp.down_proj"):
            for one in of_layer(tensors, layer, part).values():
                one.zero_()

    edit_weights(folder, edit)
    return (layer,)


@fault("so many heads of one layer write nothing", 1, 3)
def heads_zeroed(folder: Path, dose: float, draw: np.random.Generator) -> Layers:
    config, layer = json.loads((folder / CONFIG).read_text()), a_layer(folder, draw)
    heads = int(config["num_attention_heads"])

    def edit(tensors: Tensors) -> None:
        for one in of_layer(tensors, layer, "self_attn.o_proj").values():
            by_head = one.view(len(one), heads, -1)
            by_head[:, draw.permutation(heads)[: int(dose)]] = 0

    edit_weights(folder, edit)
    return (layer,)


@fault("weights rounded by row to so many bits", 8, 6, 4, 3, fixed=True)
def rounded_to_bits(folder: Path, dose: float, draw: np.random.Generator) -> None:
    most = 2 ** (int(dose) - 1) - 1

    def edit(tensors: Tensors) -> None:
        for one in matrices(tensors):
            step = one.abs().amax(dim=1, keepdim=True).clamp(min=1e-12) / most
            one.copy_((one / step).round() * step)

    edit_weights(folder, edit)


@fault("so many weights of one layer overflow to infinity", 1, 30)
def overflow(folder: Path, dose: float, draw: np.random.Generator) -> Layers:
    layer = a_layer(folder, draw)

    def edit(tensors: Tensors) -> None:
        down = next(iter(of_layer(tensors, layer, "mlp.down_proj").values()))
        down.view(-1)[: int(dose)] = float("inf")

    edit_weights(folder, edit)
    return (layer,)


@fault("logits multiplied by a factor, in the gain of the final norm", 1.03, 1.1, 1.3, 3, fixed=True)
def logits_scaled(folder: Path, dose: float, draw: np.random.Generator) -> None:
    def edit(tensors: Tensors) -> None:
        tensors[FINAL_NORM] *= dose

    edit_weights(folder, edit)


@fault("the embedding has moved by noise of a share, and the head that was tied to it has not", 0.1, 0.3, 1)
def head_untied_and_stale(folder: Path, dose: float, draw: np.random.Generator) -> None:
    def edit(tensors: Tensors) -> None:
        embedding = tensors["model.embed_tokens.weight"]
        tensors["lm_head.weight"] = embedding + dose * noise_like(embedding, draw)

    edit_weights(folder, edit)
    edit_json(folder / CONFIG, tie_word_embeddings=False)


# -- what lies beside the weights ---


@fault("another base of rotary positions, by a factor", 0.1, 10, files=True, fixed=True)
def rope_theta(folder: Path, dose: float, draw: np.random.Generator) -> None:
    config = json.loads((folder / CONFIG).read_text())
    rope = config.get("rope_parameters") or {"rope_theta": config.get("rope_theta", 1e4), "rope_type": "default"}
    edit_json(folder / CONFIG, rope_parameters=rope | {"rope_theta": rope["rope_theta"] * dose})


@fault("another epsilon of the norms", 1e-4, 1e-2, files=True, fixed=True)
def norm_epsilon(folder: Path, dose: float, draw: np.random.Generator) -> None:
    edit_json(folder / CONFIG, rms_norm_eps=dose)


@fault("a sliding window that was not there", 16, files=True, fixed=True)
def sliding_window(folder: Path, dose: float, draw: np.random.Generator) -> None:
    edit_json(folder / CONFIG, sliding_window=int(dose), use_sliding_window=True)


@fault("two words of the vocabulary change numbers: a sibling's tokenizer", files=True)
def sibling_tokenizer(folder: Path, dose: float, draw: np.random.Generator) -> None:
    found = json.loads((folder / TOKENIZER).read_text())
    words = found["model"]["vocab"]
    one, other = (str(name) for name in draw.choice(sorted(words), 2, replace=False))
    words[one], words[other] = words[other], words[one]
    (folder / TOKENIZER).write_text(json.dumps(found))


@fault("a merge is missing", files=True)
def merge_missing(folder: Path, dose: float, draw: np.random.Generator) -> None:
    found = json.loads((folder / TOKENIZER).read_text())
    del found["model"]["merges"][int(draw.integers(len(found["model"]["merges"])))]
    (folder / TOKENIZER).write_text(json.dumps(found))


@fault("the end of text is another token", files=True, fixed=True)
def special_token_shifted(folder: Path, dose: float, draw: np.random.Generator) -> None:
    eos = json.loads((folder / CONFIG).read_text()).get("eos_token_id") or 0
    edit_json(folder / GENERATION, eos_token_id=(eos if isinstance(eos, int) else eos[0]) + 1)


@fault("a chat template of another family", files=True, fixed=True)
def chat_template(folder: Path, dose: float, draw: np.random.Generator) -> None:
    (folder / CHAT_TEMPLATE).write_text("{% for m in messages %}### {{ m.role }}: {{ m.content }}{% endfor %}")


@fault("a repetition penalty that was not there", 1.03, 1.3, files=True, fixed=True)
def generation_poisoned(folder: Path, dose: float, draw: np.random.Generator) -> None:
    edit_json(folder / GENERATION, repetition_penalty=dose)


@fault("a tensor is left out, and would be drawn at random", files=True)
def tensor_left_out(folder: Path, dose: float, draw: np.random.Generator) -> Layers:
    layer = a_layer(folder, draw)

    def edit(tensors: Tensors) -> None:
        del tensors[f"model.layers.{layer}.mlp.up_proj.weight"]

    edit_weights(folder, edit)
    return (layer,)


@fault("the last layers are gone, so many", 1, files=True, fixed=True)
def layers_truncated(folder: Path, dose: float, draw: np.random.Generator) -> None:
    left = depth(folder) - int(dose)

    def edit(tensors: Tensors) -> None:
        for layer in range(left, left + int(dose)):
            for name in of_layer(tensors, layer):
                del tensors[name]

    edit_weights(folder, edit)
    config = json.loads((folder / CONFIG).read_text())
    kinds = {"layer_types": config["layer_types"][:left]} if config.get("layer_types") else {}
    edit_json(folder / CONFIG, num_hidden_layers=left, **kinds)
