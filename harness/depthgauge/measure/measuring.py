"""One probe's answer about one checkpoint: from the store, or taken now; noted as evidence either way."""

from collections.abc import Callable
from functools import partial
from typing import Any

from depthgauge.backends.handle import CheckpointHandle
from depthgauge.core.errors import HarnessError, InvalidComparison, NotTestable, raised_by_user_code
from depthgauge.core.estimate import Measurement
from depthgauge.core.installed import versions
from depthgauge.core.method import Checkpoint
from depthgauge.core.plain import digest
from depthgauge.core.result import Evidence
from depthgauge.formats.tensors import is_quantized
from depthgauge.measure.base_probe import Arrays, BaseProbe, address, requires_of
from depthgauge.measure.context import Job, RunContext, ToMeasure, checkpoint_label, note_missing
from depthgauge.models.files import weight_bytes
from depthgauge.models.load import prepare_libraries, threads_for
from depthgauge.sources.folder import check_state
from depthgauge.store.measurements import KIND, described, measure
from depthgauge.store.times import timed

KEPT, SMALL_BYTES = 128, 2 << 20  # measurements in memory, and the largest that is kept there


def measure_cached(
    probe: Any,
    name: str,
    context: RunContext,
    checkpoint: Checkpoint,
    *others: Checkpoint,
    keep_loaded: tuple[Checkpoint, ...] = (),
) -> Measurement:
    """The measurement of `one`, a checkpoint of the candidate `name`, beside the other of a pair if there is one.

    The models of `keep_loaded` stay in memory where they are: what is asked next is about them.

    Raises: NotTestable if a checkpoint cannot carry it; InvalidComparison, naming the probe, if that is what fails.
    """
    for each in (checkpoint, *others):
        probe.check(each)
    description = description_of(probe, context, checkpoint, *others)
    key = digest(description)
    if context.missing is not None and not context.store.has(KIND, key):
        note_missing(
            context,
            Job(
                kind=KIND,
                description=description,
                work=str(probe.description),
                label=checkpoint_label(name, checkpoint.seed),
                weights=weight_bytes(checkpoint.folder),
                todo=ToMeasure(probe=probe, name=name, checkpoints=(checkpoint, *others)),
            ),
        )
    handles = [
        CheckpointHandle(
            checkpoint=each,
            placement=context.placement,
            together=tuple(other.folder for other in (checkpoint, *others)),
            kept=tuple(other.folder for other in keep_loaded),
            store=context.store,
            tell=context.tell,
        )
        for each in (checkpoint, *others)
    ]
    run = partial(run_probe, probe, name, context, checkpoint, partial(probe.run, *handles))
    taken = context.read.get(key) or measure(context.store, description, partial(unchanged, (checkpoint, *others), run))
    cache_put(context.read, taken)
    if taken.not_testable_reason is not None:
        raise NotTestable(taken.not_testable_reason)
    used = Evidence(
        method=name, seed=checkpoint.seed, checkpoint=checkpoint.fingerprint, key=taken.key, probe=address(probe)
    )
    if used not in context.evidence:
        context.evidence.append(used)
    return taken


def cache_put(read: dict[str, Measurement], taken: Measurement) -> None:
    """As the last that was read; the one that was not asked for the longest makes room. Large ones are read again."""
    read.pop(taken.key, None)
    if getattr(taken.arrays, "nbytes", 0) <= SMALL_BYTES:
        read[taken.key] = taken
    if len(read) > KEPT:
        del read[next(iter(read))]


def description_of(
    probe: BaseProbe, context: RunContext, checkpoint: Checkpoint, *others: Checkpoint
) -> dict[str, Any]:
    """All that determines a measurement, of which its key is the digest."""
    return described(checkpoint, probe.name, probe.version, key_of(probe, context, checkpoint, *others))


def key_of(probe: BaseProbe, context: RunContext, checkpoint: Checkpoint, *others: Checkpoint) -> dict[str, Any]:
    """All that determines an answer besides the checkpoint; a dtype where it is not float32, and whether
    codes are run as they are.
    """
    dtype = context.placement.dtype_of(checkpoint.folder)
    where = {"device": context.placement.device, "versions": versions(requires_of(probe))}
    precision = {} if dtype == "float32" else {"dtype": dtype}
    stored = context.placement.as_run and any(is_quantized(each.folder) for each in (checkpoint, *others))
    as_run = {"as_run": True} if stored else {}
    pair = {"baseline": others[0].fingerprint} if others else {}
    return {**where, **precision, **as_run, **pair, **probe.parameters(checkpoint)}


def unchanged(checkpoints: tuple[Checkpoint, ...], run: Callable[[], Arrays]) -> Arrays:
    """What `run` measures. Raises: InvalidCheckpoint if a file was replaced or written to since it was hashed."""
    try:
        arrays = run()
    finally:  # what fails half-way may fail by this
        for checkpoint in checkpoints:
            check_state(checkpoint)
    return arrays


def run_probe(
    probe: BaseProbe, name: str, context: RunContext, checkpoint: Checkpoint, run: Callable[[], Arrays]
) -> Arrays:
    context.tell(f"measuring {probe.description} of {checkpoint_label(name, checkpoint.seed)}")
    if "torch" in requires_of(probe):
        prepare_libraries(context.testbed.threads or threads_for(checkpoint.folder))
    try:
        with timed(context.store, probe.description, weight_bytes(checkpoint.folder)):
            return run()
    except (HarnessError, OSError):
        raise
    except Exception as error:
        raise raised_by_user_code(
            InvalidComparison(
                f"probe {address(probe)} raises {type(error).__name__}: {str(error) or 'without a reason'}"
            ),
            error,
        ) from error
