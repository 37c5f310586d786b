"""Pictures by layer, by head and of intervals, drawn alike in every package. Layers and heads are 0-based.

Shapes: N units (questions, openings), C columns (layers, steps), L layers, H heads, T tokens.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthgauge.core.errors import InvalidComparison, StatisticUndefined
from depthgauge.core.estimate import Estimate, Scores
from depthgauge.core.registry import BASE
from depthgauge.page.section import Measured, Setting
from depthgauge.page.tables import bands, profiles_of
from depthgauge.stats import paired_difference

LAYER, HEAD = "layer (0-based)", "head (0-based)"
AMOUNTS, DIFFERENCES = "cividis", "PuOr"
LINES, MARKERS = ("-", "--", "-.", ":"), "os^D"  # of the first seed of a method, of the second, and so on
QUIET = "#B0B0B0"
LONGEST_LABEL, MOST_TOKENS, FEW_HEADS = 40, 24, 8
WHERE = ("device", "versions", "dtype")  # the parameters that do not say what was asked

Values = Callable[[Measured], NDArray[Any]]  # (N, C), or (N,), of one checkpoint
Places = Callable[[Measured], Sequence[int] | NDArray[np.int64]]  # (C,), where they stand


# -- which checkpoints, and what they are called ---


def plain(text: object) -> str:
    """Text as it can be drawn: no mathematics, no control characters, not too long, and never hidden from a legend."""
    line = "".join(character if character.isprintable() else "?" for character in str(text))
    cut = line if len(line) <= LONGEST_LABEL else line[:LONGEST_LABEL] + "..."
    return (f" {cut}" if cut.startswith("_") else cut).replace("$", r"\$") or "(empty)"


def line_of(entry: Measured, shown: Sequence[Measured]) -> str:
    """The line style of a checkpoint: the first seed of its method is solid, the second dashed."""
    return LINES[place_of(entry, shown) % len(LINES)]


def marker_of(entry: Measured, shown: Sequence[Measured]) -> str:
    return MARKERS[place_of(entry, shown) % len(MARKERS)]


def place_of(entry: Measured, shown: Sequence[Measured]) -> int:
    """Which of its method's seeds it is, counted from 0."""
    seeds = dict.fromkeys(other.evidence.seed for other in shown if other.evidence.method == entry.evidence.method)
    return list(seeds).index(entry.evidence.seed)


def pair_label(entry: Measured, shown: Sequence[Measured]) -> str:
    """Its label, and what it is compared with where not all are compared with the same."""
    baseline = entry.measurement.parameters.get("baseline")
    if all(other.measurement.parameters.get("baseline") == baseline for other in shown):
        return entry.label
    names = {other.evidence.checkpoint: other.label for other in shown}
    return f"{entry.label}, against {names.get(str(baseline), str(baseline)[:8])}"


def reference_of(shown: Sequence[Measured]) -> Measured:
    """What differences are taken to: the first checkpoint of the testbed's base, else the first."""
    return next((entry for entry in shown if entry.evidence.method == BASE.name), shown[0])


def pairs(shown: Sequence[Measured], values: Values) -> list[Measured]:
    """Those that were asked what the reference was asked, and have as many `values`, without the reference."""

    def asked(entry: Measured) -> Any:
        parameters = {name: value for name, value in entry.measurement.parameters.items() if name not in WHERE}
        return parameters, np.shape(values(entry))

    reference = reference_of(shown)
    return [entry for entry in shown if entry is not reference and asked(entry) == asked(reference)]


# -- lines ---


def band(axes: Any, x: Any, middle: Any, halves: Any, colour: str, label: str, line: str = "-") -> None:
    """A line in its band: half its width, or those below and above it (2, C); None where intervals have no width."""
    axes.plot(x, middle, color=colour, label=label, linestyle=line)
    if halves is not None:
        below, above = np.broadcast_to(halves, (2, len(middle)))
        axes.fill_between(x, middle - below, middle + above, color=colour, alpha=0.1, linewidth=0)
        for edge in (middle - below, middle + above):
            axes.plot(x, edge, color=colour, linestyle=line, linewidth=0.5, alpha=0.6)


def curves(axes: Any, shown: Sequence[Measured], setting: Setting, values: Values, x: Places, unit: str) -> None:
    """Means over units of each checkpoint, with 95 % bands that hold for all columns together."""
    for entry in shown:
        draw_curve(axes, entry, shown, setting, values(entry), x(entry), unit)


