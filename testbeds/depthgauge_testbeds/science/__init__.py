"""The articles' set-up: Qwen3-4B, trained on CAMEL's science, examined on GPQA-diamond and on MMLU-Pro.

Weights and data are brought by their owners' names: `hf download Qwen/Qwen3-4B`, `hf download --repo-type dataset
camel-ai/physics` (chemistry and biology likewise), `depthgauge fetch gpqa_diamond_cot_zeroshot mmlu_pro_history
mmlu_pro_math`; GPQA is gated, and asks to be logged in with its licence accepted. `--base-model=FOLDER` takes another
model. `python -m depthgauge_testbeds.smollm2.reasoned FOLDER FILE` searches for the questions of the noise trace with
that base, where FILE is reasoned.json beside this module; without it, claims about those are not testable.

The reward is the reference's last number, unless a judge is named: with DEPTHGAUGE_JUDGE, an endpoint that speaks
OpenAI's chat protocol, and DEPTHGAUGE_JUDGE_MODEL, it is the articles' judged one.
"""

import os
import re
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

from depthgauge import TESTBEDS, ItemTask, MemoryOptions, Reward, Testbed, Training, TrainingScale
from depthgauge.checks.inputs import COMMON
from depthgauge.core.prompts import DataSet
from depthgauge.core.testbed import Item, LmEvalTask, Word
from depthgauge.probes.attention import MarkedText
from depthgauge.tasks.llm_judge import Judge
from depthgauge_suites.articles.noise_trace import Landmarks, ReasonedQuestion, TraceQuestion, search
from depthgauge_suites.articles.published_opening import PublishedOpening
from depthgauge_suites.articles.published_opening.probe import OPENING
from depthgauge_suites.articles.routing import RoutingText
from depthgauge_suites.articles.tokenization import Compound
from depthgauge_suites.layer_papers.head_sharing import Comparison
from depthgauge_suites.layer_papers.head_sharing.comparisons import comparisons
from depthgauge_suites.layer_papers.massive_values import Recall
from depthgauge_suites.layer_papers.massive_values.recalls import recalls
from depthgauge_testbeds.smollm2 import probe_inputs, tempting

BASE = "Qwen/Qwen3-4B"
DATA = ("camel-ai/physics", "camel-ai/chemistry", "camel-ai/biology")
QUESTION, SOLUTION = "message_1", "message_2"  # CAMEL's columns
TOLERANCE = 0.01
# Dangi (2026, training notes): .5 for facts, .35 for brevity, .15 for form.
MARKS = {"factual": 0.5, "concise": 0.35, "format": 0.15}
PROMPT = """You mark an answer to a question of science. A reference answer is given; the answer may say it otherwise.

Question: {prompt}

Reference answer: {answer}

Answer to mark: {said}

Give three marks from 0 to 1: "factual" (agrees with the reference), "concise" (says no more than it must), "format" (is
clear and ends with a conclusion). Reply with one JSON object, such as {{"factual": 0.5, "concise": 1, "format": 0}}."""
NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?(?:[eE][-+]?\d+)?(?:\s*(?:x|×|\\times|\*)\s*10\^?\{?(-?\d+)\}?)?")
ANSWER_TOKENS = 4096  # while training
EXAMINED_TOKENS = 20_000  # as published
REASONED = Path(__file__).with_name("reasoned.json")

# Published: learning rate, group, ascent step and penalty (the code of Dangi 2026). The rest is ours, planned for one
# GPU of 80 GB: float32 weights, two gradients and the shifted weights are some 60 GB. A double backward pass in float64
# to compare the penalty with does not fit beside them.
SECOND_PASS = {
    "ascent_step": 4e-6, "step_form": "relative", "penalty": 0.5, "penalty_form": "mix", "fidelity_every": 0,
}  # fmt: skip
SCALE = TrainingScale(
    steps=1000,
    learning_rate=1e-5,
    completions_per_step=32,
    group_size=4,
    max_completion_tokens=ANSWER_TOKENS,
    save_every_steps=25,
)
MEMORY_OPTIONS = MemoryOptions(accumulation=32, checkpointing=True, precision="bfloat16", optimizer="adamw_8bit")
# GPQA is greedy in the article too, and was asked three times: greedy answers that differ are the arithmetic's noise.
TASKS: tuple[LmEvalTask, ...] = (
    ItemTask.lm_eval(
        "gpqa_diamond_cot_zeroshot", called="science", metric="exact_match,flexible-extract",
        max_answer_tokens=EXAMINED_TOKENS,
    ),
    ItemTask.lm_eval(
        "mmlu_pro_history", called="history", temperature=0.6, repeats=3, max_answer_tokens=EXAMINED_TOKENS
    ),
    ItemTask.lm_eval(
        "mmlu_pro_math", called="mathematics", temperature=0.6, repeats=3, max_answer_tokens=EXAMINED_TOKENS
    ),
)  # fmt: skip


