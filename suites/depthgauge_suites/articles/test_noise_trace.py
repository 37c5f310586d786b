"""How firmly the checkpoint holds a wrong answer while the last token's state is shaken, one layer at a time.

Dangi 2026b: Gaussian noise of half the RMS goes into the hidden state of the final token at one layer, 30 times; the
probability of a wrong answer is read. Its figure shows GradReg the most confident, GRPO the least, with "massive
variance bands emerging in the late layers (20 onwards)", depth scaling between, and "a synchronized spike at Layer
index 18". Layers are 0-based. Every checkpoint is shaken by the same draws.
"""

from depthgauge import Claim, Estimate, above, at_least, below, claim
from depthgauge.stats import difference, lead, least, most_extreme, paired_difference, prominence, share, side_by_side
from depthgauge_suites.articles import noise_trace

SOURCE = "Dangi 2026b, layer-wise causal trace"
DEPTH_SCALED = ("depthscaled", "depthscaled_nonoise")
# A spike that one would see in the figure: the published one stands .005 to .05 above the layers traced beside it.
SPIKE_PROBABILITY = 0.01


def bands_claim(name: str, noise: str, published: str, *, required: bool = True) -> Claim:
    return Claim(
        id=name,
        statement=f"is scattered less than plain GRPO by {noise} at the late layer (20 to 35) where they differ most",
        citation=SOURCE,
        published=published,
        region=below(0),
        unit="probability",
        control="sharpen_logits",
        rationale="deviations from the median (Brown-Forsythe), the clearest layer judged against all: not by overlap",
        about=DEPTH_SCALED,
        required=required,
    )


@claim(
    bands_claim(
        "late-bands-narrower-than-grpo",
        "noise",
        "standard deviation at layers 20, 22, 30: depthscaled .057, .100, .060; grpo .099, .072, .082",
    )
)
def test_late_bands_are_narrower_than_with_grpo(candidate, grpo) -> Estimate:
    spread = difference(noise_trace.late_spread(candidate), noise_trace.late_spread(grpo))
    return most_extreme(spread, estimand="mean deviation from the median at late layers, candidate - grpo")


@claim(
    bands_claim(
        "late-bands-narrower-than-grpo-by-spread",
        "noise of each dimension's own spread",
        "not published in this form",
        required=False,
    )
)
def test_late_bands_are_narrower_than_with_grpo_by_spread(candidate, grpo) -> Estimate:
    spread = difference(noise_trace.late_spread(candidate, "spread"), noise_trace.late_spread(grpo, "spread"))
    return most_extreme(spread, estimand="mean deviation from the median at late layers, candidate - grpo")


def spike_claim(name: str, noise: str, published: str, *, required: bool = True) -> Claim:
    return Claim(
        id=name,
        statement=f"stands out{noise} at the landmark layer (18 of 36) by 0.01 more than any other with two beside it",
        citation=SOURCE,
        published=published,
        region=at_least(SPIKE_PROBABILITY),
        unit="probability",
        control="random_weights",
        rationale="a peak must beat its two neighbours on each side by more than every other layer does",
        required=required,
    )


@claim(
    spike_claim(
        "spike-at-layer-18",
        "",
        "mean probability at layers 0, 18, 20: grpo .742, .789, .739; depthscaled .761, .795, .789",
    )
)
def test_layer_18_spikes(candidate) -> Estimate:
    return spike(candidate, "rms")


@claim(
    spike_claim(
        "spike-at-layer-18-by-spread",
        ", shaken by each dimension's own spread,",
        "not published in this form",
        required=False,
    )
)
def test_layer_18_spikes_by_spread(candidate) -> Estimate:
    return spike(candidate, "spread")


def spike(candidate, dose) -> Estimate:
    peaks = prominence(noise_trace.profile(candidate, dose))
    return least(
        lead(peaks, noise_trace.spike_layer(candidate)), estimand="prominence of the layer over that of each other"
    )


@claim(
    Claim(
        id="more-confident-in-a-wrong-answer-than-grpo",
        statement="gives a wrong answer more probability than plain GRPO",
        citation=SOURCE,
        published="at layers 0, 18, 30: gradreg .804, .847, .807; grpo .742, .789, .733",
        region=above(0),
        unit="probability",
        control="flatten_logits",
        rationale="'pathological overconfidence': one prompt in the article, many here",
        about=("gradreg",),
    )
)
def test_it_is_more_confident_in_a_wrong_answer_than_grpo(candidate, grpo) -> Estimate:
    return paired_difference(
        noise_trace.wrong_probability(candidate),
        noise_trace.wrong_probability(grpo),
        estimand="probability of a wrong answer, candidate - grpo",
    )


@claim(
    Claim(
        id="wrong-answer-between-grpo-and-gradreg",
        statement="gives a wrong answer more probability than plain GRPO and less than uniform regularisation",
        citation=SOURCE,
        published="at layers 0, 18, 30: grpo .742, .789, .733; depthscaled .761, .795, .780; gradreg .804, .847, .807",
        region=above(0),
        unit="probability",
        control="flatten_logits",
        rationale="both differences must be above 0: the lesser of the two is judged",
        about=DEPTH_SCALED,
    )
)
def test_its_wrong_answer_lies_between_grpo_and_gradreg(candidate, grpo, gradreg) -> Estimate:
    wrong = noise_trace.wrong_probability(candidate)
    contrasts = side_by_side(
        above_grpo=(wrong, noise_trace.wrong_probability(grpo)),
        below_gradreg=(noise_trace.wrong_probability(gradreg), wrong),
    )
    return least(contrasts, estimand="probability of a wrong answer")


@claim(
    Claim(
        id="copying-survives-noise",
        statement="copies an answer that stands in its prompt, whatever layer is shaken at 0.6 of the RMS",
        citation="Dangi 2026b: 'the same prompt except with the actual answer appended ... resulted in 100% accuracy'",
        published="every trial of one prompt, with noise up to 60 % of the RMS",
        region=at_least(0.95),
        unit="share",
        control="noise_in_late_layers",
        rationale="a prompt counts if all its layers and draws copy: trials of one prompt are not independent",
    )
)
def test_copying_survives_noise(candidate) -> Estimate:
    return share(noise_trace.copies_under_noise(candidate), estimand="share of prompts that are copied under all noise")
