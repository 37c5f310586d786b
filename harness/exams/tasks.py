"""A task of lm-eval as it is, as an exam: found, loaded and asked, guarded against what lm-eval does silently.

Beside the guards of our own exams: the documents are made once and both asked and scored, in an order that depends on
the seed alone; a file that lm-eval would skip, a number of examples that it would ignore and a metric that is no
average over items are sentences; code of a user's folder runs only where it is trusted.
"""

import difflib
import hashlib
import json
import logging
import math
import random
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from copy import deepcopy
from dataclasses import dataclass, field
from functools import lru_cache
from glob import glob
from io import StringIO
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthgauge.errors import HarnessError, InvalidCheckpoint, InvalidComparison, NotTestable, UsageError
from depthgauge.exams import samples
from depthgauge.exams.lm_eval import SEED, undisturbed
from depthgauge.types import Task, digest

BATCH = 16  # of an exam of our own it is 64; prompts of lm-eval's tasks are 100 times as long
PYTHON_SEED = 0  # with SEED for NumPy, torch and the choice of examples: what lm-eval's command line takes
MARGIN = 8  # tokens that may stand in no byte of a prompt: those at its start and end
NEAR = 5
LONGEST_PATH = 500  # characters: longer texts of a YAML file are prompts
TASK_FAILURES = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError)
CODE_KEYS = ("class", "custom_generate")
TRUST = "'--trust-exam-code' lets it"

Taken = dict[str, NDArray[Any]]
Documents = Mapping[str, Sequence[int]]


def parameters(task: Task) -> dict[str, Any]:
    """All that determines an exam besides the checkpoint and lm-eval's version: part of the key of its measurement.

    A folder of tasks is the digest of all its files, and of the local files that its tasks read.
    """
    return {
        "task": task.name,
        "fewshot": task.fewshot,
        "limit": task.limit,
        "chat": task.chat,
        "metric": task.metric,
        "folder": None if task.path is None else folder_digest(task.path),
        "trust_code": task.trust_code,
        "batch": BATCH,
        "seed": SEED,
    }


def take_task(task: Task, model: Any, tokenizer: Any, *, folder: Path) -> Taken:
    """Answer every item. Arrays: `score` (1, items), `sign`, `ids`, `answer`, `target` (items,), and of the whole exam
    `metric`, `ties`, `truncated`, `thinking`, `clipped`, `settings` (JSON) and `samples` (see `samples.pack`).

    `truncated` is the share of generated answers that ran to the last token allowed without a stop, `thinking` of those
    with a <think>, `clipped` of requests that did not fit into the context, which lm-eval cuts at the start.

    Raises: UsageError if the task cannot be had as it is asked for; NotTestable if the context is too short to answer;
    InvalidCheckpoint if a log-likelihood is not finite; InvalidComparison if lm-eval scored something else than it
    asked, ties are more than 5 %, or the metric is no average over items.
    """
    with quiet(), undisturbed(model), caching_disabled():
        found = find(task)
        with sandboxed(task):
            loaded = load(task, found, {"pretrained": str(folder)})
            lm = examiner(model, tokenizer)
            for one in loaded.values():
                check_settings(task, one, lm)
            documents = draw(task, {name: freeze(one) for name, one in loaded.items()})
            parts = [sit(task, name, loaded[name], lm, documents[name]) for name in documents if len(documents[name])]
    return join(task, parts)


def fetch(task: Task) -> None:
    """Fill the cache of data sets with what the task reads, online. Raises: UsageError if that cannot be had."""
    import datasets
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE or datasets.config.HF_HUB_OFFLINE:
        raise UsageError(f"task {task.name!r} cannot be fetched offline: unset HF_HUB_OFFLINE and HF_DATASETS_OFFLINE.")
    with quiet():
        found = find(task)
        with sandboxed(task):
            load(task, found, {})


# --- What determines an exam ------------------------------------------------------------------------------------------


