"""How long work took in a store, so that a plan can say how long more of it will take."""

import json
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from statistics import median

from depthgauge.store.folders import Store

FILE = "times.jsonl"  # a line a piece of work: what, the bytes of the model, seconds


@contextmanager
def timed(store: Store, work: str, weights: int) -> Iterator[None]:
    """Note how long it took, unless it raises. A store that may only be read keeps nothing."""
    began = time.monotonic()
    yield
    line = json.dumps([work, weights, round(time.monotonic() - began, 3)])
    with suppress(OSError), (store.root / FILE).open("a", encoding="utf-8") as file:
        file.write(line + "\n")


class Times:
    """What is on record in a store."""

    def __init__(self, store: Store) -> None:
        self._seconds: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
        path = store.root / FILE
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        for line in lines:
            with suppress(ValueError, TypeError):  # the last line may be half written
                work, weights, seconds = json.loads(line)
                self._seconds[work][weights].append(seconds)

    def expected_s(self, work: str, weights: int) -> float | None:
        """The median of what it took on models of the nearest size; None where it was never done."""
        known = self._seconds.get(work)
        return median(known[min(known, key=lambda size: abs(size - weights))]) if known else None
