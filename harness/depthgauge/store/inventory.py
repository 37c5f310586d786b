"""What a store holds, and what of it is needed no more. Nothing here opens a model."""

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tabulate import tabulate

from depthgauge.core.errors import CorruptEntry
from depthgauge.store.folders import KINDS, MANIFEST, Busy, Manifest, Store, read_manifest

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
                size, of = sum(int(listed["bytes"]) for listed in manifest.files.values()), what_it_is(kind, manifest)
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


def is_sealed(store: Store, entry: Entry) -> bool:
    """Whether a folder among the entries is one: what has no manifest was not made by a store, and is not deleted."""
    try:
        read_manifest(store.folder(entry.kind, entry.key))
    except CorruptEntry:
        return False
    return True


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
    """Staging folders that nobody has worked in for so many days, what a kill left, or another machine did; and the
    logs of workers that were lost. None in a folder where no store was ever made.
    """
    if not (store.root / "layout").is_file():
        return []
    since = time.time() - unused_days * DAY_S
    left_over = [path for kind in KINDS for path in (store.root / "staging").glob(f"{kind}-*")]
    paths = [*left_over, *(store.root / "workers").glob("*")]
    return [
        staging_dir
        for staging_dir in paths
        if max(path.stat().st_mtime for path in [staging_dir, *staging_dir.rglob("*")]) <= since
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
    """A sentence for each entry that is not as it was written."""
    for entry in entries(store):
        try:
            store.verify(store.folder(entry.kind, entry.key))
        except CorruptEntry as error:
            yield str(error)


def size(number: int) -> str:
    return f"{number / 2**30:,.1f} GiB" if number >= 2**30 else f"{number / 2**20:,.1f} MiB"


def ago(used: float) -> str:
    days = (time.time() - used) / DAY_S
    return "today" if days < 1 else f"{days:.0f} days ago"
