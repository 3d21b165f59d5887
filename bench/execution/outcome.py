"""What a child left in its folder, read as something that anybody may have written.

Files are opened only where they are plain: no links, which would make the run read for a method what it
may not read itself, no FIFOs, at which a reader waits for ever, no folders, no devices. Their size is
looked at before they are read, and what stands in them is checked by type and value.
"""

from __future__ import annotations

import json
import math
import os
import stat
import traceback
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from cmbench.disk import DAMAGE
from cmbench.errors import MethodError, text_of
from cmbench.execution.job import CURVES, DISK_FULL, LOOKS, OUTCOME
from cmbench.methods.training.progress import Look

STATUSES = ("ok", "failed", "out-of-memory", DISK_FULL)
"""What a child may say of itself."""

LONGEST_TEXT = 20_000
"""Characters that a record keeps of a message, of a traceback, or of any other text that a method left."""

LONGEST_TEXT_LEFT = 100_000
"""Characters that a child leaves of such a text, so that its outcome is never too long to be read."""

MOST_COLUMNS = 65_536
"""Of representations: far more than any space that items are compared in."""

MOST_WARNINGS = 20
"""Warnings that a child leaves of its method, the first; a record keeps fewer."""

MOST_LOOKS = 10_000
"""Looks at validation that are read of a training, the first."""

_MOST_LOOK_BYTES = 4_000_000
_MOST_OUTCOME_BYTES = 16_000_000
_MOST_CURVE_BYTES = 64_000_000
_MOST_LOG_BYTES = 20_000_000
_MOST_NUMBER = 2**60
_LONGEST_STAGE = 200
_LOG_TAIL = 8000  # characters of the log that the record of a crashed cell repeats

# The evaluator holds the representations as they were given, a gallery of both modalities, its rows at unit
# length, and pieces of these, each in floats of four bytes or eight.
_COPIES = 6


def shortened(text: str, longest: int = LONGEST_TEXT) -> str:
    r"""Return the text, or its beginning and end and between them how much is left out.

    >>> shortened("a" * 50 + "b" * 50, 20)
    'aaaaaaaaaa\n[80 characters left out]\nbbbbbbbbbb'
    """
    if len(text) <= longest:
        return text
    half = longest // 2
    return f"{text[:half]}\n[{len(text) - 2 * half} characters left out]\n{text[-half:]}"


def failure(
    kind: str, message: str, *, traceback: str = "", exit_status: int | None = None
) -> dict[str, Any]:
    """Return what a record says of an error; ``traceback`` may be the end of a log."""
    return {"type": kind, "message": message, "traceback": traceback, "exit_status": exit_status}


def described(error: BaseException, exit_status: int | None = None) -> dict[str, Any]:
    """Return what a record says of an exception, with texts no longer than a child leaves them."""
    told = "".join(traceback.format_exception(error))
    return failure(
        type(error).__name__,
        shortened(text_of(error), LONGEST_TEXT_LEFT),
        traceback=shortened(told, LONGEST_TEXT_LEFT),
        exit_status=exit_status,
    )


# No link is followed, and nobody waited for who might write into a FIFO; Windows has neither.
_READING = os.O_RDONLY | sum(
    getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY")
)


class LeftBehindError(MethodError):
    """What a method's process left in its folder is not what it should have left."""


def read_outcome(folder: Path) -> dict[str, Any] | None:
    """Return what a child says of itself, or None if it left nothing; raises ``LeftBehindError``."""
    if not os.path.lexists(folder / OUTCOME):
        return None
    with plain_file(folder / OUTCOME, _MOST_OUTCOME_BYTES) as file:
        text = file.read()
    try:
        content = json.loads(text, parse_constant=_refused)
    except (ValueError, RecursionError) as error:
        raise LeftBehindError(f"the method left an {OUTCOME} that is not JSON ({error})") from error
    if not isinstance(content, dict):
        raise LeftBehindError(f"the method left an {OUTCOME} that holds {_named(content)}, not an object")
    return _checked(content, "status", _is_status) | _rest(content)


def _rest(content: Mapping[str, Any]) -> dict[str, Any]:
    rules = _OF_A_RESULT if content["status"] == "ok" else _OF_A_FAILURE
    checked = (_checked(content, name, rule) for name, rule in rules.items())
    return {name: value for entry in checked for name, value in entry.items()}


