"""The experiment: `python -m benchmarks.dither [--seeds 5]`. A baseline that is done is a line of results.jsonl beside
this file, so that the command goes on where it was stopped. `--raw FILE` keeps every number besides.
"""

import argparse
import json
import time
from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.dither.baselines import FAMILIES, HEADS, LAYERS, corpus, evaluated, trained
from benchmarks.dither.dithers import DITHERS
from benchmarks.dither.quantisers import QUANTISERS, Quantised
from depthgauge.core.errors import NotTestable
from depthgauge.core.registry import CORRUPTIONS, load_entry_points
from depthgauge.corruptions.draws import Draws
from depthgauge.models.load import prepare_libraries
from depthgauge.probes.twins.compute import Errors, Original
from depthgauge.stats.twins import beside_twins

RESULTS = Path(__file__).with_name("results.jsonl")
TWINS = 10
FAULTS: Mapping[str, tuple[float, ...]] = {
    "zero_mlp": (0.3, 1), "zero_attention": (0.3, 1), "zero_heads": (1,), "shrink_mlp_norm": (0.1, 0.3, 1),
    "swap_layers": (1,),
}  # fmt: skip
NOT_QUANTISED = ("embed", "wte", "wpe", "lm_head", "router", "gate.weight")
Weights = dict[str, NDArray[np.float32]]


class InMemory:
    """The parameters of a model as corruptions read them."""

    def __init__(self, weights: Mapping[str, Any]) -> None:
        self.weights = weights
        self.shapes = {name: tuple(weight.shape) for name, weight in weights.items()}

    def read(self, name: str) -> Any:
        return self.weights[name].clone()


def quantisable(model: Any) -> list[str]:
    """The matrices of the layers."""
    return [
        name for name, one in model.named_parameters()
        if one.ndim > 1 and not name.endswith(NOT_QUANTISED) and not any(part in name for part in NOT_QUANTISED[:4])
        and "conv.conv" not in name and "mlp.gate.weight" not in name
    ]  # fmt: skip


def by_rows(model: Any, name: str) -> NDArray[np.float32]:
    """A matrix with what it reads along its columns, those of experts below each other; GPT-2 stores it transposed."""
    array: NDArray[np.float32] = dict(model.named_parameters())[name].detach().numpy()
    return array.T if model.config.model_type == "gpt2" else array.reshape(-1, array.shape[-1])


def put(model: Any, name: str, rows: NDArray[np.float32]) -> None:
    import torch

    parameter = dict(model.named_parameters())[name]
    array = rows.T if model.config.model_type == "gpt2" else rows
    parameter.data.copy_(torch.from_numpy(np.ascontiguousarray(array)).reshape(parameter.shape))


def hessians(model: Any, texts: list[list[int]]) -> dict[str, NDArray[np.float64]]:
    """X'X of what each module with a matrix reads; experts, which are no modules, have none."""
    import torch

    found: dict[str, Any] = {}
    hooks = []
    for name, module in model.named_modules():
        weight = getattr(module, "weight", None)
        if isinstance(weight, torch.Tensor) and weight.ndim == 2 and not isinstance(module, torch.nn.Embedding):

            def see(_: Any, inputs: Any, name: str = name) -> None:
                x = inputs[0].reshape(-1, inputs[0].shape[-1]).double()
                found[f"{name}.weight"] = found.get(f"{name}.weight", 0) + x.T @ x

            hooks.append(module.register_forward_pre_hook(see))
    with torch.inference_mode():
        for ids in texts:
            model(input_ids=torch.tensor([ids]), use_cache=False)
    for hook in hooks:
        hook.remove()
    return {name: matrix.numpy() for name, matrix in found.items()}


def as_columns(errors: Errors) -> list[float]:
    """Jumps by layer, heads, and the root of the divergence; heads that layers do not have are left out."""
    heads = errors.heads[np.isfinite(errors.heads)]
    return [float(f"{x:.5g}") for x in (*errors.jumps, *heads, np.sqrt(errors.divergence))]


def twins_of(model: Any, originals: Weights, quantised: Mapping[str, Quantised], dither: str) -> Iterator[Any]:
    for seed in range(TWINS):
        for place, (name, one) in enumerate(quantised.items()):
            below, part = one.levels.between(originals[name])
            drawn = np.random.default_rng([seed, place]).random(part.shape, np.float32)
            put(model, name, one.levels.at(below + DITHERS[dither](part, drawn)))
        yield model


def faults_of(candidate: Any, seed: int) -> Iterator[tuple[str, float, list[int], dict[str, Any]]]:
    """Name, dose, layers and the changed tensors of each fault, planted in what is stored of the candidate."""
    config = candidate.config.to_dict()
    source = InMemory(candidate.state_dict())
    depth, rng = int(candidate.config.num_hidden_layers), np.random.default_rng(seed)
    for name, doses in FAULTS.items():
        layer = int(rng.integers(1, depth))
        if candidate.config.model_type == "lfm2" and name in ("zero_attention", "zero_heads"):
            layer = int(rng.choice([1, 3]))
        distance = 2 if candidate.config.model_type == "lfm2" else 1
        for dose in doses:
            size = distance if name == "swap_layers" else dose
            layers = [layer]
            if name == "swap_layers":
                layers = sorted((layer, layer - distance if layer >= distance else layer + distance))
            try:
                changed = dict(CORRUPTIONS[name].apply(source, config, Draws(seed), size, (layer,)))
            except NotTestable as error:
                print(f"  {name}: {error}", flush=True)
                continue
            yield name, dose, layers, changed


