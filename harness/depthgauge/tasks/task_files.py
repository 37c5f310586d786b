"""The files of lm-eval tasks: what they say before anything of them is loaded, and the digest that names them."""

import hashlib
from collections.abc import Iterator
from glob import glob
from pathlib import Path
from typing import Any

from depthgauge.core.errors import UsageError
from depthgauge.core.plain import digest

LONGEST_PATH = 500  # characters: longer texts of a YAML file are prompts


def folder_digest(folder: Path) -> str:
    """Of every file of the folder, and of every local file that its YAML files name. Raises: UsageError if it is none.

    Content and not dates, so that a copy elsewhere is the same task.
    """
    if not folder.is_dir():
        raise UsageError(f"the folder of tasks {folder} does not exist.")
    inside = {str(file.relative_to(folder)): file for file in files_of(folder)}
    named = [file for path in folder.glob("**/*") if is_yaml(path) for file in named_files(path)]
    outside = [file for file in named if not file.is_relative_to(folder.resolve())]
    parts = [[name, file_digest(file)] for name, file in sorted(inside.items())]
    return digest([*parts, *sorted(map(file_digest, outside))])


def files_of(folder: Path) -> list[Path]:
    hidden = ("__pycache__", ".ipynb_checkpoints", ".git")
    return [path for path in folder.glob("**/*") if path.is_file() and not set(hidden) & set(path.parts)]


def file_digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def is_yaml(path: Path) -> bool:
    """Whether lm-eval may read a file as YAML: templates for `include` have no suffix there."""
    return path.is_file() and path.name.endswith(("yaml", "yml"))


def named_files(path: Path) -> Iterator[Path]:
    """The local files that texts of a YAML file are the paths of, with `*` or as a folder too: data sets mostly."""
    for text in scalars(compose(path)):
        if len(text) < LONGEST_PATH and set("./") & set(text) and not set("\n\0") & set(text):
            for named in (*map(Path, glob(text)), *(path.parent / match for match in glob(text, root_dir=path.parent))):
                if named.is_file():
                    yield named.resolve()
                elif named.is_dir() and "/" in text:
                    yield from (file.resolve() for file in files_of(named))


def compose(path: Path) -> Any:
    """The nodes of a YAML file, of which nothing is constructed. Raises: UsageError if it is not YAML."""
    import yaml

    try:
        return yaml.compose(path.read_bytes(), Loader=yaml.SafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise UsageError(
            f"{path}{where}: not YAML ({getattr(error, 'problem', None) or error}); lm-eval would leave this task out "
            "without a word."
        ) from error


def nodes(node: Any) -> Iterator[Any]:
    """A YAML node and all below it; keys of mappings too."""
    if node is not None:
        yield node
    for child in node.value if node is not None and isinstance(node.value, list) else ():
        for part in child if isinstance(child, tuple) else (child,):
            yield from nodes(part)


def scalars(node: Any) -> list[str]:
    return [leaf.value for leaf in nodes(node) if isinstance(leaf.value, str)]


def keys(node: Any) -> dict[str, Any]:
    """The nodes of a mapping by key; empty for anything else."""
    pairs = node.value if node is not None and isinstance(node.value, list) else []
    return {pair[0].value: pair[1] for pair in pairs if isinstance(pair, tuple) and isinstance(pair[0].value, str)}


def with_includes(path: Path, seen: tuple[Path, ...] = ()) -> Iterator[tuple[Path, Any]]:
    """A YAML file and all that it includes, with their nodes. Raises: UsageError if one is missing or in a circle."""
    node = compose(path)
    yield path, node
    for text in scalars(keys(node).get("include")):
        included = (path.parent / text).resolve()
        if included in (*seen, path):
            raise UsageError(f"{path} includes itself by way of {included}.", code="circle")
        if not included.is_file():
            raise UsageError(f"{path} includes {text}, which does not exist.")
        yield from with_includes(included, (*seen, path))
