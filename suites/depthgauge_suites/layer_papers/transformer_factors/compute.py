"""Hidden states of some texts, the factors that they are sums of, and what each factor is about.

Shapes: N texts of T tokens, P = N T positions, K layers, D numbers, A factors.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import StatisticUndefined
from depthgauge.models.anatomy import blocks, edited_blocks
from depthgauge.models.inputs import check_finite
from depthgauge.models.load import context_length
from depthgauge_suites.layer_papers.transformer_factors.coding import encode, learn, unit
from depthgauge_suites.layer_papers.transformer_factors.settings import (
    CONTEXTS,
    EPOCHS,
    HELD_OUT,
    LONGEST,
    MOST_FACTORS,
    MOST_LAYERS,
    MOST_STATES,
    PER_NUMBER,
    penalty_of,
)

if TYPE_CHECKING:
    import torch

AT_ONCE = 500  # states that are encoded together
TEXTS_AT_ONCE = 16  # that a model reads together
BEFORE, AFTER = 6, 3  # tokens shown around that of a context


def read(model: Any, tokenizer: Any, texts: Sequence[str]) -> dict[str, NDArray[Any]]:
    """The arrays of `TransformerFactors`. Raises: StatisticUndefined for a text that is too short; as `learn`."""
    import torch

    depth = len(blocks(model))
    layers = np.unique(np.linspace(0, depth - 1, min(depth, MOST_LAYERS)).round().astype(int))
    ids_NT = equal_starts(
        tokenizer, texts, min(LONGEST, context_length(model), MOST_STATES // len(layers) // len(texts))
    )
    states_NTKD = standardised(states(model, ids_NT, layers))
    held_out = np.arange(len(texts)) % HELD_OUT == 0
    learnt_from = states_NTKD[torch.from_numpy(~held_out)].flatten(0, 2)
    number = min(MOST_FACTORS, PER_NUMBER * learnt_from.shape[1], len(learnt_from))
    atoms = learn(learnt_from, number, penalty_of(learnt_from.shape[1]), epochs=EPOCHS, seed=0)
    codes_NTKA, kkt = all_codes(states_NTKD, atoms)
    some = states_NTKD[torch.from_numpy(held_out)]
    drawn = unit(torch.randn(atoms.shape, generator=torch.Generator().manual_seed(0)))
    random_codes, random_kkt = all_codes(some, drawn)
    codes_PKA = codes_NTKA.flatten(0, 1).numpy()
    return {
        "layers": layers,
        "importance": codes_PKA.mean(0).T.astype(np.float64),
        "word": told_by_token(codes_PKA, ids_NT.ravel()),
        **of_texts("", some, codes_NTKA[torch.from_numpy(held_out)], atoms),
        **of_texts("random_", some, random_codes, drawn),
        "kkt": np.array(max(kkt, random_kkt)),
        "contexts": contexts(tokenizer, codes_PKA, ids_NT),
    }


def equal_starts(tokenizer: Any, texts: Sequence[str], tokens: int) -> NDArray[np.int64]:
    """So many first tokens of every text, (N, T)."""
    token_ids = [tokenizer(text)["input_ids"][:tokens] for text in texts]
    shortest = min(map(len, token_ids))
    if shortest < 2:
        raise StatisticUndefined(
            f"the text {texts[min(range(len(texts)), key=lambda i: len(token_ids[i]))][:40]!r} has under 2 tokens."
        )
    return np.array([ids[:shortest] for ids in token_ids])


def states(model: Any, ids_NT: NDArray[np.int64], layers: NDArray[np.int64]) -> "torch.Tensor":
    """What these blocks hand on, (N, T, K, D), in float32."""
    import torch

    seen: dict[int, list[torch.Tensor]] = {int(layer): [] for layer in layers}

    def keep(layer: int, stream: "torch.Tensor") -> "torch.Tensor":
        if layer in seen:
            seen[layer].append(stream.float().cpu())
        return stream

    with edited_blocks(model, keep), torch.inference_mode():
        for first in range(0, len(ids_NT), TEXTS_AT_ONCE):
            ids = torch.from_numpy(ids_NT[first : first + TEXTS_AT_ONCE])
            model.base_model(input_ids=ids.to(model.device), use_cache=False)
    stacked = torch.stack([torch.cat(by_layer) for by_layer in seen.values()], dim=2)
    check_finite(stacked.numpy())
    return stacked


def standardised(states_NTKD: "torch.Tensor") -> "torch.Tensor":
    """Each number less its mean over the tokens of its layer, over its spread."""
    import torch

    spread, mean = states_NTKD.double().std((0, 1)), states_NTKD.double().mean((0, 1))
    standard: torch.Tensor = ((states_NTKD - mean) / spread.clamp_min(1e-12)).float()
    return standard


def all_codes(states_NTKD: "torch.Tensor", atoms: "torch.Tensor") -> tuple["torch.Tensor", float]:
    import torch

    flat, penalty = states_NTKD.flatten(0, 2), penalty_of(states_NTKD.shape[3])
    coded = [encode(flat[first : first + AT_ONCE], atoms, penalty) for first in range(0, len(flat), AT_ONCE)]
    codes = torch.cat([part.values for part in coded])
    return codes.view(*states_NTKD.shape[:3], -1), max(part.kkt for part in coded)


def of_texts(
    kind: str, states_NTKD: "torch.Tensor", codes_NTKA: "torch.Tensor", atoms: "torch.Tensor"
) -> dict[str, NDArray[np.float64]]:
    """By text, the share of the states' squared length that is explained, and how many factors a state has."""
    left = (states_NTKD - codes_NTKA @ atoms).square().sum((1, 2, 3)) / states_NTKD.square().sum((1, 2, 3))
    active = (codes_NTKA > 0).double().sum(-1).mean((1, 2))
    return {f"{kind}explained": (1 - left).double().numpy(), f"{kind}active": active.numpy()}


