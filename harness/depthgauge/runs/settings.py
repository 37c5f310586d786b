"""What a project's pyproject.toml says in [tool.depthgauge]: options of every run that is started in its folder.

    [tool.depthgauge]
    expect = "trained"
    tasks = ["common", "gsm8k"]

    [tool.depthgauge.margins]
    weights-within-margin = { value = 0.2, unit = "share", reason = "merges move a fifth" }

Only that of the working directory is read, and none of a checkpoint's folder. What the command line says counts more.
"""

import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from depthgauge.core.claim import Margin
from depthgauge.core.errors import UsageError
from depthgauge.core.outside import checkpoint_around

FILE, TABLE, MARGINS = "pyproject.toml", "depthgauge", "margins"
NAMES_A_RUN = ("method", "checkpoint", "baseline", "dry_run")  # what is said each time


def project_settings(folder: Path, kinds: Mapping[str, type]) -> dict[str, Any]:
    """The settings by the fields of `Options`, each of its kind (`bool`, `int` or `str`), with the `margins`.

    Raises: UsageError, naming the file and the key, for a file that is no TOML, a key that is no option, and a value
    of another kind.
    """
    path = folder / FILE
    if not path.is_file() or checkpoint_around(folder) is not None:
        return {}
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {}).get(TABLE, {})
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read as TOML ({error}): fix it.") from error
    if not isinstance(table, dict):
        raise UsageError(f"{path}: [tool.{TABLE}] must be a table of options, got {table!r}.")
    return {key.replace("-", "_"): value_of(path, key, value, kinds) for key, value in table.items()}


def value_of(path: Path, key: str, value: Any, kinds: Mapping[str, type]) -> Any:
    name = key.replace("-", "_")
    if name == MARGINS:
        return margins_of(path, value)
    known = [option for option in kinds if option not in NAMES_A_RUN]
    if name not in known:
        near = get_close_matches(name, [*known, MARGINS], n=1)
        hint = f" Did you mean {near[0].replace('_', '-')!r}?" if near else ""
        raise UsageError(
            f"{path}: [tool.{TABLE}] has the key {key!r}, which is no option of every run: take it out.{hint}"
        )
    if kinds[name] is str and isinstance(value, list) and all(isinstance(part, str) for part in value):
        return ",".join(value)
    if type(value) is not kinds[name]:
        wanted = {bool: "true or false", int: "a whole number", str: "text"}[kinds[name]]
        raise UsageError(f"{path}: {key} in [tool.{TABLE}] must be {wanted}, got {value!r}.")
    return value


def margins_of(path: Path, value: Any) -> dict[str, Margin]:
    try:
        return {claim: Margin(**margin) for claim, margin in dict(value).items()}
    except (TypeError, ValueError) as error:
        raise UsageError(
            f'{path}: a margin is written CLAIM = {{ value = 0.1, unit = "share", reason = "why" }} ({error}).'
        ) from error
