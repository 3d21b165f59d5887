"""A folder for the files of one run, which the next run clears away if this one was killed."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def workspace(parent: Path) -> Iterator[Path]:
    """Yield a new folder in ``parent``, removed at the end.

    The process holds a lock on it, which the system drops however the process ends: a folder in
    ``parent`` whose lock is free belongs to nobody and is removed at the start.
    """
    parent.mkdir(parents=True, exist_ok=True)
    with (parent / "lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)  # nobody clears a folder between its making and its locking
        _clear_abandoned(parent)
        folder = Path(tempfile.mkdtemp(prefix="run-", dir=parent))
        lock = (folder / "lock").open("w")
        fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.close()


def _clear_abandoned(parent: Path) -> None:
    for folder in parent.glob("run-*"):
        with (folder / "lock").open("w") as lock:
            if _is_free(lock):
                shutil.rmtree(folder)


def _is_free(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
