"""Fingerprint -> finished folder. Nothing is made twice, and nothing half-made is ever seen as finished.

A folder is made aside, listed in a manifest, and renamed into place under a lock that dies with its process. A kill at
any moment leaves either the finished folder or a staging folder that the next run continues or clears. Where a lock
does not hold, as between machines on some network file systems, two may make the same entry: the first to finish is
kept.

The manifest holds the description of the entry, of which the key is the digest, the size and sha256 of every file, and
a checksum over all of these. Whoever reads an entry checks one against the other, so that an entry under another key,
or with files or a description of another, is refused. Only a signature (`KEY_VARIABLE`) stops who can write a checksum
anew.
"""

import errno
import hashlib
import hmac
import json
import os
import platform
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from filelock import FileLock, Timeout

from depthgauge.core.errors import CorruptEntry, HarnessError, NotTestable, StoreUnusable, TrainingFailed
from depthgauge.core.plain import canonical_json, digest

LAYOUT = "2"  # of stores: raised when an older version would misread what a newer one writes
MANIFEST = "manifest.json"
PICTURES = "pictures"  # drawn again in no time
LISTED = ("layout", "kind", "description", "files")  # of a manifest
KEY_VARIABLE = "DEPTHGAUGE_STORE_KEY"  # in the environment: entries are signed with it, and others are refused
# Of entries: an adapter is merged into its base, and the passes are what the layers of a large model compute of texts.
KINDS = ("checkpoints", "merged", "gguf", "measurements", PICTURES, "passes")
OF_THIS_MACHINE = (PICTURES, "passes")  # sent nowhere: drawn again in no time, or large
NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
FORBIDDEN = {errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ELOOP}
NOT_A_PLACE = {errno.ENOENT, errno.ENAMETOOLONG, errno.EINVAL}  # of making a folder: in /proc, by a name too long
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
        hash_ = hashlib.file_digest(file, "sha256").hexdigest()
    if at.st_size >= LARGE:
        HASHES[key] = hash_
    return hash_


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
        check_layout(self.root, path.read_text(encoding="utf-8") if path.is_file() else LAYOUT)

    def folder(self, kind: str, key: str) -> Path:
        return self.root / kind / key

    def finished(self, kind: str, key: str) -> Path | None:
        """The finished folder, or None. Raises: CorruptEntry as `read_manifest`, and if a file has another size."""
        return None if self._manifest(kind, key) is None else self.folder(kind, key)

    def _manifest(self, kind: str, key: str) -> "Manifest | None":
        """That of a finished folder, which is used now; or None. Raises: as `finished`."""
        folder = self.folder(kind, key)
        if not folder.is_dir():
            return None
        manifest = read_manifest(folder)
        for name, listed in manifest.files.items():
            file = folder / name
            if not file.is_file() or file.stat().st_size != listed["bytes"]:
                raise corrupt(folder, name)
        with suppress(OSError):  # a store that may only be read
            os.utime(folder / MANIFEST)  # when it was last used: see `inventory`
        return manifest

    def has(self, kind: str, key: str) -> bool:
        """Whether the entry is made. Raises: as `finished`."""
        return self.finished(kind, key) is not None

    @property
    def place(self) -> str:
        """What --store names."""
        return str(self.root)

    @property
    def name(self) -> str:
        """Where the entries are, in words."""
        return self.place

    def verify(self, folder: Path) -> None:
        """Read every file of a finished folder. Raises: CorruptEntry at the first that differs from its checksum."""
        check_files(folder, read_manifest(folder))

    def contents(self, folder: Path) -> tuple[Any, dict[str, bytes]]:
        """The description of a finished folder, and its files, read once. Raises: as `verify`."""
        manifest, hashes = read_manifest(folder), {}
        for name, listed in manifest.files.items():
            try:
                hashes[name] = (folder / name).read_bytes()
            except OSError as error:
                raise corrupt(folder, name) from error
            if hashlib.sha256(hashes[name]).hexdigest() != listed["sha256"]:
                raise corrupt(folder, name)
        return manifest.description, hashes

    def get_or_create(
        self, kind: str, description: Any, make: Callable[[Path], None], *, resume: bool = False, wait: bool = True
    ) -> Path:
        """As `made`, and every byte of it is what was written. Raises: as `made` and `verify`."""
        folder = self.made(kind, description, make, resume=resume, wait=wait)
        self.verify(folder)
        return folder

    def made(
        self, kind: str, description: Any, make: Callable[[Path], None], *, resume: bool = False, wait: bool = True
    ) -> Path:
        """The finished folder of a description (plain JSON), made by `make(staging_dir)` if there is none yet.

        `make` fills the staging folder, an empty folder; with `resume` it may find there what an earlier, killed
        attempt left. Names that start with a dot are temporary files: they stay out of the finished folder. The bytes
        of a folder that is there already are not read.

        Raises: TrainingFailed if an attempt in this run already failed; StoreUnusable if writing fails; Busy if another
        process is making it and `wait` is false; CorruptEntry as `finished`, and for another entry's description.
        """
        key = digest(description)
        folder = self.folder(kind, key)
        if self._is_made(kind, key, description):
            return folder
        with usable(self.root, "--store", NO_SPACE), self.locked(kind, key, wait):
            if self._is_made(kind, key, description):
                return folder
            self.raise_if_failed(kind, key)
            staging_dir = self._staging_dir(kind, key, resume=resume)
            staging_dir.mkdir(parents=True, exist_ok=True)
            if not is_whole(staging_dir, kind, key):
                try:
                    make(staging_dir)
                except NotTestable:  # a verdict, and the same one for whoever asks
                    raise
                except HarnessError as error:
                    self.remember_failure(kind, key, str(error))
                    raise
                write_manifest(staging_dir, kind, description)
            self._clear_temporary_files(staging_dir)
            return self._publish(staging_dir, folder)

    def _is_made(self, kind: str, key: str, description: Any) -> bool:
        """Raises: as `finished`. A key has 64 bits: that the description is the one asked for is looked at in full."""
        manifest = self._manifest(kind, key)
        if manifest is not None and canonical_json(manifest.description) != canonical_json(description):
            raise misplaced(self.folder(kind, key))
        return manifest is not None

    def take_over(self, kind: str, key: str, fill: Callable[[Path], None]) -> Path:
        """The finished folder of an entry made elsewhere, which `fill(staging_dir)` copies here with its manifest.

        Raises: CorruptEntry unless it is whole, and that entry.
        """
        with usable(self.root, "--store", NO_SPACE | FORBIDDEN):
            staging_dir = self._staging_dir(kind, f"{key}.brought", resume=False)
            staging_dir.mkdir(parents=True)
            fill(staging_dir)
            check_files(staging_dir, read_manifest(staging_dir, kind, key))
            return self._publish(staging_dir, self.folder(kind, key))

    def _staging_dir(self, kind: str, key: str, *, resume: bool) -> Path:
        """Where an entry is made: what cannot be resumed has a place of each process's own."""
        place = self.root / "staging" / f"{kind}-{key}"
        if resume:
            return place
        own = place.with_name(f"{place.name}.{platform.node()}.{os.getpid()}")
        shutil.rmtree(own, ignore_errors=True)
        return own

    def _publish(self, staging_dir: Path, folder: Path) -> Path:
        """Rename into place; where somebody was first, whose entry it is, that one stays."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        if not (self.root / "layout").is_file():
            write_atomically(self.root / "layout", LAYOUT)
        try:
            os.replace(staging_dir, folder)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            shutil.rmtree(staging_dir)
        return folder

    def _clear_temporary_files(self, staging_dir: Path) -> None:
        """Move what starts with a dot away before deleting it: a kill must not leave half of it in the staging
        folder.
        """
        trash = self.root / "trash" / staging_dir.name
        shutil.rmtree(trash, ignore_errors=True)
        trash.mkdir(parents=True)
        for temporary_files in staging_dir.glob(".*"):
            os.replace(temporary_files, trash / temporary_files.name)
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
    def exclusive(self, what: str) -> Iterator[None]:
        """Within it no other process of this store is in the same `what`: for work that takes the whole machine."""
        with usable(self.root, "--store", NO_SPACE), self.locked("exclusive", what, wait=True):
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
            failure = json.loads(path.read_text(encoding="utf-8"))
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
    number = OS_ERROR.search(str(error))
    return int(number.group(1)) if number else 0


def check_writable(folder: Path, option: str) -> None:
    """Raises: StoreUnusable, naming the option, if nothing can be written in the folder."""
    with usable(folder, option, NO_SPACE | FORBIDDEN | NOT_A_PLACE):
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".writable-{os.getpid()}"
        probe.write_text("", encoding="utf-8")
        probe.unlink()


def check_layout(place: str | Path, layout: str) -> None:
    """Raises: StoreUnusable for another layout than this version's."""
    if layout.strip() != LAYOUT:
        raise StoreUnusable(
            f"{place} was written by a version of depthgauge whose stores have layout {layout.strip()[:9]!r}, and "
            f"this one's have {LAYOUT!r}: move that folder away, or name a new one with --store."
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """What an entry is of, and the size and sha256 of each of its files, by its name."""

    description: Any
    files: dict[str, dict[str, str | int]]


def read_manifest(folder: Path, kind: str | None = None, key: str | None = None) -> Manifest:
    """The manifest of an entry, whose kind and key are the names of its folders unless they are given.

    Raises: CorruptEntry if it is none, of another layout, not as it was written or signed, or of another entry.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if manifest.get("layout") != LAYOUT:
            raise CorruptEntry(
                f"the store entry {folder} is of layout {str(manifest.get('layout', '1'))[:9]}, and this version of "
                f"depthgauge reads {LAYOUT}: delete that folder and run again.",
                code="layout",
            )
        listed = {name: manifest[name] for name in LISTED}
        text = canonical_json(listed)
        files: dict[str, dict[str, str | int]] = {
            str(name): {"bytes": int(described["bytes"]), "sha256": str(described["sha256"])}
            for name, described in manifest["files"].items()
        }
        if manifest["checksum"] != hashlib.sha256(text).hexdigest() or not all(map(is_below, files)):
            raise corrupt(folder, MANIFEST)
        check_signature(folder, text, manifest.get("signature"))
        belongs = manifest["kind"], digest(manifest["description"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise corrupt(folder, MANIFEST) from error
    if belongs != (kind or folder.parent.name, key or folder.name):
        raise misplaced(folder)
    return Manifest(description=manifest["description"], files=files)


def is_below(name: str) -> bool:
    """Whether the name of a file stays in its folder."""
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts


def signature(text: bytes) -> str | None:
    """Of a checksum, by the key in the environment; None where there is none."""
    key = os.environ.get(KEY_VARIABLE, "")
    return hmac.new(key.encode(), text, "sha256").hexdigest() if key else None


def check_signature(folder: Path, text: bytes, written: object) -> None:
    """Raises: CorruptEntry where there is a key in the environment, and the entry is not signed with it."""
    wanted = signature(text)
    if wanted is not None and not hmac.compare_digest(str(written).encode(), wanted.encode()):
        how = "is not signed, and" if written is None else "is not signed with the key of"
        raise CorruptEntry(
            f"the store entry {folder} {how} {KEY_VARIABLE}{' is set' * (written is None)}: delete that folder and run "
            "again, or name a new store with --store.",
            code="signature",
        )


def misplaced(folder: Path) -> CorruptEntry:
    return CorruptEntry(
        f"the store entry {folder} says in {MANIFEST} that it is another entry: delete that folder and run again.",
        code="identity",
    )


def corrupt(folder: Path, name: str) -> CorruptEntry:
    return CorruptEntry(
        f"the store entry {folder} is corrupt at {name}: delete that folder and run again.", code="content"
    )


def files_in(folder: Path) -> list[str]:
    """The names of the files that an entry consists of: all but temporary files and the manifest."""
    kept = (path for path in folder.rglob("*") if not path.relative_to(folder).parts[0].startswith("."))
    return sorted(str(path.relative_to(folder)) for path in kept if path.is_file() and path != folder / MANIFEST)


def check_files(folder: Path, manifest: Manifest) -> None:
    """Raises: CorruptEntry at the first file that is missing, differs from its hash, or was not written."""
    for name, listed in manifest.files.items():
        if not (folder / name).is_file() or sha256(folder / name) != listed["sha256"]:
            raise corrupt(folder, name)
    for name in files_in(folder):
        if name not in manifest.files:
            raise corrupt(folder, name)


def is_whole(staging_dir: Path, kind: str, key: str) -> bool:
    """Whether an earlier attempt was killed when all was made, and only its temporary files was left to clear."""
    if not (staging_dir / MANIFEST).is_file():
        return False
    try:
        check_files(staging_dir, read_manifest(staging_dir, kind, key))
    except CorruptEntry:
        return False
    return True


def write_manifest(folder: Path, kind: str, description: Any) -> None:
    """Write the manifest, signed where there is a key."""
    files = {
        name: {"bytes": (folder / name).stat().st_size, "sha256": sha256(folder / name)} for name in files_in(folder)
    }
    listed = {"layout": LAYOUT, "kind": kind, "description": description, "files": files}
    text = canonical_json(listed)
    signed = signature(text)
    checksums = {"checksum": hashlib.sha256(text).hexdigest()} | ({} if signed is None else {"signature": signed})
    write_atomically(folder / MANIFEST, json.dumps(listed | checksums, indent=1))


def write_atomically(path: Path, text: str) -> None:
    """Write `path` so that a reader sees the old text or the new one, never a part."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_text(text, encoding="utf-8")
    os.replace(aside, path)
