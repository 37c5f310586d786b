"""How sure the checkpoint is of what it says next, over 80 greedy tokens.

Dangi 2026a: "around step 40, GradReg's entropy plummets to almost 0"; its trace is "nearly superimposed over the base".
Dangi 2026b: depth scaling "prevented ... entropy collapse", and its trace "exhibits large peaks".

Both figures show moving averages over five steps. Claims on single steps are ours; those on smoothed traces have the
published definition, and are informational: an article's figure of one opening is no promise of a training.
"""

from depthgauge import Claim, Estimate, above, at_least, at_most, below, claim, within
from depthgauge.probes import greedy_entropy
from depthgauge.stats import mean, paired_difference, share

# How far two mean traces may lie apart and still be 'superimposed', in nats: 5 % of the first step's 2.1 nats.
SUPERIMPOSED_MARGIN_NATS = 0.1
FALL_STEP = 40  # about which GradReg's entropy falls in the figure of Dangi 2026a
DEPTH_SCALED = ("depthscaled", "depthscaled_nonoise")


@claim(
    Claim(
        id="entropy-does-not-collapse",
        statement="collapses on at most one prompt in twenty",
        citation="Dangi 2026b: 'prevented the deeper layers from ... succumbing to entropy collapse'",
        published="depthscaled 0.02 nats at its lowest (step 70), for a few steps",
        region=at_most(0.05),
        unit="share",
        control="sharpen_logits",
        rationale="a collapse is 10 steps in a row below 0.05 nats; informational, as untrained weights meet it too",
        required=False,
        about=DEPTH_SCALED,
    )
)
def test_entropy_does_not_collapse(candidate) -> Estimate:
    return share(greedy_entropy.collapses(candidate), estimand="share of prompts that collapse")


@claim(
    Claim(
        id="entropy-collapses-less-than-gradreg",
        statement="collapses on fewer prompts than uniform gradient regularisation",
        citation="Dangi 2026b, entropy figure; Dangi 2026a, entropy figure",
        published="depthscaled 0.02 nats at its lowest (step 70); gradreg below 0.05 from step 58 to 70",
        region=below(0),
        unit="share",
        control="sharpen_logits",
        rationale="a collapse is 10 steps in a row below 0.05 nats; one prompt is a coin, 128 are a share",
        about=DEPTH_SCALED,
    )
)
def test_entropy_collapses_less_than_with_gradreg(candidate, gradreg) -> Estimate:
    return paired_difference(
        greedy_entropy.collapses(candidate),
        greedy_entropy.collapses(gradreg),
        estimand="share of collapses, candidate - gradreg",
    )


@claim(
    Claim(
        id="entropy-superimposes-base",
        statement="has the same mean entropy as the base",
        citation="Dangi 2026a, entropy figure: 'nearly superimposed over the base model'",
        published="gradreg within about 0.1 nats of base for most steps",
        region=within(SUPERIMPOSED_MARGIN_NATS),
        unit="nats",
        control="flatten_logits",
        rationale="equivalence needs the whole interval within the margin; a missing difference would not do",
        about=("gradreg",),
    )
)
def test_entropy_superimposes_the_base(candidate, base_model) -> Estimate:
    return paired_difference(
        greedy_entropy.entropy(candidate, lambda rows: rows.mean(axis=-1)),
        greedy_entropy.entropy(base_model, lambda rows: rows.mean(axis=-1)),
        estimand="mean entropy, candidate - base model",
    )


@claim(
    Claim(
        id="entropy-peaks-above-base",
        statement="has higher entropy peaks than the base",
        citation="Dangi 2026b, entropy figure: 'large peaks'",
        published="of means of five steps: 3.7 nats for depthscaled, 3.47 for grpo, 3.3 for base",
        region=above(0),
        unit="nats",
        control="sharpen_logits",
        rationale="the early noise is there to keep distributions wide",
        about=("depthscaled", "depthscaled_nonoise", "grpo"),
    )
)
def test_entropy_peaks_above_the_base(candidate, base_model) -> Estimate:
    return paired_difference(
        greedy_entropy.entropy(candidate, lambda rows: rows.max(axis=-1)),
        greedy_entropy.entropy(base_model, lambda rows: rows.max(axis=-1)),
        estimand="peak entropy, candidate - base model",
    )


