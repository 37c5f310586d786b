"""A task of lm-eval as it is, as a task: found, loaded and asked, guarded against what lm-eval does silently.

Beside the guards of our own tasks: the documents are made once and both asked and scored, in an order that depends on
the seed alone; a file that lm-eval would skip, a number of examples that it would ignore and a metric that is no
average over items are sentences; code of a user's folder runs only where it is trusted.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import InvalidCheckpoint, InvalidComparison, NotTestable, UsageError
from depthgauge.core.randomness import undisturbed
from depthgauge.core.testbed import LmEvalTask
from depthgauge.tasks import samples
from depthgauge.tasks.blocks import SEED, places_in
from depthgauge.tasks.task_files import folder_digest
from depthgauge.tasks.task_index import find, unsafe
from depthgauge.tasks.task_load import caching_disabled, freeze, load, quiet, sandboxed, seed_everything
from depthgauge.tasks.ties import check_ties

BATCH = 16  # of a task of our own it is 64; prompts of lm-eval's tasks are 100 times as long
MARGIN = 8  # tokens that may stand in no byte of a prompt: those at its start and end
TASK_FAILURES = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError)
Taken = dict[str, NDArray[Any]]
Documents = Mapping[str, Sequence[int]]


def parameters(task: LmEvalTask, block: int | None = None) -> dict[str, Any]:
    """All that determines a task besides the checkpoint and lm-eval's version: part of the key of its measurement.

    A folder of tasks is the digest of all its files, and of the local files that its tasks read.
    """
    asked = {"temperature": task.temperature, "max_answer_tokens": task.max_answer_tokens}
    return {
        **{name: value for name, value in asked.items() if value is not None},
        **({} if task.repeats == 1 else {"repeats": task.repeats}),
        **({} if block is None else {"block": block}),
        "task": task.name,
        "fewshot": task.fewshot,
        "limit": task.limit,
        "chat": task.chat,
        "metric": task.metric,
        "folder": None if task.path is None else folder_digest(task.path),
        "trust_code": task.trust_code,
        "batch": BATCH,
        "seed": SEED,
    }


def run_lm_eval_task(task: LmEvalTask, model: Any, tokenizer: Any, *, folder: Path, block: int | None = None) -> Taken:
    """Answer every item, or a block's.

    Arrays: `score` (repeats, items), and of the first `sign`, `ids`, `answer`, `target` (items,), `metric`, `ties`,
    `truncated`, `thinking`, `clipped`, `settings` (JSON) and `samples` (see `samples.pack`); of a block also `of`, how
    many items all blocks have.

    `truncated` is the share of generated answers that ran to the last token allowed without a stop, `thinking` of those
    with a <think>, `clipped` of requests that did not fit into the context, which lm-eval cuts at the start.

    Raises: UsageError if the task is not available as it is asked for; NotTestable if the context is too short to
    answer; InvalidCheckpoint if a log-likelihood is not finite; InvalidComparison if lm-eval scored something else than
    it asked, ties are more than 5 %, or the metric is no average over items.
    """
    with quiet(), undisturbed(model), caching_disabled():
        index = find(task)
        with sandboxed(task):
            loaded = load(task, index, {"pretrained": str(folder)})
            lm = lm_eval_model(model, tokenizer)
            for lm_task in loaded.values():
                check_settings(task, lm_task, lm)
            documents, whole = draw(task, {name: freeze(lm_task) for name, lm_task in loaded.items()}, block)
            asked = [name for name in documents if len(documents[name])]
            runs = [
                join(task, [sit(task, name, loaded[name], lm, documents[name], SEED + repeat) for name in asked])
                for repeat in range(task.repeats)
            ]
    of = {} if block is None else {"of": np.array(whole)}
    return runs[0] | of | {"score": np.concatenate([run["score"] for run in runs])}


def fetch(task: LmEvalTask) -> None:
    """Fill the cache of data sets with what the task reads, online. Raises: UsageError if that is not available."""
    import datasets
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE or datasets.config.HF_HUB_OFFLINE:
        raise UsageError(f"task {task.name!r} cannot be fetched offline: unset HF_HUB_OFFLINE and HF_DATASETS_OFFLINE.")
    with quiet():
        index = find(task)
        with sandboxed(task):
            load(task, index, {})


def lm_eval_model(model: Any, tokenizer: Any) -> Any:
    """lm-eval's hold on a model; the tokenizer is a copy, as lm-eval gives it a padding token."""
    from lm_eval.models.huggingface import HFLM

    return HFLM(pretrained=model, tokenizer=deepcopy(tokenizer), batch_size=BATCH)


