"""What a one-layer transformer computes when it has grokked modular addition.

Nanda et al. 2023: "Progress measures for grokking via mechanistic interpretability", arXiv:2301.05217. Everything is
computed on all pairs, so that one checkpoint's numbers have no sampling error: with one seed, intervals have no width.
Losses are means in nats; a restricted loss is that of the key frequencies of the sum alone, an excluded loss that of
everything else.
"""

from depthgauge import Claim, Estimate, Region, above, at_least, at_most, claim
from depthgauge.probes import training
from depthgauge.stats import exact_factor, exactly
from depthgauge_suites.grokking import fourier

SOURCE = "Nanda et al. 2023"
GROKS = ("grokking",)


def grokking_claim(
    name: str,
    statement: str,
    published: str,
    region: Region,
    unit: str,
    rationale: str,
    *,
    control: str = "grokking_untrained",
    about: tuple[str, ...] = GROKS,
    section: str = "",
    required: bool = True,
) -> Claim:
    return Claim(
        id=name,
        statement=statement,
        citation=f"{SOURCE}{section and ', ' + section}",
        published=published,
        region=region,
        unit=unit,
        control=control,
        rationale=rationale,
        about=about,
        testbed="modular_addition",
        required=required,
    )


# -- it generalises, and only with weight decay ---


@claim(
    grokking_claim(
        "groks",
        "answers sums that it was not trained on, with a mean test loss of at most 1e-5",
        "loss on all pairs 2.4e-7",
        at_most(1e-5),
        "nats",
        "a model that only knows its training sums has a test loss of over ten nats",
        control="grokking_memorised",
    )
)
def test_it_groks(candidate) -> Estimate:
    return exact_factor(fourier.final(candidate, "test_loss"), estimand="mean test loss", unit="nats")


@claim(
    grokking_claim(
        "does-not-grok-without-weight-decay",
        "gets at most half of the test sums right after 12,000 steps",
        "without weight decay: never",
        at_most(0.5),
        "share",
        "with weight decay all are right by then",
        control="grokking",
        about=("grokking_nodecay",),
        section="section 5.3",
    )
)
def test_without_weight_decay_it_does_not_grok(candidate) -> Estimate:
    return exactly(fourier.final(candidate, "test_accuracy"), estimand="test accuracy", unit="share")


@claim(
    grokking_claim(
        "float32-loss-jumps",
        "jumps by at least a factor of 10 in its train loss after that was below 1e-4",
        "float32 rounds the loss in steps of 1.2e-7, and makes it jump",
        at_least(10),
        "ratio",
        "with the softmax in float64 the loss falls without such jumps",
        control="grokking",
        about=("grokking_float32",),
        section="appendix A",
    )
)
def test_a_loss_in_float32_jumps(candidate) -> Estimate:
    return exact_factor(training.largest_jumps(candidate), estimand="largest train loss over the least before it")


# -- its weights are sparse in frequencies ---


@claim(
    grokking_claim(
        "few-key-frequencies",
        "sends at most 10 frequencies to its logits",
        "5 key frequencies",
        at_most(10),
        "frequencies",
        "of 56, by the norms of W_L that reach a quarter of the largest",
        section="section 4.1",
    )
)
def test_it_has_few_key_frequencies(candidate) -> Estimate:
    return exactly(fourier.key_count(candidate), estimand="key frequencies", unit="frequencies")


@claim(
    grokking_claim(
        "logit-map-holds-key-frequencies-only",
        "has at most 5 % of the norm of W_L outside its key frequencies",
        "0.55 % after 40,000 epochs",
        at_most(0.05),
        "share",
        "of at most ten of them, the largest: in fresh weights nearly every frequency is a key",
        section="section 4.2",
    )
)
def test_the_logit_map_holds_key_frequencies_only(candidate) -> Estimate:
    return exactly(
        fourier.final(candidate, "outside_share"), estimand="norm of W_L outside the key frequencies", unit="share"
    )


