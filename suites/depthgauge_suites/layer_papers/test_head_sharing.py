"""Whether an answer depends on how it is asked for, and whether even heads repair it as arXiv:2508.19414 says.

Heads of one layer are patched from a form of the question that is answered right into one that is answered wrong. Its
author later took the sharp threshold back (7 heads repair 40 %, 8 59 %). These claims are informational.
"""

from depthgauge import Claim, Estimate, Region, at_least, claim
from depthgauge.stats import largest_step, paired_difference, share
from depthgauge_suites.layer_papers import head_sharing

SOURCE = "arXiv:2508.19414, even heads fix odd errors"


def sharing_claim(name: str, statement: str, published: str, region: Region, control: str, rationale: str) -> Claim:
    return Claim(
        id=name,
        statement=statement,
        citation=SOURCE,
        published=published,
        region=region,
        unit="share",
        control=control,
        rationale=rationale,
        required=False,
    )


@claim(
    sharing_claim(
        "comparison-depends-on-form",
        "compares most pairs of decimals rightly in one form and wrongly in another",
        "100 % wrong as question and answer, 0 % in a simple form (9.8 and 9.11, Llama-3.1-8B-Instruct)",
        at_least(0.5),
        "no_attention",
        "80 pairs like 9.8 and 9.11, where the longer one is smaller",
    )
)
def test_a_comparison_depends_on_its_form(candidate) -> Estimate:
    return share(head_sharing.depends_on_form(candidate), estimand="pairs answered both ways")


@claim(sharing_claim(
    "even-heads-restore-odd-do-not", "is repaired by the even heads of a layer, and not by the odd ones",
    "even 100 %, odd 0 %", at_least(0.5), "reorder_heads",
    "of the comparisons that all heads of the best layer repair; in another order the same heads have other parities",
))  # fmt: skip
def test_even_heads_repair_and_odd_ones_do_not(candidate) -> Estimate:
    even, odd = (head_sharing.repaired_by(candidate, parity) for parity in ("even", "odd"))
    return paired_difference(even, odd, estimand="repaired, even - odd")


@claim(sharing_claim(
    "restoration-has-threshold", "is repaired by one more even head where one fewer repairs nothing",
    "7 even heads 0 %, 8 100 %; later 40 % and 59 %", at_least(0.5), "reorder_heads",
    "the largest rise of the share of subsets that repair, from one number of even heads to the next",
))  # fmt: skip
def test_repair_has_a_threshold(candidate) -> Estimate:
    return largest_step(*head_sharing.curve(candidate), estimand="largest step", generalises_over="prompts")