def folder_digest(folder: Path) -> str:
    """Of every file of the folder, and of every local file that its YAML files name. Raises: UsageError if it is none.

    Content and not dates, so that a copy elsewhere is the same exam.
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
    return [one.value for one in nodes(node) if isinstance(one.value, str)]


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
            raise UsageError(f"{path} includes itself by way of {included}.")
        if not included.is_file():
            raise UsageError(f"{path} includes {text}, which does not exist.")
        yield from with_includes(included, (*seen, path))


# --- Finding a task ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """A task, or the tasks of a group, before any data set is opened: configurations by name, and where they stand."""

    manager: Any
    configurations: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    files: tuple[Path, ...] = ()


class MemberMissingError(Exception):
    """A group names a task that an index lacks."""


def find(task: Task) -> Found:
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
            found = members(manager, task.name, whole=whole or folders == own_folder(task))
        except MemberMissingError as error:
            missing = str(error)
            continue
        check_found(task, found)
        return found
    if missing != task.name:
        raise UsageError(f"{task.name!r} lists {missing!r}, of which there is no task: no YAML file defines it.")
    raise unknown(task)


def search_paths(task: Task) -> Iterator[tuple[list[str], bool]]:
    """Folders to read, from few files to all; True where all of lm-eval's own are among them."""
    own = own_folder(task)
    if own:
        yield own, False
    folders = sorted({str(path.parent) for path, text in shipped_files().items() if task.name in names_in(text)})
    if folders:
        yield [*folders, *own], False
    yield own, True


def own_folder(task: Task) -> list[str]:
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

    def visit(one: str) -> None:
        if one not in index or (index[one].kind is Kind.TAG and not whole):
            raise MemberMissingError(one)
        entry = index[one]
        files.extend([entry.yaml_path] if entry.yaml_path else [])
        if entry.kind is Kind.TAG:
            for member in sorted(entry.tags):
                visit(member)
        elif entry.kind is Kind.GROUP:
            visit_group(one, entry.cfg)
        else:
            configurations[one] = entry.cfg

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


def unknown(task: Task) -> UsageError:
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


def check_found(task: Task, found: Found) -> None:
    """Raises: UsageError, from YAML alone, if this task is not for us or its code not trusted."""
    for name, configuration in found.configurations.items():
        if configuration.get("unsafe_code"):
            raise unsafe(name)
        if configuration.get("doc_to_image") or configuration.get("doc_to_audio"):
            raise UsageError(f"task {name!r} shows images or sound, and only text is asked here.")
    if not task.trust_code:
        for file, node in chain.from_iterable(map(with_includes, foreign(found.files))):
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

    for one in nodes(node) if foreign([file]) else ():
        found = keys(one)
        coded = [key for key in CODE_KEYS if key in found]
        metric = found.get("metric")
        if one.tag == "!function":
            raise UsageError(f"{file} runs code of its own ({one.tag} {one.value}): only {TRUST}.")
        if coded:
            raise UsageError(f"{file} runs code of its own ({coded[0]}): only {TRUST}.")
        if metric is not None and metric.value not in metric_registry:
            raise UsageError(f"{file} takes the metric {metric.value!r} from outside lm-eval: only {TRUST}.")


# --- Loading it -------------------------------------------------------------------------------------------------------