def check_settings(task: LmEvalTask, lm_task: Any, lm: Any) -> None:
    """Set the number of examples. Raises: UsageError or NotTestable if lm-eval would ignore what is asked, or fail."""
    name, pinned = lm_task.task_name, lm_task.get_config("num_fewshot")
    if getattr(lm_task, "UNSAFE_CODE", False):
        raise unsafe(name)
    if task.fewshot and pinned == 0:
        raise UsageError(f"task {name!r} is defined without examples, and lm-eval would ignore fewshot={task.fewshot}.")
    lm_task.set_config(key="num_fewshot", value=task.fewshot if task.fewshot is not None else pinned or 0)
    lm_task.set_fewshot_seed(seed=SEED)
    if task.chat and not lm.tokenizer.chat_template:
        raise UsageError(
            f"task {name!r} is asked as a chat, and this checkpoint's tokenizer has no chat template.",
            code="no-template",
        )
    generation = generation_settings(task)
    if generation and lm_task.OUTPUT_TYPE != "generate_until":
        raise UsageError(f"task {name!r} generates no answer, so it has no {' and no '.join(generation)} to set.")
    if generation:
        lm_task.set_config(key="generation_kwargs", value=generation, update=True)
    room = lm.max_length - (answer_tokens(lm_task) if lm_task.OUTPUT_TYPE == "generate_until" else 0)
    if room <= 0:
        raise NotTestable(
            f"task {name!r} lets a model answer in {answer_tokens(lm_task)} tokens, and this one's context is "
            f"{lm.max_length}."
        )
    if task.metric is not None:
        check_metric(task, lm_task)


def generation_settings(task: LmEvalTask) -> dict[str, Any]:
    """What is generated otherwise than the task says."""
    generation: dict[str, Any] = {}
    if task.max_answer_tokens is not None:
        generation["max_gen_toks"] = task.max_answer_tokens
    if task.temperature is not None:
        generation |= {"temperature": task.temperature, "do_sample": task.temperature > 0, "top_k": 0, "top_p": 1.0}
    return generation


def answer_tokens(lm_task: Any) -> int:
    from lm_eval.models.utils import normalize_gen_kwargs

    return int(normalize_gen_kwargs(lm_task.get_config("generation_kwargs") or {})["max_gen_toks"])


def check_metric(task: LmEvalTask, lm_task: Any) -> None:
    """Raises: UsageError if the task has no such metric or filter; metrics that expand to several are not known yet."""
    metric, _, wanted = (task.metric or "").partition(",")
    known, filters = list(lm_task.aggregation()), filter_names(lm_task)
    expanding = [entry for entry in lm_task.get_config("metric_list") or () if entry.get("hf_evaluate")]
    if metric not in known and not expanding:
        raise UsageError(f"task {lm_task.task_name!r} has no metric {metric!r}: it has {', '.join(known)}.")
    if wanted and wanted not in filters:
        raise UsageError(f"task {lm_task.task_name!r} has no filter {wanted!r}: it has {', '.join(filters)}.")


def filter_names(lm_task: Any) -> list[str]:
    return [ensemble.name for ensemble in lm_task._filters]


