"""Whether what a checkpoint samples can be told from what the base does, by a classifier (as arXiv:2305.11934 asks of
generators of detector showers).

The area under the curve is 0.5 for equal generators. It gates nothing: a training is meant to change what is said.
"""

from depthgauge import Claim, Estimate, at_least, claim
from depthgauge.probes import greedy_trace, two_samples
from depthgauge.stats import classifier_auc


@claim(
    Claim(
        id="samples-told-from-the-base",
        statement="samples texts that a linear classifier tells from the base's in three of four pairs",
        source="Lopez-Paz and Oquab 2017; arXiv:2305.11934 tests a student generator against its teacher so",
        published="not published of language models",
        region=at_least(0.75),
        unit="area",
        control="unchanged_copy",
        rationale="texts of the same weights have 0.5, and scatter around it by 0.1 where a hundred are read",
        gates=False,
    )
)
def test_its_samples_are_told_from_the_bases(subject, base) -> Estimate:
    openings = subject.material(greedy_trace.Opening)
    return classifier_auc(*two_samples.samples_beside(subject, base, openings), estimand="area under the curve")
