"""From a recipe to a finished checkpoint folder."""

import difflib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any

from depthgauge.core.errors import HarnessError, TrainingFailed, UsageError, raised_by_user_code
from depthgauge.core.installed import versions
from depthgauge.core.method import Launch, Method, Recipe, TrainingJob
from depthgauge.core.plain import digest, to_plain
from depthgauge.core.registry import METHODS
from depthgauge.core.testbed import CORRECT, Item, MemoryOptions, Testbed, Training
from depthgauge.measure.context import RunContext
from depthgauge.models.files import weight_bytes
from depthgauge.models.load import threads_for
from depthgauge.sources.folder import check_folder, fingerprint
from depthgauge.store.folders import error_number
from depthgauge.store.times import timed

# The first is that of the code that every training shares. It is no release number: that would train everything again.
HOUSE = {"depthgauge": "0.1.0"}
ASKED: dict[int, tuple[Callable[[], Sequence[Item]], str]] = {}  # which may be of a class that has no hash


def recipe_of(method: Method, testbed: Testbed, seed: int, device: str, launch: Launch | None = None) -> Recipe:
    """Exactly what determines the checkpoint of a seed. Raises: as `check_settings`."""
    training = testbed.training
    if training:
        check_settings(training.method_settings, method, testbed.name)
    launched = launch.describe() if launch is not None and method.supports_distributed else {}
    return Recipe(
        method=method.name,
        method_version=method.version,
        testbed=testbed.name,
        seed=seed,
        settings=to_plain(method.settings),
        scale=scale_of(training) | {"threads": testbed.threads} | launched if training else {},
        base_fingerprint=fingerprint(testbed.base) if isinstance(testbed.base, Path) else "",
        data_digest=data_digest(training.prompts) if training else "",
        device=device,
        versions=HOUSE | versions(method.requires),
    )


def data_digest(prompts: Callable[[], Sequence[Item]]) -> str:
    """Of what a training asks, found once: several methods of a run ask the same."""
    if id(prompts) not in ASKED:
        ASKED[id(prompts)] = prompts, digest([[item.prompt, item.answer] for item in prompts()])
    return ASKED[id(prompts)][1]


def scale_of(training: Training) -> dict[str, Any]:
    """The size of a training, with what is asked and paid in another way than the usual."""
    chat = {"chat": True} if training.chat else {}
    paid = [[reward.name, reward.weight, reward.version] for reward in training.rewards]
    memory_options = (
        {} if training.memory_options == MemoryOptions() else {"memory_options": asdict(training.memory_options)}
    )
    rewards = {} if training.rewards == (CORRECT,) else {"rewards": paid}
    return asdict(training.scale) | dict(training.method_settings) | chat | memory_options | rewards


def check_settings(given: Iterable[str], method: Method, testbed: str) -> None:
    """Raises: UsageError for a method setting of a testbed's that this method has not, and no registered one."""
    if not given:
        return
    known = {name for each in (method, *(METHODS[name] for name in METHODS)) for name in names_in(each.settings)}
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise UsageError(f"method_settings of testbed {testbed!r}: no method has a setting {name!r}.{hint}")


def names_in(settings: Any) -> Iterator[str]:
    """The names of a method's settings, those of settings within them included."""
    if is_dataclass(settings):
        for each in fields(settings):
            yield each.name
            yield from names_in(getattr(settings, each.name))


def train_in(staging_dir: Path, *, method: Method, testbed: Testbed, recipe: Recipe, context: RunContext) -> None:
    """Carry out a recipe in an empty folder, or in one that a killed attempt left.

    Raises: TrainingFailed, naming the method, if it ends without a whole checkpoint.
    """
    assert method.train is not None
    with context.store.exclusive("training") if method.exclusive else nullcontext():
        if not method.control:
            context.tell(f"training {method.name} (seed {recipe.seed}) on {recipe.device}")
        (staging_dir / "recipe.json").write_text(json.dumps(to_plain(recipe), indent=1), encoding="utf-8")
        threads = testbed.threads or (threads_for(testbed.base) if isinstance(testbed.base, Path) else 1)
        job = TrainingJob(
            method=method,
            testbed=testbed,
            seed=recipe.seed,
            device=recipe.device,
            folder=staging_dir,
            tell=context.tell,
            threads=threads,
            launch=context.launch if method.supports_distributed else None,
        )
        weights = weight_bytes(testbed.base) if isinstance(testbed.base, Path) else 0
        try:
            with timed(context.store, f"training {method.name}", weights):
                method.train(job)
        except (HarnessError, OSError):
            raise
        except Exception as error:
            if error_number(error):
                raise
            raise raised_by_user_code(
                TrainingFailed(
                    f"training {method.name!r} (seed {recipe.seed}) stopped with {type(error).__name__}: {error}"
                ),
                error,
            ) from error
        check_folder(staging_dir)
