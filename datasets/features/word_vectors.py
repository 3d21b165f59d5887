"""Word vectors of anyone's training, read from the files in which they are handed round."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Collection, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, cast

import numpy as np
from numpy.typing import NDArray

from cmbench.datasets.draft import FloatMatrix
from cmbench.datasets.features.word_vector_archive import archive_rows
from cmbench.datasets.features.word_vector_binary import binary_rows
from cmbench.datasets.features.word_vector_text import text_rows
from cmbench.errors import DatasetError

WordRow = tuple[str, NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class WordVectors:
    """Words and a vector for each.

    Parameters
    ----------
    words : n words, no two alike
    values : float32 (n, d), finite
    digest : SHA-256 (hexadecimal) of the file they came from; empty if they came from none

    Examples
    --------
    >>> vectors = WordVectors(("boat", "Paris"), np.eye(2, dtype=np.float32))
    >>> [vectors.row(word) for word in ("boat", "Boat", "Paris", "paris")]
    [0, 0, 1, None]
    """

    words: tuple[str, ...]
    values: FloatMatrix = field(repr=False)
    digest: str = ""

    def __post_init__(self) -> None:
        rows, dimensions = len(self.words), self.values.ndim
        if dimensions != 2 or len(self.values) != rows or self.values.dtype != np.float32:
            raise DatasetError(
                f"values are {self.values.dtype} of shape {self.values.shape} for {rows} words; "
                f"give float32 of shape ({rows}, d)"
            )
        if len(self.rows) < rows:
            raise DatasetError(f"{rows - len(self.rows)} of {rows} words stand twice; give each word once")

    @classmethod
    def none(cls, dimension: int) -> WordVectors:
        """Return no words with vectors of that dimension: all that training texts hold will be drawn.

        >>> len(WordVectors.none(25))
        0
        """
        if dimension < 1:
            raise DatasetError(f"dimension is {dimension}; word vectors must have 1 or more")
        return cls((), np.zeros((0, dimension), np.float32))

    def __len__(self) -> int:
        return len(self.words)

    @cached_property
    def rows(self) -> dict[str, int]:
        """The row of each word."""
        return {word: row for row, word in enumerate(self.words)}

    def row(self, word: str) -> int | None:
        """Return the row of a word as it is written, otherwise of its lower case, otherwise None."""
        found = self.rows.get(word)
        return self.rows.get(word.lower()) if found is None else found


def load_word_vectors(path: Path | str, wanted: Collection[str] | None = None) -> WordVectors:
    """Return the word vectors in a file, or those of the ``wanted`` words alone.

    Read are ``.bin``, the binary format of word2vec; ``.npz`` with the arrays ``words`` (str) and
    ``vectors`` (float, one row for each word); and, under every other name, text: a word and its values
    in each line, with the header of word2vec or, as from GloVe, without one. A further ``.gz`` says that
    the file is compressed. The formats but ``.npz`` are read piece by piece, so that memory holds no more
    than the wanted words. Of a word that stands twice the first vector counts.

    Raises ``DatasetError`` where the file is damaged or cut off, a line has too many or too few values, a
    word is not UTF-8, a vector that is kept is not finite, or none is kept. Text without a header that is
    cut off within its last number looks like a whole one: compare ``digest`` with its publisher's.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        rows = _first_of_each(_rows(path, None if wanted is None else frozenset(wanted)))
    except (OSError, EOFError, zlib.error) as error:
        reason = str(error) or type(error).__name__
        raise DatasetError(f"{path} cannot be read ({reason}); get the file again") from error
    if not rows:
        raise DatasetError(f"{path} has no vector for any word asked for; look at the language of the file")
    return WordVectors(tuple(rows), np.stack(list(rows.values())), digest)


def _rows(path: Path, wanted: frozenset[str] | None) -> Iterator[WordRow]:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packed = suffixes[-1:] == [".gz"]
    kind = "".join((suffixes[:-1] if packed else suffixes)[-1:])
    if kind == ".zip":
        raise DatasetError(f"{path} is a ZIP archive; unpack it, and name the file of vectors")
    if kind == ".npz" and not packed:
        yield from archive_rows(path, wanted)
        return
    with closing(cast(IO[bytes], gzip.open(path) if packed else path.open("rb"))) as file:
        yield from (binary_rows if kind == ".bin" else text_rows)(file, str(path), wanted)


def _first_of_each(rows: Iterator[WordRow]) -> dict[str, NDArray[np.float32]]:
    first: dict[str, NDArray[np.float32]] = {}
    for word, values in rows:
        first.setdefault(word, values)
    return first
