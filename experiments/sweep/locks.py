"""Locks: files that one process at a time can hold, even among several computers.

The system frees those of a process that has died, so that no lock is ever stale.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

if os.name == "nt":
    import msvcrt
else:
    import fcntl

POLL_SECONDS = 0.2


def hold(path: Path) -> BinaryIO | None:
    """Return the file, open and locked until it is closed; None if another process holds it."""
    file = path.open("ab")
    try:
        if os.name == "nt":
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        file.close()
        return None
    except OSError:  # a disk without locks: two commands at once may do the same work twice
        pass
    with suppress(FileNotFoundError):
        if os.path.samestat(path.stat(), os.fstat(file.fileno())):
            return file
    file.close()  # its last holder deleted it after it was opened here
    return None


@contextmanager
def alone(path: Path, waiting: Callable = lambda: None) -> Iterator[None]:
    """Hold the lock `path` in this block; if another process does, wait, and call `waiting` once.

    The folder is made if there is none; the file is deleted in the end.
    """
    told = False
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        if file := hold(path):
            break
        if not told:
            waiting()
            told = True
        time.sleep(POLL_SECONDS)
    try:
        yield
    finally:
        with suppress(OSError):  # Windows deletes no file that is open
            path.unlink()
        file.close()
