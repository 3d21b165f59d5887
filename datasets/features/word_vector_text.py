"""Word vectors as text: a word and its values in each line, with or without a header."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from cmbench.datasets.features.word_vector_rows import announced_sizes, decoded_word, finite_values
from cmbench.errors import DatasetError


def text_rows(
    lines: Iterable[bytes], name: str, wanted: frozenset[str] | None
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Yield each wanted word (all if None) and its values (d,) from the lines of the file ``name``.

    A first line of two whole numbers is a header, and what it announces has to come. Fields are parted by
    single spaces and nothing else, because words may hold the other blanks of Unicode; some words of the
    large GloVe files hold spaces as well, and values are therefore counted from the end of the line.
    """
    numbered = ((number, line.rstrip(b" \r\n")) for number, line in enumerate(lines, start=1))
    filled: Iterator[tuple[int, bytes]] = ((number, line) for number, line in numbered if line)
    first = next(filled, None)
    if first is None:
        raise DatasetError(f"{name} is empty; get the file again")
    announced = announced_sizes(first[1])
    if announced is None:
        filled, size = chain([first], filled), first[1].count(b" ")
    else:
        size = announced[1]
    if not size:
        raise DatasetError(f"{name}: line 1 has no values; each line is a word and its values")
    number = count = 0
    for count, (number, line) in enumerate(filled, start=1):  # noqa: B007 - compared with the header
        place = f"{name}: line {number}"
        fields = _fields(line, size, place)
        word = decoded_word(b" ".join(fields[:-size]), place)
        if wanted is None or word in wanted:
            yield word, finite_values(_numbers(fields[-size:], place), word, place)
    if announced is not None and count != announced[0]:
        raise DatasetError(
            f"{name} has {count} words, and its header announces {announced[0]}; "
            f"it is cut off after line {number} or put together from several, get it again"
        )


def _fields(line: bytes, size: int, place: str) -> list[bytes]:
    fields = line.split(b" ")
    found = len(fields) - 1
    if found < size or (found > size and _is_number(fields[-size - 1])):
        raise DatasetError(
            f"{place} has {found} values, and {size} are expected; the line is damaged or cut off, "
            "get the file again"
        )
    return fields


def _is_number(field: bytes) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _numbers(fields: list[bytes], place: str) -> NDArray[np.float32]:
    try:
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused as such
            return np.array([float(field) for field in fields], dtype=np.float32)
    except ValueError as error:
        raise DatasetError(f"{place}: {error}; the line is damaged, get the file again") from error
