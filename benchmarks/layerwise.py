"""A model read layer by layer beside the plain load of it, and a pair of 8 B parameters: seconds and memory.

`python -m benchmarks.layerwise [TOKENS]` runs 16 texts of 120 tokens, or so many, through a random model of 1.5 B
parameters (Qwen2's shape, stored in bfloat16), in bfloat16 and in float32: loaded whole, and read layer by layer, each
in a process of its own.

`python -m benchmarks.layerwise 8b [PLACE]` writes two random folders of 8 B parameters (Llama 3's shape, 16.1 GB)
tensor by tensor below PLACE, the second with hard links to all files of the first but one, and runs `depthgauge
compare` on them by files, weights, next tokens and the residual stream. Both are removed again. Nothing is written
where the disk has no room.
"""

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from accelerate import init_empty_weights
from safetensors.torch import load_file, save_file
from tabulate import tabulate
from transformers import AutoModelForCausalLM, LlamaConfig, PretrainedConfig, Qwen2Config

from benchmarks.two_folders import GIB, peak_memory, tokenizer
from depthgauge.backends.handle import CheckpointHandle
from depthgauge.backends.layerwise import LAYERWISE, run_ahead
from depthgauge.backends.pairs import pair_batches
from depthgauge.core.method import Checkpoint
from depthgauge.models.load import Placement, prepare_libraries
from depthgauge.store.folders import Store

SMALL = Qwen2Config(
    vocab_size=151936, hidden_size=1536, intermediate_size=8960, num_hidden_layers=28, num_attention_heads=12,
    num_key_value_heads=2, tie_word_embeddings=True, max_position_embeddings=4096,
)  # fmt: skip
LARGE = LlamaConfig(
    vocab_size=128256, hidden_size=4096, intermediate_size=14336, num_hidden_layers=32, num_attention_heads=32,
    num_key_value_heads=8, tie_word_embeddings=False, max_position_embeddings=8192,
)  # fmt: skip
TEXTS, TOKENS, THREADS = 16, 120, 2
POOL = 1 << 27
CHANGED, NOISE = 12, 0.01  # the layer whose file the candidate has for itself, and by how much of its spread it is off
ROOM = 6 * 2**30  # bytes of the disk that are left to others
WAYS = {"whole": None, "layer by layer": LAYERWISE}
STAGES = ("same-tensors", "weights-within-margin", "next-token-within-margin", "residual-stream-within-margin")


def parts_of(config: PretrainedConfig) -> Iterator[tuple[str, dict[str, torch.Size]]]:
    """The files of a model, one a layer and one for the rest, with the shapes of their tensors."""
    with init_empty_weights():
        model = AutoModelForCausalLM.from_config(config)
    model.tie_weights()
    files: dict[str, dict[str, torch.Size]] = {}
    for name, parameter in model.named_parameters():
        place = name.split(".")
        part = f"layer-{int(place[2]):03}" if "layers" in place else place[-2]
        files.setdefault(f"model-{part}.safetensors", {})[name] = parameter.shape
    yield from files.items()


