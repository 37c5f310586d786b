"""What the shape of all weights costs beside reading them: `python -m benchmarks.gaussian_weights`.

Two checkpoints of 2 GB, in bfloat16 and in float32, from a warm page cache; each way in a process of its own, in turn.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from tabulate import tabulate

from benchmarks.weight_deltas import peak_mb
from depthgauge_suites.layer_papers.gaussian_weights.compute import shapes

ROUNDS, LAYERS, WIDTH, MLP = 3, 16, 2048, 8192
DTYPES = {"bfloat16": 2, "float32": 1}  # checkpoints of as many bytes: layers for each of float32's


def make(folder: Path, dtype: str) -> None:
    import torch
    from safetensors.torch import save_file

    generator, sizes = torch.Generator().manual_seed(0), {"up": (MLP, WIDTH), "down": (WIDTH, MLP)}
    weights = {
        f"model.layers.{layer}.mlp.{name}_proj.weight": torch.randn(shape, generator=generator).to(
            getattr(torch, dtype)
        )
        for layer in range(LAYERS * DTYPES[dtype])
        for name, shape in sizes.items()
    }
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "tie_word_embeddings": True}))


def read(folder: Path) -> None:
    (folder / "model.safetensors").read_bytes()


def read_in_pieces(folder: Path) -> None:
    with (folder / "model.safetensors").open("rb") as file:
        while file.read(1 << 20):
            pass


WAYS = {"reading": read, "in pieces": read_in_pieces, "shapes": shapes}


def timed(way: str, folder: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.gaussian_weights", way, str(folder)]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


def one(way: str, folder: Path) -> None:
    began = time.perf_counter()
    WAYS[way](folder)
    print(json.dumps({"seconds": time.perf_counter() - began, "peak_mb": peak_mb()}))


def main() -> None:
    rows = []
    for dtype in DTYPES:
        with tempfile.TemporaryDirectory() as place:
            make(Path(place), dtype)
            rounds = [{way: timed(way, Path(place)) for way in WAYS} for _ in range(ROUNDS + 1)][1:]
        ratios = [
            median(each["shapes"]["seconds"] / each[way]["seconds"] for each in rounds)
            for way in ("reading", "in pieces")
        ]
        seconds = median(each["shapes"]["seconds"] for each in rounds)
        peak = max(each["shapes"]["peak_mb"] for each in rounds)
        rows.append((dtype, f"{seconds:.1f}", *(f"{ratio:.1f}" for ratio in ratios), f"{peak:.0f}"))
    print("## Shape of weights, 2 GB\n")
    print(
        tabulate(
            rows,
            ("stored as", "time (s)", "ratio to reading into memory", "to reading 1 MB at a time", "peak memory (MB)"),
            tablefmt="github",
        )
    )


if __name__ == "__main__":
    one(sys.argv[1], Path(sys.argv[2])) if len(sys.argv) > 1 else main()
