"""SmolLM2-135M-Instruct: a real language model of 30 layers, with an inside, that two cores can measure and train.

Its weights are brought by `make smollm2`. Science is trained on and examined on other substances, in chat form; history
and mathematics are never trained on.
"""

from pathlib import Path

from depthgauge import TESTBEDS, ItemTask, Testbed, Training, TrainingScale
from depthgauge.checks.inputs import COMMON
from depthgauge.checks.inputs.mmlu_dev import REQUIRES
from depthgauge.core.testbed import Item, Word
from depthgauge.probes.attention import MarkedText
from depthgauge_suites.articles.noise_trace import ReasonedQuestion, TraceQuestion
from depthgauge_suites.articles.published_opening import PublishedOpening
from depthgauge_suites.articles.published_opening.probe import OPENING
from depthgauge_suites.articles.routing import RoutingText
from depthgauge_suites.articles.tokenization import Compound
from depthgauge_suites.layer_papers.head_sharing import Comparison
from depthgauge_suites.layer_papers.head_sharing.comparisons import comparisons
from depthgauge_suites.layer_papers.massive_values import Recall
from depthgauge_suites.layer_papers.massive_values.recalls import recalls
from depthgauge_testbeds.smollm2 import history, mathematics, mmlu, probe_inputs, reasoned, science, tempting, weights

ANSWER_TOKENS = 24  # enough for one sentence, which is all that is read


def history_items() -> tuple[Item, ...]:
    """Facts of history, answered by the likelihood of whole options: the base is right in 78.5 % of 470."""
    return tuple(
        Item(id=fact.prompt, prompt=fact.prompt, answer=fact.answer, options=fact.options) for fact in history.facts()
    )


SMOLLM2 = TESTBEDS.register(
    Testbed(
        name="smollm2",
        base=weights.folder(),
        base_from="'make smollm2' brings it.",
        tasks=(
            ItemTask(
                name="science",
                items=lambda: science.items("exam"),
                chat=True,
                reward=science.REWARD,
                max_answer_tokens=ANSWER_TOKENS,
            ),
            ItemTask(name="science_options", items=lambda: science.with_options("exam"), chat=True),
            ItemTask(name="history", items=history_items),
            ItemTask(name="mathematics", items=mathematics.items),
            ItemTask(name="mmlu", items=mmlu.items, requires=REQUIRES),
        ),
        training=Training(
            prompts=lambda: science.items("training"),
            chat=True,
            rewards=(science.REWARD,),
            scale=TrainingScale(
                steps=30,
                learning_rate=2e-5,
                completions_per_step=32,
                group_size=8,
                max_completion_tokens=ANSWER_TOKENS,
                save_every_steps=5,
            ),
            # The published step: at 1e-5 curvature takes a tenth of the penalty's cosine to the exact one. The penalty
            # is .1 to .3 of the gradient.
            method_settings={"ascent_step": 4e-6, "step_form": "relative", "penalty": 0.005 / ANSWER_TOKENS},
        ),
        suites=("articles",),
        recorded_outcomes=Path(__file__).parent / "recorded.json",
        probe_inputs={
            **COMMON.probe_inputs,
            Recall: recalls,
            Comparison: comparisons,
            TraceQuestion: tempting.trace_questions,
            ReasonedQuestion: reasoned.reasoned_questions,
            MarkedText: probe_inputs.marked_texts,
            RoutingText: probe_inputs.routing_texts,
            PublishedOpening: lambda: (OPENING,),
            Word: probe_inputs.words,
            Compound: probe_inputs.salts,
        },
    )
)
