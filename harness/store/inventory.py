"""What a store holds, and what of it is needed no more. Nothing here opens a model."""

import json
import math
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tabulate import tabulate

from depthgauge.errors import CorruptEntry, InvalidCheckpoint, UsageError
from depthgauge.models.folder import fingerprint
from depthgauge.store.folders import KINDS, MANIFEST, Busy, Manifest, Store, read_manifest

MODELS = ("checkpoints", "merged")  # which reports and references name by their content
DAY_S = 86_400


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A finished folder, when it was last used (seconds since 1970), and what it is of."""

    kind: str
    key: str
    bytes: int
    used: float
    of: str


def entries(store: Store, kinds: Sequence[str] = KINDS) -> Iterator[Entry]:
    """All finished folders of some kinds. What is corrupt is listed with what can be read of it."""
    for kind in kinds:
        place = store.root / kind
        for folder in sorted(place.iterdir()) if place.is_dir() else ():
            size, used, of = 0, 0.0, kind
            with suppress(CorruptEntry, OSError):
                used = (folder / MANIFEST).stat().st_mtime
                manifest = read_manifest(folder)
                size, of = sum(int(sealed["bytes"]) for sealed in manifest.files.values()), what_it_is(kind, manifest)
            yield Entry(kind=kind, key=folder.name, bytes=size, used=used, of=of)


def what_it_is(kind: str, manifest: Manifest) -> str:
    """The method and testbed of a checkpoint, the probe of a measurement."""
    description = manifest.description
    with suppress(KeyError, TypeError):
        if kind == "measurements":
            return str(description["probe"])
        if kind == "checkpoints":
            return f"{description['method']} on {description['testbed']}"
    return kind


def named_in(reports: Path, references: Path) -> set[str]:
    """Keys of measurements and fingerprints of checkpoints that reports and references name.

    Raises: UsageError for a file that cannot be read: what it names would be lost.
    """
    named: set[str] = set()
    for path in [*reports.rglob("report.json"), *references.glob("*.json")]:
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UsageError(
                f"{path} cannot be read ({error}), and may name what is needed: mend or delete it."
            ) from error
        named |= set(texts_in(found, ("key", "checkpoint", "fingerprint")))
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
        sealed = read_manifest(folder).files
        return fingerprint(folder, lambda path: str(sealed[str(path.relative_to(folder))]["sha256"])) in named
    except (CorruptEntry, InvalidCheckpoint, KeyError):
        return False


def is_sealed(store: Store, entry: Entry) -> bool:
    """Whether a folder among the entries is one: what has no manifest was not made by a store, and is not deleted."""
    try:
        read_manifest(store.folder(entry.kind, entry.key))
    except CorruptEntry:
        return False
    return True


def unneeded(store: Store, named: set[str], unused_days: float, most_bytes: float = math.inf) -> list[Entry]:
    """What nothing names and no run has used for so many days; and where the rest is more than `most_bytes`, as many of
    those that nothing names and no run has used for a day, from the one that was not used for the longest on.
    """
    now, there = time.time(), sorted(entries(store), key=lambda entry: entry.used)
    left, found = sum(entry.bytes for entry in there), []
    for entry in there:
        days = (now - entry.used) / DAY_S
        if not is_sealed(store, entry):
            continue
        if (days >= unused_days or (days >= 1 and left > most_bytes)) and not is_named(store, entry, named):
            found.append(entry)
            left -= entry.bytes
    return found


def discard(store: Store, entry: Entry) -> bool:
    """Delete an entry, whole: it is moved away first. False where a run uses it now, or has since it was listed."""
    folder, trash = store.folder(entry.kind, entry.key), store.root / "trash" / f"{entry.kind}-{entry.key}"
    try:
        with store.locked(entry.kind, entry.key, wait=False):
            if (folder / MANIFEST).exists() and (folder / MANIFEST).stat().st_mtime > entry.used:
                return False
            trash.parent.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(trash, ignore_errors=True)
            os.replace(folder, trash)
    except Busy:
        return False
    shutil.rmtree(trash, ignore_errors=True)
    return True


def abandoned(store: Store, unused_days: float) -> list[Path]:
    """Workshops that nobody has worked in for so many days, what a kill left, or another machine did; and the logs of
    workers that were lost. None in a folder where no store was ever made.
    """
    if not (store.root / "layout").is_file():
        return []
    since = time.time() - unused_days * DAY_S
    workshops = [one for kind in KINDS for one in (store.root / "workshop").glob(f"{kind}-*")]
    found = [*workshops, *(store.root / "workers").glob("*")]
    return [
        workshop
        for workshop in found
        if max(path.stat().st_mtime for path in [workshop, *workshop.rglob("*")]) <= since
    ]


def contents(store: Store) -> str:
    """A table of what is there, the largest first."""
    groups: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries(store):
        groups.setdefault((entry.kind, entry.of), []).append(entry)
    total = sum(entry.bytes for group in groups.values() for entry in group)
    largest_first = sorted(groups.items(), key=lambda item: -sum(entry.bytes for entry in item[1]))
    rows = [
        [kind, of, len(group), size(sum(entry.bytes for entry in group)), ago(max(entry.used for entry in group))]
        for (kind, of), group in largest_first
    ]
    if not rows:
        return f"{store.root} holds nothing"
    table = tabulate(
        rows, headers=["kind", "of", "entries", "size", "last used"], colalign=("left", "left", "right", "right")
    )
    return f"{table}\n{sum(map(len, groups.values())):,} entries, {size(total)} in {store.root}"


def damaged(store: Store) -> Iterator[str]:
    """A sentence for each entry that is not as it was sealed."""
    for entry in entries(store):
        try:
            store.verify(store.folder(entry.kind, entry.key))
        except CorruptEntry as error:
            yield str(error)


def collect(
    store: Store,
    reports: Path,
    references: Path,
    unused_days: float,
    *,
    delete: bool,
    most_gib: float = math.inf,
) -> str:
    """Delete what is needed no more, or say what that is. Raises: as `named_in`."""
    found = unneeded(store, named_in(reports, references), unused_days, most_gib * 2**30)
    workshops = abandoned(store, unused_days)
    freed = size(sum(entry.bytes for entry in found))
    listed = f"{len(found):,} entries ({freed}) and {len(workshops)} abandoned workshops"
    if not delete:
        why = f"were not used for {unused_days:g} days" + (
            f", or make more than {most_gib:g} GiB" * (most_gib < math.inf)
        )
        return f"{listed} are named nowhere and {why}; --delete deletes them"
    gone = sum(discard(store, entry) for entry in found)
    for workshop in workshops:
        shutil.rmtree(workshop, ignore_errors=True)
    kept = f"; {len(found) - gone} are in use, and stay" if gone < len(found) else ""
    return f"{listed} are deleted{kept}"


def size(number: int) -> str:
    return f"{number / 2**30:,.1f} GiB" if number >= 2**30 else f"{number / 2**20:,.1f} MiB"


def ago(used: float) -> str:
    days = (time.time() - used) / DAY_S
    return "today" if days < 1 else f"{days:.0f} days ago"