def told_by_token(codes_PKA: NDArray[Any], ids_P: NDArray[np.int64]) -> NDArray[np.float64]:
    """The share of each factor's variance within layers that the token explains; about 0 where it says nothing.

    1 less the variance within tokens over that in all (adjusted for their number), of tokens that are there twice.
    """
    _, token, count = np.unique(ids_P, return_inverse=True, return_counts=True)
    kept = count[token] > 1
    codes, places = codes_PKA[kept].astype(np.float64), np.unique(token[kept], return_inverse=True)[1]
    number, tokens = len(codes), places.max(initial=-1) + 1
    if number - tokens < 1:
        return np.zeros(codes_PKA.shape[2])
    sums = np.zeros((tokens, *codes.shape[1:]))
    np.add.at(sums, places, codes)
    means = sums / np.bincount(places)[:, None, None]
    within = ((codes - means[places]) ** 2).sum((0, 1)) / (number - tokens)
    overall = ((codes - codes.mean(0)) ** 2).sum((0, 1)) / (number - 1)
    return np.asarray(np.where(overall > 0, 1 - within / np.where(overall > 0, overall, 1), 0.0))


def contexts(tokenizer: Any, codes_PKA: NDArray[Any], ids_NT: NDArray[np.int64]) -> NDArray[np.str_]:
    """Where each factor is largest at any layer, as text around the token: (A, CONTEXTS)."""
    largest_AP = codes_PKA.max(1).T
    number = min(CONTEXTS, largest_AP.shape[1])
    places = np.argsort(-largest_AP, axis=1, kind="stable")[:, :number]
    shown = {int(place): context(tokenizer, ids_NT, int(place)) for place in np.unique(places)}
    return np.array([[shown[int(place)] for place in row] for row in places], np.str_)


def context(tokenizer: Any, ids_NT: NDArray[np.int64], place: int) -> str:
    text, token = divmod(place, ids_NT.shape[1])
    ids = ids_NT[text].tolist()
    before, here, after = (
        ids[max(0, token - BEFORE) : token],
        ids[token : token + 1],
        ids[token + 1 : token + 1 + AFTER],
    )
    return "".join([tokenizer.decode(before), "[[", tokenizer.decode(here), "]]", tokenizer.decode(after)])
