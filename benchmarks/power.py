"""How often the claims about layers are right to call a difference, by simulation: `python -m benchmarks.power`.

72 prompts, as on the pocket testbed. Prints the tables of docs/power.md.
"""

import numpy as np
from tabulate import tabulate

from depthgauge.core.estimate import Profiles
from depthgauge.stats import difference, lead, least, most_extreme, prominence
from depthgauge.stats.columns import simultaneous

PROMPTS, LATE, LAYERS, REPEATS = 72, 16, 36, 400
FLOOR = 0.01  # of the spike's claim
# As on the pocket testbed: spreads of .056 on average, whose ratio scatters over prompts by .65 (standard deviation of
# its logarithm), alike in all layers but for a fifth of the variance.
MEAN, BY_PROMPT, BY_CHECKPOINT, SHARED = 0.056, 1.0, 0.46, 0.8


def profiles(values: np.ndarray) -> Profiles:
    ids, columns = (tuple(map(str, range(n))) for n in values.shape)
    return Profiles(ids=ids, columns=columns, values=values[None], unit="probability", population="prompts")


def spread_power(ratio: float, random: np.random.Generator) -> tuple[float, float]:
    """Shares of repetitions that call one checkpoint's spreads narrower and wider, at `ratio` times the other's."""
    narrower = wider = 0
    for _ in range(REPEATS):
        alike, apart = random.normal(size=(2, PROMPTS, 1)), random.normal(size=(2, PROMPTS, LATE))
        own = SHARED**0.5 * alike + (1 - SHARED) ** 0.5 * apart
        logs = BY_PROMPT * random.normal(size=(1, PROMPTS, 1)) + BY_CHECKPOINT * own
        one, other = MEAN * np.exp(logs - (BY_PROMPT**2 + BY_CHECKPOINT**2) / 2) * np.array([ratio, 1])[:, None, None]
        found = most_extreme(difference(profiles(one), profiles(other)), estimand="x")
        narrower, wider = narrower + (found.high < 0), wider + (found.low > 0)
    return narrower / REPEATS, wider / REPEATS


def spike_power(size: float, random: np.random.Generator) -> tuple[float, float]:
    """Shares of repetitions that support and refute a spike of `size` at layer 18; layers scatter by 0.02."""
    supported = refuted = 0
    for _ in range(REPEATS):
        values = 0.3 + 0.1 * random.normal(size=(PROMPTS, 1)) + 0.02 * random.normal(size=(PROMPTS, LAYERS))
        values[:, 18] += size
        found = least(lead(prominence(profiles(values)), "18"), estimand="x")
        supported, refuted = supported + (found.low >= FLOOR), refuted + (found.high < FLOOR)
    return supported / REPEATS, refuted / REPEATS


def coverage(sigma: float, random: np.random.Generator) -> tuple[float]:
    """Share of repetitions in which the bands of 16 columns hold for all of them; 0 is normal data, more is skewed."""
    held = 0
    for _ in range(REPEATS):
        drawn = 0.3**0.5 * random.normal(size=(PROMPTS, 1)) + 0.7**0.5 * random.normal(size=(PROMPTS, LATE))
        values = np.exp(sigma**2 / 2) - np.exp(sigma * drawn) if sigma else drawn
        bands = simultaneous(profiles(values), estimand="x")
        held += bool((np.abs(bands.means) <= bands.halves).all())
    return (held / REPEATS,)


def main() -> None:
    random = np.random.default_rng(0)
    for headers, power, sizes in (
        (("ratio of spreads", "called narrower", "called wider"), spread_power, (1.0, 0.95, 0.9, 0.8, 0.7, 0.6)),
        (("spike (probability)", "supported", "refuted"), spike_power, (0.0, 0.006, 0.01, 0.02, 0.03, 0.05)),
        (("sigma of a lognormal (0: normal)", "bands hold"), coverage, (0.0, 0.5, 0.75, 1.0)),
    ):
        rows = [(f"{size:g}", *(f"{share:.1%}" for share in power(size, random))) for size in sizes]
        print(tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
