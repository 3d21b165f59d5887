"""Which run has which cell: several runs on one store share the work, and none fits a cell of another's.

A claim is a lock on one byte of the file ``claims``, the byte that the cell's key stands for. The system
drops it when its process ends, however it ends; on a network drive the server drops the claims of a machine
that is gone. Byte-range locks are what such drives offer most widely. A database like SQLite was the other
choice: its own locks are these, and a row in it would outlive its process.

Where a drive has no locks at all, every claim is granted after a warning: a cell may then be fitted twice,
and both runs print right numbers, because a record is replaced whole and each trains in a folder of its own
(``cmbench.execution.checkpoints``).
"""

from __future__ import annotations

import errno
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from cmbench.disk import NO_LOCKS

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_BYTES = 2**62
_TAKEN = (errno.EACCES, errno.EAGAIN)


@dataclass
class Claims:
    """The claims of this process on the cells of one store.

    There is one object for a file: a process loses all its locks on a file when it closes any descriptor
    of it, and its own locks do not keep its threads apart.
    """

    file: int
    taken: set[int] = field(default_factory=set)
    turn: threading.Lock = field(default_factory=threading.Lock)
    unsupported: bool = False

    @contextmanager
    def on(self, key: str) -> Iterator[bool]:
        """Claim a cell for the block; yield False where another run, or thread of this one, has it."""
        place = int(key, 16) % _BYTES
        if not self._take(place):
            yield False
            return
        try:
            yield True
        finally:
            self._give_back(place)

    def _take(self, place: int) -> bool:
        with self.turn:
            if place in self.taken or not self._lock(place):
                return False
            self.taken.add(place)
            return True

    def _give_back(self, place: int) -> None:
        with self.turn:
            self.taken.remove(place)
            if not self.unsupported:
                fcntl.lockf(self.file, fcntl.LOCK_UN, 1, place)

    def _lock(self, place: int) -> bool:
        if self.unsupported:
            return True
        try:
            fcntl.lockf(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
        except OSError as error:
            if error.errno in _TAKEN:
                return False
            if error.errno not in NO_LOCKS:
                raise
            self._do_without()
        return True

    def _do_without(self) -> None:
        self.unsupported = True
        warnings.warn(
            "the drive of the store has no locks: runs at the same time may fit the same cells twice, each "
            "with right numbers; to share the work give each its own --dataset, --methods or --seeds",
            stacklevel=2,
        )


_opened: dict[tuple[int, int], Claims] = {}
_opening = threading.Lock()


def claims_in(folder: Path) -> Claims:
    """Return the claims on the cells of the store whose folder of work this is; it is made if missing."""
    folder.mkdir(parents=True, exist_ok=True)
    with _opening:
        status = _present(folder / "claims")
        known = _opened.get((status.st_dev, status.st_ino))
        if known is None:
            file = os.open(folder / "claims", os.O_RDWR)
            known = _opened.setdefault(
                (status.st_dev, status.st_ino), Claims(file, unsupported=fcntl is None)
            )
    return known


def _present(path: Path) -> os.stat_result:
    """Return the state of the file, which is made if it is missing; none that is there is opened."""
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666))
    return path.stat()
