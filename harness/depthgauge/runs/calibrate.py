"""Twins of a baseline made before any candidate is judged: they are kept in the store, where `compare` finds them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import UsageError
from depthgauge.core.verdict import number
from depthgauge.formats.rules import rule_named
from depthgauge.measure.checkpoint_set import CheckpointSet
from depthgauge.measure.context import TWINS, RunContext
from depthgauge.models.load import Placement
from depthgauge.probes.twins import TwinErrors, texts_of
from depthgauge.runs.comparison import joined
from depthgauge.runs.config import Options, device_of, ready
from depthgauge.sources.find import find


@dataclass(frozen=True, kw_only=True)
class Calibrated:
    """How far twins are off: `jumps` (N, L), `heads` (N, L, H) and `divergence` (N,), and the `guess` at how a folder
    that is stored plain is rounded.
    """

    baseline: str
    rounded_as: str
    guess: str
    jumps: NDArray[np.float64]
    heads: NDArray[np.float64]
    divergence: NDArray[np.float64]

    @property
    def lines(self) -> tuple[str, ...]:
        guessed = f", guessed to be {self.guess}" if self.guess else ""
        layers, twins = 100 * self.jumps.mean(axis=0), len(self.divergence)
        return (
            f"{twins} twins of {self.baseline}, rounded as {self.rounded_as}{guessed}, are in the store",
            f"next token: {self.divergence_line}",
            f"residual stream: a layer moves it by {number(layers.min())} to {number(layers.max())} % of its length, "
            f"most layer {int(layers.argmax())}",
        )

    @property
    def divergence_line(self) -> str:
        low, high = (number(float(end)) for end in (self.divergence.min(), self.divergence.max()))
        return f"mean KL(baseline || twin) {low} to {high} nats"


def calibrate(options: Options, baseline: str, rounded_as: str, tell: Callable[[str], None]) -> Calibrated:
    """Make what is missing of the twins of a baseline, rounded as a candidate is or by a rule.

    Raises: UsageError for a name that is neither; HarnessError where twins cannot be made.
    """
    from depthgauge.checks.inputs import COMMON
    from depthgauge.core.registry import TESTBEDS
    from depthgauge.probes.twins.rounding import grid_of

    store = options.opened_store("calibrate")
    chosen = ready(TESTBEDS[options.testbed], options, store) if options.testbed else None
    placement = Placement(device=device_of(options, look=True), dtype=options.dtype or "float32")
    context = RunContext(
        testbed=joined(COMMON, chosen), placement=placement, store=store, tell=tell, twins=options.twins or TWINS
    )
    source = find(baseline, "the baseline ", store=store, start=options.start)
    like: Path | str | None = rounded_as if rule_named(rounded_as) else None
    if like is None:
        like = find(rounded_as, "--as=", store=store, start=options.start).folder
    if source.folder is None or like is None:
        raise UsageError("twins are made of folders: name no method.")
    base = CheckpointSet(name=source.name, folder=source.folder, context=context)
    probe = TwinErrors(texts=texts_of(base), rounded_as=like, twins=context.twins)
    _, guess = grid_of(like, source.folder)
    (taken,) = base.measure(probe)
    arrays = {name: taken.arrays[name].astype(float) for name in ("jumps", "heads", "divergence")}
    return Calibrated(baseline=source.name, rounded_as=rounded_as, guess=guess, **arrays)
