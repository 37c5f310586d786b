"""A store's entries at an address that fsspec knows, such as s3://bucket/store: sent there, and brought from there.

An entry's manifest is sent last, so that what has one is whole.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from depthgauge.core.errors import HarnessError, StoreUnusable, UsageError
from depthgauge.core.outside import check_outside
from depthgauge.core.plain import digest
from depthgauge.store.folders import (
    KINDS,
    LAYOUT,
    MANIFEST,
    NO_SPACE,
    OF_THIS_MACHINE,
    Manifest,
    Store,
    check_layout,
    error_number,
    read_manifest,
)
from depthgauge.store.inventory import entries

KEY = re.compile("[0-9a-f]{16}")
Tell = Callable[[str], None]


@contextmanager
def opened(address: str) -> Iterator[tuple[Any, str]]:
    """The file system of an address, and the path on it.

    Raises: UsageError for an address that fsspec cannot open, naming what to install; StoreUnusable if it is refused.
    """
    import fsspec
    from fsspec.implementations.local import LocalFileSystem

    try:
        system, root = fsspec.core.url_to_fs(address)
    except ImportError as error:
        raise UsageError(
            f"{address} needs a package that is not installed ({error}); of s3:// it is: pip install 'depthgauge[s3]'",
            code="not-installed",
        ) from error
    except ValueError as error:
        raise UsageError(f"{address} is no address of a store, such as s3://bucket/store: {error}.") from error
    if isinstance(system, LocalFileSystem):
        check_outside(Path(root), "ADDRESS")
        system.auto_mkdir = True
    try:
        yield system, root.rstrip("/")
    except HarnessError:
        raise
    except Exception as error:  # each protocol's library has errors of its own
        if error_number(error) in NO_SPACE:  # of this machine's disk
            raise
        raise StoreUnusable(
            f"{address} cannot be used ({error}): check that it exists, and your rights there."
        ) from error


def whole_at(system: Any, root: str) -> set[tuple[str, str]]:
    """The kind and key of every entry there that has its manifest."""
    paths = system.find(root) if system.exists(root) else []
    parts = [path[len(root) :].lstrip("/").split("/") for path in paths if path.endswith(f"/{MANIFEST}")]
    return {
        (parts_of_key[0], parts_of_key[1])
        for parts_of_key in parts
        if len(parts_of_key) == 3 and KEY.fullmatch(parts_of_key[1])
    }


def push(store: Store, address: str, tell: Tell, kinds: Sequence[str] = KINDS) -> int:
    """Send every entry that is not there yet; how many were sent. Raises: as `opened`; CorruptEntry for damage."""
    with opened(address) as (system, root):
        there = whole_at(system, root)
        missing = [entry for entry in entries(store, kinds) if (entry.kind, entry.key) not in there]
        for number, entry in enumerate(missing, 1):
            tell(f"{number} of {len(missing)}: {entry.of} ({entry.kind} {entry.key})")
            folder = store.folder(entry.kind, entry.key)
            store.verify(folder)
            send(folder, system, f"{root}/{entry.kind}/{entry.key}")
    return len(missing)


def send(folder: Path, system: Any, place: str) -> None:
    for name in [*read_manifest(folder).files, MANIFEST]:
        system.put_file(str(folder / name), f"{place}/{name}")


def pull(store: Store, address: str, tell: Tell, kinds: Sequence[str] = KINDS) -> int:
    """Bring every entry that is not here yet; how many were brought.

    Raises: as `opened`; CorruptEntry where what was brought is not what its manifest says, which is then not kept.
    """
    with opened(address) as (system, root):
        whole = sorted(entry for entry in whole_at(system, root) if entry[0] in kinds)
        missing = [(kind, key) for kind, key in whole if store.finished(kind, key) is None]
        for number, (kind, key) in enumerate(missing, 1):
            tell(f"{number} of {len(missing)}: {kind} {key}")
            store.take_over(kind, key, partial(bring, system, f"{root}/{kind}/{key}", kind, key))
    return len(missing)


class RemoteStore(Store):
    """A store at an address: an entry is looked for there before it is made, and sent there once it is.

    What was brought or made stays in a folder of this user's cache.

    Raises: as `Store` and `opened`.
    """

    def __init__(self, address: str, *, run: str) -> None:
        self.address = address
        super().__init__(copy_of(address), run=run)
        with opened(address) as (system, root):  # nothing is trained for a place that refuses it
            path = f"{root}/layout"
            if not system.exists(path):
                system.pipe_file(path, LAYOUT.encode())
            check_layout(address, system.cat_file(path).decode())

    @property
    def place(self) -> str:
        return self.address

    @property
    def name(self) -> str:
        return f"{self.address}, by way of {self.root}"

    def has(self, kind: str, key: str) -> bool:
        return super()._manifest(kind, key) is not None or self._is_there(kind, key)

    def _manifest(self, kind: str, key: str) -> Manifest | None:
        """Brought from there where it is not here. Raises: as `Store.finished`, `opened` and `take_over`."""
        if super()._manifest(kind, key) is None and self._is_there(kind, key):
            with opened(self.address) as (system, root):
                self.take_over(kind, key, partial(bring, system, f"{root}/{kind}/{key}", kind, key))
        return super()._manifest(kind, key)

    def _is_there(self, kind: str, key: str) -> bool:
        if kind in OF_THIS_MACHINE:
            return False
        with opened(self.address) as (system, root):
            system.invalidate_cache()
            return bool(system.exists(f"{root}/{kind}/{key}/{MANIFEST}"))

    def _publish(self, staging_dir: Path, folder: Path) -> Path:
        """There, too, the first is kept: one recipe can give other weights on another machine."""
        made = super()._publish(staging_dir, folder)
        kind, key = folder.parent.name, folder.name
        if kind not in OF_THIS_MACHINE and not self._is_there(kind, key):
            with opened(self.address) as (system, root):
                send(made, system, f"{root}/{kind}/{key}")
        return made


def copy_of(address: str) -> Path:
    """The folder of this user's cache for what was asked of an address."""
    return user_cache_path("depthgauge") / "stores" / digest(address.rstrip("/"))


def store_at(place: str | Path, *, run: str) -> Store:
    """The store in a folder, or at an address.

    Raises: as `RemoteStore`; UsageError for no name, and for a folder within a checkpoint's.
    """
    if is_address(place):
        return RemoteStore(str(place), run=run)
    if not str(place):
        raise UsageError("an empty name is no folder of a store: give one with --store.")
    check_outside(Path(place), "--store")
    return Store(Path(place).resolve(), run=run)


def is_address(place: str | Path) -> bool:
    return "://" in str(place)


def bring(system: Any, source: str, kind: str, key: str, staging_dir: Path) -> None:
    """Fill a staging folder with the files of an entry. Raises: CorruptEntry if its manifest is none of that entry."""
    system.get_file(f"{source}/{MANIFEST}", str(staging_dir / MANIFEST))
    for name in read_manifest(staging_dir, kind, key).files:
        (staging_dir / name).parent.mkdir(parents=True, exist_ok=True)
        system.get_file(f"{source}/{name}", str(staging_dir / name))
