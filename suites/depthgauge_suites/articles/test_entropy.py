"""How sure the checkpoint is of what it says next, over 80 greedy tokens.

Dangi 2026a: "around step 40, GradReg's entropy plummets to almost 0"; its trace is "nearly superimposed over the base".
Dangi 2026b: depth scaling "prevented ... entropy collapse", and its trace "exhibits large peaks".
"""

from depthgauge import Claim, Estimate, above, at_most, below, claim, within
from depthgauge.probes import greedy_entropy
from depthgauge.stats import paired_difference, share

# How far two mean traces may lie apart and still be 'superimposed', in nats: 5 % of the first step's 2.1 nats.
SUPERIMPOSED_MARGIN_NATS = 0.1


@claim(
    Claim(
        id="entropy-does-not-collapse",
        statement="collapses on at most one prompt in twenty",
        citation="Dangi 2026b: 'prevented the deeper layers from ... succumbing to entropy collapse'",
        published="depthscaled 0.02 nats at its lowest (step 70), for a few steps",
        region=at_most(0.05),
        unit="share",
        control="sharpen_logits",
        rationale="a collapse is 10 steps in a row below 0.05 nats",
        about=("depthscaled", "depthscaled_nonoise"),
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
        about=("depthscaled", "depthscaled_nonoise"),
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
        published="highest peak 3.7 nats for depthscaled, 3.47 for grpo, 3.3 for base",
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
        published="highest peak 3.7 nats for depthscaled; gradreg follows the base's 3.3",
        region=above(0),
        unit="nats",
        control="sharpen_logits",
        rationale="the articles lay the peaks to depth scaling, not to regularisation as such",
        about=("depthscaled", "depthscaled_nonoise"),
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
        published="highest peak 3.7 nats for depthscaled, 3.47 for grpo",
        region=above(0),
        unit="nats",
        control="sharpen_logits",
        rationale="the figures show the highest peak for depth scaling",
        about=("depthscaled", "depthscaled_nonoise"),
    )
)
def test_entropy_peaks_above_grpo(candidate, grpo) -> Estimate:
    return paired_difference(
        greedy_entropy.entropy(candidate, lambda rows: rows.max(axis=-1)),
        greedy_entropy.entropy(grpo, lambda rows: rows.max(axis=-1)),
        estimand="peak entropy, candidate - grpo",
    )