@claim(
    grokking_claim(
        "logit-map-has-ten-directions",
        "has at most 1 % of the norm of W_L beyond its ten largest directions",
        "approximately rank 10",
        at_most(0.01),
        "share",
        "two directions for each of five frequencies, or of fewer; nothing is said about which they are",
        section="section 4.2",
    )
)
def test_the_logit_map_has_ten_directions(candidate) -> Estimate:
    return exactly(fourier.final(candidate, "beyond_rank"), estimand="norm of W_L beyond rank 10", unit="share")


@claim(
    grokking_claim(
        "neurons-are-trigonometric",
        "has at least 75 % of its neurons explained to 85 % by degree-2 polynomials of one frequency",
        "84.6 %",
        at_least(0.75),
        "share",
        "products of two waves of one frequency, one in a and one in b; random answers leave nothing of it",
        control="grokking_random_answers",
        section="section 4.2",
    )
)
def test_neurons_are_polynomials_of_one_frequency(candidate) -> Estimate:
    return exactly(fourier.final(candidate, "explained_neurons"), estimand="share of neurons explained", unit="share")


@claim(
    grokking_claim(
        "logits-are-cosines-of-a-plus-b-minus-c",
        "has at least 90 % of the variance of its logits in sums of cos w(a + b - c)",
        "95 %",
        at_least(0.9),
        "share",
        "one coefficient for each key frequency, over all triples a, b, c",
        section="section 4.1",
    )
)
def test_logits_are_cosines(candidate) -> Estimate:
    return exactly(fourier.final(candidate, "cosine_share"), estimand="variance of the logits explained", unit="share")


# -- the key frequencies are what it computes with ---


@claim(
    grokking_claim(
        "key-frequencies-suffice",
        "has a restricted loss no larger than its full loss, on all pairs and on its training pairs",
        "5.5e-8 against 2.4e-7: 77 % less",
        at_most(1),
        "ratio",
        "the larger of the two ratios; what was memorised is lost when only the sum is kept",
        control="grokking_memorised",
        section="section 4.4",
    )
)
def test_key_frequencies_suffice(candidate) -> Estimate:
    return exact_factor(fourier.worst_over_full(candidate, "restricted"), estimand="restricted loss over full loss")


@claim(
    grokking_claim(
        "key-frequencies-are-needed",
        "has an excluded loss on its training pairs of at least that of guessing, ln p",
        "the excluded loss rises as the circuit forms",
        at_least(1),
        "ratio",
        "a model that memorised keeps its training sums when the sum's frequencies are taken away",
        control="grokking_memorised",
        section="section 5.1",
    )
)
def test_key_frequencies_are_needed(candidate) -> Estimate:
    return exact_factor(fourier.excluded_over_guessing(candidate), estimand="excluded loss over that of guessing")


@claim(
    grokking_claim(
        "each-key-frequency-matters",
        "loses at least a factor of 100 in loss when any one key frequency is ablated",
        "factors of 830 to 100,000",
        at_least(100),
        "ratio",
        "the least over the key frequencies",
        section="section 4.4",
    )
)
def test_each_key_frequency_matters(candidate) -> Estimate:
    return exact_factor(
        fourier.over_full(candidate, "least_ablated_loss"), estimand="least ablated loss over full loss"
    )


@claim(
    grokking_claim(
        "other-frequencies-do-not-matter",
        "loses nothing when all other frequencies are ablated from its logits",
        "70 % less loss",
        at_most(1),
        "ratio",
        "constants, single waves and products of the key frequencies are kept; all pairs or trained, the larger ratio",
        control="grokking_memorised",
        section="section 4.4",
    )
)
def test_other_frequencies_do_not_matter(candidate) -> Estimate:
    return exact_factor(
        fourier.worst_over_full(candidate, "kept"), estimand="loss without other frequencies over full loss"
    )