def load(task: Task, found: Found, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """lm-eval's task objects by name, with their data sets. Tasks that make their own read `metadata` for a tokenizer.

    Raises: UsageError if there is another set of them than the index promised, or one cannot be made.
    """
    from lm_eval.tasks._factory import TaskFactory

    forget_modules()
    seed_everything()
    found.manager._factory = TaskFactory(meta=dict(metadata))
    try:
        loaded: dict[str, Any] = found.manager.load([task.name])["tasks"]
    except HarnessError:
        raise
    except Exception as error:
        raise not_loaded(task, error) from error
    if set(loaded) != set(found.configurations):
        odd = ", ".join(sorted(set(loaded) ^ set(found.configurations)))
        raise InvalidComparison(f"lm-eval loaded other tasks than those of {task.name!r}: {odd}.")
    return loaded


def not_loaded(task: Task, error: BaseException) -> UsageError:
    """Why a task could not be made; where its data is missing, how to get it."""
    said = " ".join(str(error).split()) or type(error).__name__
    if "gated" in said.lower():
        return UsageError(
            f"task {task.name!r} reads a gated data set: accept its terms on the hub, `hf auth login`, and "
            f"`depthgauge fetch {task.name}` ({said[:200]})."
        )
    if any(is_out_of_reach(one) for one in causes(error)):
        return UsageError(
            f"the data of task {task.name!r} is not on this machine: `depthgauge fetch {task.name}` gets it, once "
            f"({said[:200]})."
        )
    return UsageError(f"lm-eval cannot load task {task.name!r}: {type(error).__name__}: {said[:300]}")


def causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def is_out_of_reach(error: BaseException) -> bool:
    """Whether an error of datasets or the hub means that something is neither cached nor to be had."""
    from datasets.exceptions import DatasetNotFoundError

    offline = type(error).__name__ in ("OfflineModeIsEnabled", "LocalEntryNotFoundError", "ConnectError")
    unseen = "Couldn't find cache for" in str(error) or "Couldn't reach" in str(error)
    return offline or unseen or isinstance(error, ConnectionError | DatasetNotFoundError)


def forget_modules() -> None:
    """Have lm-eval import its tasks' own modules anew: some keep a random generator that goes on from task to task."""
    for name, module in list(sys.modules.items()):
        if hasattr(module, "__mtime__"):
            del sys.modules[name]


def seed_everything() -> None:
    import torch

    random.seed(PYTHON_SEED)
    np.random.seed(SEED)
    torch.manual_seed(SEED)


@contextmanager
def caching_disabled() -> Iterator[None]:
    """No document comes from what an earlier run, with another seed, left in the cache of processed data sets."""
    import datasets

    was = datasets.is_caching_enabled()
    datasets.disable_caching()
    try:
        yield
    finally:
        if was:
            datasets.enable_caching()


@contextmanager
def quiet() -> Iterator[None]:
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    with redirect_stderr(StringIO()), redirect_stdout(StringIO()):
        yield


@contextmanager
def sandboxed(task: Task) -> Iterator[None]:
    """Templates of an untrusted folder reach no Python internals: lm-eval's own environment would let them."""
    import lm_eval.utils
    from jinja2 import BaseLoader, StrictUndefined
    from jinja2.sandbox import SandboxedEnvironment

    was = lm_eval.utils.env
    if task.path is not None and not task.trust_code:
        inside = SandboxedEnvironment(loader=BaseLoader(), undefined=StrictUndefined, keep_trailing_newline=True)
        inside.filters.update(was.filters)
        lm_eval.utils.env = inside
    try:
        yield
    finally:
        lm_eval.utils.env = was


def freeze(one: Any) -> Any:
    """The documents of a task, made once more from the seed; from now on it has no others."""
    seed_everything()
    documents = one.eval_docs
    one.test_docs = one.validation_docs = lambda: documents
    return documents


# --- Asking it --------------------------------------------------------------------------------------------------------


def examiner(model: Any, tokenizer: Any) -> Any:
    """lm-eval's hold on a model; the tokenizer is a copy, as lm-eval gives it a padding token."""
    from lm_eval.models.huggingface import HFLM

    return HFLM(pretrained=model, tokenizer=deepcopy(tokenizer), batch_size=BATCH)


def check_settings(task: Task, one: Any, lm: Any) -> None:
    """Set the number of examples. Raises: UsageError or NotTestable if lm-eval would ignore what is asked, or fail."""
    name, pinned = one.task_name, one.get_config("num_fewshot")
    if getattr(one, "UNSAFE_CODE", False):
        raise unsafe(name)
    if task.fewshot and pinned == 0:
        raise UsageError(f"task {name!r} is defined without examples, and lm-eval would ignore fewshot={task.fewshot}.")
    one.set_config(key="num_fewshot", value=task.fewshot if task.fewshot is not None else pinned or 0)
    one.set_fewshot_seed(seed=SEED)
    if task.chat and not lm.tokenizer.chat_template:
        raise UsageError(f"task {name!r} is asked as a chat, and this checkpoint's tokenizer has no chat template.")
    room = lm.max_length - (answer_tokens(one) if one.OUTPUT_TYPE == "generate_until" else 0)
    if room <= 0:
        raise NotTestable(
            f"task {name!r} lets a model answer in {answer_tokens(one)} tokens, and this one's context is "
            f"{lm.max_length}."
        )
    if task.metric is not None:
        check_metric(task, one)


def answer_tokens(one: Any) -> int:
    from lm_eval.models.utils import normalize_gen_kwargs

    return int(normalize_gen_kwargs(one.get_config("generation_kwargs") or {})["max_gen_toks"])


def check_metric(task: Task, one: Any) -> None:
    """Raises: UsageError if the task has no such metric or filter; metrics that expand to several are not known yet."""
    metric, _, wanted = (task.metric or "").partition(",")
    known, filters = list(one.aggregation()), filter_names(one)
    expanding = [entry for entry in one.get_config("metric_list") or () if entry.get("hf_evaluate")]
    if metric not in known and not expanding:
        raise UsageError(f"task {one.task_name!r} has no metric {metric!r}: it has {', '.join(known)}.")
    if wanted and wanted not in filters:
        raise UsageError(f"task {one.task_name!r} has no filter {wanted!r}: it has {', '.join(filters)}.")


def filter_names(one: Any) -> list[str]:
    return [ensemble.name for ensemble in one._filters]


def draw(task: Task, documents: Mapping[str, Any]) -> Documents:
    """Which documents of each task are asked, in order: all, or `limit` of all together, by the seed."""
    places = [(name, place) for name, docs in documents.items() for place in range(len(docs))]
    chosen: Sequence[int] = range(len(places))
    if task.limit is not None and task.limit < len(places):
        chosen = sorted(np.random.default_rng(SEED).choice(len(places), task.limit, replace=False).tolist())
    drawn: dict[str, list[int]] = {name: [] for name in documents}
    for place in chosen:
        drawn[places[place][0]].append(places[place][1])
    return drawn


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One task, answered."""

    name: str
    metric: str
    sign: float
    answers: Sequence[samples.Answer]
    rows: Sequence[samples.Row]
    generated: Sequence[bool]
    clipped: Sequence[bool]
    settings: Mapping[str, Any]


def sit(task: Task, name: str, one: Any, lm: Any, drawn: Sequence[int]) -> Part:
    """One task's drawn documents through lm-eval, each guard seen to.

    lm-eval's own `samples=` is not used: it asks document k of the sorted ones and calls it the k-th of those given.
    """
    whole = one.eval_docs
    documents = whole if len(drawn) == len(whole) else pick(whole, drawn)
    one.test_docs = one.validation_docs = lambda: documents
    chat = bool(lm.tokenizer.chat_template) and one.OUTPUT_TYPE == "generate_until" if task.chat is None else task.chat
    out, generated = ask(name, one, lm, chat)
    metric, _, wanted = (task.metric or "").partition(",")
    wanted = wanted or filter_names(one)[0]
    logged = [sample for sample in out["samples"][name] if sample["filter"] == wanted]
    check_same_exam(name, one, documents, logged)
    rows = [json.loads(samples.on_disk({**row, "doc_id": drawn[row["doc_id"]]})) for row in logged]
    metric = metric or samples.first_metric(rows[0], one.aggregation(), f"task {name!r}")
    answers = [samples.read_row(row, metric, prefix="" if name == task.name else f"{name}/") for row in rows]
    samples.check_ties(answers, repr(name))
    check_average(name, metric, rows, answers, out["results"][name].get(f"{metric},{wanted}"))
    return Part(
        name=name,
        metric=metric,
        sign=sign_of(name, metric, one),
        answers=answers,
        rows=rows,
        generated=generated,
        clipped=[does_not_fit(request, lm, one) for request in one.instances],
        settings=settings(task, one, chat, wanted, len(rows)),
    )


def pick(documents: Any, places: Sequence[int]) -> Any:
    """Some of the documents, in order."""
    return documents.select(places) if hasattr(documents, "select") else [documents[place] for place in places]


def ask(name: str, one: Any, lm: Any, chat: bool) -> tuple[Any, list[bool]]:
    """What lm-eval gives, and whether each generated answer was cut short. Raises: UsageError if the task fails."""
    from jinja2 import TemplateError
    from lm_eval.evaluator import evaluate

    seed_everything()
    with listening(lm) as cut_short:
        try:
            out = evaluate(
                lm,
                {"tasks": {name: one}, "groups": {}, "group_map": {}},
                log_samples=True,
                bootstrap_iters=0,
                cache_requests=False,
                apply_chat_template=chat,
                fewshot_as_multiturn=chat,
            )
        except (*TASK_FAILURES, TemplateError) as error:
            said = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            raise UsageError(f"lm-eval cannot run task {name!r} on this checkpoint: {said}") from error
    return out, cut_short


@contextmanager
def listening(lm: Any) -> Iterator[list[bool]]:
    """Hear every generated answer, and whether it was cut short. Raises: InvalidCheckpoint if logits are not finite."""
    generate = lm._model_generate
    cut_short: list[bool] = []
    finite: list[Any] = []
    hook = lm.model.register_forward_hook(lambda _m, _i, output: finite.append(output.logits[:, -1].isfinite().all()))

    def recorded(*, context: Any, max_length: int, stop: Sequence[str], **options: Any) -> Any:
        finite.clear()
        out = generate(context=context, max_length=max_length, stop=stop, **options)
        if not all(bool(one) for one in finite):
            raise InvalidCheckpoint("the checkpoint's logits are not finite, so what it generates means nothing.")
        cut_short.extend(is_cut_short(row, lm, out.shape[1] < max_length, stop) for row in out[:, context.shape[1] :])
        return out

    lm._model_generate = recorded
    try:
        yield cut_short
    finally:
        del lm._model_generate
        hook.remove()


def is_cut_short(row: Any, lm: Any, ended: bool, stop: Sequence[str]) -> bool:
    """Whether a generated row (tokens) ran out of tokens: no end token, and no text to stop at."""
    ends = getattr(lm.model.generation_config, "eos_token_id", None)
    ends = {lm.eot_token_id, *(ends if isinstance(ends, list) else [ends])}
    text = lm.tok_decode(row.tolist(), skip_special_tokens=False)
    return not (ended or ends & set(row.tolist()) or any(one and one in text for one in stop))


def check_same_exam(name: str, one: Any, documents: Any, logged: Sequence[Any]) -> None:
    """Raises: InvalidComparison unless every document was asked once, in order, and scored as it was asked."""
    if [sample["doc_id"] for sample in logged] != list(range(len(documents))):
        raise InvalidComparison(f"lm-eval answered {len(logged)} documents of {name!r} in place of {len(documents)}.")
    for sample in logged:
        first = sample["arguments"][0]
        if sample["doc_hash"] != doc_hash(documents[sample["doc_id"]]):
            raise InvalidComparison(f"{name!r}: lm-eval asked another document {sample['doc_id']} than the one scored.")
        for part, place in expected_parts(one, sample):
            if part.strip() not in sample["arguments"][place[0]][place[1]]:
                raise InvalidComparison(f"{name!r}: lm-eval asked {first[0][-200:]!r} and scored {part[-200:]!r}.")


def expected_parts(one: Any, sample: Any) -> Iterator[tuple[str, tuple[int, int]]]:
    """Texts made anew of the scored document, and the request and argument that each must stand in."""
    document = sample["doc"]
    if one.OUTPUT_TYPE == "loglikelihood_rolling":
        yield str(one.doc_to_target(document)), (0, 0)
        return
    asked = one.doc_to_text(document)
    choices = one.doc_to_choice(document) if one.OUTPUT_TYPE == "multiple_choice" else []
    if isinstance(asked, str):
        yield asked, (0, 0)
    for number, choice in enumerate(choices):
        yield choice, (number, 1 if isinstance(asked, str) else 0)


def doc_hash(document: Any) -> str:
    """As lm-eval hashes the document that it asked."""
    from lm_eval.utils import handle_non_serializable, hash_string

    return str(hash_string(json.dumps(document, indent=2, default=handle_non_serializable, ensure_ascii=False)))


def check_average(
    name: str, metric: str, rows: Sequence[samples.Row], answers: Sequence[samples.Answer], reported: Any
) -> None:
    """Raises: InvalidComparison if lm-eval's number for the whole task is not the mean (or 100 times it) of the items.

    A `perplexity` is the exponential of the mean; texts are weighted by length there and not here.
    """
    if not samples.is_number(rows[0][metric]):
        return
    mean = float(np.mean([answer.score for answer in answers]))
    expected = [math.exp(mean)] if metric == samples.LIKELIHOOD else [mean, 100 * mean]
    value = float(reported) if isinstance(reported, int | float | np.number) else math.nan
    if not any(math.isclose(value, one, rel_tol=1e-6, abs_tol=1e-9) for one in expected):
        raise InvalidComparison(
            f"{metric} of task {name!r} is {reported} by lm-eval and {mean:.6g} on average over items, so it is no "
            "average over items: choose another metric."
        )


def sign_of(name: str, metric: str, one: Any) -> float:
    """1 where higher is better, else -1. Raises: UsageError if the task does not say."""
    if metric in (*samples.PER_TEXT, samples.LIKELIHOOD):
        return -1.0
    better = one.higher_is_better().get(metric)
    if better is None:
        raise UsageError(f"task {name!r} does not say whether a higher {metric} is better (higher_is_better).")
    return 1.0 if better else -1.0


def does_not_fit(request: Any, lm: Any, one: Any) -> bool:
    """Whether lm-eval cut the start of a request; a text to be read whole is read in windows and never cut."""
    if request.request_type == "loglikelihood_rolling":
        return False
    generates = request.request_type == "generate_until"
    text = request.args[0] if generates else request.args[0] + request.args[1]
    room = lm.max_length - answer_tokens(one) if generates else lm.max_length + 1
    return len(text.encode()) + MARGIN > room and bool(len(lm.tok_encode(text)) > room)


def settings(task: Task, one: Any, chat: bool, wanted: str, items: int) -> dict[str, Any]:
    """How the task was asked, as a report states it."""
    return {
        "num_fewshot": one.get_config("num_fewshot"),
        "chat": chat,
        "generation_kwargs": one.get_config("generation_kwargs"),
        "filter": wanted,
        "output_type": one.OUTPUT_TYPE,
        "version": one.VERSION,
        "limit": task.limit,
        "items": items,
    }


def join(task: Task, parts: Sequence[Part]) -> Taken:
    """The arrays of one task, or of a group's tasks one after the other. Raises: UsageError if metrics differ."""
    by_metric = {part.metric: part for part in parts}
    if len({(part.metric, part.sign) for part in parts}) > 1:
        kinds = ", ".join(f"{part.metric} ({part.name})" for part in by_metric.values())
        raise UsageError(f"the tasks of {task.name!r} have different metrics, {kinds}: choose one, or single tasks.")
    answers = list(chain.from_iterable(part.answers for part in parts))
    rows = list(chain.from_iterable(part.rows for part in parts))
    taken = samples.arrays(answers, rows, metric=parts[0].metric, sign=parts[0].sign)
    stated = merge([part.settings for part in parts], [part.name for part in parts]) | {"items": len(answers)}
    return taken | {
        "truncated": share(part.generated for part in parts),
        "clipped": share(part.clipped for part in parts),
        "settings": np.array(json.dumps(stated, default=str, sort_keys=True)),
    }


def share(parts: Iterable[Sequence[bool]]) -> NDArray[np.float64]:
    every = [one for part in parts for one in part]
    return np.array(float(np.mean(every)) if every else 0.0)


def merge(stated: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, Any]:
    """Settings that all tasks share, as they are; others by task."""
    merged = {}
    for key in stated[0]:
        values = [one[key] for one in stated]
        shared = all(value == values[0] for value in values)
        merged[key] = values[0] if shared else dict(zip(names, values, strict=True))
    return merged
