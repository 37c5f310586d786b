"""What a model still recalls when some numbers of its queries and keys keep their mean over positions alone.

Their magnitude stays, and all that they tell of a position is gone. The means are those of a few texts, so that no
position looks at later ones.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import NotTestable
from depthgauge.models.attention import BATCH, Attention, layers_attended_by
from depthgauge.models.inputs import check_prompts
from depthgauge_suites.layer_papers.massive_values.compute import moments
from depthgauge_suites.layer_papers.massive_values.settings import DRAWS, is_massive

if TYPE_CHECKING:
    import torch


Asked = tuple[list[int], list[int]]  # tokens of a prompt, and of its answer
Edit = Callable[[int, Attention], Attention]


class Numbers(NamedTuple):
    """Which numbers of queries (L, H, D) and of keys (L, G, D)."""

    q: NDArray[Any]
    k: NDArray[Any]


def ablate(
    model: Any, tokenizer: Any, token_ids: Sequence[Sequence[int]], pairs: Sequence[tuple[str, str]]
) -> dict[str, NDArray[Any]]:
    """The arrays of `MassiveAblation`. Raises: NotTestable where no number is massive."""
    averages = moments(model, token_ids)
    means = Numbers(*(averages[side][0] for side in "qk"))
    chosen = Numbers(*(is_massive(np.sqrt(averages[side][1])) for side in "qk"))
    destroyed = int(chosen.q.sum() + chosen.k.sum())
    if not destroyed:
        raise NotTestable("no number of its queries and keys is massive, so none can be destroyed")
    asked = [tokenized(tokenizer, *pair) for pair in pairs]
    check_prompts([[*prompt, *answer] for prompt, answer in asked], 2, model)
    arms = {
        "intact": recall(model, asked),
        "massive": recall(model, asked, replacing(chosen, means)),
        "random": np.stack([
            recall(model, asked, replacing(as_many_others(chosen, np.random.default_rng(seed)), means))
            for seed in range(DRAWS)
        ]),
    }  # fmt: skip
    said = {f"{name}_right": averages[..., 1] > 0 for name, averages in arms.items()}
    return {name: averages[..., 0] for name, averages in arms.items()} | said | {"destroyed": np.array(destroyed)}


def tokenized(tokenizer: Any, prompt: str, answer: str) -> Asked:
    """Both as they are cut in one text; the answer begins where that parts from the prompt alone."""
    alone, whole = tokenizer(prompt)["input_ids"], tokenizer(f"{prompt} {answer}")["input_ids"]
    start = next((i for i, (a, b) in enumerate(zip(alone, whole, strict=False)) if a != b), len(alone))
    start = min(start, len(whole) - 1)
    return whole[:start], whole[start:]


def as_many_others(chosen: Numbers, random: np.random.Generator) -> Numbers:
    """As many numbers that are not chosen, in the same heads, shared by as many heads and by queries with keys.

    In every layer each pair of numbers d and d + D / 2, which most families rotate together, gives way to another pair
    of which no head's is chosen; what finds none is left out.
    """
    moved = Numbers(*(np.zeros_like(side) for side in chosen))
    half = chosen.k.shape[-1] // 2
    for layer in range(len(chosen.k)):
        taken = (chosen.q[layer].any(0) | chosen.k[layer].any(0))[: 2 * half].reshape(2, half).any(0)
        free = random.permutation(np.flatnonzero(~taken))
        for pair, other in zip(np.flatnonzero(taken), free, strict=False):
            for before, after in zip(chosen, moved, strict=True):
                after[layer][:, [other, other + half]] = before[layer][:, [pair, pair + half]]
    return moved


def replacing(chosen: Numbers, means: Numbers) -> Edit:
    """An edit that leaves of the chosen numbers their mean alone, at every position."""
    import torch

    def replaced(states: "torch.Tensor", which: NDArray[Any], mean: NDArray[Any]) -> "torch.Tensor":
        where, average = (torch.from_numpy(each).to(states.device)[None, :, None] for each in (which, mean))
        return torch.where(where, average.to(states.dtype), states)

    def edit(layer: int, attention: Attention) -> Attention:
        query = replaced(attention.query, chosen.q[layer], means.q[layer])
        return attention._replace(query=query, key=replaced(attention.key, chosen.k[layer], means.k[layer]))

    return edit


def editing(model: Any, edit: Edit) -> AbstractContextManager[None]:
    """Within it, for one run, layer l attends with the queries and keys of `edit(l, its attention)`."""
    return layers_attended_by(model, lambda layer, attention, value: edit(layer, attention).outputs(value))


def recall(model: Any, asked: Sequence[Asked], edit: Edit = lambda _, attention: attention) -> NDArray[np.float64]:
    """(I, 2): the log-probability of each answer, and 1 if every token of it is the likeliest."""
    import torch

    logits = np.empty((len(asked), 2))
    for shape in sorted({(len(prompt), len(answer)) for prompt, answer in asked}):
        same = [i for i, (prompt, answer) in enumerate(asked) if (len(prompt), len(answer)) == shape]
        for chosen in (same[first : first + BATCH] for first in range(0, len(same), BATCH)):
            ids = torch.tensor([[*asked[i][0], *asked[i][1]] for i in chosen], device=model.device)
            with editing(model, edit), torch.inference_mode():
                logits_BAV = model(input_ids=ids, use_cache=False, logits_to_keep=shape[1] + 1).logits[:, :-1].double()
            target_BA = ids[:, shape[0] :]
            log_probability = logits_BAV.log_softmax(-1).gather(-1, target_BA[..., None]).sum((1, 2))
            said = (logits_BAV.argmax(-1) == target_BA).all(-1)
            logits[chosen] = torch.stack([log_probability, said.double()], dim=1).cpu().numpy()
    return logits
