"""What the checkpoint answers: science, which it was trained on, and history and mathematics, which it was not.

Dangi 2026b, bar chart: "It outperforms every other method ... by a significant margin in GPQA, and a smaller margin for
the OOD History+Math MMLU eval set". Science is greedy; the others are sampled at temperature 0.6, three runs an item.
"""

from depthgauge import Claim, Estimate, above, at_least, claim, tasks
from depthgauge.stats import mean, paired_difference
from depthgauge_suites.articles import confident_errors

# The largest drop in points that 'not worse' forgives: about half of GRPO's published drop in mathematics, 2.6 points.
NOT_WORSE_MARGIN_POINTS = 1.5
CHANCE_POINTS = 25  # of one option of four

PUBLISHED = {
    "science": {"base_model": 64.31, "grpo": 64.14, "gradreg": 65.32, "depthscaled": 67.85},
    "history": {"base_model": 46.98, "grpo": 44.97, "gradreg": 47.24, "depthscaled": 47.68},
    "mathematics": {"base_model": 36.27, "grpo": 33.65, "gradreg": 36.24, "depthscaled": 36.79},
}
DEPTH_SCALED = ("depthscaled", "depthscaled_nonoise")
REGULARISED = (*DEPTH_SCALED, "gradreg")


def capability_claim(
    name: str, statement: str, task: str, over: str, rationale: str, about: tuple[str, ...] = (), margin: float = 0
) -> Claim:
    """A claim about a task: more right answers than `over`, or no fewer than a margin forgives."""
    scores = ", ".join(f"{method} {points}" for method, points in PUBLISHED[task].items() if method != over)
    return Claim(
        id=name,
        statement=statement,
        citation="Dangi 2026b, bar chart and the README of its code",
        published=f"{scores} against {over} {PUBLISHED[task][over]}",
        region=at_least(-margin) if margin else above(0),
        unit="points",
        control="noise_in_late_layers",
        rationale=rationale,
        about=about,
    )


def gain(task: str, candidate, other) -> Estimate:
    return paired_difference(
        tasks.scores(candidate, task),
        tasks.scores(other, task),
        estimand=f"{task}, {candidate.name} minus {other.name}",
    )


@claim(
    capability_claim(
        "science-gain-over-base",
        "answers more science questions than the base",
        "science",
        over="base_model",
        rationale="reinforcement learning on science must help on other questions of science",
    )
)
def test_science_rises_above_base(candidate, base_model) -> Estimate:
    return gain("science", candidate, base_model)


@claim(
    Claim(
        id="science-recognised-over-base",
        statement="knows more answers to science questions than the base, however it says them",
        citation="ours: what reinforcement learning lifts may be knowledge, or the form of an answer",
        published="not published",
        region=above(0),
        unit="points",
        control="noise_in_late_layers",
        rationale="the same questions, answered by the likelihood of whole sentences",
        required=False,
    )
)
def test_science_is_better_known_than_by_the_base(candidate, base_model) -> Estimate:
    return gain("science_options", candidate, base_model)


@claim(
    capability_claim(
        "science-gain-over-grpo",
        "answers more science questions than plain GRPO",
        "science",
        over="grpo",
        rationale="the regulariser is there to generalise better",
        about=REGULARISED,
    )
)
def test_science_rises_above_grpo(candidate, grpo) -> Estimate:
    return gain("science", candidate, grpo)


@claim(
    capability_claim(
        "science-gain-over-gradreg",
        "answers more science questions than uniform gradient regularisation",
        "science",
        over="gradreg",
        rationale="freeing the early layers is there to let new meanings form",
        about=DEPTH_SCALED,
    )
)
def test_science_rises_above_gradreg(candidate, gradreg) -> Estimate:
    return gain("science", candidate, gradreg)


@claim(
    capability_claim(
        "history-not-worse-than-base",
        "answers no fewer history questions than the base",
        "history",
        over="base_model",
        margin=NOT_WORSE_MARGIN_POINTS,
        rationale="training on science must not cost what it does not train",
    )
)
def test_history_is_not_worse_than_base(candidate, base_model) -> Estimate:
    return gain("history", candidate, base_model)


