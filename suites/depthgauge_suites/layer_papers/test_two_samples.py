"""Whether what a checkpoint samples can be told from what the base does, by a classifier (as arXiv:2305.11934 asks of
generators of detector showers).

The area under the curve is 0.5 for equal generators. It is informational: a training is meant to change what is said.
"""

from depthgauge import Claim, Estimate, at_least, claim
from depthgauge.probes import greedy_entropy
from depthgauge.stats import classifier_auc
from depthgauge_suites.layer_papers import two_samples


@claim(
    Claim(
        id="samples-distinguishable-from-base",
        statement="samples texts that a linear classifier tells from the base's in three of four pairs",
        citation="Lopez-Paz and Oquab 2017; arXiv:2305.11934 tests a student generator against its teacher so",
        published="not published of language models",
        region=at_least(0.75),
        unit="area",
        control="unchanged_copy",
        rationale="texts of the same weights have 0.5, and scatter around it by 0.1 where a hundred are read",
        required=False,
    )
)
def test_its_samples_are_told_from_the_bases(candidate, base_model) -> Estimate:
    openings = candidate.inputs(greedy_entropy.Opening)
    return classifier_auc(*two_samples.samples_beside(candidate, base_model, openings), estimand="area under the curve")
