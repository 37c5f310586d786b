"""How often the claims about layers are right to call a difference, by simulation: `python -m benchmarks.power`.

72 prompts and 30 draws, as on the pocket testbed. Prints the tables of docs/power.md.
"""

import numpy as np
from tabulate import tabulate

from harness.stats import difference, lead, least, most_extreme, prominence
from harness.types import Profiles

PROMPTS, DRAWS, LATE, LAYERS, REPEATS = 72, 30, 16, 36, 200
FLOOR = 0.01  # of the spike's claim


def profiles(values: np.ndarray) -> Profiles:
    ids, columns = (tuple(map(str, range(n))) for n in values.shape)
    return Profiles(ids=ids, columns=columns, values=values[None], unit="probability", population="prompts")


def spread_power(ratio: float, random: np.random.Generator) -> float:
    """Share of repetitions that call the spreads of two checkpoints different, at `ratio` times the deviation."""
    called = 0
    for _ in range(REPEATS):
        scatter = random.lognormal(-3, 1, size=(PROMPTS, 1, 1))
        draws = scatter * random.normal(size=(2, PROMPTS, LATE, DRAWS)) * np.array([1, ratio])[:, None, None, None]
        one, other = np.abs(draws - np.median(draws, axis=-1, keepdims=True)).mean(axis=-1)
        found = most_extreme(difference(profiles(one), profiles(other)), estimand="x")
        called += found.low > 0 or found.high < 0
    return called / REPEATS


def spike_power(size: float, random: np.random.Generator) -> float:
    """Share of repetitions that support a spike of `size` at layer 18; a prompt's layers scatter by 0.02."""
    called = 0
    for _ in range(REPEATS):
        values = 0.3 + 0.1 * random.normal(size=(PROMPTS, 1)) + 0.02 * random.normal(size=(PROMPTS, LAYERS))
        values[:, 18] += size
        called += least(lead(prominence(profiles(values)), "18"), estimand="x").low >= FLOOR
    return called / REPEATS


def main() -> None:
    random = np.random.default_rng(0)
    for header, power, sizes in (
        ("ratio of deviations", spread_power, (1.0, 1.05, 1.1, 1.2, 1.5)),
        ("spike (probability)", spike_power, (0.0, 0.01, 0.02, 0.03, 0.05)),
    ):
        rows = [(f"{size:g}", f"{power(size, random):.1%}") for size in sizes]
        print(
            tabulate(rows, headers=(header, "called"), tablefmt="github", disable_numparse=True), end="\n\n", flush=True
        )


if __name__ == "__main__":
    main()
