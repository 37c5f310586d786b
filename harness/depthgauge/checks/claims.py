"""What the claims about two checkpoints have in common."""

from depthgauge.core.claim import Claim, Expectation, Region, Stage
from depthgauge.core.verdict import at_most

MOST = at_most(0.1)  # of the texts: one in ten may be an odd one
DEFAULT_MARGIN_POINTS = 5
# Of a matrix's norm. Rounding to bfloat16 moves 0.002 of it, int8 by row 0.01; a matrix that was zeroed moves 1.
MOVED = 0.05
# Over the projection's mean layer. The highest known of a healthy training is 5.3 times the median layer; down, v and k
# of the trainings here give 1.03 to 1.24 times the mean one (docs/findings-record.md).
OUT_OF_LINE = 6


def change_claim(
    name: str,
    statement: str,
    region: Region,
    unit: str,
    rationale: str,
    *,
    control: str = "zero_mlp",
    stage: Stage = Stage.INTERNALS,
    expect: Expectation | None = Expectation.EQUAL,
    by_bits: tuple[tuple[float, float], ...] = (),
    absolute: bool = False,
) -> Claim:
    """A claim about what changed; with `expect` None it belongs to all expectations."""
    return Claim(
        id=name,
        statement=statement,
        citation="our claim: what one checkpoint owes the one it came from",
        published="not published",
        region=region,
        unit=unit,
        control=control,
        rationale=rationale,
        stage=stage,
        expect=expect,
        by_bits=by_bits,
        absolute=absolute,
    )
