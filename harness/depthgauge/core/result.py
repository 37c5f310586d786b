"""What a run gives: an outcome for each claim, with its evidence."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from depthgauge.core.claim import Claim
from depthgauge.core.estimate import Estimate
from depthgauge.core.plain import from_plain


class Outcome(StrEnum):
    """What an interval says about a claim; NOT_TESTABLE where the checkpoint cannot carry the claim."""

    SUPPORTED = "SUPPORTED"
    REFUTED = "REFUTED"
    INCONCLUSIVE = "INCONCLUSIVE"
    NOT_TESTABLE = "NOT_TESTABLE"


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What an estimate says about a claim, with the reason in one sentence."""

    claim: Claim
    outcome: Outcome
    reason: str
    estimate: Estimate | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """Which measurement of which checkpoint a verdict rests on; `probe` says where it lives, 'package.module:Class'."""

    method: str
    seed: int
    checkpoint: str
    key: str
    probe: str


FAMILYWISE_ERROR_RATE = 0.05  # the chance that any of the required claims of a run is refuted wrongly


@dataclass(frozen=True, kw_only=True, slots=True)
class ClaimResult:
    """One line of a report: the verdict on a claim about a checkpoint, and what the claim's control came to.

    `recorded` is what the recorded seeds gave, an outcome a seed, empty where it does not speak. `required` is False
    where nothing hangs on the verdict, `lost_capability` True where the baseline can carry the claim and the candidate
    cannot. `place` is the claim's among all that were collected: rows are shown in the order in which suites make them.
    `p` is that of the region's bound (`claims.p_value`), and `holm_p` the same adjusted for all claims of the run.
    `family` is how many required claims the run makes, where a refutation must stand beside all of them; 0 where each
    stands alone. `bounds` are the region's ends; None where it has none. `stage`
    is that of a claim about change, in lower case; empty for claims about methods. `blind` is True where a claim would
    be required and could see nothing, as its control is not refuted. `absolute` is that of the claim.
    """

    claim: str
    statement: str
    suite: str
    method: str
    citation: str
    published: str
    region: str
    rationale: str
    outcome: Outcome
    reason: str
    estimate: Estimate | None
    control: str
    control_outcome: Outcome
    control_reason: str
    evidence: tuple[Evidence, ...]
    recorded: tuple[Outcome, ...] = ()
    required: bool = True
    lost_capability: bool = False
    index: int = 0
    p: float | None = None
    holm_p: float | None = None
    n_comparisons: int = 0
    bounds: tuple[float | None, float | None] = (None, None)
    stage: str = ""
    blind: bool = False
    absolute: bool = False

    @property
    def significant(self) -> bool:
        """Whether a refutation holds beside the run's others: else it is one that so many claims give by chance.

        An exact reading has no p, and nothing of it is chance.
        """
        if self.n_comparisons == 0 or self.p is None:
            return True
        return self.holm_p is not None and self.holm_p < FAMILYWISE_ERROR_RATE

    @property
    def control_refutes(self) -> bool:
        """A claim that its control does not refute is a check that cannot fail."""
        return self.control_outcome is Outcome.REFUTED

    @property
    def known_failure(self) -> bool:
        """Refuted, as at least one recorded seed was."""
        return self.outcome is Outcome.REFUTED and Outcome.REFUTED in self.recorded

    @property
    def unexpected_pass(self) -> bool:
        """Supported, where every recorded seed was refuted."""
        return self.outcome is Outcome.SUPPORTED and set(self.recorded) == {Outcome.REFUTED}

    @property
    def fails(self) -> bool:
        """Refuted where no recorded seed was, or no longer as recorded.

        What cannot be tested fails nothing, and proves nothing either; nor does a claim whose control is not refuted,
        which is informational.
        """
        refuted = self.outcome is Outcome.REFUTED and self.significant and not self.known_failure
        return self.required and (refuted or self.unexpected_pass)


def claim_result_from_plain(data: Mapping[str, Any]) -> ClaimResult:
    """The inverse of `to_plain` for a row. Raises: as `from_plain`."""
    return from_plain(ClaimResult, data)
