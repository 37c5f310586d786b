"""The pocket testbed: a 36-layer model of 1.8 M parameters that trains in a minute on a laptop.

Science is trained on and examined on other questions; history and mathematics are never trained on.
"""

from functools import cache
from pathlib import Path

from depthgauge import TESTBEDS, ItemTask, Testbed, Training, TrainingScale
from depthgauge.core.testbed import Item, Word
from depthgauge.probes.attention import MarkedText
from depthgauge.probes.greedy_entropy import Opening
from depthgauge.probes.sinks import Passage
from depthgauge_suites.articles.noise_trace import Landmarks, ReasonedQuestion, TraceQuestion
from depthgauge_suites.articles.published_opening import PublishedOpening
from depthgauge_suites.articles.published_opening.probe import OPENING
from depthgauge_suites.articles.routing import RoutingText
from depthgauge_suites.articles.tokenization import Compound
from depthgauge_testbeds.pocket import probe_inputs, prose, questions, reasoned

FOLDER = Path(__file__).parent
BASE = FOLDER / "base"
PROBE_PROMPTS = 128
PASSAGES = 100


@cache
def choice_items() -> tuple[Item, ...]:
    """The science task: four options, the likeliest counts."""
    return tuple(
        Item(id=f"{q.kind}/{q.prompt}", prompt=q.prompt, answer=q.answer, options=q.options)
        for q in questions.exam("science")
    )


@cache
def answer_items(subject: str) -> tuple[Item, ...]:
    """A task whose answers are generated."""
    return tuple(Item(id=f"{q.kind}/{q.prompt}", prompt=q.prompt, answer=q.answer) for q in questions.exam(subject))


def training_prompts() -> tuple[Item, ...]:
    """For reinforcement learning: science questions that are in no task."""
    return tuple(Item(id=q.prompt, prompt=q.prompt, answer=q.answer) for q in questions.training("science"))


TASKS = (
    ItemTask(name="science", items=choice_items),
    ItemTask(name="history", items=lambda: answer_items("history"), temperature=0.6, repeats=3, max_answer_tokens=8),
    ItemTask(
        name="mathematics",
        items=lambda: answer_items("mathematics"),
        temperature=0.6,
        repeats=3,
        max_answer_tokens=8,
    ),
)

POCKET = TESTBEDS.register(
    Testbed(
        name="pocket",
        base=BASE,
        tasks=TASKS,
        training=Training(
            prompts=training_prompts,
            scale=TrainingScale(
                steps=100,
                learning_rate=3e-4,
                completions_per_step=64,
                group_size=8,
                max_completion_tokens=8,
                save_every_steps=25,
            ),
            # 0.2 to 0.7 of the gradient; the published mix, .5, would be 1 to 3 % of it here
            method_settings={"ascent_step": 0.00125, "penalty": 0.0125},
        ),
        threads=1,
        suites=("articles",),
        recorded_outcomes=FOLDER / "recorded.json",
        probe_inputs={
            Opening: lambda: prose.openings(PROBE_PROMPTS),
            TraceQuestion: probe_inputs.trace_questions,
            ReasonedQuestion: reasoned.reasoned_questions,
            # Dangi 2026b: variance bands "in the late layers (20 onwards)", "a synchronized spike at Layer index 18".
            Landmarks: lambda: (Landmarks(late=tuple(range(20, 36)), spike=18),),
            MarkedText: probe_inputs.marked_texts,
            RoutingText: probe_inputs.routing_texts,
            PublishedOpening: lambda: (OPENING,),
            Word: probe_inputs.words,
            Compound: probe_inputs.compounds,
            Passage: lambda: prose.passages(PASSAGES),
        },
    )
)
