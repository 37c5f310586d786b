"""What of a store is needed no more: what no report and no accepted baseline names."""

import json
import math
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from depthgauge.core.errors import CorruptEntry, InvalidCheckpoint, UsageError
from depthgauge.sources.folder import fingerprint
from depthgauge.store.folders import Store, read_manifest
from depthgauge.store.inventory import DAY_S, Entry, abandoned, discard, entries, is_sealed, size

MODELS = ("checkpoints", "merged", "gguf")  # which reports and accepted baselines name by their content


def named_in(reports: Path, baselines: Path) -> set[str]:
    """Keys of measurements and fingerprints of checkpoints that reports and accepted baselines name.

    Raises: UsageError for a file that cannot be read: what it names would be lost.
    """
    named: set[str] = set()
    for path in [*reports.rglob("report.json"), *baselines.glob("*.json")]:
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UsageError(
                f"{path} cannot be read ({error}), and may name what is needed: fix or delete it.", code="unreadable"
            ) from error
        named |= set(texts_in(record, ("key", "checkpoint", "fingerprint")))
    return named


def texts_in(value: Any, names: Sequence[str]) -> Iterator[str]:
    """The texts that stand under some names, anywhere in JSON."""
    if isinstance(value, dict):
        for name, held in value.items():
            if name in names and isinstance(held, str):
                yield held
            yield from texts_in(held, names)
    elif isinstance(value, list):
        for held in value:
            yield from texts_in(held, names)


def is_named(store: Store, entry: Entry, named: set[str]) -> bool:
    """A measurement by its key; a checkpoint by the hash of its content, which its manifest gives unread."""
    if entry.kind not in MODELS:
        return entry.key in named
    folder = store.folder(entry.kind, entry.key)
    try:
        listed = read_manifest(folder).files
        return fingerprint(folder, lambda path: str(listed[str(path.relative_to(folder))]["sha256"])) in named
    except (CorruptEntry, InvalidCheckpoint, KeyError):
        return False


def unneeded(store: Store, named: set[str], unused_days: float, most_bytes: float = math.inf) -> list[Entry]:
    """What nothing names and no run has used for so many days; and where the rest is more than `most_bytes`, as many of
    those that nothing names and no run has used for a day, from the one that was not used for the longest on.
    """
    now, there = time.time(), sorted(entries(store), key=lambda entry: entry.used)
    left, unneeded_entries = sum(entry.bytes for entry in there), []
    for entry in there:
        days = (now - entry.used) / DAY_S
        if not is_sealed(store, entry):
            continue
        if (days >= unused_days or (days >= 1 and left > most_bytes)) and not is_named(store, entry, named):
            unneeded_entries.append(entry)
            left -= entry.bytes
    return unneeded_entries


def collect(
    store: Store,
    reports: Path,
    baselines: Path,
    unused_days: float,
    *,
    delete: bool,
    most_gib: float = math.inf,
) -> str:
    """Delete what is needed no more, or say what that is. Raises: as `named_in`."""
    superfluous = unneeded(store, named_in(reports, baselines), unused_days, most_gib * 2**30)
    abandoned_dirs = abandoned(store, unused_days)
    freed = size(sum(entry.bytes for entry in superfluous))
    listed = f"{len(superfluous):,} entries ({freed}) and {len(abandoned_dirs)} abandoned staging folders"
    if not delete:
        why = f"were not used for {unused_days:g} days" + (
            f", or make more than {most_gib:g} GiB" * (most_gib < math.inf)
        )
        return f"{listed} are named nowhere and {why}; --delete deletes them"
    gone = sum(discard(store, entry) for entry in superfluous)
    for staging_dir in abandoned_dirs:
        shutil.rmtree(staging_dir, ignore_errors=True)
    kept = f"; {len(superfluous) - gone} are in use, and stay" if gone < len(superfluous) else ""
    return f"{listed} are deleted{kept}"
