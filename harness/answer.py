"""One probe's answer about one checkpoint: from the store, or taken now; noted as evidence either way."""

from collections.abc import Callable
from functools import partial
from typing import Any

from depthgauge.context import Job, RunContext, lack, whose
from depthgauge.errors import HarnessError, InvalidComparison, NotTestable
from depthgauge.installed import versions
from depthgauge.models.folder import weight_bytes
from depthgauge.models.load import Opened, prepare_libraries, threads_for
from depthgauge.probes.probe import Arrays, Question, address, requires_of
from depthgauge.store.measurements import KIND, described, measure
from depthgauge.store.times import timed
from depthgauge.types import Checkpoint, Evidence, Measurement, digest

KEPT, SMALL_BYTES = 128, 2 << 20  # measurements in memory, and the largest that is kept there


def answer(
    probe: Any, name: str, context: RunContext, one: Checkpoint, *others: Checkpoint, kept: tuple[Checkpoint, ...] = ()
) -> Measurement:
    """The measurement of `one`, a checkpoint of the subject `name`, beside the other of a pair if there is one.

    The models of `kept` stay in memory where they are: what is asked next is about them.

    Raises: NotTestable if a checkpoint cannot carry it; InvalidComparison, naming the probe, if that is what fails.
    """
    for checkpoint in (one, *others):
        probe.check(checkpoint)
    description = described(one, probe.name, probe.version, key_of(probe, context, one, *others))
    key = digest(description)
    if context.missing is not None and not context.store.has(KIND, key):
        lack(
            context,
            Job(
                kind=KIND, key=key, work=str(probe.what), whose=whose(name, one.seed), weights=weight_bytes(one.folder),
                make=lambda elsewhere: answer(probe, name, elsewhere, one, *others),
            ),
        )  # fmt: skip
    together = tuple(checkpoint.folder for checkpoint in (one, *others, *kept))
    opened = [Opened(checkpoint=each, placement=context.placement, together=together) for each in (one, *others)]
    take = partial(taken_now, probe, name, context, one, partial(probe.take, *opened))
    taken = context.read.get(key) or measure(context.store, description, take)
    keep(context.read, taken)
    if taken.refusal is not None:
        raise NotTestable(taken.refusal)
    used = Evidence(
        method=name, seed=one.seed, checkpoint=one.fingerprint, key=taken.key, probe=address(probe)
    )  # fmt: skip
    if used not in context.evidence:
        context.evidence.append(used)
    return taken


def keep(read: dict[str, Measurement], taken: Measurement) -> None:
    """As the last that was read; the one that was not asked for the longest makes room. Large ones are read again."""
    read.pop(taken.key, None)
    if getattr(taken.arrays, "nbytes", 0) <= SMALL_BYTES:
        read[taken.key] = taken
    if len(read) > KEPT:
        del read[next(iter(read))]


def key_of(probe: Question, context: RunContext, one: Checkpoint, *others: Checkpoint) -> dict[str, Any]:
    """All that determines an answer besides the checkpoint; a dtype where it is not float32."""
    dtype = context.placement.dtype_of(one.folder)
    where = {"device": context.placement.device, "versions": versions(requires_of(probe))}
    precision = {} if dtype == "float32" else {"dtype": dtype}
    pair = {"against": others[0].fingerprint} if others else {}
    return {**where, **precision, **pair, **probe.parameters(one)}


def taken_now(probe: Question, name: str, context: RunContext, one: Checkpoint, take: Callable[[], Arrays]) -> Arrays:
    context.tell(f"measuring {probe.what} of {whose(name, one.seed)}")
    if "torch" in requires_of(probe):
        prepare_libraries(context.testbed.threads or threads_for(one.folder))
    try:
        with timed(context.store, probe.what, weight_bytes(one.folder)):
            return take()
    except (HarnessError, OSError):
        raise
    except Exception as error:
        raise InvalidComparison(
            f"probe {address(probe)} raises {type(error).__name__}: {str(error) or 'without a reason'}"
        ) from error
