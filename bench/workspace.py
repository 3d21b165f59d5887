"""A folder for the files of one run, which the next run clears away if this one was killed."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from cmbench.errors import StoreError


@contextmanager
def workspace(parent: Path) -> Iterator[Path]:
    """Yield a new folder in ``parent``, removed at the end.

    The process holds a lock on it, which the system drops however the process ends: a folder in
    ``parent`` whose lock is free belongs to nobody and is removed at the start. Raises
    ``StoreError`` where no folder can be made.
    """
    try:
        folder, lock = _locked_folder(parent)
    except OSError as error:
        raise StoreError(
            f"{parent}: cannot be written ({error.strerror or error}); choose another folder for the store"
        ) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.close()


def _locked_folder(parent: Path) -> tuple[Path, IO[str]]:
    parent.mkdir(parents=True, exist_ok=True)
    with (parent / "lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)  # nobody clears a folder between its making and its locking
        _clear_abandoned(parent)
        folder = Path(tempfile.mkdtemp(prefix="run-", dir=parent))
        lock = (folder / "lock").open("w")
        fcntl.flock(lock, fcntl.LOCK_EX)
    return folder, lock


def _clear_abandoned(parent: Path) -> None:
    for folder in parent.glob("run-*"):
        # Another run may be ending, and removing its own folder at this very moment.
        with suppress(FileNotFoundError), (folder / "lock").open("w") as lock:
            if _is_free(lock):
                shutil.rmtree(folder, ignore_errors=True)


def _is_free(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