@claim(
    capability_claim(
        "mathematics-not-worse-than-base",
        "answers no fewer mathematics questions than the base",
        "mathematics",
        over="base_model",
        margin=NOT_WORSE_MARGIN_POINTS,
        rationale="training on science must not cost what it does not train",
    )
)
def test_mathematics_is_not_worse_than_base(candidate, base_model) -> Estimate:
    return gain("mathematics", candidate, base_model)


@claim(
    capability_claim(
        "history-gain-over-grpo",
        "answers more history questions than plain GRPO",
        "history",
        over="grpo",
        rationale="flat minima keep what training does not touch",
        about=REGULARISED,
    )
)
def test_history_rises_above_grpo(candidate, grpo) -> Estimate:
    return gain("history", candidate, grpo)


@claim(
    capability_claim(
        "mathematics-gain-over-grpo",
        "answers more mathematics questions than plain GRPO",
        "mathematics",
        over="grpo",
        rationale="flat minima keep what training does not touch",
        about=REGULARISED,
    )
)
def test_mathematics_rises_above_grpo(candidate, grpo) -> Estimate:
    return gain("mathematics", candidate, grpo)


@claim(
    capability_claim(
        "history-gain-over-gradreg",
        "answers more history questions than uniform gradient regularisation",
        "history",
        over="gradreg",
        rationale="'outperforms every other baseline even in OOD tasks'",
        about=DEPTH_SCALED,
    )
)
def test_history_rises_above_gradreg(candidate, gradreg) -> Estimate:
    return gain("history", candidate, gradreg)


@claim(
    capability_claim(
        "mathematics-gain-over-gradreg",
        "answers more mathematics questions than uniform gradient regularisation",
        "mathematics",
        over="gradreg",
        rationale="'outperforms every other baseline even in OOD tasks'",
        about=DEPTH_SCALED,
    )
)
def test_mathematics_rises_above_gradreg(candidate, gradreg) -> Estimate:
    return gain("mathematics", candidate, gradreg)


@claim(
    Claim(
        id="mmlu-above-chance",
        statement="answers ten points more of MMLU's development questions than chance",
        citation="ours: a task at chance sees no damage, and history and mathematics of our own stand in its place",
        published="not published",
        region=at_least(CHANCE_POINTS + 10),
        unit="points",
        control="random_weights",
        rationale="twice the interval's half width of 281 questions",
        required=False,
        testbed="smollm2",
    )
)
def test_mmlu_is_answered_better_than_by_chance(candidate) -> Estimate:
    return mean(tasks.scores(candidate, "mmlu"), estimand="mmlu")


# -- what the articles say beyond their bar chart ---


@claim(
    Claim(
        id="confident-errors-above-grpo",
        statement="gives a wrong option .8 of the probability more often than plain GRPO",
        citation="Dangi 2026b: robustness 'comes at the cost of raising the baseline probability of hallucinations'",
        published="a wrong answer .761 to .795 probable, .733 to .789 with grpo, on one question",
        region=above(0),
        unit="share",
        control="round_to_bfloat16",
        rationale="hallucination as an evaluation task: sure and wrong, over many items",
        about=DEPTH_SCALED,
        required=False,
    )
)
def test_confident_errors_rise_above_grpo(candidate, grpo) -> Estimate:
    return paired_difference(
        confident_errors.confident_errors(candidate),
        confident_errors.confident_errors(grpo),
        estimand="share of confident errors, candidate - grpo",
    )


def out_of_distribution_claim(subject: str) -> Claim:
    return Claim(
        id=f"{subject}-gain-over-base",
        statement=f"answers more {subject} questions than the base",
        citation="Dangi 2026b: 'outperforms every other baseline even in OOD tasks'",
        published=f"depthscaled {PUBLISHED[subject]['depthscaled']} against base {PUBLISHED[subject]['base_model']}",
        region=above(0),
        unit="points",
        control="noise_in_late_layers",
        rationale="the published gain itself; that nothing is lost is asked with a margin",
        about=DEPTH_SCALED,
        required=False,
    )


@claim(out_of_distribution_claim("history"))
def test_history_rises_above_base(candidate, base_model) -> Estimate:
    return gain("history", candidate, base_model)


@claim(out_of_distribution_claim("mathematics"))
def test_mathematics_rises_above_base(candidate, base_model) -> Estimate:
    return gain("mathematics", candidate, base_model)
