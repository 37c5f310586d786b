"""What comparing every weight of two checkpoints costs, next to merely reading them and to other ways of doing it.

Run as `python -m benchmarks.weight_deltas`. Two synthetic bf16 checkpoints of 2.2 GB each are made in a temporary
folder; every way runs in a process of its own, in turn, from a warm page cache. Times are of the comparison, without
imports; peak memory is of the whole process, imports included.
"""

import importlib.metadata
import importlib.util
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from tabulate import tabulate

from depthgauge.probes.weights.compute import WORKERS, difference, stable_rank, weight_deltas

ROUNDS = 3
HIDDEN, INTERMEDIATE, HEADS, KV_HEADS, HEAD_DIM, VOCABULARY, LAYERS = 2048, 6144, 16, 8, 128, 151_936, 16
LAYERS_PER_SHARD = 4
BUFFER, SHARE = 1 << 18, 1 << 23  # bytes read at once, and in one task of a thread: the fastest of those tried
NOISE = 3e-5  # a small update: most bfloat16 weights round back to what they were
RANKED = tuple(f"model.layers.0.{module}.weight" for module in ("self_attn.k_proj", "self_attn.q_proj", "mlp.up_proj"))
HEADERS = ("way", "time (s)", "ratio to reading", "ratio to ours", "peak memory (MB)", "norms, fractions off by")

Result = dict[str, tuple[float, float]]  # Frobenius norm and fraction changed of each matrix


def shapes(layer: int) -> dict[str, tuple[int, ...]]:
    """The tensors of a Qwen3 block; layer -1 is the embedding."""
    if layer < 0:
        return {"model.embed_tokens.weight": (VOCABULARY, HIDDEN), "model.norm.weight": (HIDDEN,)}
    block = {
        "self_attn.q_proj": (HEADS * HEAD_DIM, HIDDEN),
        "self_attn.k_proj": (KV_HEADS * HEAD_DIM, HIDDEN),
        "self_attn.v_proj": (KV_HEADS * HEAD_DIM, HIDDEN),
        "self_attn.o_proj": (HIDDEN, HEADS * HEAD_DIM),
        "mlp.gate_proj": (INTERMEDIATE, HIDDEN),
        "mlp.up_proj": (INTERMEDIATE, HIDDEN),
        "mlp.down_proj": (HIDDEN, INTERMEDIATE),
        "input_layernorm": (HIDDEN,),
    }
    return {f"model.layers.{layer}.{module}.weight": shape for module, shape in block.items()}


def make_checkpoints(folder: Path, base: Path) -> None:
    """Two bf16 checkpoints in shards of `LAYERS_PER_SHARD` layers, the second the first without the noise."""
    import torch
    from safetensors.torch import save_file

    config = {"num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS, "tie_word_embeddings": True}
    files: dict[str, str] = {}
    torch.manual_seed(0)
    for first in range(-1, LAYERS, LAYERS_PER_SHARD):
        layers = range(first, min(first + LAYERS_PER_SHARD, LAYERS))
        theirs = {n: 0.02 * torch.randn(s) for layer in layers for n, s in shapes(layer).items()}
        theirs = {n: w.bfloat16() for n, w in theirs.items()}
        ours = {n: (w.float() + NOISE * torch.randn(w.shape)).bfloat16() for n, w in theirs.items()}
        shard = f"shard-{first + 1:02}.safetensors"
        files |= dict.fromkeys(ours, shard)
        save_file(theirs, base / shard)
        save_file(ours, folder / shard)
    for path in (folder, base):
        (path / "config.json").write_text(json.dumps(config))
        (path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))


