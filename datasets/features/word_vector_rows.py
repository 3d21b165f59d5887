"""What the readers of word vectors have to check alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cmbench.errors import DatasetError


def decoded_word(word: bytes, place: str) -> str:
    """Return the word; ``place`` (the file and where in it) is for the error of bytes that are not UTF-8."""
    try:
        return word.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DatasetError(
            f"{place}: the word {word[:40]!r} is not UTF-8; convert the file, or check its format by its name"
        ) from error


def finite_values(values: NDArray[np.float32], word: str, place: str) -> NDArray[np.float32]:
    """Return ``values`` (d,), which have to be finite."""
    if not np.isfinite(values).all():
        found = values[~np.isfinite(values)][0]
        raise DatasetError(
            f"{place}: the vector of {word!r} holds {found}; get the file again, or drop the word"
        )
    return values


def announced_sizes(header: bytes) -> tuple[int, int] | None:
    """Return the numbers of words and dimensions that a header announces; None if it is not one.

    >>> announced_sizes(b"3000000 300"), announced_sizes(b"the 0.418 0.24968")
    ((3000000, 300), None)
    """
    fields = header.split()
    if len(fields) != 2 or not all(each.isdigit() for each in fields):
        return None
    return int(fields[0]), int(fields[1])
