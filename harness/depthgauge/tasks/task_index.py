"""Finding a task among lm-eval's own and a user's, and refusing what must not or cannot be asked."""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

from depthgauge.core.errors import UsageError
from depthgauge.core.testbed import LmEvalTask
from depthgauge.tasks.task_files import keys, nodes, with_includes

NEAR = 5
CODE_KEYS = ("class", "custom_generate")
TRUST = "'--trust-task-code' lets it"


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """A task, or the tasks of a group, before any data set is opened: configurations by name, and where they stand."""

    manager: Any
    configurations: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    files: tuple[Path, ...] = ()


class MemberMissingError(Exception):
    """A group names a task that an index lacks."""


def find(task: LmEvalTask) -> Found:
    """The task, from the user's folder or lm-eval's own, checked as far as its YAML goes.

    lm-eval takes seconds to read all its 14,000 files, so those folders are read first that define the name.

    Raises: UsageError if it is unknown, runs what a model writes, needs images or sound, or has untrusted code.
    """
    if task.path is not None:
        check_folder(task.path)
    missing = task.name
    for folders, whole in search_paths(task):
        if whole and not any(missing.encode() in text for text in shipped_files().values()):
            break
        manager = open_index(folders, whole)
        if task.name not in manager.task_index:
            continue
        try:
            index = members(manager, task.name, whole=whole or folders == own_folder(task))
        except MemberMissingError as error:
            missing = str(error)
            continue
        check_found(task, index)
        return index
    if missing != task.name:
        raise UsageError(f"{task.name!r} lists {missing!r}, of which there is no task: no YAML file defines it.")
    raise unknown(task)


def search_paths(task: LmEvalTask) -> Iterator[tuple[list[str], bool]]:
    """Folders to read, from few files to all; True where all of lm-eval's own are among them."""
    own = own_folder(task)
    if own:
        yield own, False
    folders = sorted({str(path.parent) for path, text in shipped_files().items() if task.name in names_in(text)})
    if folders:
        yield [*folders, *own], False
    yield own, True


def own_folder(task: LmEvalTask) -> list[str]:
    return [] if task.path is None else [str(task.path.resolve())]


@lru_cache(maxsize=1)
def shipped_files() -> dict[Path, bytes]:
    """lm-eval's own YAML files and templates, unread as YAML: a few megabytes."""
    import lm_eval

    return {path: path.read_bytes() for path in (Path(lm_eval.__file__).parent / "tasks").glob("**/*yaml")}


def names_in(text: bytes) -> list[str]:
    """Tasks and groups that a YAML text defines, by its looks."""
    lines = re.findall(rb"^(?:task|group):[ \t]*[\"']?([^\s\"'#]+)[\"']?[ \t]*(?:#.*)?\r?$", text, re.MULTILINE)
    return [name.decode(errors="replace") for name in lines]


def open_index(folders: Sequence[str], whole: bool) -> Any:
    """lm-eval's index of some folders."""
    from lm_eval.tasks import TaskManager

    if whole and not folders:
        return whole_index()
    return TaskManager(include_path=list(folders), include_defaults=whole)


@lru_cache(maxsize=1)
def whole_index() -> Any:
    """lm-eval's index of its own tasks, which takes seconds and some checkpoints need in turn."""
    from lm_eval.tasks import TaskManager

    return TaskManager()


def members(manager: Any, name: str, *, whole: bool) -> Found:
    """All tasks below a name. Raises: MemberMissingError; also for a tag, where not all files were read."""
    from lm_eval.tasks._index import Kind

    index: Mapping[str, Any] = manager.task_index
    configurations: dict[str, Mapping[str, Any]] = {}
    files: list[Path] = []

    def visit(task_or_group: str) -> None:
        if task_or_group not in index or (index[task_or_group].kind is Kind.TAG and not whole):
            raise MemberMissingError(task_or_group)
        entry = index[task_or_group]
        files.extend([entry.yaml_path] if entry.yaml_path else [])
        if entry.kind is Kind.TAG:
            for member in sorted(entry.tags):
                visit(member)
        elif entry.kind is Kind.GROUP:
            visit_group(task_or_group, entry.cfg)
        else:
            configurations[task_or_group] = entry.cfg

    def visit_group(group: str, configuration: Mapping[str, Any]) -> None:
        listed = configuration.get("task") or []
        for listed_item in listed if isinstance(listed, list) else [listed]:
            item = {"task": listed_item} if isinstance(listed_item, str) else listed_item
            named = str(item.get("group", item.get("task")))
            if named not in index and "group" in item:
                visit_group(f"{group}::{named}", item)
            elif named not in index and "dataset_path" in item:
                configurations[f"{group}::{named}"] = item
            else:
                visit(named)

    visit(name)
    return Found(manager=manager, configurations=configurations, files=tuple(files))


