"""Evaluation items of our own on a loaded model: options by their log-likelihood, or generated answers.

Tokens, batches and seeds are those of lm-eval 0.4.13 (`HFLM.loglikelihood` and `generate_until`), and a test holds both
to the same answers. Different on purpose: log-likelihoods are computed in float32 or better whatever the model's dtype,
and only where an option has tokens; a model whose numbers are not finite, and options that tie, are refused.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import InvalidCheckpoint, NotTestable
from depthgauge.core.plain import digest
from depthgauge.core.randomness import undisturbed
from depthgauge.core.steps import counted
from depthgauge.core.testbed import CORRECT, Item, ItemTask
from depthgauge.models.anatomy import widened
from depthgauge.models.inputs import as_turn, filler_of, padded_left
from depthgauge.models.load import context_length
from depthgauge.tasks.blocks import SEED
from depthgauge.tasks.ties import check_ties

BATCH = 64
Tokens = tuple[int, ...]


@lru_cache
def items_digest(task: ItemTask) -> str:
    return digest([[item.id, item.prompt, item.answer, list(item.options)] for item in task.items()])


def parameters(task: ItemTask) -> dict[str, Any]:
    """All that determines the answers besides the checkpoint: part of the key of the measurement."""
    reward = {} if task.reward == CORRECT else {"reward": [task.reward.name, task.reward.version]}
    chat = {"chat": True} if task.chat else {}
    return {
        **reward,
        **chat,
        "item_task": task.name,
        "version": task.version,
        "items": items_digest(task),
        "temperature": task.temperature,
        "repeats": task.repeats,
        "max_answer_tokens": task.max_answer_tokens,
        "batch": BATCH,
        "seed": SEED,
    }


def answer_items(task: ItemTask, model: Any, tokenizer: Any) -> dict[str, NDArray[Any]]:
    """Answer every item. Arrays: `score` and `answer` (repeats, items), `ids` (items,), `ties` ().

    The model's mode and all global random states are left as they were.

    Raises: NotTestable if an item does not fit into the context, or has no tokens; InvalidCheckpoint if the model's
    numbers are not finite; InvalidComparison if more than 5 % of the items were tied between options.
    """
    items = list(task.items())
    with undisturbed(model):
        model.eval()
        prompts = [as_turn(tokenizer, item.prompt) if task.chat else item.prompt for item in items]
        if items[0].options:
            scores, answers, ties = choose(task, items, prompts, model, tokenizer)
        else:
            answers = [generate(task, prompts, model, tokenizer, SEED + repeat) for repeat in range(task.repeats)]
            scores = [[task.reward.reward_func(*pair) for pair in zip(items, said, strict=True)] for said in answers]
            ties = 0
    return {
        "score": np.array(scores, dtype=np.float64),
        "ids": np.array([item.id for item in items], dtype=np.str_),
        "answer": np.array(answers, dtype=np.str_),
        "ties": np.array(ties),
    }


# -- options ---


def choose(
    task: ItemTask, items: Sequence[Item], prompts: Sequence[str], model: Any, tokenizer: Any
) -> tuple[list[list[float]], list[list[str]], int]:
    """Scores and answers, of one repeat, by the likeliest option, and how many items had two. Raises: as above."""
    likelihoods = iter(log_likelihoods(option_texts(task, items, prompts), model, tokenizer))
    scores, answers, ties = [], [], 0
    for item in items:
        values = np.array([next(likelihoods) for _ in item.options])
        if not np.isfinite(values).all():
            raise InvalidCheckpoint(
                f"{task.name!r}: a log-likelihood is {values}, so the checkpoint cannot be scored; lm-eval would have "
                "called it a guess.",
                code="not-finite",
            )
        best = int(values.argmax())
        ties += int((values == values[best]).sum() > 1)
        scores.append(float(best == item.options.index(item.answer)))
        answers.append(item.options[best])
    check_ties(ties, len(items), repr(task.name))
    return [scores], [answers], ties


def option_texts(task: ItemTask, items: Sequence[Item], prompts: Sequence[str]) -> list[tuple[str, str]]:
    """Every prompt with each of its options: after a space, or at once where a chat template begins the answer."""
    space = "" if task.chat else " "
    return [(prompt, space + option) for item, prompt in zip(items, prompts, strict=True) for option in item.options]


class Pair(NamedTuple):
    """The tokens of a context and of what follows it: at least one each."""

    context: Tokens
    continuation: Tokens

    @property
    def read(self) -> Tokens:
        """What the model reads to score it: all tokens but the last."""
        return (self.context + self.continuation)[:-1]


def log_likelihoods(texts: Sequence[tuple[str, str]], model: Any, tokenizer: Any) -> list[float]:
    """Of each continuation after its context, in nats, the sum over its tokens.

    Continuations that differ only in their last token are read once. A context that is too long is cut at its start.

    Raises: NotTestable if a continuation has no tokens, or more than fit into the model's context.
    """
    longest = context_length(model)
    pairs = list(token_pairs(texts, tokenizer))
    for (context, continuation), pair in zip(texts, pairs, strict=True):
        if not 0 < len(pair.continuation) <= longest or not pair.context:
            raise NotTestable(
                f"the option {continuation[:40]!r} after {context[-40:]!r} has {len(pair.continuation)} tokens, and 1 "
                f"to {longest} can be scored with this checkpoint's tokenizer and context."
            )
    alike: dict[Tokens, list[int]] = {}
    for i, pair in enumerate(pairs):
        alike.setdefault(pair.read, []).append(i)
    scores = np.empty(len(pairs))
    for batch in batches(sorted(alike, key=longest_first)):
        rows = [read[-longest:] for read in batch]
        owners = [i for read in batch for i in alike[read]]
        places = [row for row, read in enumerate(batch) for _ in alike[read]]
        scores[owners] = score(rows, places, [pairs[i].continuation for i in owners], model)
    return scores.tolist()


def score(
    rows: Sequence[Tokens], places: Sequence[int], continuations: Sequence[Tokens], model: Any
) -> NDArray[np.float64]:
    """The log-likelihood of each continuation, which ends one token after the row at its place."""
    import torch

    width = max(map(len, rows))  # filled up at the end, which no token before it sees: no mask is needed
    ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows], device=model.device)
    cells = [
        (place, len(rows[place]) - len(tokens) + j, token)
        for place, tokens in zip(places, continuations, strict=True)
        for j, token in enumerate(tokens)
    ]
    row, column, token = torch.tensor(cells, device=model.device).T
    kept, column = column.unique(return_inverse=True)
    with torch.inference_mode():
        logits = model(input_ids=ids, use_cache=False, logits_to_keep=kept).logits
        logps = widened(logits[row.to(logits.device), column.to(logits.device)]).log_softmax(-1)
        values = logps.gather(1, token.to(logits.device)[:, None])[:, 0].double().cpu().numpy()
    ends = np.cumsum([len(tokens) for tokens in continuations])
    return np.array([part.sum() for part in np.split(values, ends[:-1])])


def token_pairs(texts: Sequence[tuple[str, str]], tokenizer: Any) -> Iterator[Pair]:
    """Contexts and continuations cut as lm-eval does: white space between them belongs to the continuation, and both
    are encoded together, as tokens may differ from those of each alone.
    """
    cut = [(context.rstrip(), context[len(context.rstrip()) :] + said) for context, said in texts]
    first = first_token(tokenizer)
    known = encoded(dict.fromkeys([*(context for context, _ in cut), *map("".join, cut)]), tokenizer)
    for context, said in cut:
        if context:
            yield Pair(known[context], known[context + said][len(known[context]) :])
        else:
            alone = tuple(tokenizer.encode(said, add_special_tokens=False))
            begun = alone[:1] == first
            yield Pair(alone[:1], alone[1:]) if begun else Pair(first, alone)


def first_token(tokenizer: Any) -> Tokens:
    """The token that a text begins with: that of its begin or end; empty where there is neither."""
    token = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    return () if token is None else (int(token),)


def encoded(texts: Collection[str], tokenizer: Any) -> Mapping[str, Tokens]:
    """The tokens of each text, with those that the tokenizer adds unless the text begins with one already."""
    first = tokenizer.decode(list(first_token(tokenizer))) or None
    encoded_texts: dict[str, Tokens] = {}
    for begun in (True, False):
        chosen = [text for text in texts if (first is not None and text.startswith(first)) == begun]
        ids = tokenizer(chosen, **({"add_special_tokens": False} if begun else {}))["input_ids"] if chosen else []
        encoded_texts.update(zip(chosen, map(tuple, ids), strict=True))
    return encoded_texts


# -- generated answers ---


def generate(task: ItemTask, prompts: Sequence[str], model: Any, tokenizer: Any, seed: int) -> list[str]:
    """What the model says after each prompt, greedily or with samples that depend on the seed, up to its end token and
    without white space around it. A prompt that is too long is cut at its start.

    Raises: NotTestable if the context leaves no room for a prompt, or one has no tokens; InvalidCheckpoint if logits
    are not finite.
    """
    import torch

    room = context_length(model) - task.max_answer_tokens
    known = encoded(dict.fromkeys(prompts), tokenizer)
    empty = [prompt for prompt in prompts if not known[prompt]]
    if room <= 0 or empty:
        why = f"{task.max_answer_tokens} tokens of {context_length(model)}" if room <= 0 else f"{empty[0]!r} has none"
        raise NotTestable(f"{task.name!r} leaves a prompt no tokens to be read: {why}.")
    eos, filler = tokenizer.eos_token, filler_of(tokenizer)
    sampling = {"temperature": task.temperature, "top_k": 0, "top_p": 1.0} if task.temperature > 0 else {}
    order = sorted(range(len(prompts)), key=lambda i: (-len(known[prompts[i]]), prompts[i]))
    said = [""] * len(prompts)
    torch.manual_seed(seed)
    with finite_logits(model):
        for batch in batches(order):
            ids, mask = padded_left([known[prompts[i]][-room:] for i in batch], filler, model.device)
            out = model.generate(
                input_ids=ids, attention_mask=mask, max_new_tokens=task.max_answer_tokens, pad_token_id=filler,
                do_sample=bool(sampling), **sampling,
            )  # fmt: skip
            for i, tokens in zip(batch, out[:, ids.shape[1] :].tolist(), strict=True):
                text = tokenizer.decode(tokens, skip_special_tokens=True)
                said[i] = (text.split(eos)[0] if eos else text).strip()
    return said


@contextmanager
def finite_logits(model: Any) -> Iterator[None]:
    """Raises: InvalidCheckpoint if the last logits of a forward pass within it are NaN or infinite."""

    def check(_module: Any, _inputs: Any, output: Any) -> None:
        if not bool(output.logits[:, -1].isfinite().all()):
            raise InvalidCheckpoint(
                "the checkpoint's logits are not finite, so what it generates means nothing.", code="not-finite"
            )

    hook = model.register_forward_hook(check)
    try:
        yield
    finally:
        hook.remove()


def longest_first(tokens: Tokens) -> tuple[int, Tokens]:
    return -len(tokens), tokens


def batches(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (values[start : start + BATCH] for start in counted(range(0, len(values), BATCH)))