def _checked(content: Mapping[str, Any], name: str, rule: Callable[[Any], bool]) -> dict[str, Any]:
    if name not in content:
        raise LeftBehindError(f"the method left an {OUTCOME} without {name!r}")
    if not rule(content[name]):
        raise LeftBehindError(f"the method left an {OUTCOME} in which {name!r} is {_named(content[name])}")
    return {name: content[name]}


def _named(value: Any) -> str:
    text = repr(value)
    return (
        f"{text[:60]}... ({type(value).__name__})" if len(text) > 60 else f"{text} ({type(value).__name__})"
    )


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is no number that a record can hold")


def _is_status(value: Any) -> bool:
    return isinstance(value, str) and value in STATUSES


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST_NUMBER


def _is_seconds(value: Any) -> bool:
    return _is_number(value) and 0 <= value < _MOST_NUMBER


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) if isinstance(value, float) else abs(value) < 2**1000


def _are_durations(value: Any) -> bool:
    named = isinstance(value, dict) and {"fit", "transform"} <= set(value)
    return named and all(_is_seconds(seconds) for seconds in value.values())


def _are_fitted(value: Any) -> bool:
    return isinstance(value, dict) and all(
        item is None or isinstance(item, bool | str) or _is_number(item) for item in value.values()
    )


def _are_warnings(value: Any) -> bool:
    listed = isinstance(value, list) and len(value) <= MOST_WARNINGS
    return listed and all(isinstance(text, str) for text in value)


def _is_accelerator(value: Any) -> bool:
    return value is None or (
        isinstance(value, dict)
        and set(value) == {"name", "peak_memory_bytes"}
        and isinstance(value["name"], str)
        and _is_size(value["peak_memory_bytes"])
    )


def _is_error(value: Any) -> bool:
    texts = ("type", "message", "traceback")
    return isinstance(value, dict) and all(isinstance(value.get(name), str) for name in texts)


_OF_A_FAILURE: Mapping[str, Callable[[Any], bool]] = {
    "error": _is_error,
    "peak_memory_bytes": _is_size,
    "accelerator": _is_accelerator,
}

_OF_A_RESULT: Mapping[str, Callable[[Any], bool]] = {
    "durations": _are_durations,
    "fitted": _are_fitted,
    "transductive": lambda value: isinstance(value, bool),
    "weights": _is_size,
    "repeats": lambda value: value is None or isinstance(value, bool),
    "warnings": _are_warnings,
    "peak_memory_bytes": _is_size,
    "accelerator": _is_accelerator,
}


def read_curves(folder: Path) -> dict[str, NDArray[np.float64]]:
    """Return the curves of the training, arrays (points,) of one length; raises ``LeftBehindError``."""
    with plain_file(folder / CURVES, _MOST_CURVE_BYTES) as file, _as_left(CURVES):
        with zipfile.ZipFile(file) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > _MOST_CURVE_BYTES:
            raise LeftBehindError(f"the method left {CURVES} of {unpacked} bytes; keep fewer points")
        with np.load(file, allow_pickle=False) as arrays:
            curves = {name: arrays[name] for name in arrays.files}
    well = all(
        name.startswith("curve_") and values.dtype == np.float64 and values.ndim == 1
        for name, values in curves.items()
    )
    if not well or len({len(values) for values in curves.values()}) > 1:
        raise LeftBehindError(f"the method left {CURVES} with other arrays than its curves")
    return curves


def read_looks(folder: Path) -> list[Look]:
    """Return the looks at validation that a child has reported so far, up to the first line that is none."""
    try:
        with plain_file(folder / LOOKS, _MOST_LOOK_BYTES) as file:
            lines = file.read().split(b"\n")[:-1]  # a line without its end is being written
    except LeftBehindError:  # nothing is reported, or not as it should be
        return []
    looks = []
    for line in lines[:MOST_LOOKS]:
        look = _look(line)
        if look is None:
            break
        looks.append(look)
    return looks


