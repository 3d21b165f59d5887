"""Places for what is written: tried before there is anything to lose, and named when they fail."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile

from filelock import FileLock, Timeout

from cmbench.errors import DatasetError


def check_place(folder: Path) -> None:
    """Make a folder that is missing, and raise ``DatasetError`` unless files can be written to it."""
    with writing_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass


@contextmanager
def writing_to(place: Path) -> Iterator[None]:
    """Make of every error of the system a ``DatasetError`` with the path, or ``place`` where it has none."""
    try:
        yield
    except OSError as error:
        raise DatasetError(
            f"{error.filename or place}: cannot be written or read ({error.strerror or error}); see that "
            "there is room and permission, or name another place"
        ) from error


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other processes that ask for it out of ``folder``; ``DatasetError`` where one is in it.

    The file ``.lock`` stays there. What locks it is the process, so that none is locked out by a dead one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        held = FileLock(folder / ".lock").acquire(timeout=0)
    except Timeout as error:
        raise DatasetError(
            f"{folder} is in use by another extraction; wait for its end, or name another folder (--work)"
        ) from error
    with held:
        yield
