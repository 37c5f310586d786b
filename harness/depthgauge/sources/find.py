"""Whose checkpoint a name means: a folder, a registered method, or a model on the hub, org/name or org/name@revision;
adapters are merged.
"""

import difflib
import os
import re
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from depthgauge.core.errors import HarnessError, InvalidCheckpoint, UsageError
from depthgauge.core.installed import version
from depthgauge.core.method import Method
from depthgauge.core.registry import METHODS
from depthgauge.core.testbed import Testbed
from depthgauge.models.files import (
    ADAPTER,
    ADAPTER_WEIGHTS,
    CONFIG,
    INDEX,
    WEIGHTS,
    read_json,
    tokenizer_files,
    weight_files,
)
from depthgauge.models.gguf import SUFFIX, check_gguf, convert
from depthgauge.models.header import read_header
from depthgauge.models.merge import merge_adapter
from depthgauge.sources.folder import check_folder, check_model, fingerprint
from depthgauge.store.folders import Store, sha256

# Folders in that of an adapter which are the same adapter at other times of its training.
OF_A_TRAINING = re.compile(r"\d$|checkpoint|best|last|final|step|epoch")
HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?(@[\w./-]+)?")  # a branch, tag or commit after the @
HUB_FILES = ("*.json", "*.safetensors", "*.jinja", "*.model", "*.txt")


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A finished `folder`, or a `method` that makes one; `name` is what reports call it."""

    name: str
    folder: Path | None = None
    method: Method | None = None


def find(name: str, called: str, *, store: Store, start: Path, adapter_base: Path | None = None) -> Source:
    """What `name` means, tried as a folder (relative to `start`), as a method, and as a name on the hub; an adapter is
    merged into `adapter_base`, or else into the base that it names.

    `called` stands before the name in errors: "--checkpoint=", or "the candidate ".

    Raises: UsageError if it means nothing, or could mean two of them.
    """
    if not name:
        raise UsageError(
            f"{called.strip()} names no checkpoint: give a folder, a method or a name on the hub, or leave it out."
        )
    path = Path(start, os.path.expanduser(name))
    if path.suffix == SUFFIX and path.is_file():
        return Source(name=path.stem, folder=from_gguf(path.resolve(), store))
    if name.startswith((".", "/", "~")):
        return Source(name=path.resolve().name, folder=whole(path.resolve(), store, start, adapter_base))
    cached = cached_on_hub(name)
    meanings = [word for word, meaning in meanings_of(name, path, cached) if meaning]
    if len(meanings) > 1:
        raise UsageError(
            f"{called}{name} could be {' or '.join(meanings)}: write ./{name} for the folder, or rename one of them."
        )
    if path.is_dir():
        return Source(name=path.resolve().name, folder=whole(path.resolve(), store, start, adapter_base))
    if name in METHODS:
        return Source(name=name, method=METHODS[name])
    snapshot = cached or downloaded(name, called)
    return Source(name=name.replace("/", "--"), folder=whole(snapshot, store, start, adapter_base))


def from_gguf(path: Path, store: Store) -> Path:
    """The folder that a GGUF file is as an ordinary checkpoint: in the store, once. Raises: as `check_gguf`."""
    check_gguf(path)
    description = {"gguf": sha256(path), "transformers": version("transformers")}
    return store.get_or_create("gguf", description, lambda staging_dir: convert(path, staging_dir))


def folder_named(name: str, start: Path) -> Path | None:
    """The folder that a name means, as it is named: of an adapter its own; None for a method or a name on the hub."""
    path = Path(start, os.path.expanduser(name))
    return path.resolve() if name and path.is_dir() else None


def with_base(testbed: Testbed, *, store: Store, start: Path) -> Testbed:
    """The testbed with its base as a folder. Raises: as `find`, with how the base is brought."""
    if testbed.base is None:
        return testbed
    try:
        source = find(str(testbed.base), f"the base of testbed {testbed.name}, ", store=store, start=start)
    except HarnessError as error:
        raise type(error)(f"{error} {testbed.base_from}".rstrip()) from error
    return replace(testbed, base=source.folder)


def meanings_of(name: str, path: Path, cached: Path | None) -> list[tuple[str, bool]]:
    return [
        (f"the folder {path}", path.is_dir()),
        (f"the method {name!r}", name in METHODS),
        (f"{name} in the cache of the hub", cached is not None),
    ]


def cached_on_hub(name: str) -> Path | None:
    """The snapshot of a hub name in this machine's cache, the newest or of its revision, if it has a configuration."""
    if not HUB_NAME.fullmatch(name):
        return None
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    model, _, revision = name.partition("@")
    with suppress(HFValidationError, InvalidCheckpoint):  # no name that the hub can have; weights not fetched yet
        config = try_to_load_from_cache(model, CONFIG, revision=revision or None)
        if isinstance(config, str):
            weight_files(Path(config).parent)
            return Path(config).parent
    return None