@claim(
    grokking_claim(
        "random-frequencies-do-not-suffice",
        "has a restricted loss at least 1,000 times as large with as many frequencies drawn at random",
        "not published: a control of our own",
        at_least(1000),
        "ratio",
        "the least of 50 draws, over the restricted loss of the key frequencies",
        section="our control",
    )
)
def test_random_frequencies_do_not_suffice(candidate) -> Estimate:
    return exact_factor(fourier.random_over_key(candidate), estimand="restricted loss, random over key frequencies")


# -- attention ---


@claim(
    grokking_claim(
        "last-token-does-not-attend-to-itself",
        "gives at most 1 % of its attention at '=' to '=' itself, in any head",
        "0.1 to 0.4 %",
        at_most(0.01),
        "share",
        "so that each head weighs a against b, and its weight on b is one minus that on a",
        section="appendix C.1",
    )
)
def test_the_last_token_does_not_attend_to_itself(candidate) -> Estimate:
    return exactly(
        fourier.final(candidate, "own_attention"), estimand="largest mean attention of '=' to itself", unit="share"
    )


@claim(
    grokking_claim(
        "heads-are-trigonometric",
        "has at least 90 % of the variance of every head's attention in waves of one frequency",
        "98 to 99 %",
        at_least(0.9),
        "share",
        "of attention to a over all pairs: waves of one frequency in a and in b; the least of the heads",
        section="appendix C.1",
        required=False,
    )
)
def test_heads_are_waves_of_one_frequency(candidate) -> Estimate:
    return exactly(fourier.least_head_share(candidate), estimand="variance in waves, the least head", unit="share")


# -- what stands in talks and posts about it ---


@claim(
    grokking_claim(
        "embedding-is-sparse-in-frequencies",
        "has at least 90 % of the squared norm of its embedding in ten frequencies",
        "'apart from few frequencies, the norm value for the rest are zero'",
        at_least(0.9),
        "share",
        "of 56; in fresh weights ten have a fifth",
        section="section 4.1, and a post on it",
        required=False,
    )
)
def test_the_embedding_is_sparse_in_frequencies(candidate) -> Estimate:
    return exactly(
        fourier.embedding_in_few_frequencies(candidate), estimand="squared norm of W_E in ten frequencies", unit="share"
    )


@claim(
    grokking_claim(
        "neurons-cluster-at-key-frequencies",
        "has at least 75 % of its neurons explained to 85 % by a frequency that reaches the logits",
        "'these are the same frequencies that we obtained at the embedding matrix'",
        at_least(0.75),
        "share",
        "of the ten largest in W_L at most; a neuron of another frequency does not count",
        section="section 4.2, and a post on it",
        required=False,
    )
)
def test_neurons_cluster_at_key_frequencies(candidate) -> Estimate:
    return exactly(fourier.neurons_at_keys(candidate), estimand="share of neurons at key frequencies", unit="share")


@claim(
    grokking_claim(
        "answers-without-the-skip-around-the-mlp",
        "answers with a mean loss of at most 1e-5 when what passes its neurons by is held at its mean",
        "7.3e-7 or 9.1e-7 nats",
        at_most(1e-5),
        "nats",
        "then neurons alone make the logits, and three effective matrices are the whole model",
        section="appendix A, and a post on it",
        required=False,
    )
)
def test_it_answers_without_the_skip_around_the_mlp(candidate) -> Estimate:
    return exact_factor(
        fourier.final(candidate, "skip_ablated_loss"), estimand="loss without the skip connection", unit="nats"
    )


# -- how it came about ---


@claim(
    grokking_claim(
        "circuit-forms-before-generalization",
        "has an excluded loss at least 10 times its least by the time that the test loss has come half of its way down",
        "circuit formation: epochs 1,400 to 9,400, before the test loss falls",
        above(10),
        "ratio",
        "training pairs depend on the sum's frequencies while test pairs are still answered wrong",
        control="grokking_memorised",
        section="section 5.2",
    )
)
def test_the_circuit_forms_before_it_shows(candidate) -> Estimate:
    return exact_factor(fourier.formation_at_onset(candidate), estimand="excluded loss over its least, at the onset")
