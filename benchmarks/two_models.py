"""What two models would say next, and how their insides differ, against the forward passes that both need.

Run by `python -m benchmarks.two_models`. The floor of the divergence is one pass of each model with its logits, that of
the activations one pass of each without, on the same batches. What is above 1 is what the measuring adds.
"""

import importlib.metadata
import os
import platform
import time
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import Any

import numpy as np
import torch
from tabulate import tabulate

from depthgauge.backends.pairs import batches
from depthgauge.models.load import prepare_libraries
from depthgauge.probes.activations.compute import activation_difference
from depthgauge.probes.divergence.compute import next_tokens

LAYERS, HIDDEN, VOCABULARY = 12, 512, 49152
TEXTS, TOKENS, ROUNDS, THREADS = 16, 128, 5, 2
Act = Callable[[Any, Any, list[list[int]]], object]


def random_llama() -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    shape = dict(hidden_size=HIDDEN, intermediate_size=4 * HIDDEN, num_hidden_layers=LAYERS, num_attention_heads=8)
    return LlamaForCausalLM(LlamaConfig(vocab_size=VOCABULARY, **shape)).eval()


def perturbed(model: Any) -> Any:
    """A copy whose every weight matrix is off by a hundredth of its own spread, as after a short training."""
    other, generator = deepcopy(model), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in other.parameters():
            if weight.ndim > 1:
                weight += 0.01 * weight.std() * torch.randn(weight.shape, generator=generator)
    return other


def passes(candidate: Any, baseline: Any, ids: list[list[int]], *, logits: bool, numbers_per_token: int) -> None:
    """Both models run on the batches of a probe, and nothing is done with what they compute."""
    with torch.inference_mode():
        for chosen in batches(ids, numbers_per_token):
            batch = torch.tensor([ids[i] for i in chosen])
            for model in (candidate, baseline):
                (model if logits else model.base_model)(input_ids=batch, use_cache=False)


FORMS: dict[str, tuple[Act, Act]] = {
    "next-token divergence": (next_tokens, partial(passes, logits=True, numbers_per_token=2 * VOCABULARY)),
    "activation difference": (activation_difference, partial(passes, logits=False, numbers_per_token=LAYERS * HIDDEN)),
}


def timed(act: Act, candidate: Any, baseline: Any, ids: list[list[int]]) -> float:
    began = time.perf_counter()
    act(candidate, baseline, ids)
    return time.perf_counter() - began


def measured(act: Act, floor: Act, candidate: Any, baseline: Any, ids: list[list[int]]) -> tuple[float, float]:
    """Seconds of both, the least of rounds in turns: what other work on the machine adds is never below 0."""
    for form in (act, floor):
        form(candidate, baseline, ids[:2])  # what is set up once is not counted
    rounds = [(timed(act, candidate, baseline, ids), timed(floor, candidate, baseline, ids)) for _ in range(ROUNDS)]
    return min(ours for ours, _ in rounds), min(least for _, least in rounds)


def section() -> str:
    """The measurement as a section of Markdown."""
    prepare_libraries(THREADS)
    baseline = random_llama()
    candidate = perturbed(baseline)
    ids = np.random.default_rng(0).integers(VOCABULARY, size=(TEXTS, TOKENS)).tolist()
    rows = []
    for name, (act, floor) in FORMS.items():
        ours, least = measured(act, floor, candidate, baseline, ids)
        rows.append((name, f"{ours:.2f}", f"{least:.2f}", f"{ours / least:.2f}"))
    table = tabulate(
        rows, headers=("probe", "time (s)", "two forward passes (s)", "ratio"), tablefmt="github", disable_numparse=True
    )
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("torch", "transformers"))
    return (
        "## What it costs to compare two models on the same texts\n\n"
        f"A random Llama of {LAYERS} layers, hidden size {HIDDEN} and {VOCABULARY:,} tokens against a copy whose "
        f"weights are 1% off, on {TEXTS} texts of {TOKENS} tokens; the passes of the activations compute no logits. "
        f"Least of {ROUNDS} rounds, {THREADS} threads of {os.cpu_count()} cores ({platform.machine()}), float32; "
        f"{versions}.\n\n{table}\n"
    )


def main() -> None:
    print(section())


if __name__ == "__main__":
    main()
