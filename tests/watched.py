"""Which files of folders any process opens, by inotify: Python's own audit hook does not see what libraries open."""

import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

IN_OPEN = 0x20
EVENT = struct.Struct("iIII")  # watch, mask, cookie, length of the name that follows
LIBC = ctypes.CDLL(None, use_errno=True)


@contextmanager
def opened_in(*folders: Path) -> Iterator[set[Path]]:
    """Fills the set with every file directly in one of the folders that is opened meanwhile, when it is left."""
    queue = LIBC.inotify_init1(os.O_NONBLOCK)
    assert queue >= 0, os.strerror(ctypes.get_errno())
    watched = {LIBC.inotify_add_watch(queue, os.fsencode(folder), IN_OPEN): folder for folder in folders}
    assert -1 not in watched, os.strerror(ctypes.get_errno())
    opened: set[Path] = set()
    try:
        yield opened
        opened |= {watched[watch] / name for watch, name in events(queue) if name}
    finally:
        os.close(queue)


def events(queue: int) -> Iterator[tuple[int, str]]:
    while True:
        try:
            data = os.read(queue, 1 << 16)
        except BlockingIOError:
            return
        while data:
            watch, _, _, length = EVENT.unpack_from(data)
            yield watch, data[EVENT.size : EVENT.size + length].rstrip(b"\0").decode()
            data = data[EVENT.size + length :]
