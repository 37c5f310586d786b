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
REASONED_SPIKE = 0.005  # of the published form, in which the least of three spikes stands .006 above the layer after it


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
        rationale="a peak must beat its two neighbours on each side by more than every other layer does; "
        "informational, as the published spike of the depth-scaled model is .006 and this asks for .01",
        required=required,
    )


@claim(
    spike_claim(
        "spike-at-layer-18",
        "",
        "mean probability at layers 0, 18, 20: grpo .742, .789, .739; depthscaled .761, .795, .789",
        required=False,
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


# -- as published: a question with reasoning, on which the base is confident of a wrong answer ---


@claim(
    Claim(
        id="appended-answer-survives-noise",
        statement="copies an answer appended to its prompt, whatever layer is shaken at 0.6 of the RMS",
        citation="Dangi 2026b: 'the same prompt - except with the actual answer appended at the end'",
        published="every trial of one prompt, with noise up to 60 % of the RMS",
        region=at_least(0.95),
        unit="share",
        control="noise_in_late_layers",
        rationale="a prompt counts if all layers and draws copy; not testable where answers are not copied unshaken",
        required=False,
    )
)
def test_an_appended_answer_survives_noise(candidate) -> Estimate:
    return share(noise_trace.copies_under_noise(candidate), estimand="share of prompts that are copied under all noise")


@claim(
    Claim(
        id="reasoned-wrong-answer-above-grpo",
        statement="gives a wrong answer after reasoning more probability than plain GRPO",
        citation=SOURCE,
        published="at layers 0, 18, 30: gradreg .804, .847, .807; depthscaled .761, .795, .780; grpo .742, .789, .733",
        region=above(0),
        unit="probability",
        control="flatten_logits",
        rationale="the published form: the base is confident of a wrong answer although the reasoning leads elsewhere",
        about=(*DEPTH_SCALED, "gradreg"),
        required=False,
    )
)
def test_a_reasoned_wrong_answer_is_likelier_than_with_grpo(candidate, grpo) -> Estimate:
    return paired_difference(
        noise_trace.wrong_probability(candidate, "reasoned"),
        noise_trace.wrong_probability(grpo, "reasoned"),
        estimand="probability of a wrong answer after reasoning, candidate - grpo",
    )


@claim(
    Claim(
        id="reasoned-wrong-answer-below-gradreg",
        statement="gives a wrong answer after reasoning less probability than uniform regularisation",
        citation="Dangi 2026b: 'pulled the model away from the overconfidence exhibited in vanilla GradReg'",
        published="at layers 0, 18, 30: depthscaled .761, .795, .780; gradreg .804, .847, .807",
        region=below(0),
        unit="probability",
        control="sharpen_logits",
        rationale="the published form; a checkpoint that is surer of all it says is surer of this as well",
        about=DEPTH_SCALED,
        required=False,
    )
)
def test_a_reasoned_wrong_answer_is_less_likely_than_with_gradreg(candidate, gradreg) -> Estimate:
    return paired_difference(
        noise_trace.wrong_probability(candidate, "reasoned"),
        noise_trace.wrong_probability(gradreg, "reasoned"),
        estimand="probability of a wrong answer after reasoning, candidate - gradreg",
    )


def mean_bands_claim(name: str, statement: str, published: str, unit: str, rationale: str, **more) -> Claim:
    return Claim(
        id=name,
        statement=statement,
        citation=SOURCE,
        published=published,
        region=below(0),
        unit=unit,
        rationale=rationale,
        required=False,
        **more,
    )


def mean_bands_apart(candidate, other, *, relative: bool) -> Estimate:
    bands, theirs = (
        noise_trace.mean_late_spread(checkpoints, "reasoned", relative=relative) for checkpoints in (candidate, other)
    )
    return paired_difference(bands, theirs, estimand=f"spread in the mean late layer, candidate - {other.name}")


@claim(
    mean_bands_claim(
        "mean-late-bands-narrower-than-grpo",
        "is scattered less than plain GRPO by noise in the mean late layer (20 to 35), after reasoning",
        "mean standard deviation at layers 20, 22, 30: depthscaled .072, grpo .084",
        "probability",
        "all late layers count, and not the clearest: in the figure grpo is the narrower at layer 22",
        control="sharpen_logits",
        about=DEPTH_SCALED,
    )
)
def test_mean_late_bands_are_narrower_than_with_grpo(candidate, grpo) -> Estimate:
    return mean_bands_apart(candidate, grpo, relative=False)


@claim(
    mean_bands_claim(
        "relative-late-bands-narrower-than-grpo",
        "is scattered less than plain GRPO, over p(1 - p), by noise in the mean late layer, after reasoning",
        "at layer 20 over p(1 - p): depthscaled .057 of .166, grpo .099 of .193",
        "log odds",
        "a probability nearer to 1 scatters less under the same noise: that is confidence and no robustness",
        control="noise_in_late_layers",
        about=DEPTH_SCALED,
    )
)
def test_relative_late_bands_are_narrower_than_with_grpo(candidate, grpo) -> Estimate:
    return mean_bands_apart(candidate, grpo, relative=True)


@claim(
    mean_bands_claim(
        "noise-narrows-late-bands",
        "is scattered more than the same training with early noise, over p(1 - p), in the mean late layer",
        "'late layers are constantly receiving this slightly perturbed context': not measured apart",
        "log odds",
        "what isolates the noise: depth scaling without it, minus depth scaling with it",
        control="round_to_bfloat16",
        about=("depthscaled_nonoise",),
    )
)
def test_noise_in_training_narrows_late_bands(candidate, depthscaled) -> Estimate:
    return mean_bands_apart(depthscaled, candidate, relative=True)


def reasoned_spike_claim(name: str, where: str, published: str, rationale: str) -> Claim:
    return Claim(
        id=name,
        statement=f"stands out after reasoning at the landmark layer (18 of 36) by 0.005 more than any other {where}",
        citation="Dangi 2026b: 'all 3 models exhibit a synchronized spike at Layer index 18'",
        published=published,
        region=at_least(REASONED_SPIKE),
        unit="probability",
        control="random_weights",
        rationale=rationale,
        required=False,
    )


@claim(
    reasoned_spike_claim(
        "reasoned-spike-among-even-layers",
        "even layer",
        "layers 18, 20: depthscaled .795, .789; grpo .789, .739; gradreg .847, .798",
        "as published: layers 0, 2, ... alone; the least of the published leads over layer 20 is .006",
    )
)
def test_layer_18_spikes_among_even_layers(candidate) -> Estimate:
    return reasoned_spike(candidate, noise_trace.even_layers(noise_trace.profile(candidate, form="reasoned")))


@claim(
    reasoned_spike_claim(
        "reasoned-spike-among-all-layers",
        "layer",
        "odd layers are not in the figure",
        "the same with every layer shaken",
    )
)
def test_layer_18_spikes_among_all_layers(candidate) -> Estimate:
    return reasoned_spike(candidate, noise_trace.profile(candidate, form="reasoned"))


def reasoned_spike(candidate, profile) -> Estimate:
    return least(
        lead(prominence(profile), noise_trace.spike_layer(candidate)),
        estimand="prominence of the layer over that of each other",
    )
