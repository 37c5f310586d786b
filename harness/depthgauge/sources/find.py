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
from depthgauge.core.method import Method
from depthgauge.core.registry import METHODS
from depthgauge.core.testbed import Testbed
from depthgauge.models.files import ADAPTER, CONFIG, read_json, weight_files
from depthgauge.models.merge import merge_adapter
from depthgauge.sources.folder import check_folder
from depthgauge.store.folders import Store, sha256

HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?(@[\w./-]+)?")  # a branch, tag or commit after the @
HUB_FILES = ("*.json", "*.safetensors", "*.jinja", "*.model", "*.txt")


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A finished `folder`, or a `method` that makes one; `name` is what reports call it."""

    name: str
    folder: Path | None = None
    method: Method | None = None


def find(name: str, option: str, *, store: Store, start: Path) -> Source:
    """What `name` means, tried as a folder (relative to `start`), as a method, and as a name on the hub.

    Raises: UsageError, naming the option, if it means nothing, or could mean two of them.
    """
    if not name:
        raise UsageError(
            f"{option}= names no checkpoint: give a folder, a method or a name on the hub, or leave it out."
        )
    path = Path(start, os.path.expanduser(name))
    if name.startswith((".", "/", "~")):
        return Source(name=path.resolve().name, folder=whole(path.resolve(), store, start))
    cached = cached_on_hub(name)
    meanings = [word for word, found in meanings_of(name, path, cached) if found]
    if len(meanings) > 1:
        raise UsageError(
            f"{option}={name} could be {' or '.join(meanings)}: write ./{name} for the folder, or rename one of them."
        )
    if path.is_dir():
        return Source(name=path.resolve().name, folder=whole(path.resolve(), store, start))
    if name in METHODS:
        return Source(name=name, method=METHODS[name])
    return Source(name=name.replace("/", "--"), folder=whole(cached or downloaded(name, option), store, start))


def folder_named(name: str, start: Path) -> Path | None:
    """The folder that a name means, as it is named: of an adapter its own; None for a method or a name on the hub."""
    path = Path(start, os.path.expanduser(name))
    return path.resolve() if name and path.is_dir() else None


def with_base(testbed: Testbed, *, store: Store, start: Path) -> Testbed:
    """The testbed with its base as a folder. Raises: as `find`, with how the base is brought."""
    if testbed.base is None:
        return testbed
    try:
        source = find(str(testbed.base), f"the base of testbed {testbed.name}", store=store, start=start)
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


def downloaded(name: str, option: str) -> Path:
    """The snapshot of a hub name, fetched now. Raises: UsageError if there is none, or no network."""
    if not HUB_NAME.fullmatch(name) or "/" not in name:
        near = difflib.get_close_matches(name, METHODS, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise UsageError(f"{option}={name} is no folder and no method.{hint} Methods: {', '.join(METHODS)}.")
    from huggingface_hub import snapshot_download

    model, _, revision = name.partition("@")
    try:
        return Path(snapshot_download(model, revision=revision or None, allow_patterns=list(HUB_FILES)))
    except Exception as error:  # whatever the hub's client raises, the name is not available
        raise UsageError(
            f"{option}={name} is no folder, no method and not in the hub's cache, and cannot be fetched "
            f"({type(error).__name__}): check the name and the network, or fetch it where there is one with "
            f"'hf download {name.replace('@', ' --revision ')}'."
        ) from error


def whole(folder: Path, store: Store, start: Path) -> Path:
    """The folder itself, or where it holds an adapter, its base with the adapter merged in: in the store, once."""
    if not (folder / ADAPTER).is_file():
        check_folder(folder)
        return folder
    base = base_of(folder, store, start)
    files = sorted(path for path in folder.iterdir() if path.suffix in (".json", ".safetensors"))
    description = {"adapter": {path.name: sha256(path) for path in files}, "base": str(base.resolve())}
    return store.get_or_create("merged", description, lambda staging_dir: merge_adapter(folder, base, staging_dir))


def base_of(adapter: Path, store: Store, start: Path) -> Path:
    """The folder of the model that an adapter changes, of the revision that it was trained on where it names one.

    Raises: InvalidCheckpoint if it is not available.
    """
    settings = read_json(adapter / ADAPTER)
    named, revision = str(settings.get("base_model_name_or_path") or ""), settings.get("revision")
    if not named:
        raise InvalidCheckpoint(f"{adapter / ADAPTER} names no base: set base_model_name_or_path to its folder.")
    for place in (Path(named), adapter / named, start / named):
        if place.is_dir():
            return whole(place.resolve(), store, start)
    named = f"{named}@{revision}" if revision else named
    try:
        return whole(cached_on_hub(named) or downloaded(named, "the base of an adapter"), store, start)
    except UsageError as error:
        raise InvalidCheckpoint(f"the base {named!r} of the adapter {adapter} cannot be found: {error}") from error
