"""What the checkpoint answers: science, which it was trained on, and history and mathematics, which it was not.

Dangi 2026b, bar chart: "It outperforms every other method ... by a significant margin in GPQA, and a smaller margin for
the OOD History+Math MMLU eval set". Science is greedy; the others are sampled at temperature 0.6, three runs an item.
"""

from harness import Claim, Estimate, above, at_least, claim
from harness.stats import paired_difference

SOURCE = "Dangi 2026b, bar chart; its code README gives the numbers"
# The largest drop in points that 'not worse' forgives: half of the drop that the source shows for GRPO in mathematics.
NOT_WORSE_MARGIN_POINTS = 1.5


@claim(
    Claim(
        id="science-gain-over-base",
        statement="answers more science questions than the base",
        source=SOURCE,
        published="depthscaled 67.85, gradreg 65.32, grpo 64.14 against base 64.31",
        region=above(0),
        unit="points",
        control="untrained",
        rationale="reinforcement learning on science must help on other questions of science",
    )
)
def test_science_rises_above_base(subject, base) -> Estimate:
    return paired_difference(subject.exam("science"), base.exam("science"), estimand="science, subject - base")


@claim(
    Claim(
        id="science-gain-over-grpo",
        statement="answers more science questions than plain GRPO",
        source=SOURCE,
        published="depthscaled 67.85, gradreg 65.32 against grpo 64.14",
        region=above(0),
        unit="points",
        control="untrained",
        rationale="the regulariser is there to generalise better",
        about=("depthscaled", "depthscaled_nonoise", "gradreg"),
    )
)
def test_science_rises_above_grpo(subject, grpo) -> Estimate:
    return paired_difference(subject.exam("science"), grpo.exam("science"), estimand="science, subject - grpo")


@claim(
    Claim(
        id="science-gain-over-gradreg",
        statement="answers more science questions than uniform gradient regularisation",
        source=SOURCE,
        published="depthscaled 67.85 against gradreg 65.32",
        region=above(0),
        unit="points",
        control="untrained",
        rationale="freeing the early layers is there to let new meanings form",
        about=("depthscaled", "depthscaled_nonoise"),
    )
)
def test_science_rises_above_gradreg(subject, gradreg) -> Estimate:
    return paired_difference(subject.exam("science"), gradreg.exam("science"), estimand="science, subject - gradreg")


@claim(
    Claim(
        id="history-not-worse-than-base",
        statement="answers no fewer history questions than the base",
        source=SOURCE,
        published="depthscaled 47.68, gradreg 47.24, grpo 44.97 against base 46.98",
        region=at_least(-NOT_WORSE_MARGIN_POINTS),
        unit="points",
        control="untrained",
        rationale="training on science must not cost what it does not train",
    )
)
def test_history_is_not_worse_than_base(subject, base) -> Estimate:
    return paired_difference(subject.exam("history"), base.exam("history"), estimand="history, subject - base")


@claim(
    Claim(
        id="mathematics-not-worse-than-base",
        statement="answers no fewer mathematics questions than the base",
        source=SOURCE,
        published="depthscaled 36.79, gradreg 36.24, grpo 33.65 against base 36.27",
        region=at_least(-NOT_WORSE_MARGIN_POINTS),
        unit="points",
        control="untrained",
        rationale="training on science must not cost what it does not train",
    )
)
def test_mathematics_is_not_worse_than_base(subject, base) -> Estimate:
    return paired_difference(
        subject.exam("mathematics"), base.exam("mathematics"), estimand="mathematics, subject - base"
    )


@claim(
    Claim(
        id="history-gain-over-grpo",
        statement="answers more history questions than plain GRPO",
        source=SOURCE,
        published="depthscaled 47.68, gradreg 47.24 against grpo 44.97",
        region=above(0),
        unit="points",
        control="untrained",
        rationale="flat minima keep what training does not touch",
        about=("depthscaled", "depthscaled_nonoise", "gradreg"),
    )
)
def test_history_rises_above_grpo(subject, grpo) -> Estimate:
    return paired_difference(subject.exam("history"), grpo.exam("history"), estimand="history, subject - grpo")


@claim(
    Claim(
        id="mathematics-gain-over-grpo",
        statement="answers more mathematics questions than plain GRPO",
        source=SOURCE,
        published="depthscaled 36.79, gradreg 36.24 against grpo 33.65",
        region=above(0),
        unit="points",
        control="untrained",
        rationale="flat minima keep what training does not touch",
        about=("depthscaled", "depthscaled_nonoise", "gradreg"),
    )
)
def test_mathematics_rises_above_grpo(subject, grpo) -> Estimate:
    return paired_difference(
        subject.exam("mathematics"), grpo.exam("mathematics"), estimand="mathematics, subject - grpo"
    )


@claim(
    Claim(
        id="history-gain-over-gradreg",
        statement="answers more history questions than uniform gradient regularisation",
        source=SOURCE,
        published="depthscaled 47.68 against gradreg 47.24",
        region=above(0),
        unit="points",
        control="untrained",
        rationale="'outperforms every other baseline even in OOD tasks'",
        about=("depthscaled", "depthscaled_nonoise"),
    )
)
def test_history_rises_above_gradreg(subject, gradreg) -> Estimate:
    return paired_difference(subject.exam("history"), gradreg.exam("history"), estimand="history, subject - gradreg")


@claim(
    Claim(
        id="mathematics-gain-over-gradreg",
        statement="answers more mathematics questions than uniform gradient regularisation",
        source=SOURCE,
        published="depthscaled 36.79 against gradreg 36.24",
        region=above(0),
        unit="points",
        control="untrained",
        rationale="'outperforms every other baseline even in OOD tasks'",
        about=("depthscaled", "depthscaled_nonoise"),
    )
)
def test_mathematics_rises_above_gradreg(subject, gradreg) -> Estimate:
    return paired_difference(
        subject.exam("mathematics"), gradreg.exam("mathematics"), estimand="mathematics, subject - gradreg"
    )
