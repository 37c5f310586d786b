"""The noise trace against plain hooks, TransformerLens and nnsight: one model, one prompt, the same draws.

`python -m benchmarks.noise_trace` prints the tables that `make bench` writes to RESULTS.md.
"""

import importlib.metadata
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from statistics import median

import torch
from tabulate import tabulate

from depthgauge.models.load import LOADED, load, prepare_libraries
from depthgauge_suites.articles.noise_trace.compute import SCALE, LastTokenRun, draw_noise, noise_trace
from depthgauge_testbeds.pocket import POCKET

LAYERS, DRAWS, PROMPT_TOKENS, TARGETS, THREADS = 36, 30, 128, [5, 6], 1
SAME = 1e-5  # in probability
Trace = Callable[[object, list[int], torch.Tensor], torch.Tensor]


def shake(states: torch.Tensor, noise_DH: torch.Tensor) -> torch.Tensor:
    """What a user of any of the peers writes: the last position's state plus noise of its RMS, a row a draw."""
    states = states.clone()
    last = states[:, -1]
    states[:, -1] = last + last.square().mean(-1, keepdim=True).sqrt() * noise_DH
    return states


def with_plain_hooks(model, ids, noise_LDH):
    batch, found = torch.tensor([ids] * noise_LDH.shape[1]), []
    for block, noise_DH in zip(model.model.layers, noise_LDH, strict=True):
        handle = block.register_forward_hook(lambda module, inputs, output, e=noise_DH: shake(output, e))
        found.append(model(batch, use_cache=False).logits[:, -1].softmax(-1)[:, TARGETS])
        handle.remove()
    return torch.stack(found)


def with_transformer_lens(model, ids, noise_LDH):
    from transformer_lens.model_bridge import TransformerBridge

    tokenizer = load(POCKET.base)[1]
    bridge = TransformerBridge.boot_transformers("Qwen/Qwen3-0.6B", hf_model=model, tokenizer=tokenizer)
    batch, found = torch.tensor([ids] * noise_LDH.shape[1]), []
    for layer, noise_DH in enumerate(noise_LDH):
        hook = (f"blocks.{layer}.hook_out", lambda value, hook, e=noise_DH: shake(value, e))
        logits = bridge.run_with_hooks(batch, fwd_hooks=[hook], return_type="logits")
        found.append(logits[:, -1].softmax(-1)[:, TARGETS])
    return torch.stack(found)


def with_nnsight(model, ids, noise_LDH):
    from nnsight import NNsight

    traced = NNsight(model)
    batch, found = torch.tensor([ids] * noise_LDH.shape[1]), []
    for layer, noise_DH in enumerate(noise_LDH):
        with traced.trace(batch, use_cache=False):
            traced.model.layers[layer].output = shake(traced.model.layers[layer].output, noise_DH)
            logits = traced.lm_head.output[:, -1].save()
        found.append(logits.softmax(-1)[:, TARGETS])
    return torch.stack(found)


def ours(model, ids, noise_LDH):
    """The probe as a user calls it: it draws the same noise itself, and checks itself against two full runs."""
    return torch.tensor(noise_trace(model, [ids], [TARGETS]).noisy[0]).exp().permute(1, 2, 0)


PEERS: dict[str, tuple[Trace, str | None]] = {
    "depthgauge": (ours, None),
    "plain hooks": (with_plain_hooks, None),
    "TransformerLens": (with_transformer_lens, "transformer_lens"),
    "nnsight": (with_nnsight, "nnsight"),
}


def timed(act: Callable[[], object]) -> tuple[float, object]:
    began = time.perf_counter()
    found = act()
    return time.perf_counter() - began, found


def against_peers() -> str:
    """A table of times; refuses to time what does not agree."""
    noise = None
    rows, expected, fastest = [], None, 0.0
    for name, (trace, package) in PEERS.items():
        if package is not None and find_spec(package) is None:
            rows.append((name, "not installed: pip install 'depthgauge[peers]'", "", ""))
            continue
        model, _ = load(POCKET.base)
        ids = prompt_of(PROMPT_TOKENS)
        noise = SCALE * draw_noise(model, 0, 0, range(LAYERS), DRAWS)
        with torch.no_grad():
            found = trace(model, ids, noise)
            expected = found if expected is None else expected
            apart = float((found - expected).abs().max())
            if apart > SAME:
                raise SystemExit(f"{name} differs by {apart}: times of different results say nothing")
            seconds = median(
                timed(partial(trace, model, ids, noise))[0] for _ in range(5 if name == "depthgauge" else 2)
            )
        fastest = fastest or seconds
        version = importlib.metadata.version(package.replace("_", "-")) if package else ""
        rows.append((f"{name} {version}".strip(), f"{seconds:.3f}", f"{seconds / fastest:.1f}", f"{apart:.1e}"))
        LOADED.clear()
    return table(rows, ("form", "seconds", "times ours", "largest difference in probability"))


def against_the_least_possible() -> str:
    """Ours beside the two passes that no exact form can do without: the prompt, and all rows through all blocks."""
    model, _ = load(POCKET.base)
    ids = prompt_of(PROMPT_TOKENS)
    rows = torch.full((1 + LAYERS * DRAWS, 1), 7)
    with torch.no_grad():
        passes = [partial(model, batch, use_cache=False, logits_to_keep=1) for batch in (torch.tensor([ids]), rows)]
        parts = [median(timed(act)[0] for _ in range(7)) for act in passes]
        whole = median(timed(lambda: noise_trace(model, [ids], [TARGETS]))[0] for _ in range(7))
    return table(
        [(f"{parts[0]:.3f}", f"{parts[1]:.3f}", f"{whole:.3f}", f"{whole / sum(parts):.2f}")],
        ("one prefill (s)", "1,081 single-token rows (s)", "the noise trace (s)", "ratio to their sum"),
    )


def growth() -> str:
    """Seconds by prompt length and by draws, and per unit of each beyond the smallest."""
    model, _ = load(POCKET.base)
    rows = []
    for what, cases in (
        ("prompt tokens", [(tokens, DRAWS) for tokens in (64, 128, 256, 512)]),
        ("draws", [(PROMPT_TOKENS, draws) for draws in (15, 30, 60, 120)]),
    ):
        for tokens, draws in cases:
            ids, noise = prompt_of(tokens), SCALE * draw_noise(model, 0, 0, range(LAYERS), draws)
            with torch.inference_mode():
                seconds = median(timed(partial(fast_form, model, ids, noise))[0] for _ in range(5))
            size = tokens if what == "prompt tokens" else draws
            rows.append((what, size, f"{seconds:.3f}", f"{1000 * seconds / size:.2f}"))
    return table(rows, ("grown", "size", "seconds", "ms per unit"))


def fast_form(model, ids, noise_LDH):
    return LastTokenRun(model, ids, range(LAYERS))(noise_LDH)


def prompt_of(tokens: int) -> list[int]:
    return torch.randint(0, 960, (tokens,), generator=torch.Generator().manual_seed(0)).tolist()


def table(rows: list[tuple], headers: tuple[str, ...]) -> str:
    return tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True)


def section() -> str:
    prepare_libraries(THREADS)
    return (
        "## Noise trace\n\n"
        f"{LAYERS} layers x {DRAWS} draws on the pocket base, a prompt of {PROMPT_TOKENS} tokens, float32, {THREADS} "
        "thread; the peers take a batch of draws a layer. Ours includes its own check against full runs.\n\n"
        f"{against_peers()}\n\n{against_the_least_possible()}\n\nIts cost grows linearly:\n\n{growth()}\n"
    )


if __name__ == "__main__":
    print(section())
