"""What reaches the terminal: text in whatever encoding it has, and warnings as one line each."""

from __future__ import annotations

import codecs
import sys
import warnings
from io import TextIOWrapper
from typing import TextIO

import click

from cmbench.errors import CmbenchWarning
from cmbench.output import printable

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
    """Let no character and no warning of cmbench's spoil the output of this process.

    What the encoding of a terminal, pipe or file does not have is written readably: ``->`` for an arrow, or
    else the escape of the character. A ``CmbenchWarning`` is one line, without the place in the code.
    """
    codecs.register_error(READABLE, _readable)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors=READABLE)
    warnings.showwarning = _show_warning


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
