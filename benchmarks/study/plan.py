"""The cells of the study, in the order in which docs/study-plan.md has them."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from depthgauge import METHODS, Testbed
from depthgauge.core.registry import TESTBEDS
from depthgauge_methods.settings import GRPOSettings

SEARCHED, CONFIRMED = range(100, 105), range(10)
STEPS, FACTORS, HORIZONS = (100, 300), (1, 4, 16), (80, 200)
LEAST_COLLAPSED, MOST_COLLAPSED_OF_GRPO, FAILURES_TO_DROP = 4, 1, 2
CONFIRMING = (
    "grpo", "gradreg", "gradreg_matched", "depthscaled", "depthscaled_nonoise", "noise_only", "gradreg_noise",
)  # fmt: skip
MAIN = (
    "grpo", "gradreg", "gradreg_published", "gradreg_matched", "depthscaled", "depthscaled_nonoise", "noise_only",
    "gradreg_noise", "depthscaled_random",
)  # fmt: skip
ON_SMOLLM2 = ("grpo", "gradreg", "depthscaled", "depthscaled_nonoise")
SEEDS = {"pocket": range(5), "smollm2": range(3)}  # of the main study
BASE = "base-pocket"  # its cell, which is measured first
FELT: dict[str, Any] = {"ascent_step": 4e-6, "step_form": "relative", "penalty": 0.3, "penalty_form": "relative"}
Results = Mapping[str, Mapping[str, Any]]  # by the name of a cell


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One training of the study. `steps` None are the testbed's, and `factor` multiplies its penalty."""

    phase: str
    testbed: str
    method: str
    seed: int
    steps: int | None = None
    factor: float = 1

    @property
    def name(self) -> str:
        setting = "" if self.steps is None else f"-{self.steps}-steps-penalty-{self.factor:g}"
        return f"{self.phase}-{self.testbed}{setting}-{self.method}-{self.seed}"

    @property
    def measures(self) -> str:
        return "collapse" if self.phase == "search" else "all"

    def plain(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Setting:
    """Where a collapse is looked for."""

    steps: int
    factor: int
    horizon: int


def cells(results: Results) -> Iterator[Cell]:
    """What is to be run, given what there is: a dropped setting runs no more, and a confirmation needs one that
    qualified.
    """
    yield from search(results)
    found = qualified(results)
    if found is not None:
        for seed in CONFIRMED:
            for method in CONFIRMING:
                yield Cell(
                    phase="confirmation", testbed="pocket", method=method, seed=seed, steps=found.steps,
                    factor=found.factor,
                )  # fmt: skip
    for seed in SEEDS["pocket"]:
        yield from (Cell(phase="main", testbed="pocket", method=method, seed=seed) for method in MAIN)
    for seed in SEEDS["smollm2"]:
        yield from (Cell(phase="main", testbed="smollm2", method=method, seed=seed) for method in ON_SMOLLM2)
    yield from (Cell(phase="ablations", testbed="pocket", method=method, seed=0) for method in others())


def others() -> list[str]:
    """The methods of the graph that train all weights and are in no other row."""
    every = [name for name in METHODS if type(METHODS[name].settings) is GRPOSettings and not METHODS[name].control]
    return [name for name in every if name not in MAIN]


def search(results: Results) -> Iterator[Cell]:
    for seed in SEARCHED:
        for steps in STEPS:
            wanted = [factor for factor in FACTORS if not dropped(results, steps, factor)]
            if wanted:
                yield searched("grpo", seed, steps, 1)
            yield from (searched("gradreg", seed, steps, factor) for factor in wanted)


def searched(method: str, seed: int, steps: int, factor: int) -> Cell:
    return Cell(phase="search", testbed="pocket", method=method, seed=seed, steps=steps, factor=factor)


def collapsed(results: Results, method: str, setting: Setting) -> list[bool]:
    """Whether each seed's checkpoint did that is there and has been measured."""
    factor = setting.factor if method == "gradreg" else 1
    names = [searched(method, seed, setting.steps, factor).name for seed in SEARCHED]
    found = [results[name] for name in names if "collapse" in results.get(name, {})]
    return [bool(one["collapse"][str(setting.horizon)]["collapsed"]) for one in found]


def dropped(results: Results, steps: int, factor: int) -> bool:
    """Whether a setting cannot qualify any more, at either horizon."""

    def hopeless(horizon: int) -> bool:
        setting = Setting(steps, factor, horizon)
        failed = collapsed(results, "gradreg", setting).count(False)
        return (
            failed >= FAILURES_TO_DROP
            or collapsed(results, "grpo", setting).count(True) > MOST_COLLAPSED_OF_GRPO
        )  # fmt: skip

    return all(hopeless(horizon) for horizon in HORIZONS)


def horizons_that_say_something(results: Results) -> list[int]:
    """Those at which the base itself does not collapse."""
    of_base = results.get(BASE, {}).get("collapse", {})
    return [horizon for horizon in HORIZONS if not of_base.get(str(horizon), {}).get("collapsed")]


def qualified(results: Results) -> Setting | None:
    """The first setting that did, once no searched cell is missing."""
    if any(cell.name not in results for cell in search(results)):
        return None
    for steps in STEPS:
        for factor in FACTORS:
            for horizon in horizons_that_say_something(results):
                setting = Setting(steps, factor, horizon)
                of_gradreg, of_grpo = (collapsed(results, name, setting) for name in ("gradreg", "grpo"))
                if of_gradreg.count(True) >= LEAST_COLLAPSED and of_grpo.count(True) <= MOST_COLLAPSED_OF_GRPO:
                    return setting
    return None


def cell_testbed(cell: Cell) -> Testbed:
    """The testbed, with the cell's own steps and penalty."""
    testbed = TESTBEDS[cell.testbed]
    training = testbed.training_inputs()
    scale = replace(training.scale, steps=cell.steps or training.scale.steps)
    settings: dict[str, Any] = dict(FELT) if cell.testbed == "smollm2" else dict(training.method_settings)
    settings["penalty"] *= cell.factor
    return replace(testbed, training=replace(training, scale=scale, method_settings=settings))
