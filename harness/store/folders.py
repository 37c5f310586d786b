"""Fingerprint -> finished folder. Nothing is made twice, and nothing half-made is ever seen as finished.

A folder is made aside, sealed with a manifest, and renamed into place under a lock that dies with its process. A kill
at any moment leaves either the finished folder or a workshop that the next run continues or clears. Where a lock does
not hold, as between machines on some network file systems, two may make the same entry: the first to finish is kept.
"""

import errno
import hashlib
import json
import os
import platform
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from depthgauge.errors import CorruptEntry, HarnessError, NotTestable, StoreUnusable, TrainingFailed

LAYOUT = "1"  # of stores: raised when an older version would misread what a newer one writes
MANIFEST = "manifest.json"
PICTURES = "pictures"  # drawn again in no time
KINDS = ("checkpoints", "merged", "measurements", PICTURES)  # of entries; an adapter is merged into its base
NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
FORBIDDEN = {errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST, errno.EISDIR}
OS_ERROR = re.compile(r"\(os error (\d+)\)")  # how libraries written in Rust, such as safetensors, end their messages


LARGE = 1 << 20  # bytes of a file whose hash is kept: smaller ones are read in no time
HASHES: dict[tuple[int, ...], str] = {}


def sha256(path: Path) -> str:
    """Of a file's bytes. A large file is read once for as long as it stays as it is, whatever names it goes by."""
    at = path.stat()
    key = (at.st_dev, at.st_ino, at.st_size, at.st_mtime_ns)
    if key in HASHES:
        return HASHES[key]
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if at.st_size >= LARGE:
        HASHES[key] = found
    return found


class Busy(Exception):
    """Another process is making the entry that was asked for."""


class Store:
    """Content-addressed folders below `root`. `run` names this run: a failure is remembered for its length only.

    Raises: StoreUnusable if a version of depthgauge with another layout of stores has written there.
    """

    def __init__(self, root: Path, *, run: str) -> None:
        self.root = root
        self.run = run
        self._check_layout()

    def _check_layout(self) -> None:
        path = self.root / "layout"
        check_layout(self.root, path.read_text() if path.is_file() else LAYOUT)

    def folder(self, kind: str, key: str) -> Path:
        return self.root / kind / key

    def finished(self, kind: str, key: str) -> Path | None:
        """The finished folder, or None. Raises: CorruptEntry if a file is missing or has another size."""
        folder = self.folder(kind, key)
        if not folder.is_dir():
            return None
        for name, sealed in manifest(folder).items():
            file = folder / name
            if not file.is_file() or file.stat().st_size != sealed["bytes"]:
                raise corrupt(folder, name)
        with suppress(OSError):  # a store that may only be read
            os.utime(folder / MANIFEST)  # when it was last used: see `inventory`
        return folder

    def has(self, kind: str, key: str) -> bool:
        """Whether the entry is made. Raises: as `finished`."""
        return self.finished(kind, key) is not None

    @property
    def name(self) -> str:
        """Where the entries are, in words."""
        return str(self.root)

    def verify(self, folder: Path) -> None:
        """Read every file of a finished folder. Raises: CorruptEntry at the first that differs from its seal."""
        for name, sealed in manifest(folder).items():
            if not (folder / name).is_file() or sha256(folder / name) != sealed["sha256"]:
                raise corrupt(folder, name)

    def contents(self, folder: Path) -> dict[str, bytes]:
        """The files of a finished folder, read once. Raises: as `verify`."""
        found = {}
        for name, sealed in manifest(folder).items():
            try:
                found[name] = (folder / name).read_bytes()
            except OSError as error:
                raise corrupt(folder, name) from error
            if hashlib.sha256(found[name]).hexdigest() != sealed["sha256"]:
                raise corrupt(folder, name)
        return found

    def produce(
        self, kind: str, key: str, make: Callable[[Path], None], *, resume: bool = False, wait: bool = True
    ) -> Path:
        """The finished folder for `key`, made by `make(workshop)` if there is none yet.

        `make` fills the workshop, an empty folder; with `resume` it may find there what an earlier, killed attempt
        left. Names that start with a dot are scaffolding: they stay out of the finished folder.

        Raises: TrainingFailed if an attempt in this run already failed; StoreUnusable if writing fails; Busy if another
        process is making it and `wait` is false.
        """
        folder = self.finished(kind, key)
        if folder is not None:
            return folder
        with usable(self.root, "--store", NO_SPACE), self.locked(kind, key, wait):
            folder = self.finished(kind, key)
            if folder is not None:
                return folder
            self.raise_if_failed(kind, key)
            workshop = self._workshop(kind, key, resume=resume)
            workshop.mkdir(parents=True, exist_ok=True)
            if not self._sealed(workshop):
                try:
                    make(workshop)
                except NotTestable:  # a verdict, and the same one for whoever asks
                    raise
                except HarnessError as error:
                    self.remember_failure(kind, key, str(error))
                    raise
                seal(workshop)
            self._clear_scaffolding(workshop)
            return self._publish(workshop, self.folder(kind, key))

    def _workshop(self, kind: str, key: str, *, resume: bool) -> Path:
        """Where an entry is made: what cannot be resumed has a place of each process's own."""
        place = self.root / "workshop" / f"{kind}-{key}"
        if resume:
            return place
        own = place.with_name(f"{place.name}.{platform.node()}.{os.getpid()}")
        shutil.rmtree(own, ignore_errors=True)
        return own

    def _publish(self, workshop: Path, folder: Path) -> Path:
        """Rename into place; where somebody was first, whose entry it is, that one stays."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        if not (self.root / "layout").is_file():
            write_atomically(self.root / "layout", LAYOUT)
        try:
            os.replace(workshop, folder)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            shutil.rmtree(workshop)
        return folder

    def _sealed(self, workshop: Path) -> bool:
        """Whether an earlier attempt was killed when all was made, and only its scaffolding was left to clear."""
        if (workshop / MANIFEST).is_file():
            with suppress(CorruptEntry):
                self.verify(workshop)
                return True
        return False

    def _clear_scaffolding(self, workshop: Path) -> None:
        """Move what starts with a dot away before deleting it: a kill must not leave half of it in the workshop."""
        trash = self.root / "trash" / workshop.name
        shutil.rmtree(trash, ignore_errors=True)
        trash.mkdir(parents=True)
        for scaffolding in workshop.glob(".*"):
            os.replace(scaffolding, trash / scaffolding.name)
        shutil.rmtree(trash, ignore_errors=True)

    @contextmanager
    def locked(self, kind: str, key: str, wait: bool) -> Iterator[None]:
        path = self.root / "locks" / f"{kind}-{key}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        try:
            lock.acquire(timeout=-1 if wait else 0)
        except Timeout as error:
            raise Busy(f"another process is making {kind} {key}") from error
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def alone(self, what: str) -> Iterator[None]:
        """Within it no other process of this store is in the same `what`: for work that takes the whole machine."""
        with usable(self.root, "--store", NO_SPACE), self.locked("alone", what, wait=True):
            yield

    def _failure(self, kind: str, key: str) -> Path:
        return self.root / "failures" / f"{kind}-{key}.json"

    def remember_failure(self, kind: str, key: str, message: str) -> None:
        """For the length of this run: see `raise_if_failed`."""
        path = self._failure(kind, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps({"run": self.run, "message": message}))

    def raise_if_failed(self, kind: str, key: str) -> None:
        """Raises: TrainingFailed if an attempt at this entry failed in this run."""
        path = self._failure(kind, key)
        if path.is_file():
            failure = json.loads(path.read_text())
            if failure["run"] == self.run:
                raise TrainingFailed(f"{failure['message']} (It failed earlier in this run and is not tried again.)")


@contextmanager
def usable(folder: Path, option: str, refusals: set[int]) -> Iterator[None]:
    """Turn the file system's refusal to write into one sentence that names the option with the way out."""
    try:
        yield
    except HarnessError:
        raise
    except Exception as error:
        number = error_number(error)
        if number in refusals:
            raise StoreUnusable(
                f"{folder} cannot be written ({os.strerror(number)}): make room there, or choose another folder with "
                f"{option}."
            ) from error
        raise