def draw(task: LmEvalTask, documents: Mapping[str, Any], block: int | None = None) -> tuple[Documents, int]:
    """Which documents of each task are asked, in order: all, or `limit` of all together, by the seed, or a block of
    these; and how many all blocks have.
    """
    places = [(name, place) for name, docs in documents.items() for place in range(len(docs))]
    chosen: Sequence[int] = range(len(places))
    if task.limit is not None and task.limit < len(places):
        chosen = sorted(np.random.default_rng(SEED).choice(len(places), task.limit, replace=False).tolist())
    whole = len(chosen)
    if block is not None:
        chosen = [chosen[place] for place in places_in(block, whole)]
    drawn: dict[str, list[int]] = {name: [] for name in documents}
    for place in chosen:
        drawn[places[place][0]].append(places[place][1])
    return drawn, whole


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One task, answered."""

    name: str
    metric: str
    sign: float
    answers: Sequence[samples.Answer]
    rows: Sequence[samples.Row]
    generated: Sequence[bool]
    clipped: Sequence[bool]
    settings: Mapping[str, Any]


def sit(task: LmEvalTask, name: str, lm_task: Any, lm: Any, drawn: Sequence[int], seed: int) -> Part:
    """One task's drawn documents through lm-eval, each guard seen to.

    lm-eval's own `samples=` is not used: it asks document k of the sorted ones and calls it the k-th of those given.
    """
    whole = lm_task.eval_docs
    documents = whole if len(drawn) == len(whole) else pick(whole, drawn)
    lm_task.test_docs = lm_task.validation_docs = lambda: documents
    chat = (
        bool(lm.tokenizer.chat_template) and lm_task.OUTPUT_TYPE == "generate_until" if task.chat is None else task.chat
    )
    out, generated = ask(name, lm_task, lm, chat, seed)
    metric, _, wanted = (task.metric or "").partition(",")
    wanted = wanted or filter_names(lm_task)[0]
    logged = [sample for sample in out["samples"][name] if sample["filter"] == wanted]
    check_same_task(name, lm_task, documents, logged)
    rows = [json.loads(samples.on_disk({**row, "doc_id": drawn[row["doc_id"]]})) for row in logged]
    metric = metric or samples.first_metric(rows[0], lm_task.aggregation(), f"task {name!r}")
    answers = [samples.read_row(row, metric, prefix="" if name == task.name else f"{name}/") for row in rows]
    check_ties(sum(answer.tied for answer in answers), len(answers), repr(name))
    check_average(name, metric, rows, answers, out["results"][name].get(f"{metric},{wanted}"))
    return Part(
        name=name,
        metric=metric,
        sign=sign_of(name, metric, lm_task),
        answers=answers,
        rows=rows,
        generated=generated,
        clipped=[does_not_fit(request, lm, lm_task) for request in lm_task.instances],
        settings=settings(task, lm_task, chat, wanted, len(rows)),
    )


def pick(documents: Any, places: Sequence[int]) -> Any:
    """Some of the documents, in order."""
    return documents.select(places) if hasattr(documents, "select") else [documents[place] for place in places]


def ask(name: str, lm_task: Any, lm: Any, chat: bool, seed: int) -> tuple[Any, list[bool]]:
    """What lm-eval gives, and whether each generated answer was cut short. Raises: UsageError if the task fails."""
    from jinja2 import TemplateError
    from lm_eval.evaluator import evaluate

    seed_everything(seed)
    with listening(lm) as cut_short:
        try:
            out = evaluate(
                lm,
                {"tasks": {name: lm_task}, "groups": {}, "group_map": {}},
                log_samples=True,
                bootstrap_iters=0,
                cache_requests=False,
                apply_chat_template=chat,
                fewshot_as_multiturn=chat,
            )
        except (*TASK_FAILURES, TemplateError) as error:
            said = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            raise UsageError(f"lm-eval cannot run task {name!r} on this checkpoint: {said}") from error
    return out, cut_short


@contextmanager
def listening(lm: Any) -> Iterator[list[bool]]:
    """Hear every generated answer, and whether it was cut short. Raises: InvalidCheckpoint if logits are not finite."""
    generate = lm._model_generate
    cut_short: list[bool] = []
    finite: list[Any] = []
    hook = lm.model.register_forward_hook(lambda _m, _i, output: finite.append(output.logits[:, -1].isfinite().all()))

    def recorded(*, context: Any, max_length: int, stop: Sequence[str], **options: Any) -> Any:
        finite.clear()
        out = generate(context=context, max_length=max_length, stop=stop, **options)
        if not all(bool(value) for value in finite):
            raise InvalidCheckpoint(
                "the checkpoint's logits are not finite, so what it generates means nothing.", code="not-finite"
            )
        cut_short.extend(is_cut_short(row, lm, out.shape[1] < max_length, stop) for row in out[:, context.shape[1] :])
        return out

    lm._model_generate = recorded
    try:
        yield cut_short
    finally:
        del lm._model_generate
        hook.remove()


def is_cut_short(row: Any, lm: Any, ended: bool, stop: Sequence[str]) -> bool:
    """Whether a generated row (tokens) ran out of tokens: no end token, and no text to stop at."""
    ends = getattr(lm.model.generation_config, "eos_token_id", None)
    ends = {lm.eot_token_id, *(ends if isinstance(ends, list) else [ends])}
    text = lm.tok_decode(row.tolist(), skip_special_tokens=False)
    return not (ended or ends & set(row.tolist()) or any(ending and ending in text for ending in stop))


def check_same_task(name: str, lm_task: Any, documents: Any, logged: Sequence[Any]) -> None:
    """Raises: InvalidComparison unless every document was asked once, in order, and scored as it was asked."""
    if [sample["doc_id"] for sample in logged] != list(range(len(documents))):
        raise InvalidComparison(f"lm-eval answered {len(logged)} documents of {name!r} in place of {len(documents)}.")
    for sample in logged:
        first = sample["arguments"][0]
        if sample["doc_hash"] != doc_hash(documents[sample["doc_id"]]):
            raise InvalidComparison(
                f"{name!r}: lm-eval asked another document {sample['doc_id']} than the one scored.",
                code="other-document",
            )
        for part, place in expected_parts(lm_task, sample):
            if part.strip() not in sample["arguments"][place[0]][place[1]]:
                raise InvalidComparison(f"{name!r}: lm-eval asked {first[0][-200:]!r} and scored {part[-200:]!r}.")


def expected_parts(lm_task: Any, sample: Any) -> Iterator[tuple[str, tuple[int, int]]]:
    """Texts made anew of the scored document, and the request and argument that each must stand in."""
    document = sample["doc"]
    if lm_task.OUTPUT_TYPE == "loglikelihood_rolling":
        yield str(lm_task.doc_to_target(document)), (0, 0)
        return
    asked = lm_task.doc_to_text(document)
    choices = lm_task.doc_to_choice(document) if lm_task.OUTPUT_TYPE == "multiple_choice" else []
    if isinstance(asked, str):
        yield asked, (0, 0)
    for number, choice in enumerate(choices):
        yield choice, (number, 1 if isinstance(asked, str) else 0)


def doc_hash(document: Any) -> str:
    """As lm-eval hashes the document that it asked."""
    from lm_eval.utils import handle_non_serializable, hash_string

    return str(hash_string(json.dumps(document, indent=2, default=handle_non_serializable, ensure_ascii=False)))


def check_average(
    name: str, metric: str, rows: Sequence[samples.Row], answers: Sequence[samples.Answer], reported: Any
) -> None:
    """Raises: InvalidComparison if lm-eval's number for the whole task is not the mean (or 100 times it) of the items.

    A `perplexity` is the exponential of the mean; texts are weighted by length there and not here.
    """
    if not samples.is_number(rows[0][metric]):
        return
    mean = float(np.mean([answer.score for answer in answers]))
    expected = [math.exp(mean)] if metric == samples.LIKELIHOOD else [mean, 100 * mean]
    value = float(reported) if isinstance(reported, int | float | np.number) else math.nan
    if not any(math.isclose(value, average, rel_tol=1e-6, abs_tol=1e-9) for average in expected):
        raise InvalidComparison(
            f"{metric} of task {name!r} is {reported} by lm-eval and {mean:.6g} on average over items, so it is no "
            "average over items: choose another metric."
        )


def sign_of(name: str, metric: str, lm_task: Any) -> float:
    """1 where higher is better, else -1. Raises: UsageError if the task does not say."""
    if metric in (*samples.PER_TEXT, samples.LIKELIHOOD):
        return -1.0
    better = lm_task.higher_is_better().get(metric)
    if better is None:
        raise UsageError(f"task {name!r} does not say whether a higher {metric} is better (higher_is_better).")
    return 1.0 if better else -1.0


def does_not_fit(request: Any, lm: Any, lm_task: Any) -> bool:
    """Whether lm-eval cut the start of a request; a text to be read whole is read in windows and never cut."""
    if request.request_type == "loglikelihood_rolling":
        return False
    generates = request.request_type == "generate_until"
    text = request.args[0] if generates else request.args[0] + request.args[1]
    room = lm.max_length - answer_tokens(lm_task) if generates else lm.max_length + 1
    return len(text.encode()) + MARGIN > room and bool(len(lm.tok_encode(text)) > room)


def settings(task: LmEvalTask, lm_task: Any, chat: bool, wanted: str, items: int) -> dict[str, Any]:
    """How the task was asked, as a report states it."""
    return {
        "num_fewshot": lm_task.get_config("num_fewshot"),
        "chat": chat,
        "generation_kwargs": lm_task.get_config("generation_kwargs"),
        "filter": wanted,
        "output_type": lm_task.OUTPUT_TYPE,
        "version": lm_task.VERSION,
        "limit": task.limit,
        "items": items,
    }


def join(task: LmEvalTask, parts: Sequence[Part]) -> Taken:
    """The arrays of one task, or of a group's tasks one after the other. Raises: UsageError if metrics differ."""
    by_metric = {part.metric: part for part in parts}
    if len({(part.metric, part.sign) for part in parts}) > 1:
        kinds = ", ".join(f"{part.metric} ({part.name})" for part in by_metric.values())
        raise UsageError(f"the tasks of {task.name!r} have different metrics, {kinds}: choose one, or single tasks.")
    answers = list(chain.from_iterable(part.answers for part in parts))
    rows = list(chain.from_iterable(part.rows for part in parts))
    taken = samples.arrays(answers, rows, metric=parts[0].metric, sign=parts[0].sign)
    stated = merge([part.settings for part in parts], [part.name for part in parts]) | {"items": len(answers)}
    return taken | {
        "truncated": share(part.generated for part in parts),
        "clipped": share(part.clipped for part in parts),
        "settings": np.array(json.dumps(stated, default=str, sort_keys=True)),
    }


def share(parts: Iterable[Sequence[bool]]) -> NDArray[np.float64]:
    every = [answer for part in parts for answer in part]
    return np.array(float(np.mean(every)) if every else 0.0)


def merge(stated: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, Any]:
    """Settings that all tasks share, as they are; others by task."""
    merged = {}
    for key in stated[0]:
        values = [part[key] for part in stated]
        shared = all(value == values[0] for value in values)
        merged[key] = values[0] if shared else dict(zip(names, values, strict=True))
    return merged
