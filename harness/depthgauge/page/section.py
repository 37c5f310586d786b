"""A section of a report: text, tables and pictures, in one order for every format.

A package's `report.py` has one function, `show(measured, setting)`, that yields its sections.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from numpy.typing import NDArray

from depthgauge.core.estimate import Measurement
from depthgauge.core.result import Evidence
from depthgauge.core.testbed import Testbed


@dataclass(frozen=True, slots=True)
class Measured:
    """A measurement and the checkpoint it belongs to."""

    evidence: Evidence
    measurement: Measurement

    @property
    def label(self) -> str:
        return f"{self.evidence.method}, seed {self.evidence.seed}"

    @property
    def arrays(self) -> Mapping[str, Any]:
        return self.measurement.arrays


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """What a section may need beside the measurements: the testbed, and a colour for every method or folder.

    `quotes` is False where what models read or said is kept out of the report.
    """

    testbed: Testbed
    colours: Mapping[str, str]
    quotes: bool = True

    def colour(self, entry: Measured) -> str:
        return self.colours[entry.evidence.method]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text. It folds under `folded`, its summary, where that is not empty. Cells are escaped already.

    It `quotes` where it shows what models read or said, which --no-text keeps out.
    """

    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    folded: str = ""
    quotes: bool = False


@dataclass(frozen=True, slots=True)
class Grid:
    """The numbers of a picture, (rows, columns), to be read one by one where a page can show what one points at.

    `moved` names what moved where the rows are layers, for the strip at the top of a report.
    """

    title: str
    rows: Sequence[str]
    columns: Sequence[str]
    values: NDArray[Any]
    moved: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """A file beside the page. `draw` fills a matplotlib figure of `size` inches, and is called only if it changed.

    It `quotes` as a table does; `grids` hold its numbers. `depends` is what else decides how it looks, as plain values.
    """

    name: str
    alt: str
    size: tuple[float, float]
    draw: Callable[[Any], None]
    shown: Sequence[Measured]
    quotes: bool = False
    grids: Sequence[Grid] = ()
    depends: Any = None


@dataclass(frozen=True, slots=True)
class Marked:
    """A text that models read, folded under its title, with words marked in it."""

    folded: str
    pieces: Sequence["Piece"]
    quotes: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a text. It is marked where its weight, a share of the greatest, is above 0, and its note says why."""

    text: str
    weight: float = 0.0
    note: str = ""


Part = str | Table | Picture | Marked


@dataclass(frozen=True, slots=True)
class Section:
    """A title and its parts: text is markdown of ours, and what a model wrote in it is escaped."""

    title: str
    parts: Sequence[Part]


def of(measured: Sequence[Measured], probe: str) -> list[Measured]:
    """Those of one probe, of several that a package holds."""
    return [entry for entry in measured if entry.measurement.probe == probe]
