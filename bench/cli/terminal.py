"""What reaches the terminal: text in whatever encoding it has, and warnings as one line each."""

from __future__ import annotations

import codecs
import os
import shutil
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any, TextIO, cast

import click

from cmbench.errors import CmbenchWarning
from cmbench.output import printable

if TYPE_CHECKING:
    from cmbench.report.layout import Table

READABLE = "cmbench.readable"
_PLAIN = {
    "→": "->",
    "±": "+-",
    "\u00d7": "x",
    "…": "...",
    "≤": "<=",
    "≥": ">=",
    "·": "*",
    "\u2013": "-",
    "\u2014": "-",
    "\u2018": "'",
    "\u2019": "'",
    "\u201c": '"',
    "\u201d": '"',
    "\u2212": "-",
}


def prepare() -> None:
    """Let no character and no warning of cmbench's spoil the output, and no lost terminal end the work.

    What the encoding of a terminal, pipe or file does not have is written readably: ``->`` for an arrow, or
    else the escape of the character. A ``CmbenchWarning`` is one line, without the place in the code. What
    is closed, as ``>&-`` does, goes nowhere.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - until the end
    codecs.register_error(READABLE, _readable)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors=READABLE)
    warnings.showwarning = _show_warning
    sys.stderr = cast(TextIO, LastingStream(sys.stderr))


def _readable(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(_PLAIN.get(character) or _escape(character) for character in text), error.end


def _escape(character: str) -> str:
    return character.encode("ascii", "backslashreplace").decode("ascii")


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    if issubclass(category, CmbenchWarning):
        click.echo(printable(f"cmbench: {message}"), err=True)
    else:
        text = warnings.formatwarning(message, category, filename, lineno, line)
        click.echo(text, file=file or sys.stderr, nl=False)


def print_tables(tables: Sequence[Table], *, verbose: bool = False) -> None:
    """Print tables as wide as the terminal is, in colour unless NO_COLOR is set."""
    from cmbench.report.screen import text

    shown = text(
        tables,
        width=shutil.get_terminal_size().columns,
        verbose=verbose,
        colour=not os.environ.get("NO_COLOR"),
        encoding=sys.stdout.encoding,
    )
    click.echo(shown, nl=False)


class LastingStream:
    """A text stream that work does not depend on: what cannot be written to it is dropped.

    The terminal may have been closed, the pipe's reader gone, the disk full. From then on the stream's
    descriptor leads nowhere, so that what is still in a buffer causes no error at the end either.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with self._dropping():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._dropping():
            self._stream.flush()

    @contextmanager
    def _dropping(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            lead_nowhere(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def lead_nowhere(stream: TextIO) -> None:
    """Have what is written to a stream of the system from now on go to the null device."""
    with suppress(OSError, ValueError):  # a stream without a descriptor has nothing to redirect
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, stream.fileno())
        os.close(nothing)