def save_random(folder: Path, config: PretrainedConfig) -> None:
    """A random model in bfloat16, a file at a time: what is in memory is one layer, or one embedding."""
    folder.mkdir(parents=True)
    generator, places = torch.Generator().manual_seed(0), {}
    for file, shapes in parts_of(config):
        tensors = {name: drawn(name, shape, generator) for name, shape in shapes.items()}
        save_file(tensors, folder / file, metadata={"format": "pt"})
        places |= dict.fromkeys(shapes, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    config.architectures, config.dtype = [AutoModelForCausalLM._model_mapping[type(config)].__name__], torch.bfloat16
    config.save_pretrained(folder)
    tokenizer().save_pretrained(folder)


def drawn(name: str, shape: torch.Size, generator: torch.Generator) -> torch.Tensor:
    if "norm" in name:
        return torch.ones(shape, dtype=torch.bfloat16)
    pieces, left = [], shape.numel()
    while left:
        first = int(torch.randint(POOL // 2, (), generator=generator))
        pieces.append(pool()[first : first + min(left, POOL // 2)])
        left -= len(pieces[-1])
    return torch.cat(pieces).view(shape)


@cache
def pool() -> torch.Tensor:
    """Numbers of which tensors are pieces, begun anywhere: drawing 8 B of them takes longer than comparing them."""
    return torch.empty(POOL).normal_(std=0.02, generator=torch.Generator().manual_seed(1)).bfloat16()


def save_candidate(baseline: Path, candidate: Path) -> None:
    """The same files by hard links, but for one layer's, whose matrices are off by some noise."""
    candidate.mkdir()
    own, generator = f"model-layer-{CHANGED:03}.safetensors", torch.Generator().manual_seed(0)
    for path in baseline.iterdir():
        if path.name != own:
            os.link(path, candidate / path.name)
    tensors = load_file(baseline / own)
    for tensor in tensors.values():
        if tensor.ndim > 1:
            tensor += NOISE * 0.02 * torch.randn(tensor.shape, generator=generator).bfloat16()
    save_file(tensors, candidate / own, metadata={"format": "pt"})


def measured(folder: Path, dtype: str, way: str, tokens: int) -> dict[str, Any]:
    """Seconds of wall and of processors that a model and its texts take, and the sum of the log-probabilities of all
    tokens but the first; in a process of its own.
    """
    prepare_libraries(THREADS)
    ids = np.random.default_rng(0).integers(SMALL.vocab_size, size=(TEXTS, tokens)).tolist()
    began, worked = time.monotonic(), time.process_time()
    with tempfile.TemporaryDirectory(dir=folder.parent) as kept:
        model = CheckpointHandle(
            checkpoint=Checkpoint(name=folder.name, seed=0, folder=folder, fingerprint=folder.name),
            placement=Placement(dtype=dtype, device_map=WAYS[way]), store=Store(Path(kept), run="benchmark"),
        ).forward_model  # fmt: skip
        batches = [[ids[i] for i in chosen] for chosen in pair_batches(model, ids)]
        run_ahead([model], batches)
        score = sum(log_probability(model, batch) for batch in batches)
    return {"wall": time.monotonic() - began, "processors": time.process_time() - worked, "score": score}


def log_probability(model: Any, batch: list[list[int]]) -> float:
    ids = torch.tensor(batch)
    with torch.inference_mode():
        logits = model(input_ids=ids, use_cache=False).logits
        texts = (
            said[:-1].float().log_softmax(-1).gather(-1, text[1:, None]) for said, text in zip(logits, ids, strict=True)
        )
        return sum(float(text.double().sum()) for text in texts)


def in_a_process(place: Path, dtype: str, way: str, tokens: int) -> tuple[dict[str, Any], int]:
    """`measured`, and the most memory that the process held, in bytes."""
    command = [sys.executable, "-m", "benchmarks.layerwise", "measure", str(place), dtype, way, str(tokens)]
    with tempfile.TemporaryFile("w+") as said:
        child = psutil.Popen(command, stdout=said)
        most = peak_memory(child)
        said.seek(0)
        return json.loads(said.read().splitlines()[-1]), most


def small(place: Path, tokens: int) -> str:
    """The table of the model of 1.5 B parameters."""
    save_random(place / "model", SMALL)
    rows = []
    for dtype in ("bfloat16", "float32"):
        for way in WAYS:
            seconds, most = in_a_process(place / "model", dtype, way, tokens)
            cells = [f"{seconds[name]:.0f}" for name in ("wall", "processors")]
            rows.append((dtype, way, *cells, f"{most / GIB:.2f}", repr(seconds["score"])))
            print(rows[-1], file=sys.stderr, flush=True)
    headers = ("dtype", "way", "wall (s)", "processors (s)", "peak memory (GiB)", "log-probability of the texts")
    return str(tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True))


def large(place: Path) -> str:
    """What the command says of the pair of 8 B parameters, with its seconds and memory."""
    size = 2 * sum(shape.numel() for _, shapes in parts_of(LARGE) for shape in shapes.values())
    free = shutil.disk_usage(place).free
    if free < 1.2 * size + ROOM:
        raise SystemExit(
            f"{1.2 * size / GIB:.0f} GiB are written, and {free / GIB:.0f} are free in {place}: name another."
        )
    with tempfile.TemporaryDirectory(dir=place) as name:
        folder = Path(name)
        began = time.monotonic()
        save_random(folder / "baseline", LARGE)
        save_candidate(folder / "baseline", folder / "candidate")
        print(f"written in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        (folder / "conftest.py").write_text(SIXTEEN)
        command = [sys.executable, "-P", "-m", "depthgauge", "compare", "baseline", "candidate", "--dtype=bfloat16"]
        command += [
            f"--device-map={LAYERWISE}",
            "--testbed=sixteen",
            "--conftest=conftest.py",
            "--all-stages",
            f"--claims={','.join(STAGES)}",
        ]
        began = time.monotonic()
        child = psutil.Popen(command, cwd=folder)
        most = peak_memory(child)
        return f"exit {child.returncode}, {(time.monotonic() - began) / 60:.1f} min, {most / GIB:.2f} GiB"


SIXTEEN = '''"""Sixteen of the texts that are read where nothing is named."""

from dataclasses import replace

from depthgauge import TESTBEDS
from depthgauge.checks.inputs import COMMON
from depthgauge.core.testbed import Text

TEXTS = COMMON.inputs(Text)[::2][:16]
TESTBEDS.register(replace(COMMON, name="sixteen", probe_inputs={**COMMON.probe_inputs, Text: lambda: TEXTS}))
'''


def main() -> None:
    match sys.argv[1:]:
        case ["measure", place, dtype, way, tokens]:
            print(json.dumps(measured(Path(place), dtype, way, int(tokens))))
        case ["8b", *place]:
            print(large(Path(place[0] if place else tempfile.gettempdir())))
        case tokens:
            with tempfile.TemporaryDirectory() as name:
                print(small(Path(name), int(tokens[0]) if tokens else TOKENS))


if __name__ == "__main__":
    main()
