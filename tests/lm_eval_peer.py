"""What lm-eval answers to items of our own: the peer that `depthgauge.tasks.item_runner` is held to."""

import logging
from contextlib import redirect_stderr
from copy import deepcopy
from io import StringIO
from typing import NamedTuple

import torch
from datasets import Dataset
from lm_eval.evaluator import evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from depthgauge.core.randomness import undisturbed
from depthgauge.models.load import context_length
from depthgauge.tasks.blocks import SEED
from depthgauge.tasks.item_runner import BATCH


class Peer(NamedTuple):
    """Of each item its answer and score; of each request the texts, and the log-likelihood where it is one."""

    answers: list
    scores: list
    texts: list
    log_likelihoods: list


def answers_of_lm_eval(task, model, tokenizer, repeat=0):
    """One repeat of a task, as an inline task of lm-eval."""
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    with undisturbed(model), redirect_stderr(StringIO()):
        loaded = TaskManager(include_defaults=False).load([configuration(task)])
        lm = HFLM(pretrained=model, tokenizer=deepcopy(tokenizer), batch_size=BATCH, max_length=context_length(model))
        torch.manual_seed(SEED + repeat)
        out = evaluate(
            lm, loaded, log_samples=True, bootstrap_iters=0, cache_requests=False, apply_chat_template=task.chat
        )
    samples = out["samples"][task.name]
    assert [sample["doc"]["id"] for sample in samples] == [item.id for item in task.items()]
    texts = [request for sample in samples for request in sample["arguments"]]
    if not task.items()[0].options:
        said = [sample["filtered_resps"][0] for sample in samples]
        return Peer(said, [sample["reward"] for sample in samples], texts, [])
    values = [[response[0][0] for response in sample["resps"]] for sample in samples]
    said = [item.options[row.index(max(row))] for item, row in zip(task.items(), values, strict=True)]
    return Peer(said, [sample["acc"] for sample in samples], texts, [value for row in values for value in row])


def configuration(task):
    items = task.items()
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
        "task": task.name,
        "custom_dataset": lambda **_: {"test": Dataset.from_list(rows)},
        "test_split": "test",
        "num_fewshot": 0,
        "doc_to_text": "{{prompt}}",
        "target_delimiter": " ",
        "metadata": {"version": task.version},
    }
    if items[0].options:
        return shared | {
            "output_type": "multiple_choice",
            "doc_to_choice": "{{options}}",
            "doc_to_target": "gold",
            "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
        }
    sampled, by_id = task.temperature > 0, {item.id: item for item in items}
    return shared | {
        "output_type": "generate_until",
        "doc_to_target": "{{answer}}",
        "generation_kwargs": {
            "until": [],
            "max_gen_toks": task.max_answer_tokens,
            "do_sample": sampled,
            **({"temperature": task.temperature, "top_k": 0, "top_p": 1.0} if sampled else {}),
        },
        "process_results": lambda doc, results: {"reward": task.reward.reward_func(by_id[doc["id"]], results[0])},
        "metric_list": [{"metric": "reward", "aggregation": "mean", "higher_is_better": True}],
        "filter_list": [
            {"name": "strip", "filter": [{"function": "remove_whitespace"}, {"function": "take_first"}]},
        ],
    }