def last_number(text: str) -> float | None:
    """The last number that a text gives, also as '1.5 x 10^3'; None where it gives none."""
    numbers = list(NUMBER.finditer(text))
    if not numbers:
        return None
    digits = re.match(r"-?\d[\d,]*(?:\.\d+)?(?:[eE][-+]?\d+)?", numbers[-1][0])
    assert digits is not None
    return float(digits[0].replace(",", "")) * 10.0 ** int(numbers[-1][1] or 0)


def ends_in_the_number(item: Item, said: str) -> float:
    """1 where the last number said is the reference's last, within 1 %; else 0."""
    wanted, given = last_number(item.answer), last_number(said)
    return float(wanted is not None and given is not None and abs(given - wanted) <= TOLERANCE * abs(wanted))


def can_be_verified(row: Mapping[str, Any]) -> bool:
    return last_number(str(row[SOLUTION])) is not None


VERIFIED = Reward(name="ends_in_the_number", reward_func=ends_in_the_number)


def science(
    name: str = "science",
    *,
    base: Path | str = BASE,
    data: Sequence[Path | str] = DATA,
    judge: Judge | None = None,
    tasks: tuple[LmEvalTask, ...] = TASKS,
    scale: TrainingScale = SCALE,
    memory_options: MemoryOptions = MEMORY_OPTIONS,
    method_settings: Mapping[str, Any] | None = None,
) -> Testbed:
    """The set-up, or with other weights, data of the same columns, tasks or sizes. With a judge every row is asked."""
    sets = [
        DataSet(name=source, prompt=QUESTION, answer=SOLUTION, keep=None if judge else can_be_verified)
        for source in data
    ]
    return Testbed(
        name=name,
        base=base,
        base_from="'hf download Qwen/Qwen3-4B' brings it, and --base-model names another model.",
        tasks=tasks,
        suites=("articles",),
        training=Training(
            prompts=cache(lambda: tuple(chain.from_iterable(data_set.items() for data_set in sets))),
            rewards=(judge.reward() if judge else VERIFIED,),
            chat=True,
            scale=scale,
            memory_options=memory_options,
            method_settings=SECOND_PASS | dict(method_settings or {}),
        ),
        probe_inputs={
            **COMMON.probe_inputs,
            Recall: recalls,
            Comparison: comparisons,
            TraceQuestion: tempting.trace_questions,
            MarkedText: probe_inputs.marked_texts,
            **({ReasonedQuestion: lambda: search.read(REASONED)} if REASONED.is_file() else {}),
            Landmarks: lambda: (Landmarks(late=tuple(range(20, 36)), spike=18),),
            RoutingText: probe_inputs.routing_texts,
            PublishedOpening: lambda: (OPENING,),
            Word: probe_inputs.words,
            Compound: probe_inputs.salts,
        },
    )


def judge_from_environment() -> Judge | None:
    endpoint = os.environ.get("DEPTHGAUGE_JUDGE")
    if not endpoint:
        return None
    return articles_judge(endpoint, os.environ.get("DEPTHGAUGE_JUDGE_MODEL", "gemini-2.5-flash-lite"))


def articles_judge(endpoint: str, model: str, **patience: float) -> Judge:
    """A judge who gives the articles' marks."""
    return Judge(endpoint=endpoint, model=model, prompt=PROMPT, marks=MARKS, **patience)  # type: ignore[arg-type]


SCIENCE = TESTBEDS.register(science(judge=judge_from_environment()))
