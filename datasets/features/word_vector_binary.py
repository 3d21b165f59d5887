"""Word vectors in the binary format of word2vec."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

import numpy as np
from numpy.typing import NDArray

from cmbench.datasets.features.word_vector_rows import announced_sizes, decoded_word, finite_values
from cmbench.errors import DatasetError

CHUNK = 1 << 20
LONGEST_LINE = 4096
"""Bytes of a header or a word; where there are more, the file is of another format."""


def binary_rows(
    file: IO[bytes], name: str, wanted: frozenset[str] | None
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Yield each wanted word (all if None) and its values (d,) from an open file, ``name`` in errors.

    A line of two numbers, n and d, is followed by n times a word, a space and d little-endian float32. The
    original program ends each vector by a line feed, and others do not.
    """
    header = file.readline(LONGEST_LINE)
    announced = announced_sizes(header)
    if announced is None or announced[1] < 1:
        raise DatasetError(
            f"{name} starts with {header[:40]!r}, and not with the numbers of words and dimensions; if it is "
            "text name it .txt, and if it is a model of another program export its vectors as text"
        )
    count, size = announced
    for number, (word_bytes, values_bytes) in enumerate(_entries(file, name, count, 4 * size), start=1):
        place = f"{name}: word {number} of {count}"
        word = decoded_word(word_bytes, place)
        if wanted is None or word in wanted:
            values = np.frombuffer(values_bytes, dtype="<f4").astype(np.float32)
            yield word, finite_values(values, word, place)


def _entries(file: IO[bytes], name: str, count: int, width: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield ``count`` words with the ``width`` bytes of their values; there has to be nothing else."""
    buffer, start = b"", 0
    for number in range(1, count + 1):
        while (space := buffer.find(b" ", start)) < 0 or len(buffer) < space + 1 + width:
            if space < 0 and len(buffer) - start > LONGEST_LINE:
                raise DatasetError(
                    f"{name}: word {number} of {count} has no end; the file is damaged, get it again"
                )
            chunk = file.read(CHUNK)
            if not chunk:
                raise DatasetError(f"{name} is cut off at word {number} of {count}; get the file again")
            buffer, start = buffer[start:] + chunk, 0
        end = space + 1 + width
        yield buffer[start:space].lstrip(b"\n"), buffer[space + 1 : end]
        start = end
    if (buffer[start:] + file.read(CHUNK)).strip():
        raise DatasetError(f"{name} goes on after the {count} words its header announces; get the file again")