@claim(
    Claim(
        id="entropy-peaks-above-gradreg",
        statement="has higher entropy peaks than uniform gradient regularisation",
        citation="Dangi 2026a and 2026b, entropy figures",
        published="of means of five steps: 3.7 nats for depthscaled; gradreg follows the base's 3.3",
        region=above(0),
        unit="nats",
        control="sharpen_logits",
        rationale="the articles lay the peaks to depth scaling, not to regularisation as such",
        about=DEPTH_SCALED,
    )
)
def test_entropy_peaks_above_gradreg(candidate, gradreg) -> Estimate:
    return paired_difference(
        greedy_entropy.entropy(candidate, lambda rows: rows.max(axis=-1)),
        greedy_entropy.entropy(gradreg, lambda rows: rows.max(axis=-1)),
        estimand="peak entropy, candidate - gradreg",
    )


@claim(
    Claim(
        id="entropy-peaks-above-grpo",
        statement="has higher entropy peaks than plain GRPO",
        citation="Dangi 2026a and 2026b, entropy figures",
        published="of means of five steps: 3.7 nats for depthscaled, 3.47 for grpo",
        region=above(0),
        unit="nats",
        control="sharpen_logits",
        rationale="the figures show the highest peak for depth scaling",
        about=DEPTH_SCALED,
    )
)
def test_entropy_peaks_above_grpo(candidate, grpo) -> Estimate:
    return paired_difference(
        greedy_entropy.entropy(candidate, lambda rows: rows.max(axis=-1)),
        greedy_entropy.entropy(grpo, lambda rows: rows.max(axis=-1)),
        estimand="peak entropy, candidate - grpo",
    )


# -- as published: moving averages over five steps ---


def smoothed_peaks_claim(over: str, statement: str, published: str, about: tuple[str, ...]) -> Claim:
    return Claim(
        id=f"smoothed-entropy-peaks-above-{over}",
        statement=f"has higher peaks of its entropy over five steps than {statement}",
        citation="Dangi 2026a and 2026b, entropy figures",
        published=published,
        region=above(0),
        unit="nats",
        control="sharpen_logits",
        rationale="the published definition: the highest of 76 means of five steps in a row",
        about=about,
        required=False,
    )


def smoothed_peaks_apart(candidate, other) -> Estimate:
    peaks, theirs = (
        greedy_entropy.smoothed_entropy(checkpoints, lambda rows: rows.max(axis=-1))
        for checkpoints in (candidate, other)
    )
    return paired_difference(peaks, theirs, estimand=f"peak over five steps, candidate - {other.name}")


@claim(
    smoothed_peaks_claim(
        "base", "the base", "highest 3.7 nats for depthscaled, 3.47 for grpo, 3.3 for base", (*DEPTH_SCALED, "grpo")
    )
)
def test_smoothed_entropy_peaks_above_the_base(candidate, base_model) -> Estimate:
    return smoothed_peaks_apart(candidate, base_model)


@claim(
    smoothed_peaks_claim(
        "gradreg",
        "uniform gradient regularisation",
        "highest 3.7 nats for depthscaled; gradreg follows the base's 3.3",
        DEPTH_SCALED,
    )
)
def test_smoothed_entropy_peaks_above_gradreg(candidate, gradreg) -> Estimate:
    return smoothed_peaks_apart(candidate, gradreg)


@claim(smoothed_peaks_claim("grpo", "plain GRPO", "highest 3.7 nats for depthscaled, 3.47 for grpo", DEPTH_SCALED))
def test_smoothed_entropy_peaks_above_grpo(candidate, grpo) -> Estimate:
    return smoothed_peaks_apart(candidate, grpo)


@claim(
    Claim(
        id="entropy-superimposes-base-by-step",
        statement="has the base's entropy at every step, to 0.1 nats in the mean step",
        citation="Dangi 2026a, entropy figure: 'nearly superimposed over the base model'",
        published="gradreg within about 0.1 nats of base for most steps",
        region=at_most(SUPERIMPOSED_MARGIN_NATS),
        unit="nats",
        control="flatten_logits",
        rationale="curves of equal means that rise at other steps do not lie on each other: distances are by step",
        about=("gradreg",),
        required=False,
    )
)
def test_entropy_superimposes_the_base_step_by_step(candidate, base_model) -> Estimate:
    return mean(
        greedy_entropy.distance_by_step(candidate, base_model), estimand="distance of smoothed traces in the mean step"
    )