def downloaded(name: str, called: str) -> Path:
    """The snapshot of a hub name, fetched now. Raises: UsageError if there is none, or no network."""
    if not HUB_NAME.fullmatch(name) or "/" not in name:
        near = difflib.get_close_matches(name, METHODS, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise UsageError(f"{called}{name} is no folder and no method.{hint} Methods: {', '.join(METHODS)}.")
    from huggingface_hub import snapshot_download

    model, _, revision = name.partition("@")
    try:
        return Path(snapshot_download(model, revision=revision or None, allow_patterns=list(HUB_FILES)))
    except Exception as error:  # whatever the hub's client raises, the name is not available
        raise UsageError(
            f"{called}{name} is no folder, no method and not in the hub's cache, and cannot be fetched "
            f"({type(error).__name__}): check the name and the network, or fetch it where there is one with "
            f"'hf download {name.replace('@', ' --revision ')}'."
        ) from error


def whole(folder: Path, store: Store, start: Path, adapter_base: Path | None = None) -> Path:
    """The folder itself, or where it holds an adapter, its base with the adapter merged in: in the store, once.

    An adapter beside a whole model changes that model, as transformers loads it.
    """
    if not (folder / ADAPTER).is_file():
        check_folder(folder)
        return folder
    check_adapter(folder)
    if holds_model(folder):
        check_model(folder)
        base = folder
    else:
        base = base_of(folder, store, start, adapter_base)
    description = {
        "adapter": {name: sha256(folder / name) for name in (ADAPTER, ADAPTER_WEIGHTS)}
        | {path.name: sha256(path) for path in tokenizer_files(folder)},
        "base": fingerprint(base),
    }
    return store.get_or_create("merged", description, lambda staging_dir: merge_adapter(folder, base, staging_dir))


def holds_model(folder: Path) -> bool:
    """Whether a whole model lies beside an adapter."""
    return (folder / CONFIG).is_file() and any((folder / name).is_file() for name in (WEIGHTS, INDEX))


def check_adapter(folder: Path) -> None:
    """Raises: InvalidCheckpoint for an adapter without safetensors weights that can be read, or beside another one."""
    if not (folder / ADAPTER_WEIGHTS).is_file():
        pickled = (folder / "adapter_model.bin").is_file()
        what = "pickled weights (adapter_model.bin), which can run code and are never opened" if pickled else "none"
        raise InvalidCheckpoint(
            f"the adapter {folder} has {what}, and no {ADAPTER_WEIGHTS}: save it again with peft's save_pretrained."
        )
    read_header(folder / ADAPTER_WEIGHTS)
    others = [path.parent.name for path in folder.glob(f"*/{ADAPTER}") if not OF_A_TRAINING.search(path.parent.name)]
    if others:
        raise InvalidCheckpoint(
            f"{folder} holds two adapters, its own and that in {min(others)}/, of which transformers reads the first "
            "alone: name the folder of the second, or move that out and name the first."
        )


def base_of(adapter: Path, store: Store, start: Path, given: Path | None = None) -> Path:
    """The folder of the model that an adapter changes: the one `given`, or the one that it names, of the revision that
    it was trained on where it names one.

    Raises: InvalidCheckpoint if it is not available, or is itself an adapter.
    """
    settings = read_json(adapter / ADAPTER)
    named, revision = str(settings.get("base_model_name_or_path") or ""), settings.get("revision")
    if given is None and not named:
        raise InvalidCheckpoint(
            f"{adapter / ADAPTER} names no base: set base_model_name_or_path to its folder, or give --adapter-base."
        )
    for place in (given,) if given is not None else (Path(named), adapter / named, start / named):
        if place.is_dir():
            return whole_base(place.resolve(), adapter)
    named = f"{named}@{revision}" if revision else named
    try:
        return whole_base(cached_on_hub(named) or downloaded(named, "the base of an adapter"), adapter)
    except UsageError as error:
        raise InvalidCheckpoint(
            f"{adapter / ADAPTER} names the base model {named!r} in base_model_name_or_path, which is neither a folder "
            "here nor in the hub's cache, and cannot be fetched: set base_model_name_or_path to its folder, or give "
            "--adapter-base=FOLDER."
        ) from error


def whole_base(base: Path, adapter: Path) -> Path:
    """Raises: InvalidCheckpoint for a base that is an adapter; as `check_folder`."""
    if (base / ADAPTER).is_file():
        raise InvalidCheckpoint(
            f"the base of the adapter {adapter} is {base}, which holds an adapter itself: merge that one, save the "
            "whole model, and name its folder with --adapter-base."
        )
    check_folder(base)
    return base