def unknown(task: LmEvalTask) -> UsageError:
    """That there is no such task, and which names are near."""
    own = [path.read_bytes() for path in task.path.glob("**/*.yaml")] if task.path else []
    names = sorted({name for text in (*own, *shipped_files().values()) for name in names_in(text)})
    near = difflib.get_close_matches(task.name, names, n=NEAR)
    where = f" or {task.path}" if task.path else ""
    hint = f"Did you mean {', '.join(map(repr, near))}?" if near else "`lm_eval ls tasks` lists them."
    return UsageError(f"lm-eval{where} has no task {task.name!r}. {hint}")


def check_folder(folder: Path) -> None:
    """Raises: UsageError if there is no such folder, or lm-eval would leave out or overlook a file of it."""
    if not folder.is_dir():
        raise UsageError(f"the folder of tasks {folder} does not exist.")
    seen: dict[str, Path] = {}
    for path in sorted(folder.glob("**/*.yaml")):
        configuration = read_yaml(path)
        name = str(configuration.get("group") or configuration.get("task"))
        if name != "None" and name in seen:
            raise UsageError(f"{path} and {seen[name]} both define {name!r}: lm-eval would skip one.")
        seen[name] = path


def read_yaml(path: Path) -> dict[str, Any]:
    """A file as lm-eval indexes it, its functions not loaded. Raises: UsageError where lm-eval would leave it out."""
    from lm_eval.tasks._yaml_loader import load_yaml

    list(with_includes(path))
    try:
        return dict(load_yaml(path, resolve_func=False))
    except Exception as error:
        said = " ".join(str(error).split())
        raise UsageError(f"{path}: {said[:300]}; lm-eval would leave this task out without a word.") from error


def check_found(task: LmEvalTask, index: Found) -> None:
    """Raises: UsageError, from YAML alone, if this task is not for us or its code not trusted."""
    for name, configuration in index.configurations.items():
        if configuration.get("unsafe_code"):
            raise unsafe(name)
        if configuration.get("doc_to_image") or configuration.get("doc_to_audio"):
            raise UsageError(f"task {name!r} shows images or sound, and only text is asked here.")
    if not task.trust_code:
        for file, node in chain.from_iterable(map(with_includes, foreign(index.files))):
            check_trust(file, node)


def foreign(files: Iterable[Path]) -> list[Path]:
    """Files that are not lm-eval's own."""
    import lm_eval

    home = Path(lm_eval.__file__).resolve().parent
    return [file for file in files if not file.resolve().is_relative_to(home)]


def unsafe(name: str) -> UsageError:
    return UsageError(
        f"task {name!r} runs the code that a model writes, which depthgauge never does: score it apart with lm_eval's "
        "--confirm_run_unsafe_code in a container, and compare its sample files."
    )


def check_trust(file: Path, node: Any) -> None:
    """Raises: UsageError if a file that is not lm-eval's own would run code: functions, classes, foreign metrics."""
    from lm_eval.api.registry import metric_registry

    for mapping in nodes(node) if foreign([file]) else ():
        names = keys(mapping)
        coded = [key for key in CODE_KEYS if key in names]
        metric = names.get("metric")
        if mapping.tag == "!function":
            raise UsageError(f"{file} runs code of its own ({mapping.tag} {mapping.value}): only {TRUST}.")
        if coded:
            raise UsageError(f"{file} runs code of its own ({coded[0]}): only {TRUST}.")
        if metric is not None and metric.value not in metric_registry:
            raise UsageError(f"{file} takes the metric {metric.value!r} from outside lm-eval: only {TRUST}.")
