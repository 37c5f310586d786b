"""Whether rounding is all that was done to a quantised copy: it is held to copies of the baseline on its own grid."""

from depthgauge import Estimate, Expectation, at_most, claim
from depthgauge.checks.claims import change_claim
from depthgauge.probes import twins

# Times what twins do. Of healthy candidates the interval ends at 2.2 at most, of a lost MLP, head or norm, or layers
# that changed places, it begins at 2.6 at least: docs/decisions/040-twins.md.
BESIDE_TWINS = 2.5


@claim(
    change_claim(
        "within-twins",
        f"is off in no layer, no head and not in what it says next by more than {BESIDE_TWINS} times what rounding is",
        at_most(BESIDE_TWINS),
        "times its twins",
        "twins: copies of the baseline on the candidate's own grid, in which a coin decides what lies near a "
        "tie; less than they is no fault",
        control="zero_mlp",
        expect=Expectation.QUANTIZED,
    )
)
def test_rounding_is_all_that_was_done(candidate, baseline) -> Estimate:
    return twins.largest_beside_twins(candidate, baseline)
