"""Every error cmbench raises on purpose; catch ``CmbenchError`` to catch them all."""

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import Any


class CmbenchError(Exception):
    """Base of all errors raised by cmbench. The message names the value and the remedy."""


class DatasetError(CmbenchError, ValueError):
    """A dataset is missing, unreadable, or breaks the dataset contract."""


class MethodError(CmbenchError, ValueError):
    """A method is unknown, cannot be imported, or was given input it cannot work with."""


class EvaluationError(CmbenchError, ValueError):
    """Representations or labels cannot be evaluated (shape, NaN, unknown protocol)."""


class StoreError(CmbenchError):
    """A record in a results store is unreadable or contradicts another."""


class DamagedArraysError(StoreError):
    """The arrays of a record are there, and cannot be read."""


class IncompleteRunError(StoreError):
    """Some planned cells have no record that can be read; ``records`` holds those of the others."""

    def __init__(self, message: str, records: Sequence[Mapping[str, Any]]) -> None:
        super().__init__(message)
        self.records = records


class ExecutionError(CmbenchError):
    """Cells cannot be run where they were to run: a scheduler or a worker is not there, or is another one."""


class ReportError(CmbenchError, ValueError):
    """A table or figure cannot be made from the records at hand."""


class CmbenchWarning(UserWarning):
    """Something a user should know of a result; on the command line, one line on standard error."""


class DatasetWarning(CmbenchWarning):
    """Something about a dataset that makes numbers on it questionable."""


class MethodWarning(UserWarning):
    """A fit went on, but something about the data or the parameters makes its result doubtful."""


class DamagedRecordWarning(CmbenchWarning):
    """A record that cannot be read, and is left out of what is made from the others."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the known name that is most like a misspelt one, as a question for the error; else nothing.

    >>> did_you_mean("Kcca", ["cca", "kcca"]), did_you_mean("pictures", ["cca", "kcca"])
    (" (did you mean 'kcca'?)", '')
    """
    others = {other.lower(): other for other in known if other != name}
    near = get_close_matches(name.lower(), others, 1)
    return f" (did you mean {others[near[0]]!r}?)" if near else ""


def listed(names: Sequence[object], most: int = 3, *, between: str = ", ") -> str:
    """Return the first of the names in words, and how many more there are.

    >>> print(listed(["sea", "sky", "sun"], 2), "/", listed(range(2), 2, between="; "))
    sea, sky and 1 more / 0; 1
    """
    shown = between.join(map(str, names[:most]))
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def either(values: Iterable[object]) -> str:
    """Return alternatives in words.

    >>> print(either([100]), "/", either([80, 100]), "/", either([80, 100, 360]))
    100 / 80 or 100 / 80, 100 or 360
    """
    *others, last = map(str, values)
    return f"{', '.join(others)} or {last}" if others else last


def text_of(error: BaseException) -> str:
    """Return the text of an exception, or why it has none: a method's own may raise another."""
    try:
        return str(error)
    except Exception as other:
        return f"its text cannot be had: {type(other).__name__} in its __str__"


def installed(library: str, package: str, purpose: str) -> Any:
    """Return an optional library, or raise ``DatasetError`` that says what to install for ``purpose``."""
    try:
        return import_module(library)
    except (ImportError, RuntimeError) as error:  # RuntimeError: built for another PyTorch
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DatasetError(
            f"{purpose} needs {package}, which cannot be imported ({reason}): pip install {package}"
        ) from error
