"""Whether a candidate is told from no change at all: its divergence in multiples of what changes nothing."""

from dataclasses import replace

import numpy as np

from depthgauge import Estimate, at_most, claim
from depthgauge.checks.claims import change_claim
from depthgauge.formats.folder import least_bits, tensors
from depthgauge.formats.guess import guesses, in_words
from depthgauge.formats.tensors import PLAIN_BITS
from depthgauge.probes import divergence
from depthgauge.probes.floor import in_floors
from depthgauge.stats import exactly, mean

# Stochastic rounding to bfloat16 makes 2. int8 makes 4 with rows of 64 weights, and with longer ones more.
FLOORS = 3


@claim(
    change_claim(
        "divergence-within-floor",
        f"diverges by at most {FLOORS} times what another batch, another kernel or rounding to bfloat16 makes of it",
        at_most(FLOORS),
        "times the floor",
        "mean KL(baseline || candidate) of a text, over the largest of what changes nothing, which is measured",
        control="quantize_rows@0.007874",
    )
)
def test_it_is_not_told_from_no_change(candidate, baseline) -> Estimate:
    sizes, floor = in_floors(divergence.mean_kl(candidate, baseline), baseline)
    estimand = f"divergence over the floor of {floor}"
    if not sizes.values.any():
        return exactly(np.zeros(1), estimand=estimand, unit=sizes.unit)
    estimate = mean(sizes, estimand=estimand)
    return replace(estimate, where=fitting(candidate) if estimate.low > FLOORS else "")


def fitting(candidate) -> str:
    """The expectation that fits what stands on a grid of few bits."""
    if candidate.folder is None:
        return ""
    bits = least_bits(candidate.folder)
    said = f"{bits:g} bits" if bits < PLAIN_BITS else in_words(guesses(tensors(candidate.folder)))
    return f"weights rounded to {said}, which --expect=quantized judges" if said else ""
