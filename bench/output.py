"""What users get: files under names of their choice, and text that is safe on a terminal."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cmbench.disk import replacing, writing_to
from cmbench.errors import ReportError


@contextmanager
def output_file(path: Path) -> Iterator[Path]:
    """Yield a path beside the file that a user named, which takes its place when the block ends.

    What a symbolic link points to is replaced, not the link, and an older file's mode and owner stay.
    Raises ``ReportError`` for what is no plain file (a device, a FIFO, a folder), for a folder that is
    missing, and for every error of the system.
    """
    target = check_output(path)
    with writing_to(target, raising=ReportError), replacing(target) as beside:
        yield beside
        if target.exists():
            _keep_mode(target, beside)


def check_output(path: Path) -> Path:
    """Return the file that ``output_file`` writes for ``path``; raises ``ReportError`` where it would."""
    try:
        target = path.resolve(strict=False)
        mode = target.stat().st_mode if target.exists() else None
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle, as Python 3.11 says it
        raise ReportError(f"{path}: cannot be written ({error}); name another file") from error
    if mode is not None and not stat.S_ISREG(mode):
        raise ReportError(
            f"{path} is {_kind(mode)}, and only a plain file can be replaced as a whole; name another "
            "file, or leave --output out and redirect what is printed"
        )
    check_parent(path)
    if not os.access(target.parent, os.W_OK):
        raise ReportError(f"{path}: nothing may be written to the folder {target.parent}; name another place")
    return target


def check_parent(path: Path) -> None:
    """Raise ``ReportError`` where there is no folder for what is to be written at ``path``: none is made."""
    folder = Path(os.path.realpath(path)).parent
    if not folder.is_dir():
        raise ReportError(f"{path}: there is no folder {folder}; make it first, or name another place")


def _kind(mode: int) -> str:
    kinds = {stat.S_ISDIR: "a folder", stat.S_ISFIFO: "a FIFO", stat.S_ISSOCK: "a socket"}
    return next((name for is_kind, name in kinds.items() if is_kind(mode)), "a device")


def _keep_mode(older: Path, beside: Path) -> None:
    status = older.stat()
    if hasattr(os, "chown"):  # not on Windows
        with suppress(PermissionError):  # another's file in a folder of ours: it becomes ours
            os.chown(beside, status.st_uid, status.st_gid)
    beside.chmod(stat.S_IMODE(status.st_mode))


_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\t\n"}


def plural(word: str, count: int) -> str:
    """Return a word as it stands behind a number.

    >>> plural("cell", 1), plural("cell", 0), plural("cell", 2)
    ('cell', 'cells', 'cells')
    """
    return word if count == 1 else f"{word}s"


def printable(text: str) -> str:
    r"""Return the text with control characters written out, so that none of them reaches a terminal.

    Names of datasets and messages of methods come from others; an escape sequence in them could clear
    the screen, or type a command. Tabs and ends of lines stay.

    >>> print(printable("red \x1b[31m and a bell \a"))
    red \x1b[31m and a bell \x07
    """
    return text.translate(_CONTROLS)
