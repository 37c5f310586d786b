"""From a task that was found to lm-eval's objects, with their documents made once."""

import logging
import random
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from glob import glob
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from depthgauge.core.errors import HarnessError, InvalidComparison, UsageError
from depthgauge.core.testbed import LmEvalTask
from depthgauge.tasks.blocks import SEED
from depthgauge.tasks.task_index import Found

PYTHON_SEED = 0  # with SEED for NumPy, torch and the choice of examples: what lm-eval's command line takes


def load(task: LmEvalTask, index: Found, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """lm-eval's task objects by name, with their data sets. Tasks that make their own read `metadata` for a tokenizer.
    Files of data that a YAML file names lie beside it, or where lm-eval looks for them, in the working directory.

    Raises: UsageError if there is another set of them than the index promised, or one cannot be made.
    """
    forget_modules()
    seed_everything()
    index.manager._factory = factory(metadata)
    try:
        loaded: dict[str, Any] = index.manager.load([task.name])["tasks"]
    except HarnessError:
        raise
    except Exception as error:
        raise not_loaded(task, error) from error
    if set(loaded) != set(index.configurations):
        odd = ", ".join(sorted(set(loaded) ^ set(index.configurations)))
        raise InvalidComparison(f"lm-eval loaded other tasks than those of {task.name!r}: {odd}.")
    return loaded


def factory(metadata: Mapping[str, Any]) -> Any:
    """lm-eval's, which finds a task's data files beside its YAML file first: answers hang on no working directory."""
    from lm_eval.tasks._factory import TaskFactory

    class Factory(TaskFactory):  # type: ignore[misc]
        def _load_full_config(self, entry: Any, overrides: Any = None) -> dict[str, Any]:
            settings: dict[str, Any] = super()._load_full_config(entry, overrides)
            data = settings.get("dataset_kwargs") or {}
            if entry.yaml_path and "data_files" in data:
                files = beside(data["data_files"], Path(entry.yaml_path).parent)
                settings["dataset_kwargs"] = {**data, "data_files": files}
            return settings

    return Factory(meta=dict(metadata))


def beside(files: Any, folder: Path) -> Any:
    """Names of files, as datasets takes them, those that lie in the folder with it in front."""
    if isinstance(files, str):
        return str(folder / files) if glob(files, root_dir=folder, recursive=True) else files
    if isinstance(files, Mapping):
        return {split: beside(names, folder) for split, names in files.items()}
    return [beside(name, folder) for name in files]


def not_loaded(task: LmEvalTask, error: BaseException) -> UsageError:
    """Why a task could not be made; where its data is missing, how to get it."""
    said = " ".join(str(error).split()) or type(error).__name__
    if "gated" in said.lower():
        return UsageError(
            f"task {task.name!r} reads a gated data set: accept its terms on the hub, `hf auth login`, and "
            f"`depthgauge fetch {task.name}` ({said[:200]})."
        )
    if any(is_out_of_reach(cause) for cause in causes(error)):
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
    """Whether an error of datasets or the hub means that something is neither cached nor available."""
    from datasets.exceptions import DatasetNotFoundError

    offline = type(error).__name__ in ("OfflineModeIsEnabled", "LocalEntryNotFoundError", "ConnectError")
    unseen = "Couldn't find cache for" in str(error) or "Couldn't reach" in str(error)
    return offline or unseen or isinstance(error, ConnectionError | DatasetNotFoundError)


def forget_modules() -> None:
    """Have lm-eval import its tasks' own modules anew: some keep a random generator that goes on from task to task."""
    for name, module in list(sys.modules.items()):
        if hasattr(module, "__mtime__"):
            del sys.modules[name]


def seed_everything(seed: int = SEED) -> None:
    import torch

    random.seed(PYTHON_SEED)
    np.random.seed(seed)
    torch.manual_seed(seed)


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
def sandboxed(task: LmEvalTask) -> Iterator[None]:
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


def freeze(value: Any) -> Any:
    """The documents of a task, made once more from the seed; from now on it has no others."""
    seed_everything()
    documents = value.eval_docs
    value.test_docs = value.validation_docs = lambda: documents
    return documents