def error_number(error: Exception) -> int:
    """The operating system's number for an error, also where a library that is not Python's only prints it; else 0."""
    if isinstance(error, OSError):
        return error.errno or 0
    if "PytorchStreamWriter" in str(error) or "inline_container" in str(error):
        return errno.ENOSPC  # torch.save says no more than that a write fell short
    found = OS_ERROR.search(str(error))
    return int(found.group(1)) if found else 0


def check_writable(folder: Path, option: str) -> None:
    """Raises: StoreUnusable, naming the option, if nothing can be written in the folder."""
    with usable(folder, option, NO_SPACE | FORBIDDEN):
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".writable-{os.getpid()}"
        probe.write_text("")
        probe.unlink()


def check_layout(place: str | Path, found: str) -> None:
    """Raises: StoreUnusable for another layout than this version's."""
    if found.strip() != LAYOUT:
        raise StoreUnusable(
            f"{place} was written by a version of depthgauge whose stores have layout {found.strip()[:9]}, and "
            f"this one's have {LAYOUT}: choose another place with --store, or install that version."
        )


def corrupt(folder: Path, name: str) -> CorruptEntry:
    return CorruptEntry(f"the store entry {folder} is corrupt at {name}: delete that folder and run again.")


def manifest(folder: Path) -> dict[str, dict[str, str | int]]:
    try:
        sealed: dict[str, dict[str, str | int]] = json.loads((folder / MANIFEST).read_text())["files"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise corrupt(folder, MANIFEST) from error
    return sealed


def seal(folder: Path) -> None:
    """Write the manifest: the size and sha256 of every file but scaffolding."""
    kept = (path for path in folder.rglob("*") if not path.relative_to(folder).parts[0].startswith("."))
    files = sorted(path for path in kept if path.is_file() and path != folder / MANIFEST)
    sealed = {str(path.relative_to(folder)): {"bytes": path.stat().st_size, "sha256": sha256(path)} for path in files}
    write_atomically(folder / MANIFEST, json.dumps({"files": sealed}, indent=1))


def write_atomically(path: Path, text: str) -> None:
    """Write `path` so that a reader sees the old text or the new one, never a part."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_text(text, encoding="utf-8")
    os.replace(aside, path)
