"""Word vectors of anyone's training, read from the files in which they are handed round."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from cmbench.datasets.draft import FloatMatrix
from cmbench.datasets.formats.numpy_files import opened_npz
from cmbench.disk import DAMAGE, damaged
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


def archive_rows(path: Path, wanted: frozenset[str] | None) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Yield each wanted word (all if None) and its values (d,) from the arrays ``words`` and ``vectors``.

    Arrays of Python objects are refused, never unpickled.
    """
    words, vectors = _arrays(path)
    if words.dtype.kind != "U" or words.ndim != 1:
        raise DatasetError(
            f"{path}: words is {words.dtype} of shape {words.shape}; save numpy.array(words, dtype=str)"
        )
    if vectors.dtype.kind != "f" or vectors.ndim != 2 or len(vectors) != len(words) or not vectors.size:
        raise DatasetError(
            f"{path}: vectors is {vectors.dtype} of shape {vectors.shape} for {len(words)} words; "
            f"save float32 of shape ({len(words)}, d)"
        )
    for row, word in enumerate(words.tolist()):
        if wanted is None or word in wanted:
            with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused
                values = vectors[row].astype(np.float32)
            yield word, finite_values(values, word, f"{path}: row {row} of vectors")


def _arrays(path: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    with opened_npz(path) as archive:
        missing = [key for key in ("words", "vectors") if key not in archive.files]
        if missing:
            raise DatasetError(
                f"{path} has no array {missing[0]!r}; save words and vectors by numpy.savez(path, words=..., "
                "vectors=...)"
            )
        return _array(archive, "words", path), _array(archive, "vectors", path)


def _array(archive: Any, key: str, path: Path) -> NDArray[Any]:
    try:
        values: NDArray[Any] = archive[key]
    except DAMAGE as error:
        raise DatasetError(f"{path}: {damaged(key, error)}") from error
    return values


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
