"""One style for all pictures: colours that colour-blind readers can tell apart, each method's the same everywhere."""

import contextlib
from collections.abc import Iterable
from pathlib import Path

from depthgauge.core.registry import METHODS
from depthgauge.page.section import Picture

DPI = 130
BASE = "#000000"
# Okabe and Ito (2008), "Color Universal Design", without black, and without the yellow that is lost on white.
PALETTE = ("#E69F00", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#7F7F7F")
STYLE = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "lines.linewidth": 1.3,
    "lines.markersize": 4,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
}


def colours_of(names: Iterable[str]) -> dict[str, str]:
    """A colour for each method or folder: a method's follows from its place in the registry, not from the run."""
    methods = [name for name in METHODS if not METHODS[name].control]
    places = {name: i for i, name in enumerate(name for name in methods if METHODS[name].train is not None)}
    colours = {name: BASE for name in methods if METHODS[name].train is None}
    colours |= {name: PALETTE[i % len(PALETTE)] for name, i in places.items()}
    others = [name for name in names if name not in colours]
    return colours | {name: PALETTE[-1 - i % len(PALETTE)] for i, name in enumerate(others)}


def write_picture(path: Path, picture: Picture) -> None:
    """Draw a picture, and write it as PNG. Opens matplotlib, for half a second."""
    with contextlib.chdir(Path(__file__).parent):  # it takes its settings from a matplotlibrc where it is imported
        from matplotlib import rc_context
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=picture.size, layout="tight")
        FigureCanvasAgg(figure)
        picture.draw(figure)
        figure.savefig(path, format="png", dpi=DPI, metadata={"Software": None})