@claim(
    Claim(
        id="entropy-near-zero-after-step-40",
        statement="falls below 0.05 nats over five steps after step 40 on at least half of the prompts",
        citation="Dangi 2026a: 'around step 40, GradReg's entropy plummets to almost 0'",
        published="gradreg below 0.05 from step 58 to 70; base 0.07 at step 39 and below 0.05 at 58 and 64",
        region=at_least(0.5),
        unit="share",
        control="flatten_logits",
        rationale="the published definition, on many prompts: more often than not",
        about=("gradreg",),
        required=False,
    )
)
def test_entropy_falls_to_nothing_after_step_40(candidate) -> Estimate:
    near_zero = greedy_entropy.smoothed_entropy(
        candidate, lambda rows: rows[:, FALL_STEP:].min(axis=-1) < greedy_entropy.COLLAPSE_NATS
    )
    return share(near_zero, estimand="share of prompts near zero after step 40")


# -- loops ---


@claim(
    Claim(
        id="ends-in-a-loop",
        statement="ends in a loop after more than half of the prompts",
        citation="Dangi 2026a: 'all the models actually fell into a repetitive loop'",
        published="base, grpo and gradreg, on one prompt",
        region=above(0.5),
        unit="share",
        control="large_random_weights",
        rationale="what all models do on one prompt, on most of many; a loop is seen twice within 80 tokens",
        required=False,
    )
)
def test_it_ends_in_a_loop(candidate) -> Estimate:
    return share(greedy_entropy.loops(candidate), estimand="share of prompts that end in a loop")


@claim(
    Claim(
        id="loop-longer-than-base",
        statement="falls into longer loops than the base",
        citation="Dangi 2026a: 'the GRPO model fell into a larger loop'",
        published="periods of 40 tokens for grpo, 20 for base, 21 for gradreg, on one prompt",
        region=above(0),
        unit="tokens",
        control="no_attention",
        rationale="the period of the loop, and 41 where 80 tokens show none",
        about=("grpo",),
        required=False,
    )
)
def test_its_loops_are_longer_than_those_of_the_base(candidate, base_model) -> Estimate:
    return paired_difference(
        greedy_entropy.loop_lengths(candidate),
        greedy_entropy.loop_lengths(base_model),
        estimand="period of loops, candidate - base model",
    )


@claim(
    Claim(
        id="loops-more-than-base",
        statement="ends in a loop after more of the prompts than the base, by a twentieth at least",
        citation="Dangi 2026a: 'its flatter minima leave the model susceptible to degenerating into repetitive loops'",
        published="bigram diversity .291 against the base's .304, on one prompt",
        region=at_least(0.05),
        unit="share",
        control="large_random_weights",
        rationale="susceptible is more so than without: all of the article's models loop",
        about=("gradreg",),
        required=False,
    )
)
def test_it_loops_more_often_than_the_base(candidate, base_model) -> Estimate:
    return paired_difference(
        greedy_entropy.loops(candidate), greedy_entropy.loops(base_model), estimand="share of loops, candidate - base"
    )


@claim(
    Claim(
        id="noise-raises-entropy",
        statement="has less mean entropy than the same training with early noise",
        citation="Dangi 2026b: later layers are 'forced to maintain a wider, higher-entropy distribution'",
        published="not measured apart",
        region=above(0),
        unit="nats",
        control="flatten_logits",
        rationale="what isolates the noise: depth scaling with it, minus depth scaling without it",
        about=("depthscaled_nonoise",),
        required=False,
    )
)
def test_noise_in_training_raises_entropy(candidate, depthscaled) -> Estimate:
    return paired_difference(
        greedy_entropy.entropy(depthscaled, lambda rows: rows.mean(axis=-1)),
        greedy_entropy.entropy(candidate, lambda rows: rows.mean(axis=-1)),
        estimand="mean entropy, with early noise - without",
    )
