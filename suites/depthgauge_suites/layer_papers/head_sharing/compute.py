"""Activation patching of subsets of heads at the last token, many at once.

Attention is causal: what is patched at the last token changes nothing before it. So the rest of the prompt is run once,
and each subset is one more row of the last token.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import combinations
from math import comb
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import NotTestable
from depthgauge.models.anatomy import block_parts, blocks
from depthgauge.models.inputs import as_turn, check_heads
from depthgauge.models.load import layers_and_heads
from depthgauge_suites.layer_papers.head_sharing.settings import DRAWS, Comparison

if TYPE_CHECKING:
    import torch

Flags = NDArray[np.bool_]


class Case(NamedTuple):
    """Tokens of each form, and the first one of either answer."""

    forms: list[list[int]]
    right: int
    wrong: int


class Donor(NamedTuple):
    """What the form that is right gave to, and got from, each layer's output projection at its last token, (L, ...)."""

    heads: "torch.Tensor"
    slices: "torch.Tensor"


class Repair(NamedTuple):
    """A form that is answered wrong, and what to patch into it."""

    ids: list[int]
    case: Case
    donor: Donor


def read(model: Any, tokenizer: Any, comparisons: Sequence[Comparison]) -> dict[str, NDArray[Any]]:
    """The arrays of `HeadSharing`.

    Raises: NotTestable for answers that begin with the same token, or a chat without a template.
    """
    layers, heads = layers_and_heads(model)
    cases = [case_of(tokenizer, each) for each in comparisons]
    right = np.array([[margin(model, ids, case) > 0 for ids in case.forms] for case in cases])
    repairs = {
        c: repair_of(model, case, right[c]) for c, case in enumerate(cases) if right[c].any() and not right[c].all()
    }
    repaired = np.zeros((len(cases), layers), bool)
    for c, repair in repairs.items():
        repaired[c] = patched(model, repair, range(layers), np.ones((layers, heads), bool)) > 0
    layer = int(repaired.sum(0).argmax())
    chosen = {c: repairs[c] for c in np.flatnonzero(repaired[:, layer]).tolist()}
    arrays: dict[str, NDArray[Any]] = {
        "right": right,
        "repaired": repaired,
        "layer": np.array(layer),
        "heads": np.array(heads),
    }
    parities = np.arange(heads) % 2 == np.array([[0], [1]])
    for suffix, slices in (("", False), ("_slices", True)):
        read_out = np.full((2, len(cases)), np.nan)
        for c, repair in chosen.items():
            read_out[:, c] = patched(model, repair, [layer] * 2, parities, slices=slices) > 0
        arrays |= {f"even{suffix}": read_out[0], f"odd{suffix}": read_out[1]}
    successes, tried = by_size(model, list(chosen.values()), layer, heads)
    return arrays | {"successes": successes, "tried": tried}


def case_of(tokenizer: Any, comparison: Comparison) -> Case:
    forms = [as_turn(tokenizer, form.turns[0][1]) + form.text if form.turns else form.text for form in comparison.forms]
    answers = comparison.right, comparison.wrong
    firsts = {tuple(first_token(tokenizer, form, answer) for answer in answers) for form in forms}
    (right, wrong), *others = firsts
    if right == wrong or others:
        raise NotTestable(
            f"the answers {comparison.right!r} and {comparison.wrong!r} are told apart by their first token, and "
            f"{'begin with the same one' if right == wrong else 'that differs from form to form'}: move what they "
            "share into the prompt",
            code="alike",
        )
    return Case([tokenizer(form)["input_ids"] for form in forms], right, wrong)


def first_token(tokenizer: Any, form: str, answer: str) -> int:
    """The first token of an answer where it stands, after a form of the question."""
    alone, whole = tokenizer(form)["input_ids"], tokenizer(form + answer)["input_ids"]
    return int(next((b for a, b in zip(alone, whole, strict=False) if a != b), whole[min(len(alone), len(whole) - 1)]))


def margin(model: Any, ids: Sequence[int], case: Case) -> float:
    """The logit of the right answer over the wrong one's."""
    import torch

    with torch.inference_mode():
        logits = model(
            input_ids=torch.tensor([list(ids)], device=model.device), use_cache=False, logits_to_keep=1
        ).logits
    return float(logits[0, -1, case.right] - logits[0, -1, case.wrong])


