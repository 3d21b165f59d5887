"""What is written to disk and read from it: whole files or none, locks, and what damaged files raise."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from struct import error as StructError
from tempfile import TemporaryFile
from zipfile import BadZipFile
from zlib import error as ZlibError

from filelock import FileLock, Timeout

from cmbench.errors import DatasetError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path beside ``path``, with the same suffix, that takes its place when the block ends.

    The content reaches the disk before the name does, so that not even a power cut leaves a
    truncated file. After an error nothing is left behind and an older ``path`` is unchanged.
    Missing folders are made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield beside
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


DAMAGE: tuple[type[Exception], ...] = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    SyntaxError,
    LookupError,
    ArithmeticError,
    MemoryError,
    RuntimeError,
    AttributeError,
    NameError,
    BadZipFile,
    StructError,
    ZlibError,
)
"""A damaged file can lead its reader anywhere, so this is wide: catch it around a reader's call only."""


def damaged(what: object, error: Exception) -> str:
    """Return a sentence on a file or array that its reader gave up on."""
    reason = str(error) or type(error).__name__
    if "object" in reason.lower():  # NumPy's word for arrays that only unpickling could read
        return (
            f"{what} is an array of Python objects, which is not loaded because that could run code; "
            "save numbers as float32 or int64, texts as numpy.array(texts, dtype=str), ragged parts as "
            "values and offsets"
        )
    return f"{what} cannot be read ({reason}); it is damaged or incomplete, make or download it again"


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
