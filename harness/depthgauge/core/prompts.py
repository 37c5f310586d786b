"""Questions from a data set of Hugging Face's, by name or from a folder of files."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from depthgauge.core.errors import UsageError
from depthgauge.core.installed import check_installed
from depthgauge.core.testbed import Item


@dataclass(frozen=True, kw_only=True, slots=True)
class DataSet:
    """Which columns hold question and answer. `name` is one of the hub's, or a folder of JSON, CSV or parquet files.

    `keep` leaves rows out: those for which it is false.
    """

    name: str | Path
    prompt: str
    answer: str
    configuration: str | None = None
    split: str = "train"
    keep: Callable[[dict[str, Any]], bool] | None = None

    def items(self) -> Sequence[Item]:
        """Every row that is kept, once; a question that is there again is left out.

        Raises: UsageError if it is not available, or has no such column, or no row is left.
        """
        rows = self.rows()
        missing = [column for column in (self.prompt, self.answer) if column not in rows.column_names]
        if missing:
            raise UsageError(
                f"data set {str(self.name)!r} has no column {missing[0]!r}: it has {', '.join(rows.column_names)}."
            )
        by_id: dict[str, Item] = {}
        for place, row in enumerate(rows):
            prompt, answer = str(row[self.prompt]).strip(), str(row[self.answer]).strip()
            if prompt and prompt not in by_id and (self.keep is None or self.keep(row)):
                by_id[prompt] = Item(id=f"{self.label}/{place}", prompt=prompt, answer=answer)
        if not by_id:
            raise UsageError(f"data set {str(self.name)!r} has no row that is kept, of {len(rows)}.")
        return tuple(by_id.values())

    @property
    def label(self) -> str:
        return Path(self.name).name

    def rows(self) -> Any:
        check_installed(("datasets",), f"data set {str(self.name)!r}")
        import datasets

        folder = Path(self.name)
        try:
            if folder.is_dir():
                return datasets.load_dataset(str(folder), split=self.split)
            return datasets.load_dataset(str(self.name), self.configuration, split=self.split)
        except Exception as error:  # whatever the library raises: no network, no licence, no such name, no such split
            raise UsageError(
                f"data set {str(self.name)!r} is not available ({type(error).__name__}: {first_line(error)}): "
                f"where there "
                f"is a network, bring it with 'hf download --repo-type dataset {self.name}' (a gated one asks to be "
                "logged in, with its licence accepted), or name a folder of its files."
            ) from error


def first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:160] if lines else "no reason given"