def read_only(folder: Path, base: Path) -> Result:
    """Both checkpoints read by as many threads into buffers that fit a core's cache, and nothing else: the floor."""

    def read(task: tuple[Path, int]) -> None:
        path, first = task
        buffer = bytearray(BUFFER)
        with path.open("rb", buffering=0) as file:
            file.seek(first)
            for _ in range(SHARE // BUFFER):
                file.readinto(buffer)

    paths = [path for place in (folder, base) for path in sorted(place.glob("*.safetensors"))]
    with ThreadPoolExecutor(min(WORKERS, os.cpu_count() or 1)) as pool:
        list(pool.map(read, [(path, first) for path in paths for first in range(0, path.stat().st_size, SHARE)]))
    return {}


def ours(folder: Path, base: Path) -> Result:
    deltas = weight_deltas(folder, base)
    return {d.name: (d.frobenius, d.changed) for d in deltas if d.numel > HIDDEN}


def load_both(folder: Path, base: Path) -> Result:
    """What a notebook does: both checkpoints as dictionaries of tensors, then one subtraction a name. The truth here.

    Norms are summed in float64: the float32 norm of torch is 3% off for the 311 million elements of the embedding.
    """
    import torch
    from safetensors.torch import load_file

    mine, theirs = (
        {name: tensor for path in sorted(place.glob("*.safetensors")) for name, tensor in load_file(path).items()}
        for place in (folder, base)
    )
    found = {}
    for name, tensor in mine.items():
        base_weight = theirs[name].float()
        moved = tensor.float() - base_weight
        torch.linalg.vector_norm(base_weight, dtype=torch.float64)
        norm = torch.linalg.vector_norm(moved, dtype=torch.float64)
        found[name] = (float(norm), int((moved.abs() > 1e-5).sum()) / moved.numel())
    return {name: found[name] for name, tensor in mine.items() if tensor.ndim == 2}


def modeldelta(folder: Path, base: Path) -> Result:
    """The package's own loop over tensors, its singular values replaced by ones: they would be most of its time."""
    import torch
    from modeldelta.core.weight_diff import compare_models
    from modeldelta.utils.model_loader import get_tensor_map

    torch.linalg.svdvals = lambda matrix: torch.ones(min(matrix.shape))
    rows, _ = compare_models(get_tensor_map(str(base)), get_tensor_map(str(folder)))
    return {row["name"]: (row["frob_norm"], 1 - row["sparsity"]) for row in rows if row["has_svd"]}


def ranks(folder: Path, base: Path) -> dict[str, tuple[float, float]]:
    """Stable rank of a few differences, and seconds each."""
    found = {}
    for name in RANKED:
        moved = difference(folder, base, name)
        began = time.perf_counter()
        found[name] = (stable_rank(moved), time.perf_counter() - began)
    return found


def singular_values(folder: Path, base: Path) -> dict[str, tuple[float, float]]:
    """The same by all singular values, as modeldelta takes them."""
    import torch

    found = {}
    for name in RANKED:
        moved = torch.from_numpy(difference(folder, base, name))
        began = time.perf_counter()
        sigma = torch.linalg.svdvals(moved)
        found[name] = (float((sigma**2).sum() / sigma[0] ** 2), time.perf_counter() - began)
    return found


TRUTH = "load both, compare in torch"
PEER = "modeldelta, without its SVD"
WAYS: dict[str, Callable[[Path, Path], Any]] = {
    "merely reading": read_only,
    "weight_deltas": ours,
    TRUTH: load_both,
    PEER: modeldelta,
}
APART = {"make": make_checkpoints, "stable_rank": ranks, "all singular values": singular_values}
IMPORTS = {
    TRUTH: ("torch", "safetensors.torch"),
    "modeldelta, without its SVD": ("modeldelta",),
}


def peak_mb() -> float:
    """The largest resident memory of this process; getrusage would give the parent's where that was larger."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1e3


def work(name: str, folder: Path, base: Path) -> None:
    """One way in this process; prints what it found as JSON."""
    for module in IMPORTS.get(name, ()):
        importlib.import_module(module)
    began = time.perf_counter()
    result = {**WAYS, **APART}[name](folder, base)
    print(json.dumps({"seconds": time.perf_counter() - began, "peak_mb": peak_mb(), "result": result}))


def in_process(name: str, folder: Path, base: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.weight_deltas", name, str(folder), str(base)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{name} failed: {done.stderr.strip().splitlines()[-1]}")
    value: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return value


def installed(name: str) -> bool:
    return name != PEER or importlib.util.find_spec("modeldelta") is not None


def disagreement(found: Result, truth: Result) -> tuple[float, float]:
    """Largest relative difference of a norm and largest difference of a fraction changed, over the same matrices."""
    if found.keys() != truth.keys():
        raise RuntimeError(f"other matrices were compared: {sorted(found.keys() ^ truth.keys())[:3]}")
    norms = [abs(found[name][0] / truth[name][0] - 1) for name in truth]
    return max(norms), max(abs(found[name][1] - truth[name][1]) for name in truth)


def rows(runs: dict[str, list[dict[str, Any]]]) -> Iterator[tuple[str, ...]]:
    """Ours must be right before any time is told; a peer must count the same changes, and its norms are shown."""
    floor, mine = (median(run["seconds"] for run in runs[name]) for name in ("merely reading", "weight_deltas"))
    for name in WAYS:
        if name not in runs:
            yield name, "not installed (pip install depthgauge[peers])", "", "", "", ""
            continue
        found, off = runs[name][0]["result"], ""
        if found:
            norm, changed = disagreement(found, runs[TRUTH][0]["result"])
            if changed > 1e-5 or (name == "weight_deltas" and norm > 1e-6):
                raise RuntimeError(f"{name} is off: norms by {norm:.1e}, fractions changed by {changed:.1e}")
            off = f"{norm:.0e}, {changed:.0e}"
        seconds = median(run["seconds"] for run in runs[name])
        peak = max(run["peak_mb"] for run in runs[name])
        yield name, f"{seconds:.2f}", f"{seconds / floor:.1f}", f"{seconds / mine:.1f}", f"{peak:.0f}", off


def rank_rows(folder: Path, base: Path) -> list[tuple[str, ...]]:
    one, every = (in_process(name, folder, base)["result"] for name in ("stable_rank", "all singular values"))
    return [
        (name.removeprefix("model."), f"{one[name][0]:.2f}", f"{one[name][1]:.2f}", f"{every[name][0]:.2f}",
         f"{every[name][1]:.2f}")
        for name in RANKED
    ]  # fmt: skip


def versions() -> str:
    names = [
        name for name in ("numpy", "scipy", "torch", "safetensors", "modeldelta") if importlib.util.find_spec(name)
    ]
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)


def section() -> str:
    """The title and tables of this benchmark, in markdown."""
    with tempfile.TemporaryDirectory() as place:
        folder, base = Path(place, "checkpoint"), Path(place, "base")
        folder.mkdir()
        base.mkdir()
        in_process("make", folder, base)
        size = sum(path.stat().st_size for path in base.glob("*.safetensors")) / 1e9
        names = [name for name in WAYS if installed(name)]
        in_process("merely reading", folder, base)  # into the page cache
        runs: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
        for round_ in range(ROUNDS):
            for name in names[round_ % len(names) :] + names[: round_ % len(names)]:
                print(f"round {round_ + 1}/{ROUNDS}: {name}", file=sys.stderr, flush=True)
                runs[name].append(in_process(name, folder, base))
        ranked = rank_rows(folder, base)
        changed = np.mean([fraction for _, fraction in runs["weight_deltas"][0]["result"].values()])
        headers = (
            "way",
            "time (s)",
            "ratio to reading",
            "ratio to ours",
            "peak memory (MB)",
            "norms, fractions off by",
        )
        table = tabulate(rows(runs), headers=headers, tablefmt="github", disable_numparse=True)
    rank_headers = ("difference of", "stable_rank", "time (s)", "by all singular values", "time (s)")
    rank_table = tabulate(ranked, headers=rank_headers, tablefmt="github", disable_numparse=True)
    return (
        "## What comparing two checkpoints costs\n\n"
        f"Median of {ROUNDS} runs a way, each in its own process, in turn: every weight of two bf16 checkpoints of "
        f"{size:.1f} GB, warm page cache, {changed:.0%} of a matrix changed on average; {os.cpu_count()} cores "
        f"({platform.machine()}); {versions()}. Off by: from the truth, sums in float64.\n\n{table}\n\n"
        f"The stable rank apart, one run:\n\n{rank_table}\n"
    )


def main() -> None:
    if len(sys.argv) == 4:
        work(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        print(section())


if __name__ == "__main__":
    main()