def _look(line: bytes) -> Look | None:
    try:
        held = json.loads(line)
        look = Look(held["stage"], held["epoch"], held["score"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    numbers = _is_number(look.epoch) and _is_number(look.score)
    named = isinstance(look.stage, str) and len(look.stage) <= _LONGEST_STAGE
    return Look(look.stage, float(look.epoch), float(look.score)) if numbers and named else None


def read_representations(folder: Path, modality: str, rows: int, *, most_bytes: int | None) -> NDArray[Any]:
    """Return the representations (rows, k) that a child left for a modality.

    ``most_bytes`` is what the evaluation may take. Raises ``LeftBehindError`` for anything else, before
    an array of its size is made; ``MemoryError`` for what could not be evaluated within ``most_bytes``.
    """
    path = folder / f"{modality}.npy"
    with plain_file(path, None) as file:
        with _as_left(path.name):
            shape, dtype, fortran = _header(file)
        if len(shape) != 2 or shape[0] != rows:
            raise LeftBehindError(
                f"representations of {modality} have shape {shape}; transform_{modality} "
                f"must return one row of k numbers for each of the {rows} rows it is given"
            )
        _check_size(modality, shape, dtype, most_bytes)
        size = shape[0] * shape[1] * dtype.itemsize
        if dtype.kind not in "fiu" or os.fstat(file.fileno()).st_size != file.tell() + size:
            raise LeftBehindError(f"the method left {path.name}, which does not hold what its header says")
        flat = np.fromfile(file, dtype=dtype, count=shape[0] * shape[1])
    result: NDArray[Any] = flat.reshape(shape, order="F" if fortran else "C")
    return result


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any], bool]:
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    version = np.lib.format.read_magic(file)
    if version not in readers:
        raise ValueError(f"version {version} of the format")
    shape, fortran, dtype = readers[version](file)
    return shape, dtype, fortran


def _check_size(modality: str, shape: tuple[int, ...], dtype: np.dtype[Any], most_bytes: int | None) -> None:
    rows, columns = shape
    if columns > MOST_COLUMNS:
        raise LeftBehindError(
            f"representations of {modality} have {columns} columns; at most {MOST_COLUMNS} are evaluated, so "
            f"transform_{modality} must map into a space of fewer"
        )
    needed = _COPIES * 2 * rows * columns * max(4, dtype.itemsize)
    if most_bytes is not None and needed > most_bytes:
        raise MemoryError(
            f"evaluating {rows} x {columns} representations of each modality would take about "
            f"{needed / 1e9:.2f} GB, over the cell's limit of {most_bytes / 1e9:.2f} GB"
        )


def log_tail(log: Path) -> str:
    """Return the end of a cell's log; of one that the method has made away with, that it did so."""
    try:
        with plain_file(log, None) as file:
            # a character takes at most four bytes
            file.seek(max(0, os.fstat(file.fileno()).st_size - 4 * _LOG_TAIL))
            return file.read(4 * _LOG_TAIL).decode("utf-8", errors="replace")[-_LOG_TAIL:]
    except LeftBehindError as error:
        return f"(no log: {error})"


def whole_log(log: Path) -> bytes:
    """Return what a cell has printed; of one whose log is no plain file any more, a line that says so."""
    try:
        with plain_file(log, None) as file:
            return file.read(_MOST_LOG_BYTES)
    except LeftBehindError as error:
        return f"(no log: {error})\n".encode()


@contextmanager
def plain_file(path: Path, most_bytes: int | None) -> Iterator[IO[bytes]]:
    """Open a plain file of one name and at most so many bytes; raises ``LeftBehindError``."""
    try:
        descriptor = os.open(path, _READING)
    except OSError as error:
        raise LeftBehindError(f"the method left no readable {path.name} ({error.strerror})") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
            raise LeftBehindError(f"the method left {path.name} as something else than a plain file")
        if most_bytes is not None and status.st_size > most_bytes:
            raise LeftBehindError(
                f"the method left {path.name} of {status.st_size} bytes; at most {most_bytes} are read"
            )
        with open(descriptor, "rb", closefd=False) as file:
            yield file
    finally:
        os.close(descriptor)


@contextmanager
def _as_left(name: str) -> Iterator[None]:
    try:
        yield
    except LeftBehindError:
        raise
    except DAMAGE as error:
        raise LeftBehindError(f"the method left a {name} that cannot be read ({error})") from error
