"""Folders that belong to one process, and how others tell that it has ended.

A folder's name says whose it is, from the moment at which it is made: the machine, the process, and a number
of its own. So it has an owner on every drive, also on one that has no locks, or whose locks hold within one
machine only. On its own machine a process is seen to have ended at once. Of another machine nothing can be
seen; there a folder counts as left behind when nobody holds its lock, and nothing in it has changed for a
week.
"""

from __future__ import annotations

import os
import platform
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from secrets import token_hex

import psutil

from cmbench.disk import NO_LOCKS, lock, locked, remove_folder, writing_to
from cmbench.errors import StoreError

_OWNED = re.compile(r".*[-.]([0-9a-f]{6})-([0-9]+)-[0-9a-f]{6}")
_LOCK = "lock"
_QUIET_SECONDS = 7 * 86_400
_CLOCKS_SECONDS = 3_600  # by which the clocks of a machine and of a drive may differ

_in_use: set[str] = set()
"""The names of the folders that this process is using."""


@contextmanager
def owned_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """Yield a new folder in ``parent`` that is this process's until the block ends; it stays there then.

    Its name begins with ``prefix``, which ends in a hyphen or a dot.
    """
    name = f"{prefix}{_this_machine()}-{os.getpid()}-{token_hex(3)}"
    _in_use.add(name)  # before it is there, because another thread may be clearing up
    try:
        (parent / name).mkdir(parents=True)
        yield parent / name
    finally:
        _in_use.remove(name)


def is_of_this_machine(folder: Path) -> bool:
    """Return whether ``owned_folder`` was called for this folder on this machine, since its start."""
    owner = _OWNED.fullmatch(folder.name)
    return owner is not None and owner[1] == _this_machine()


def has_ended(folder: Path) -> bool:
    """Return whether nobody uses a folder any more, as far as can be seen."""
    owner = _OWNED.fullmatch(folder.name)
    if owner is not None and owner[1] == _this_machine():
        number = int(owner[2])
        return folder.name not in _in_use if number == os.getpid() else not _is_alive(number, folder)
    is_left_behind = owner is None or _is_quiet(folder)  # of earlier versions there is only the lock
    return is_left_behind and _is_unlocked(folder / _LOCK)


@contextmanager
def workspace(parent: Path) -> Iterator[Path]:
    """Yield a new folder in ``parent``, which is removed at the end of the block.

    What killed processes left there is removed at the start. Raises ``StoreError`` where no folder can be
    made.
    """
    sweep(parent)
    with ExitStack() as stack:
        with writing_to(parent, raising=StoreError):
            folder = stack.enter_context(owned_folder(parent, "run-"))
            stack.callback(remove_folder, folder)  # after its lock is given back, for Windows
            stack.enter_context(locked(folder / _LOCK))
        yield folder


def sweep(parent: Path) -> None:
    """Remove the workspaces that killed processes left in ``parent``, as far as that is allowed."""
    for folder in parent.glob("run-*"):
        with suppress(OSError):
            if has_ended(folder):
                remove_folder(folder)


@lru_cache(maxsize=1)
def _this_machine() -> str:
    """Return what tells machines apart within which one process is seen by the others, six digits.

    That is a machine from its start to its end, or a container on it.
    """
    try:
        start = Path("/proc/sys/kernel/random/boot_id").read_text()
        name = f"{start} {os.readlink('/proc/self/ns/pid')}"
    except OSError:  # only Linux has these
        name = platform.node()
    return sha256(name.encode()).hexdigest()[:6]


def _is_alive(number: int, folder: Path) -> bool:
    """Return whether a process of that number runs which may have made the folder."""
    try:
        process = psutil.Process(number)
        made = folder.stat().st_mtime + _CLOCKS_SECONDS
        return process.status() != psutil.STATUS_ZOMBIE and process.create_time() <= made
    except (psutil.NoSuchProcess, FileNotFoundError):
        return False
    except psutil.AccessDenied:
        return True


def _is_quiet(folder: Path) -> bool:
    """Return whether nothing in the folder has changed for a week, nor in the folders in it."""
    places = [folder, *folder.glob("*"), *folder.glob("*/*")]
    return max(place.lstat().st_mtime for place in places) < time.time() - _QUIET_SECONDS


def _is_unlocked(path: Path) -> bool:
    if not path.exists():
        return True
    try:
        held = lock(path)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        return True
    if held is None:
        return False
    with held:
        return True