def repair_of(model: Any, case: Case, right: Flags) -> Repair:
    """From the first form that is right into the first that is wrong."""
    import torch

    outputs = [block_parts(block).output for block in blocks(model)]
    given: dict[Any, tuple[Any, Any]] = {}
    with ExitStack() as hooks, torch.inference_mode():
        for module in outputs:
            hook = module.register_forward_hook(
                lambda head, inputs, out: given.update({head: (last(inputs[0]), last(out))})
            )
            hooks.callback(hook.remove)
        model(input_ids=torch.tensor([case.forms[int(right.argmax())]], device=model.device), use_cache=False)
    donor = Donor(*(torch.stack([given[module][side] for module in outputs]) for side in (0, 1)))
    return Repair(case.forms[int((~right).argmax())], case, donor)


def last(states: "torch.Tensor") -> "torch.Tensor":
    return states.reshape(-1, states.shape[-1])[-1]


def patched(
    model: Any, repair: Repair, layers: Sequence[int], heads_SH: Flags, *, slices: bool = False
) -> NDArray[np.float64]:
    """The margin with each subset of heads patched, subset s in layer `layers[s]`: (S,).

    With `slices`, parts of the projection's output as wide as it has heads: they mix all heads.

    Raises: StatisticUndefined for a layer or a head that is not there; NotTestable for a model with a state beside
    attention.
    """
    import torch

    check_heads([(layer, heads_SH.shape[1] - 1) for layer in layers], model)
    ids = torch.tensor([repair.ids], device=model.device)
    chosen, places = torch.from_numpy(heads_SH), torch.tensor(list(layers))
    with ExitStack() as hooks, torch.inference_mode():
        cache = model(input_ids=ids[:, :-1], use_cache=True).past_key_values
        if any(hasattr(layer, "conv_states") for layer in cache.layers):
            raise NotTestable(
                f"{type(model).__name__} keeps more of a prompt than keys and values, and is not patched",
                code="more-state",
            )
        cache.batch_repeat_interleave(len(heads_SH))
        for layer, block in enumerate(blocks(model)):
            edit = editing(repair.donor[slices][layer], chosen & (places == layer)[:, None])
            module = block_parts(block).output
            hook = (
                module.register_forward_hook(after(edit)) if slices else module.register_forward_pre_hook(before(edit))
            )
            hooks.callback(hook.remove)
        rows = ids[:, -1:].expand(len(heads_SH), 1)
        logits = model(input_ids=rows, past_key_values=cache, use_cache=True).logits[:, -1].double()
    return np.asarray((logits[:, repair.case.right] - logits[:, repair.case.wrong]).cpu().numpy())


Change = Callable[["torch.Tensor"], "torch.Tensor"]


def editing(donor_W: "torch.Tensor", chosen_SH: "torch.Tensor") -> Change:
    """States of S rows whose chosen parts, of as many equal ones as there are heads, are the donor's."""

    def edit(states: "torch.Tensor") -> "torch.Tensor":
        import torch

        parts = states.reshape(*chosen_SH.shape, -1)
        donor = donor_W.reshape(1, chosen_SH.shape[1], -1)
        return torch.where(chosen_SH.to(states.device)[..., None], donor, parts).reshape(states.shape)

    return edit


def before(edit: Change) -> Callable[..., Any]:
    return lambda _module, inputs: (edit(inputs[0]), *inputs[1:])


def after(edit: Change) -> Callable[..., Any]:
    return lambda _module, _inputs, output: edit(output)


def by_size(
    model: Any, repairs: Sequence[Repair], layer: int, heads: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """By how many even heads are patched, successes and tries: no pair of a comparison and a subset is tried twice."""
    even = np.arange(0, heads, 2)
    successes, tried = (np.zeros(len(even) + 1, np.int64) for _ in range(2))
    random = np.random.default_rng(0)
    for size in range(len(even) + 1):
        for repair, number in zip(repairs, shares(DRAWS, len(repairs)), strict=True):
            subsets = some_subsets(even, size, number, random)
            if len(subsets):
                flags = np.array([np.isin(np.arange(heads), subset) for subset in subsets])
                successes[size] += int((patched(model, repair, [layer] * len(flags), flags) > 0).sum())
                tried[size] += len(flags)
    return successes, tried


def shares(total: int, parts: int) -> list[int]:
    """A total dealt out as evenly as it goes."""
    return [total // parts + (i < total % parts) for i in range(parts)]


def some_subsets(of: NDArray[np.int64], size: int, number: int, random: np.random.Generator) -> list[tuple[int, ...]]:
    """Different ones, drawn evenly; all where there are no more."""
    if comb(len(of), size) <= number:
        return list(combinations(of.tolist(), size))
    subsets: set[tuple[int, ...]] = set()
    while len(subsets) < number:
        subsets.add(tuple(sorted(random.choice(of, size, replace=False).tolist())))
    return sorted(subsets)
