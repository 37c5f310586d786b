"""A checkpoint folder: checked as a whole, and named by the content of all files that are read of it."""

import hashlib
from collections.abc import Callable
from pathlib import Path

from depthgauge.core.errors import HarnessError, InvalidCheckpoint, NotTestable, UsageError
from depthgauge.core.method import Checkpoint, State
from depthgauge.models.files import (
    ADAPTER,
    CHUNK,
    CONFIG,
    TOKENIZER,
    WEIGHTS,
    check_weights,
    files_read,
    has_tokenizer,
    read_config,
    tensor_entries,
)
from depthgauge.models.unreadable import what_is_there
from depthgauge.store.folders import sha256

FINGERPRINT_VERSION = 2  # of how files become a fingerprint: raised, everything is measured anew


def check_folder(folder: Path) -> None:
    """Refuse what is not a whole checkpoint made of data alone, before anything is loaded or trained.

    Raises: UsageError if there is no such folder or it holds no config.json; InvalidCheckpoint if its weights are
    pickled, truncated, missing a shard or under a wrapper's names, or it needs code of its own.
    """
    if not folder.is_dir():
        raise UsageError(
            f"there is no checkpoint folder {folder}: give the folder that holds config.json.", code="no-folder"
        )
    if not (folder / CONFIG).is_file():
        raise UsageError(f"{folder} is not a checkpoint: it holds no config.json; {where_one_is(folder)}.")
    if (folder / ADAPTER).is_file():
        raise InvalidCheckpoint(
            f"{folder} holds an adapter ({ADAPTER}), which would change the weights unseen: merge it, and save the "
            "whole model."
        )
    check_model(folder)


def check_model(folder: Path) -> None:
    """Raises: InvalidCheckpoint as `check_folder`, whether or not an adapter lies beside the model."""
    check_no_code(folder)
    check_weights(folder)


def check_no_code(folder: Path) -> None:
    """Raises: InvalidCheckpoint for a family that needs code from its folder, as transformers does not ship it."""
    config = read_config(folder)
    if "auto_map" not in config:
        return
    from depthgauge.models.settings import is_shipped

    if not is_shipped(str(config.get("model_type"))):
        raise InvalidCheckpoint(
            f"{folder} asks for remote code (auto_map), which is never run, and transformers ships no "
            f"{config.get('model_type')!r}: re-save it with an architecture that transformers ships."
        )


def where_one_is(folder: Path) -> str:
    """Trainers put what transformers loads below their own state: the newest, or what to do where there is none."""
    below = [
        path for depth in ("*", "*/*", "*/*/*") for name in (CONFIG, ADAPTER) for path in folder.glob(f"{depth}/{name}")
    ]
    if not below:
        there = None if (folder / WEIGHTS).is_file() else what_is_there(folder)
        return f"it {there}" if there else "save the model there first, or copy the configuration of its base"
    newest = max(below, key=lambda path: path.stat().st_mtime_ns).parent
    more = f" (and {len(below) - 1} more folders do)" if below[1:] else ""
    return f"{newest} does{more}, so name that"


def fingerprint(folder: Path, hashed_as: Callable[[Path], str] = sha256) -> str:
    """A 16-digit hash of every file that transformers reads of a checkpoint, by its name and content."""
    hashed = hashlib.sha256(f"{FINGERPRINT_VERSION}\n".encode())
    for path in sorted(files_read(folder)):
        hashed.update(f"{path.relative_to(folder)}:{hashed_as(path)}\n".encode())
    return hashed.hexdigest()[:16]


def state_of(folder: Path) -> State:
    """What tells that a file that is read was replaced or written to: name, inode, size, times of change.

    Taken before the files are hashed and again after they were read, it says whether what was hashed was read.
    """
    stats = [(path, path.stat()) for path in files_read(folder)]
    return tuple(
        (str(path.relative_to(folder)), stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
        for path, stat in stats
    )


VERIFIED: dict[tuple[Path, str], State] = {}  # the last states that were seen to be of a fingerprint


def check_state(checkpoint: Checkpoint) -> None:
    """Raises: InvalidCheckpoint if its folder was changed since its fingerprint was taken."""
    if not checkpoint.state:
        return
    named = (checkpoint.folder, checkpoint.fingerprint)
    try:
        now = state_of(checkpoint.folder)
        changed = now not in (checkpoint.state, VERIFIED.get(named)) and not only_linked(checkpoint, now)
    except (HarnessError, OSError):  # a file is gone
        changed = True
    if changed:
        raise InvalidCheckpoint(
            f"{checkpoint.folder} was changed while it was read, and nothing of it is kept: run again when it is whole."
        )
    VERIFIED[named] = now


def only_linked(checkpoint: Checkpoint, now: State) -> bool:
    """Whether nothing but times of status changed, as they do by a hard link, and the content is still the same."""
    same_files = [each[:-1] for each in checkpoint.state] == [each[:-1] for each in now]
    return same_files and fingerprint(checkpoint.folder) == checkpoint.fingerprint


# What a configuration says of where and by what it was saved, and not of what it computes.
UNCOMPUTED = ("_name_or_path", "transformers_version", "torch_dtype", "dtype", "architectures", "use_cache", "auto_map")


def tensor_digest(folder: Path) -> str:
    """A hash of every tensor's name and bytes, whatever file they lie in."""
    hashed = hashlib.sha256()
    for path, name, entry, start in sorted(tensor_entries(folder), key=lambda placed: placed[1]):
        first, last = entry["data_offsets"]
        hashed.update(f"{name}:".encode())
        with path.open("rb") as file:
            file.seek(start + first)
            for _ in range(first, last, CHUNK):
                hashed.update(file.read(min(CHUNK, start + last - file.tell())))
    return hashed.hexdigest()


def model_type(folder: Path) -> str:
    """The family that a folder's configuration names."""
    return str(read_config(folder).get("model_type"))


def check_language_model(checkpoint: Checkpoint) -> None:
    """Raises: as `check_language_folder`."""
    check_language_folder(checkpoint.folder)


def check_language_folder(folder: Path) -> None:
    """Raises: NotTestable for a checkpoint of another kind; InvalidCheckpoint for a language model without tokenizer.

    From the files alone: transformers writes `architectures`, and a language model lies beside its tokenizer.
    """
    if has_tokenizer(folder):
        return
    if "architectures" not in read_config(folder):
        raise NotTestable(f"{folder} is a {model_type(folder)} checkpoint, and this is asked of language models")
    raise InvalidCheckpoint(f"{folder} has no {TOKENIZER}: save the tokenizer beside the model.")
