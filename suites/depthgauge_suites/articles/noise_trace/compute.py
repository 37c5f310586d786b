"""The noise trace: what a target's probability becomes when one layer's output is shaken, layer by layer.

Gaussian noise goes into the hidden state of the last prompt token at the output of one block (Dangi 2026b). Attention
is causal, so nothing before that token ever changes: the prompt runs once, and after it only last-token states, which
attend to the keys and values of that one run. They pass the blocks together: block l takes in the clean state and those
that were shaken at blocks before l, and adds its own.

Layers are 0-based. Shapes: N prompts, K targets, L layers, D draws, R rows of last-token states, H hidden size.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import NotTestable, StatisticUndefined
from depthgauge.models.anatomy import attention_weights, blocks, edited_blocks, per_query_head, soft_capped, widened
from depthgauge.models.attention import attention_computed_by
from depthgauge.models.inputs import Tokens, check_finite, check_noise, check_prompts, check_targets
from depthgauge.models.load import layers_and_heads, vocabulary_size
from depthgauge_suites.articles.noise_trace.settings import DRAWS, SCALE, Dose, TraceQuestion

if TYPE_CHECKING:
    import torch

Shake = Callable[["torch.Tensor", "torch.Tensor"], "torch.Tensor"]  # of a state (H,) and noise (D, H)
LARGEST = 2**26  # numbers that one tensor of a pass may hold: 256 MB in float32
NEAR = 1e-4  # of the largest logit: where late layers are noise, float32 sums in another order differ by 2e-5


class NoiseTrace(NamedTuple):
    """Log-probabilities in nats: `clean` (N, K) and `noisy` (N, K, L, D); `greedy` (N, L, D), the likeliest token ids.

    `fast` (N,) is False where the model had to be run in full for every layer. `rms_over_spread` (N, L): how often the
    spread of a layer's median dimension goes into the RMS of the last state there.
    """

    clean: NDArray[np.float32]
    noisy: NDArray[np.float32]
    greedy: NDArray[np.int64]
    fast: NDArray[np.bool_]
    rms_over_spread: NDArray[np.float32]


def noise_trace(
    model: Any,
    prompts: Tokens,
    targets: Tokens,
    *,
    scale: float = SCALE,
    dose: Dose = "rms",
    draws: int = DRAWS,
    seed: int = 0,
    layers: Sequence[int] | None = None,
) -> NoiseTrace:
    """Log-probabilities of each prompt's K targets, clean and with noise at each of `layers` (default: all).

    At block l the last token's state h becomes h + scale * RMS(h) * e with e from N(0, I); where the dose is 'spread',
    h + scale * s * e, s being each dimension's own standard deviation over the prompts' tokens (`scales`). The draws
    depend on `seed`, prompt number, layer and hidden size alone: checkpoints are compared under the same noise.

    Raises: StatisticUndefined for a prompt, target or layer that has no trace; NotTestable for a model without blocks;
    InvalidCheckpoint if the clean run is not finite.
    """
    import torch

    chosen = check(model, prompts, targets, scale, draws, layers)
    traces = []
    with torch.inference_mode():
        longest = max(range(len(prompts)), key=lambda n: len(prompts[n]))
        fast = fast_form_is_exact(model, prompts[longest], chosen)
        states = scales(model, prompts, chosen)
        for n, (prompt, wanted) in enumerate(zip(prompts, targets, strict=True)):
            noise_LDH = scale * draw_noise(model, seed, n, chosen, draws)
            if dose == "spread":
                noise_LDH = noise_LDH * states.spread[:, None]
            run = (LastTokenRun if fast else FullRun)(model, prompt, chosen, SHAKEN[dose])
            traced = trace_in_chunks(run, noise_LDH, wanted, rows_at_once(model, len(prompt)))
            traces.append((*traced, fast, states.rms_over_spread[n].cpu().numpy()))
    trace = NoiseTrace(*(np.stack(parts) for parts in zip(*traces, strict=True)))
    check_finite(trace.clean)
    return trace


def trace_in_chunks(
    run: Callable[["torch.Tensor"], "torch.Tensor"], noise_LDH: "torch.Tensor", targets: Sequence[int], rows: int
) -> tuple[Any, Any, Any]:
    """One prompt's clean (K,), noisy (K, L, D) and greedy (L, D), with at most about `rows` states in a pass."""
    layers, draws, _ = noise_LDH.shape
    at_once = max(1, min(draws, (rows - 1) // layers))
    noisy, greedy = [], []
    for start in range(0, draws, at_once):
        logits_RV = widened(run(noise_LDH[:, start : start + at_once]))
        logprobs_KR = (logits_RV[:, list(targets)] - logits_RV.logsumexp(1, keepdim=True)).T.cpu().numpy()
        clean = logprobs_KR[:, 0]
        noisy.append(logprobs_KR[:, 1:].reshape(len(targets), layers, -1))
        greedy.append(logits_RV[1:].argmax(1).cpu().numpy().reshape(layers, -1))
    return clean, np.concatenate(noisy, axis=2), np.concatenate(greedy, axis=1)


def rows_at_once(model: Any, tokens: int) -> int:
    """How many states may pass together: each has a logit a token of the vocabulary, and a score a head and key."""
    try:
        heads = layers_and_heads(model)[1]
    except NotTestable:  # one of state spaces alone has no scores
        heads = 0
    return max(2, LARGEST // max(vocabulary_size(model), heads * tokens))


def check(
    model: Any,
    prompts: Tokens,
    targets: Tokens,
    scale: float,
    draws: int,
    layers: Sequence[int] | None,
) -> tuple[int, ...]:
    """The layers to shake. Raises: StatisticUndefined for what has no trace."""
    depth = len(blocks(model))
    check_prompts(prompts, 2, model)
    check_targets(targets, prompts, model)
    check_noise(scale, draws)
    chosen = tuple(range(depth)) if layers is None else tuple(sorted(set(map(int, layers))))
    if not chosen or not 0 <= chosen[0] <= chosen[-1] < depth:
        raise StatisticUndefined(f"layers are 0-based, 0 to {depth - 1} in this model, got {list(chosen)}.")
    return chosen


class Parting(NamedTuple):
    """A prompt up to where its right and its wrong answer part, and the first token of each from there."""

    prompt_ids: list[int]
    targets: tuple[int, int]


def parting(tokenizer: Any, question: TraceQuestion) -> Parting:
    """Where the answers part, so that one token decides between them.

    Raises: StatisticUndefined if the answers are the same tokens.
    """
    end = [tokenizer.eos_token_id]
    right, wrong = (
        tokenizer(f"{question.prompt} {answer}")["input_ids"] + end for answer in (question.right, question.wrong)
    )
    for place, (token, other) in enumerate(zip(right, wrong, strict=False)):
        if token != other:
            return Parting(prompt_ids=right[:place], targets=(token, other))
    raise StatisticUndefined(
        f"the right and the wrong answer to {question.prompt!r} are the same tokens: choose two that differ."
    )


def single_token(tokenizer: Any, text: str) -> int:
    """The id of a target that is one token. Raises: StatisticUndefined if it is several, and says which."""
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    if len(ids) != 1:
        pieces = ", ".join(map(repr, tokenizer.convert_ids_to_tokens(ids)))
        raise StatisticUndefined(
            f"a target must be one token, but {text!r} is {len(ids)} ({pieces}): trace the first that differs."
        )
    return int(ids[0])


def draw_noise(model: Any, seed: int, prompt: int, layers: Sequence[int], draws: int) -> "torch.Tensor":
    """Standard normal draws of shape (L, D, H), made on the CPU: a layer's do not depend on which others are asked."""
    import torch

    def of(layer: int) -> "torch.Tensor":
        mixed = np.random.SeedSequence([seed, prompt, layer]).generate_state(1, np.uint64)[0]
        generator = torch.Generator().manual_seed(int(mixed) % 2**63)
        return torch.randn(draws, model.config.get_text_config().hidden_size, generator=generator)

    return torch.stack([of(layer) for layer in layers]).to(model.device)


class Scales(NamedTuple):
    """`spread` (L, H), deviations over tokens; `rms_over_spread` (N, L), the last states' RMS over its median."""

    spread: "torch.Tensor"
    rms_over_spread: "torch.Tensor"


def scales(model: Any, prompts: Tokens, layers: Sequence[int]) -> Scales:
    """How large states are at the output of each of `layers`, and how far each dimension spreads over tokens.

    The spread is over all tokens of all prompts but the first of each: that is the sink, whose state is hundreds of
    times as large as any other's in many models, and the same in every text.
    """
    import torch

    seen: dict[int, list[torch.Tensor]] = {layer: [] for layer in layers}

    def remember(layer: int, states: torch.Tensor) -> torch.Tensor:
        if layer in seen:
            seen[layer].append(widened(states[0]))
        return states

    with edited_blocks(model, remember):
        for prompt in prompts:
            last_logits(model, torch.tensor([list(prompt)], device=model.device))
    after_the_first = (torch.cat([states[1:] for states in seen[layer]]) for layer in layers)
    spread_LH = torch.stack([states_TH.std(dim=0, correction=0) for states_TH in after_the_first])
    rms_LN = torch.stack([torch.stack([rms(states[-1]) for states in seen[layer]]) for layer in layers])
    return Scales(spread_LH, rms_LN.T / spread_LH.median(dim=1).values)


def rms(state_H: "torch.Tensor") -> "torch.Tensor":
    return widened(state_H).square().mean().sqrt()


def shaken_by_rms(state_H: "torch.Tensor", noise_DH: "torch.Tensor") -> "torch.Tensor":
    """The state h as h + RMS(h) e, a row for each e: the scale is in the noise already."""
    return state_H + (rms(state_H) * noise_DH).to(state_H.dtype)


def shaken(state_H: "torch.Tensor", noise_DH: "torch.Tensor") -> "torch.Tensor":
    """The state h as h + e, a row for each e: the spread of each dimension is in the noise already."""
    return state_H + noise_DH.to(state_H.dtype)


SHAKEN: dict[Dose, Shake] = {"rms": shaken_by_rms, "spread": shaken}


# -- the two forms: each takes noise (L, D, H), and returns the logits of 1 + L D rows, the clean one first ---


def fast_form_is_exact(model: Any, prompt: Sequence[int], layers: Sequence[int]) -> bool:
    """Whether the fast form gives what a full run gives: for the clean prompt, and for a draw at the first layer.

    That draw passes all other blocks. Where a family does something that the fast form does not know of, it shows here;
    a block without attention, whose state would be lost, is known beforehand.
    """
    noise_LDH = SCALE * draw_noise(model, 0, 0, layers[:1], 1)
    expected = FullRun(model, prompt, layers[:1])(noise_LDH)
    try:
        run = LastTokenRun(model, prompt, layers[:1])
        if len(run.prefix.keys) != len(blocks(model)):
            return False
        traced = run(noise_LDH)
    except (
        LookupError,
        TypeError,
        AttributeError,
        RuntimeError,
        ValueError,
    ):  # what a family does with unforeseen rows
        return False
    allowed = NEAR * expected.abs().max().clamp(min=1)
    return traced.shape == expected.shape and bool(((traced - expected).abs() < allowed).all())


def last_logits(model: Any, ids: "torch.Tensor", **options: Any) -> "torch.Tensor":
    """The logits (rows, V) after the last token; the model's own code runs, without a cache."""
    logits: torch.Tensor = model(input_ids=ids, use_cache=False, logits_to_keep=1, **options).logits[:, -1]
    return logits


class FullRun:
    """The plain form: the whole prompt once a layer, a batch of draws, edited by a hook at that layer."""

    def __init__(self, model: Any, prompt: Sequence[int], layers: Sequence[int], shake: Shake = shaken_by_rms) -> None:
        import torch

        self.model, self.layers, self.shake = model, layers, shake
        self.ids = torch.tensor([list(prompt)], device=model.device)

    def __call__(self, noise_LDH: "torch.Tensor") -> "torch.Tensor":
        import torch

        unshaken = torch.zeros_like(noise_LDH[0, :1])
        noises = [torch.cat([unshaken, noise_LDH[0]]), *noise_LDH[1:]]
        return torch.cat([self.at(layer, noise_DH) for layer, noise_DH in zip(self.layers, noises, strict=True)])

    def at(self, chosen: int, noise_DH: "torch.Tensor") -> "torch.Tensor":
        def edit(layer: int, states: "torch.Tensor") -> "torch.Tensor":
            if layer == chosen:
                states = states.clone()
                states[:, -1] = self.shake(states[0, -1], noise_DH)
            return states

        with edited_blocks(self.model, edit):
            return last_logits(self.model, self.ids.expand(len(noise_DH), -1))


class LastTokenRun:
    """The fast form: one run of the prompt, then last-token states that attend to its keys and values."""

    def __init__(self, model: Any, prompt: Sequence[int], layers: Sequence[int], shake: Shake = shaken_by_rms) -> None:
        import torch

        self.shake = shake
        self.model, self.places = model, {layer: place for place, layer in enumerate(layers)}
        ids = torch.tensor([list(prompt)], device=model.device)
        self.last, self.position = ids[:, -1:], torch.tensor([[len(prompt) - 1]], device=model.device)
        self.prefix = SharedPrefix()
        with attention_computed_by(model, self.prefix.remember, masked=True):
            last_logits(model, ids[:, :-1])

    def __call__(self, noise_LDH: "torch.Tensor") -> "torch.Tensor":
        import torch

        def edit(layer: int, states: "torch.Tensor") -> "torch.Tensor":
            if layer not in self.places:
                return states
            return torch.cat([states, self.shake(states[0, 0], noise_LDH[self.places[layer]])[:, None]])

        with attention_computed_by(self.model, self.prefix.attend, masked=False), edited_blocks(self.model, edit):
            return last_logits(self.model, self.last, position_ids=self.position)


class SharedPrefix:
    """The keys and values of a prompt but for its last token, by layer, and many last tokens' attention to them."""

    def __init__(self) -> None:
        self.keys: dict[int, torch.Tensor] = {}
        self.values: dict[int, torch.Tensor] = {}

    def remember(
        self, module: Any, query: Any, key: Any, value: Any, attention_mask: Any, *, scaling: float, **options: Any
    ) -> tuple[Any, None]:
        """Attention of the prefix to itself. Its keys and values are kept, each (key-value heads, P, head dim)."""
        self.keys[module.layer_idx], self.values[module.layer_idx] = key[0], value[0]
        weights = attention_weights(query, key, attention_mask, scaling, options.get("softcap"))
        return (weights.to(value.dtype) @ per_query_head(value, query)).transpose(1, 2).contiguous(), None

    def attend(
        self, module: Any, query: Any, key: Any, value: Any, attention_mask: None, *, scaling: float, **options: Any
    ) -> tuple[Any, None]:
        """Each of R rows attends to the prefix, which all share, and to itself: there is no mask.

        The prefix is multiplied as it lies, once for all rows: copies of it, a row each, would cost more than the rest.
        """
        import torch

        rows, heads, _, size = query.shape
        shared = key.shape[1]
        keys_GPd, values_GPd = self.keys[module.layer_idx], self.values[module.layer_idx]
        window = options.get("sliding_window")
        if window is not None:  # the last token sees itself and window - 1 before it
            first = max(0, keys_GPd.shape[1] - window + 1)
            keys_GPd, values_GPd = keys_GPd[:, first:], values_GPd[:, first:]
        query_GRd = query.view(rows, shared, -1, size).transpose(0, 1).reshape(shared, -1, size)
        own_key, own_value = (per_query_head(x, query).reshape(rows, shared, -1, x.shape[-1]) for x in (key, value))
        own = (query.view(rows, shared, -1, size) * own_key).sum(-1, keepdim=True).transpose(0, 1)
        scores = torch.cat([query_GRd @ keys_GPd.transpose(1, 2), own.reshape(shared, -1, 1)], dim=-1) * scaling
        weights = soft_capped(scores, options.get("softcap")).softmax(-1)
        from_prefix = (weights[..., :-1] @ values_GPd).view(shared, rows, -1, value.shape[-1]).transpose(0, 1)
        from_itself = weights[..., -1:].view(shared, rows, -1, 1).transpose(0, 1) * own_value
        return (from_prefix + from_itself).reshape(rows, 1, heads, value.shape[-1]), None