def differences(axes: Any, shown: Sequence[Measured], setting: Setting, values: Values, x: Places, unit: str) -> None:
    """Means of the differences to the reference, unit by unit, of all that can be paired with it, with such bands."""
    before = values(reference_of(shown))
    axes.axhline(0, color=setting.colour(reference_of(shown)), linewidth=0.8)
    for compared in pairs(shown, values):
        draw_curve(axes, compared, shown, setting, values(compared) - before, x(compared), unit)


def draw_curve(
    axes: Any, entry: Measured, shown: Sequence[Measured], setting: Setting, values_NC: NDArray[Any], x: Any, unit: str
) -> None:
    drawn = bands(profiles_of(values_NC, unit))
    halves = None if drawn is None else drawn.halves
    band(axes, x, values_NC.mean(axis=0), halves, setting.colour(entry), plain(entry.label), line_of(entry, shown))


def stacked(figure: Any, rows: int) -> Sequence[Any]:
    """Panels one below the other with one horizontal axis, in whole numbers."""
    panels: Sequence[Any] = figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]
    whole_numbers(panels[-1].xaxis)
    return panels


def legend_beside(axes: Any, of: Any = None) -> None:
    """The legend to the right of a panel, where it covers no data: each label once, of this panel or of another."""
    handles, labels = (of or axes).get_legend_handles_labels()
    handles_by_label = dict(zip(reversed(labels), reversed(handles), strict=True))  # the first of each label counts
    names = list(dict.fromkeys(labels))
    axes.legend(
        [handles_by_label[name] for name in names], names, loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0
    )


def whole_numbers(*axis: Any) -> None:
    for each in axis:
        each.get_major_locator().set_params(integer=True)


# -- intervals ---


def paired(scores: Scores, other: Scores) -> Estimate | None:
    """The mean difference of two checkpoints, unit by unit; None where it has no interval."""
    try:
        return paired_difference(scores, other, estimand="difference")
    except (InvalidComparison, StatisticUndefined):
        return None


def interval(
    axes: Any, estimate: Estimate, place: float, entry: Measured, shown: Sequence[Measured], setting: Setting
) -> None:
    """An estimate at a height, as a point in its interval."""
    widths = [[estimate.point - estimate.low], [estimate.high - estimate.point]]
    look = {"fmt": marker_of(entry, shown), "color": setting.colour(entry), "capsize": 2, "label": plain(entry.label)}
    drawn = axes.errorbar(estimate.point, place, xerr=widths, **look)
    drawn.lines[2][0].set_linestyle(line_of(entry, shown))


# -- maps ---


def head_map(
    figure: Any, axes: Any, values_LH: NDArray[Any], title: str, vmin: float | None, vmax: float | None
) -> None:
    """A number for each head: layers up, heads across."""
    heat(figure, axes, values_LH, title, vmin, vmax, aspect="auto", origin="lower")
    axes.set(xlabel=HEAD, ylabel=LAYER)
    for axis, count in zip((axes.yaxis, axes.xaxis), values_LH.shape, strict=True):
        if count <= FEW_HEADS:
            axis.set_ticks(range(count))
        else:
            whole_numbers(axis)


def token_map(
    figure: Any,
    axes: Any,
    values_TT: NDArray[Any],
    title: str,
    vmin: float,
    vmax: float,
    tokens: Sequence[object] | None = None,
) -> None:
    """A number for each query and key: queries down, keys across."""
    heat(figure, axes, values_TT, title, vmin, vmax)
    axes.set(xlabel="key", ylabel="query")
    if tokens is not None:
        named = range(0, len(tokens), -(-len(tokens) // MOST_TOKENS))
        labels = [plain(tokens[place]) for place in named]
        axes.set_xticks(named, labels, rotation=90, fontsize=6)
        axes.set_yticks(named, labels, fontsize=6)


def heat(
    figure: Any, axes: Any, values: NDArray[Any], title: str, vmin: float | None, vmax: float | None, **options: Any
) -> None:
    """Values as colours beside their scale: amounts, or, where `vmin` is negative, differences around 0."""
    signed = vmin is not None and vmin < 0
    shown = axes.imshow(values, cmap=DIFFERENCES if signed else AMOUNTS, vmin=vmin, vmax=vmax, **options)
    axes.set_title(title)
    for side in axes.spines.values():
        side.set_visible(False)
    figure.colorbar(shown, ax=axes, fraction=0.046, pad=0.04).outline.set_visible(False)


def grid_of(figure: Any, rows: int, columns: int) -> Iterator[Any]:
    """Rows of panels, each panel blank until it is drawn into."""
    for row in figure.subplots(rows, columns, squeeze=False):
        for axes in row:
            axes.axis("off")
        yield row
