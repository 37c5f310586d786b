"""How near its margin a negative control stands, and how often it is refuted: `python -m benchmarks.control_power`.

Every claim of a comparison about weights, internals and generation is judged on its control at growing doses, on tiny
baselines of eight families that are trained for some seconds: the share of them on which the control is refuted is the
power that it shows. For what is counted over units the power at twice the margin itself is exact, by the number of
units. Prints the table of docs/power.md.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from scipy import stats as scipy_stats
from tabulate import tabulate

from benchmarks.coverage import scores
from benchmarks.gate_quality.judged import claims, session_of
from benchmarks.gate_quality.strangers import FIXED, LAST, quantized, save_baseline
from depthgauge.core.claim import TWICE, Claim, Expectation, Stage
from depthgauge.core.errors import HarnessError
from depthgauge.core.estimate import Estimate
from depthgauge.core.registry import load_entry_points
from depthgauge.core.result import Outcome, Verdict
from depthgauge.core.verdict import judge
from depthgauge.corruptions import CORRUPTIONS
from depthgauge.models.load import prepare_libraries
from depthgauge.stats import paired_difference, share
from depthgauge.store.folders import Store

FAMILIES = FIXED + LAST
SHARES = (0.1, 0.3, 0.6, 1.0)  # doses of what is done to a share
TOUCHED = {"zero_mlp", "no_attention", "swap_nibbles", "mute_stop_token"}
BITS, GROUP = 4, 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """A claim judged on its control at a dose, of one baseline; `estimate` is None where it is not testable."""

    claim: Claim
    control: str
    dose: float
    outcome: Outcome
    estimate: Estimate | None


def doses(claim: Claim) -> tuple[str, list[float]]:
    """The control of a claim, and the doses that it is tried at: that which it stands at is the last."""
    name, _, dose = claim.negative_control.partition("@")
    corruption = CORRUPTIONS[name]
    own = float(dose) if dose else corruption.dose
    milder = () if claim.control.endswith(TWICE) else SHARES if name in TOUCHED else corruption.doses
    return name, [*(each for each in sorted(milder) if each < own), own]


def trials(baseline: Path, candidate: Path, expect: Expectation, store: Path) -> Iterator[Trial]:
    """Of every claim about weights, internals and generation of this expectation; those of all are of EQUAL."""
    session = session_of(candidate, baseline, Store(store, run="power"), "pocket", (), expect)
    for claim, test, others in claims(session):
        if claim.stage in (Stage.FILES, Stage.TASKS) or (claim.expect or Expectation.EQUAL) is not expect:
            continue
        claim = session.specific(claim, others)
        name, tried = doses(claim)
        for dose in tried:
            try:
                verdict = session.verdict(claim, test, session.checkpoint_set(f"{name}@{dose:g}"), others)
            except HarnessError as error:  # a family that cannot be damaged so
                verdict = Verdict(claim=claim, outcome=Outcome.NOT_TESTABLE, reason=str(error))
            yield Trial(claim=claim, control=name, dose=dose, outcome=verdict.outcome, estimate=verdict.estimate)


def of_baseline(family: str, seed: int, place: Path) -> Iterator[Trial]:
    """A copy is as good a candidate as any: none but controls are judged. One of few bits needs twins on its grid."""
    baseline, copy, rounded = (place / name for name in ("baseline", "copy", "rounded"))
    save_baseline(family, seed, baseline)
    shutil.copytree(baseline, copy)
    for expect in (Expectation.EQUAL, Expectation.TRAINED):
        yield from trials(baseline, copy, expect, place / "store")
    try:
        quantized(BITS, GROUP)(baseline, rounded, seed)
    except NotImplementedError:
        return
    yield from trials(baseline, rounded, Expectation.QUANTIZED, place / "store")


def power_at_twice(claim: Claim, estimate: Estimate) -> float | None:
    """How often a claim alone is refuted where the truth is twice its margin, exactly, by the units of an estimate.

    1 for what is read exactly; None where it depends on more than the number of units, as for means, or there is none.
    """
    margin = next(end for end in claim.region.bounds if end is not None)
    if margin and estimate.method == "exact":
        return 1.0
    if not margin or estimate.method not in ("Korn-Graubard", "Clopper-Pearson", "Bonett-Price"):
        return None
    odd, n = np.arange(estimate.n + 1), estimate.n
    refuted = [judge(claim, counted(estimate.method, k, n, np.sign(margin))).outcome is Outcome.REFUTED for k in odd]
    return float(scipy_stats.binom.pmf(odd, n, 2 * abs(margin)) @ refuted)


def counted(method: str, odd: int, n: int, sign: float) -> Estimate:
    """The estimate of so many odd units, or of so many that are worse than before."""
    values = (np.arange(n) < odd).astype(float)
    if method == "Bonett-Price":
        before, after = (values, 0 * values) if sign < 0 else (0 * values, values)
        return paired_difference(*(scores(side, right=1, unit="share") for side in (after, before)), estimand="x")
    return share(scores(values), estimand="x")


def text(found: Iterable[Trial]) -> str:
    """A row a claim: where its control stands, and how often it is refuted by dose and at twice the margin."""
    by_claim: dict[str, list[Trial]] = {}
    for trial in found:
        if trial.estimate is not None:
            by_claim.setdefault(trial.claim.id, []).append(trial)
    headers = ("claim", "margin", "control reads, median", "refuted at twice the margin", "control refuted, by dose")
    rows = [row(group) for group in by_claim.values()]
    return tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True)


def row(group: list[Trial]) -> list[str]:
    last = group[-1]
    assert last.estimate is not None
    standing = [trial.estimate.point for trial in group if trial.estimate is not None and trial.dose == last.dose]
    power = power_at_twice(last.claim, last.estimate)
    by_dose = []
    for dose in dict.fromkeys(trial.dose for trial in group):
        outcomes = [trial.outcome for trial in group if trial.dose == dose]
        by_dose.append(f"{dose:g}: {outcomes.count(Outcome.REFUTED)}/{len(outcomes)}")
    said = "-" if power is None else "always" if power == 1 else f"{power:.0%} by {last.estimate.n}"
    return [
        last.claim.id, f"{last.claim.region} {last.claim.unit}", f"{median(standing):.3g}", said,
        f"{last.control} {', '.join(by_dose)}",
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=2, help="baselines of each family (%(default)s)")
    given = parser.parse_args()
    load_entry_points()
    prepare_libraries(1)
    found: list[Trial] = []
    for seed in range(given.seeds):
        for family in FAMILIES:
            with tempfile.TemporaryDirectory() as place:
                found += of_baseline(family, seed, Path(place))
            print(f"{family} {seed}", file=sys.stderr, flush=True)
    print(text(found))


if __name__ == "__main__":
    main()
