"""Lines of progress from worker processes to the one that owns the terminal."""

import threading
from collections.abc import Callable
from pathlib import Path

POLL_S = 0.5


def append(path: Path, line: str) -> None:
    """Add one line; short appends from several processes do not interleave."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")


class Follower:
    """A thread that tells every line as it is added to a file, which it removes in the end."""

    def __init__(self, path: Path, tell: Callable[[str], None]) -> None:
        self.path = path
        self.tell = tell
        self._position = 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()
        self.path.unlink(missing_ok=True)

    def _follow(self) -> None:
        while not self._stopped.wait(POLL_S):
            self._tell_new_lines()
        self._tell_new_lines()

    def _tell_new_lines(self) -> None:
        if not self.path.is_file():
            return
        with self.path.open(encoding="utf-8") as file:
            file.seek(self._position)
            while (line := file.readline()).endswith("\n"):
                self.tell(line.rstrip("\n"))
                self._position = file.tell()
