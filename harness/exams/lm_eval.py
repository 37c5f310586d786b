"""The only door to lm-eval: an exam on a loaded model, guarded against what lm-eval does silently.

The guards answer the pitfalls of lm-eval 0.4.13: options are ordered by the question alone (no global random state),
the scored document must be the prompted one, log-likelihoods must be finite, ties are counted, no response or request
cache is used, no subset is drawn, repeats are ours, and the model's mode and every global random state are left as
found.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from functools import lru_cache
from io import StringIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthgauge.errors import InvalidCheckpoint, InvalidComparison
from depthgauge.exams.blocks import SEED
from depthgauge.models.inputs import as_turn
from depthgauge.models.load import context_length
from depthgauge.randomness import undisturbed_randomness
from depthgauge.types import CORRECT, Exam, Item, digest

VERSION = 1
BATCH = 64
MOST_TIES = 0.05


def take_exam(exam: Exam, model: Any, tokenizer: Any) -> dict[str, NDArray[Any]]:
    """Answer every item. Arrays: `score` and `answer` (repeats, items), `ids` (items,), `ties`.

    Raises: InvalidCheckpoint if a log-likelihood is not finite; InvalidComparison if lm-eval scored something else than
    it asked, or more than 5 % of the items were tied between options.
    """
    items = list(exam.items())
    runs = [sit(exam, items, model, tokenizer, seed=SEED + repeat) for repeat in range(exam.repeats)]
    scores, answers, ties = zip(*runs, strict=True)
    return {
        "score": np.array(scores, dtype=np.float64),
        "ids": np.array([item.id for item in items], dtype=np.str_),
        "answer": np.array(answers, dtype=np.str_),
        "ties": np.array(sum(ties)),
    }


@lru_cache
def items_digest(exam: Exam) -> str:
    return digest([[item.id, item.prompt, item.answer, list(item.options)] for item in exam.items()])


def parameters(exam: Exam) -> dict[str, Any]:
    """All that determines an exam besides the checkpoint: part of the key of its measurement."""
    reward = {} if exam.reward == CORRECT else {"reward": [exam.reward.name, exam.reward.version]}
    chat = {"chat": True} if exam.chat else {}
    return {
        **reward,
        **chat,
        "exam": exam.name,
        "version": exam.version,
        "items": items_digest(exam),
        "temperature": exam.temperature,
        "repeats": exam.repeats,
        "max_answer_tokens": exam.max_answer_tokens,
        "batch": BATCH,
        "seed": SEED,
    }


def sit(
    exam: Exam, items: Sequence[Item], model: Any, tokenizer: Any, *, seed: int
) -> tuple[list[float], list[str], int]:
    """One run of an exam through lm-eval: scores, answers, number of ties, in the order of the items."""
    import torch
    from lm_eval.evaluator import evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    asked = [as_turn(tokenizer, item.prompt) if exam.chat else item.prompt for item in items]
    with undisturbed(model), redirect_stderr(StringIO()):
        loaded = TaskManager(include_defaults=False).load([task_configuration(exam, items)])
        if list(loaded["tasks"]) != [exam.name]:
            raise InvalidComparison(f"lm-eval loaded {list(loaded['tasks'])} instead of the exam {exam.name!r}.")
        torch.manual_seed(seed)
        lm = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=BATCH, max_length=context_length(model))
        out = evaluate(
            lm, loaded, log_samples=True, bootstrap_iters=0, cache_requests=False, apply_chat_template=exam.chat
        )
    samples = out["samples"][exam.name]
    check_same_exam(exam, items, samples, loaded["tasks"][exam.name], asked)
    read_sample = read_choice if items[0].options else read_answer
    scores, answers, ties = zip(*(read_sample(exam, sample) for sample in samples), strict=True)
    if sum(ties) > MOST_TIES * len(items):
        raise InvalidComparison(
            f"{sum(ties)} of {len(items)} items of {exam.name!r} tied between options: the model cannot tell them "
            "apart in this precision, and a tie would go to the first option."
        )
    return list(scores), list(answers), sum(ties)


def task_configuration(exam: Exam, items: Sequence[Item]) -> dict[str, Any]:
    """The exam as an inline lm-eval task: no YAML to be skipped silently, no data set cache to go stale."""
    from datasets import Dataset

    rows = [
        {
            "id": item.id,
            "prompt": item.prompt,
            "answer": item.answer,
            "options": list(item.options),
            "gold": item.options.index(item.answer) if item.options else -1,
        }
        for item in items
    ]
    shared = {
        "task": exam.name,
        "custom_dataset": lambda **_: {"test": Dataset.from_list(rows)},
        "test_split": "test",
        "num_fewshot": 0,
        "doc_to_text": "{{prompt}}",
        "target_delimiter": " ",
        "metadata": {"version": exam.version},
    }
    if items[0].options:
        return shared | {
            "output_type": "multiple_choice",
            "doc_to_choice": "{{options}}",
            "doc_to_target": "gold",
            "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
        }
    sampled, by_id = exam.temperature > 0, {item.id: item for item in items}
    return shared | {
        "output_type": "generate_until",
        "doc_to_target": "{{answer}}",
        "generation_kwargs": {
            "until": [],
            "max_gen_toks": exam.max_answer_tokens,
            "do_sample": sampled,
            **({"temperature": exam.temperature, "top_k": 0, "top_p": 1.0} if sampled else {}),
        },
        "process_results": lambda doc, results: {"reward": exam.reward.pays(by_id[doc["id"]], results[0])},
        "metric_list": [{"metric": "reward", "aggregation": "mean", "higher_is_better": True}],
        "filter_list": [
            {"name": "strip", "filter": [{"function": "remove_whitespace"}, {"function": "take_first"}]},
        ],
    }


def check_same_exam(
    exam: Exam, items: Sequence[Item], samples: Sequence[Any], task: Any, expected: Sequence[str]
) -> None:
    """Raises: InvalidComparison unless every item was asked once, in order, and scored as it was asked."""
    answered = [sample["doc"]["id"] for sample in samples]
    if answered != [item.id for item in items]:
        raise InvalidComparison(
            f"lm-eval answered {len(answered)} items of {exam.name!r} in place of its {len(items)}."
        )
    for item, sample, asked in zip(items, samples, expected, strict=True):
        prompt = sample["arguments"][0][0]
        if prompt != asked or task.doc_to_text(sample["doc"]) != item.prompt:
            raise InvalidComparison(f"{exam.name!r}: lm-eval asked {prompt!r} and scored {item.prompt!r}.")


def read_choice(exam: Exam, sample: Any) -> tuple[float, str, int]:
    """Score, chosen option and whether it was tied, of an item answered by option log-likelihood."""
    likelihoods = np.array([response[0][0] for response in sample["resps"]], dtype=float)
    if not np.isfinite(likelihoods).all():
        raise InvalidCheckpoint(
            f"{exam.name!r}: a log-likelihood is {likelihoods}, so the checkpoint cannot be scored; lm-eval would have "
            "called it a guess."
        )
    best = int(likelihoods.argmax())
    tied = int((likelihoods == likelihoods[best]).sum() > 1)
    return float(sample["acc"]), str(sample["doc"]["options"][best]), tied


def read_answer(_: Exam, sample: Any) -> tuple[float, str, int]:
    """Score and text of a generated answer; saying nothing is a wrong answer."""
    return float(sample["reward"]), str(sample["filtered_resps"][0]), 0


@contextmanager
def undisturbed(model: Any) -> Iterator[None]:
    """Leave the model's mode and the global random states as they were."""
    training = model.training
    try:
        with undisturbed_randomness():
            yield
    finally:
        model.train(training)