def one_baseline(family: str, seed: int, codes: list[int], dithers: list[str]) -> dict[str, Any]:
    began = time.perf_counter()
    model = trained(family, seed, codes)
    took = time.perf_counter() - began
    texts = evaluated()
    original = Original(model, texts, HEADS)
    names = quantisable(model)
    weights: Weights = {name: by_rows(model, name).copy() for name in names}
    read = hessians(model, [codes[start : start + 64] for start in range(0, 64 * 64, 64)])
    nats = -np.mean([float(b.log_probabilities[:, :-1].gather(2, b.ids[:, 1:, None]).mean()) for b in original.batches])
    line: dict[str, Any] = {"family": family, "seed": seed, "nats": round(float(nats), 3), "train_s": round(took, 1),
                            "quantisers": {}}  # fmt: skip
    copy = deepcopy(model)
    layers_with_heads = sorted(original.outputs)
    line["heads"] = layers_with_heads
    for quantiser, quantise in QUANTISERS.items():
        quantised = {name: quantise(weights[name], read.get(name)) for name in names}
        candidate = deepcopy(model)
        for name, one in quantised.items():
            put(candidate, name, one.weight)
        found: dict[str, Any] = {"candidate": as_columns(original.errors(candidate)), "twins": {}, "faults": []}
        for dither in dithers:
            twins = twins_of(copy, weights, quantised, dither)
            found["twins"][dither] = [as_columns(original.errors(one)) for one in twins]
        for fault, dose, layers, changed in faults_of(candidate, 100 * seed + len(line["quantisers"])):
            broken = deepcopy(candidate)
            state = broken.state_dict()
            for name, tensor in changed.items():
                state[name].copy_(tensor)
            entry = {"fault": fault, "dose": dose, "layers": layers, "errors": as_columns(original.errors(broken))}
            if fault == "swap_layers":  # its grid is of the other layer
                there = dict(zip(layers, reversed(layers), strict=True))
                moved = {
                    name: quantised[name.replace(f".{layer}.", f".{there[layer]}.", 1)]
                    for layer in layers for name in names if f".{layer}." in name
                }  # fmt: skip
                own = {**quantised, **moved}
                entry["twins"] = {
                    dither: [as_columns(original.errors(one)) for one in twins_of(copy, weights, own, dither)]
                    for dither in dithers
                }
            found["faults"].append(entry)
        line["quantisers"][quantiser] = found
    line["seconds"] = round(time.perf_counter() - began, 1)
    return line


def judged(line: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of a baseline: where its candidates stand among their twins, as [largest ratio, low end, high end,
    layer].
    """
    columns = column_layers(line["heads"])

    def stands(errors: list[float], twins: list[list[float]]) -> list[float]:
        found = beside_twins(np.array(errors), np.array(twins), columns, estimand="error")
        ends = (round(value, 3) for value in (found.point, found.low, found.high))
        return [*ends, int(found.where.split(",")[0])]

    by_quantiser = {
        quantiser: {
            dither: {"candidate": stands(found["candidate"], twins)} | {
                f"{one['fault']}@{one['dose']:g}": [
                    *stands(one["errors"], one.get("twins", {}).get(dither, twins)), one["layers"]
                ]
                for one in found["faults"]
            }
            for dither, twins in found["twins"].items()
        }
        for quantiser, found in line["quantisers"].items()
    }  # fmt: skip
    return {name: line[name] for name in ("family", "seed", "nats", "seconds")} | {"quantisers": by_quantiser}


def column_layers(with_heads: list[int]) -> list[str]:
    """The layer of each column of `as_columns`; -1 for the next token."""
    return [str(layer) for layer in (*range(LAYERS), *(layer for layer in with_heads for _ in range(HEADS)), -1)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5, help="baselines of each family")
    parser.add_argument("--families", default=",".join(FAMILIES), help="with commas")
    parser.add_argument("--dithers", default=",".join(DITHERS), help="with commas")
    parser.add_argument("--raw", type=Path, help="a file for every number that was measured")
    given = parser.parse_args()
    load_entry_points()
    prepare_libraries(1)
    done = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.is_file() else []
    codes = corpus()
    for seed in range(given.seeds):
        for family in given.families.split(","):
            if any((one["family"], one["seed"]) == (family, seed) for one in done):
                continue
            line = one_baseline(family, seed, codes, given.dithers.split(","))
            for path, what in ((given.raw, line), (RESULTS, judged(line))):
                if path is not None:
                    with path.open("a") as file:
                        file.write(json.dumps(what) + "\n")
            print(f"{family} {seed}: {line['nats']} nats, {line['seconds']} s", flush=True)


if __name__ == "__main__":
    main()
