"""What quantised weights cost: SmolLM2 in one type of GGUF after the other, by the divergence of next tokens.

`python -m benchmarks.ladder [TEXTS] [SEED]`, with `pip install libgguf` for the K types. TEXTS is a file of JSON with a
list of texts; without one they are those that are read where nothing is named.

SmolLM2 as it is brought stands on the grid of Q4_1, where rounding again is free, and its 576 columns are no multiple
of the 256 of the K types. So its weights are moved by up to half a step of that grid, evenly drawn, and the model is
padded with zeros to 768 columns, which computes the same function. Matrices of the layers are rounded, embeddings and
norms are not. The table, and how much a mean hangs on the draw, is in benchmarks/LADDER.md.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import GGMLQuantizationType
from numpy.typing import NDArray
from tabulate import tabulate
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

from depthgauge.checks.inputs import texts
from depthgauge.models.load import prepare_libraries
from depthgauge.probes.divergence.compute import NOTHING, logits, reduced
from depthgauge_testbeds.smollm2 import SMOLLM2

WIDTH, HEADS, GROUP, LEVELS = 768, 12, 32, 15
TYPES = ("Q8_0", "Q6_K", "Q5_K", "Q4_K", "Q3_K", "Q2_K", "Q5_1", "Q5_0", "Q4_1", "Q4_0")
THREADS = 1
Round = Callable[[torch.Tensor], torch.Tensor]


def widened(model: Any) -> Any:
    """A random model of `WIDTH` columns. Norms divide by a mean over more of them, and add less to it."""
    config = deepcopy(model.config)
    config.num_key_value_heads = config.num_key_value_heads * HEADS // config.num_attention_heads
    config.rms_norm_eps *= config.hidden_size / WIDTH
    config.hidden_size, config.num_attention_heads = WIDTH, HEADS
    return LlamaForCausalLM(config).eval()


def padded(model: Any, wide: Any) -> Any:
    """The wider model made the same function, in place, by zeros and by scaling its norms."""
    share, state = model.config.hidden_size / WIDTH, model.state_dict()
    with torch.no_grad():
        for name, tensor in wide.state_dict().items():
            tensor.zero_()
            narrow = state[name] * share**0.5 if tensor.ndim == 1 else state[name]
            tensor[tuple(slice(0, size) for size in narrow.shape)] = narrow
    return wide


def off_the_grid(model: Any) -> Any:
    """The model with each weight of a layer's matrix moved by up to half a step of 4 bits of its group, in place."""
    with torch.no_grad():
        for matrix in matrices(model).values():
            groups = matrix.view(matrix.shape[0], -1, GROUP)
            step = (groups.amax(-1, keepdim=True) - groups.amin(-1, keepdim=True)) / LEVELS
            groups += (torch.rand(groups.shape) - 0.5) * step
    return model


def matrices(model: Any) -> dict[str, torch.Tensor]:
    """Those of the layers."""
    return {name: weight.data for name, weight in model.named_parameters() if weight.ndim == 2 and ".layers." in name}


def rounded(model: Any, to_type: Round) -> Any:
    """A copy whose matrices are rounded."""
    candidate = deepcopy(model)
    for matrix in matrices(candidate).values():
        matrix.copy_(to_type(matrix))
    return candidate


def rounding(name: str) -> Round:
    """To a type of GGUF and back, by llama.cpp's own code."""
    import libgguf

    kind = GGMLQuantizationType[name]

    def to_type(matrix: torch.Tensor) -> torch.Tensor:
        codes = libgguf.quantize_rows(np.ascontiguousarray(matrix.numpy()), kind)
        values = libgguf.dequantize_rows(codes, kind, n_per_row=matrix.shape[1])
        return torch.from_numpy(np.ascontiguousarray(values)).view_as(matrix)

    return to_type


def divergences(base: Any, roundings: Mapping[str, Round], ids: list[list[int]]) -> Iterator[tuple[str, NDArray[Any]]]:
    """Of each rounding the columns of `compare`, of all tokens of all texts: (tokens, 8)."""
    expected = [logits_of(base, text) for text in ids]
    for name, to_type in roundings.items():
        candidate = rounded(base, to_type)
        pairs = zip(expected, ids, strict=True)
        columns = [
            reduced(of_base, logits_of(candidate, text), torch.tensor([*text[1:], NOTHING])) for of_base, text in pairs
        ]
        yield name, torch.cat(columns).numpy()


def logits_of(model: Any, text: list[int]) -> torch.Tensor:
    return logits(model, [text], range(len(text)))[0]


def row(name: str, columns: NDArray[Any]) -> list[str]:
    kl, says, baseline_says = columns[:, :3].T
    figures = [kl.mean(), np.median(kl), np.quantile(kl, 0.99), kl.max(), (says == baseline_says).mean()]
    return [name, *(f"{figure:.3g}" for figure in figures)]


def ready(seed: int = 0) -> tuple[Any, Any]:
    """SmolLM2 off its grid and padded, and its tokenizer."""
    model = AutoModelForCausalLM.from_pretrained(SMOLLM2.base, dtype=torch.float32).eval()
    torch.manual_seed(seed)
    wide = widened(model)  # the noise is what is drawn after its weights
    return padded(off_the_grid(model), wide), AutoTokenizer.from_pretrained(SMOLLM2.base)


def main() -> None:
    prepare_libraries(THREADS)
    of_texts, seed = [*sys.argv[1:], None, None][:2]
    base, tokenizer = ready(int(seed or 0))
    read = json.loads(Path(of_texts).read_text()) if of_texts else [text.text for text in texts.texts()]
    ids = [tokenizer(text)["input_ids"] for text in read]
    print(f"{len(ids)} texts, {sum(map(len, ids))} tokens", flush=True)
    rows = []
    for name, columns in divergences(base, {name: rounding(name) for name in TYPES}, ids):
        rows.append(row(name, columns))
        print(*rows[-1], file=sys.stderr, flush=True)
    headers = ("type", "mean KL (nats)", "median", "99 %", "largest", "same likeliest token")
    print(tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    main()
