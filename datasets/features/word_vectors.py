"""Word vectors of anyone's training, read from the files in which they are handed round.

What a file is, is told by its content and not by its name: text or the binary format of word2vec, plain or
compressed, with or without a byte order mark. ``load_word_vectors`` is the way in.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import hashlib
import io
import lzma
import unicodedata
import zipfile
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
from cmbench.datasets.formats.numpy_files import opened_npz, read_array
from cmbench.errors import DatasetError

WordRow = tuple[str, NDArray[np.float32]]
CHUNK = 1 << 20
HEAD = 1 << 16  # bytes that are looked at to tell the format
LONGEST_LINE = 4096
"""Bytes of a header or a word; where there are more, the file is of another format."""

UNLIKELY_SMALL, UNLIKELY_LARGE = 1e-15, 1e15
"""The largest number of a word vector is not so small, and not so large."""

GZIP, BZIP2, XZ, ZIP = b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"PK"
WEB_PAGE = "a web page and not word vectors: the download was refused or the address is wrong; get it again"
OTHER_KINDS = {
    b"\x80": "a Python pickle, which is not read because it could run code; export its vectors as text",
    b"\x28\xb5\x2f\xfd": "compressed with zstd; unpack it",
    b"7z\xbc\xaf": "a 7z archive; unpack it, and name the file of vectors",
    b"Rar!": "a RAR archive; unpack it, and name the file of vectors",
    b"\x89HDF": "an HDF5 file; export its vectors as text",
    b"PAR1": "a Parquet table; export its vectors as text",
    b"\xbaG": "a model of fastText; name its .vec file, which holds the vectors as text",
    b"<!": WEB_PAGE,
    b"<html": WEB_PAGE,
    b"version h": "a pointer of Git LFS and not word vectors; fetch them with 'git lfs pull'",
    b"\x93NUMPY": "a single array of NumPy's; save words too, by numpy.savez(path, words=..., vectors=...)",
    b'{"': "JSON; write a line of text for each word, the word and its values",
    **dict.fromkeys((GZIP, BZIP2, XZ, ZIP), "compressed twice; unpack it once"),
}
"""What else files of vectors turn out to be, by their first bytes."""

UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
UTF32_MARKS = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)


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
        row = self.rows.get(word)
        return self.rows.get(word.lower()) if row is None else row


def load_word_vectors(path: Path | str, wanted: Collection[str] | None = None) -> WordVectors:
    """Return the word vectors in a file, or those of the ``wanted`` words alone.

    Read are text, a word and its values in each line, between spaces or tabs, with the header of word2vec or,
    as from GloVe, without one; the binary format of word2vec; and ``.npz`` with the arrays ``words`` (str)
    and ``vectors`` (float, one row for each word). The first two may be compressed by gzip, bzip2 or xz, or
    be the only file of a ZIP archive, whatever they are called; they are read piece by piece, so that memory
    holds no more than the wanted words. Of a word that stands twice the first vector counts. A word that is
    not UTF-8 is nobody's wanted word, and left out where some are wanted.

    Raises ``DatasetError`` where the file is damaged, cut off or of another kind, a line has too many or too
    few values, a word is not UTF-8 and all words are wanted, a vector that is kept is not finite, or none is
    kept. Text without a header that is cut off within its last number looks like a whole one: compare
    ``digest`` with its publisher's.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        rows = _first_of_each(_rows(path, None if wanted is None else frozenset(wanted)))
    except (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, UnicodeError) as error:
        if isinstance(error, DatasetError):
            raise
        reason = str(error) or type(error).__name__
        raise DatasetError(f"{path} cannot be read ({reason}); get the file again") from error
    if not rows:
        raise DatasetError(f"{path} has no vector for any word asked for; look at the language of the file")
    return WordVectors(tuple(rows), np.stack(list(rows.values())), digest)


def _first_of_each(rows: Iterator[WordRow]) -> dict[str, NDArray[np.float32]]:
    first: dict[str, NDArray[np.float32]] = {}
    for word, values in rows:
        first.setdefault(word, values)
    return first


def _rows(path: Path, wanted: frozenset[str] | None) -> Iterator[WordRow]:
    if _is_npz(path):
        yield from archive_rows(path, wanted)
        return
    with closing(_plain(path)) as file:
        head = file.read(HEAD)
    _check_kind(head, path)
    is_binary = _is_binary(head)
    with closing(_plain(path)) as file:
        if is_binary:
            yield from binary_rows(file, str(path), wanted)
        else:
            yield from text_rows(_lines(file, head), str(path), wanted)


def _is_npz(path: Path) -> bool:
    """Return whether a file is to be an archive of NumPy's: by its name, or by the arrays in it."""
    if path.suffix.lower() == ".npz":
        return True
    return zipfile.is_zipfile(path) and "words.npy" in zipfile.ZipFile(path).namelist()


def _plain(path: Path) -> IO[bytes]:
    """Open a file, its content unpacked if its first bytes say that it is compressed."""
    with path.open("rb") as file:
        start = file.read(8)
    if start.startswith(GZIP):
        return cast(IO[bytes], gzip.open(path))
    if start.startswith(BZIP2):
        return bz2.open(path)
    if start.startswith(XZ):
        return lzma.open(path)
    return _only_file(path) if start.startswith(ZIP) else path.open("rb")


def _only_file(path: Path) -> IO[bytes]:
    """Open the one file of a ZIP archive."""
    if not zipfile.is_zipfile(path):
        raise DatasetError(f"{path} is a ZIP archive that cannot be read; get it again, and unpack it")
    archive = zipfile.ZipFile(path)
    names = [name for name in archive.namelist() if not name.endswith("/") and "__MACOSX" not in name]
    if len(names) != 1:
        listed = ", ".join(names[:5]) or "none"
        raise DatasetError(
            f"{path} is a ZIP archive of {len(names)} files ({listed}); unpack it, and name the file of "
            "vectors"
        )
    return archive.open(names[0])


def _check_kind(head: bytes, path: Path) -> None:
    """Raise ``DatasetError`` where the first bytes are those of something else."""
    if not head:
        raise DatasetError(f"{path} is empty; get the file again")
    kind = next(
        (kind for start, kind in OTHER_KINDS.items() if head[:9].lower().startswith(start.lower())), None
    )
    if head[257:262] == b"ustar":
        kind = "a TAR archive; unpack it, and name the file of vectors"
    if kind is not None:
        raise DatasetError(f"{path} is {kind}")


def _is_binary(head: bytes) -> bool:
    """Return whether a file is of word2vec's binary format: a header, and then no line of numbers."""
    header, _, rest = head.partition(b"\n")
    announced = announced_sizes(header)
    if announced is None:
        return False
    line = rest.partition(b"\n")[0].replace(b"\t", b" ").split()
    size = min(announced[1], len(line) - 1)  # a line of text may have fewer values, which is told later
    return bool(rest) and not (size > 0 and all(map(_is_number, line[-size:])))


def _lines(file: IO[bytes], head: bytes) -> Iterator[bytes]:
    """Yield the lines of a text as UTF-8, without a byte order mark."""
    if head.startswith((*UTF32_MARKS, *UTF16_MARKS)):
        encoding = "utf-32" if head.startswith(UTF32_MARKS) else "utf-16"
        text = io.TextIOWrapper(cast(Any, file), encoding=encoding, newline="\n")
        yield from (line.encode("utf-8") for line in text)
        return
    first = file.readline()
    yield first.removeprefix(codecs.BOM_UTF8)
    yield from file


def announced_sizes(header: bytes) -> tuple[int, int] | None:
    """Return the numbers of words and dimensions that a header announces; None if it is not one.

    >>> announced_sizes(b"3000000 300"), announced_sizes(b"the 0.418 0.24968")
    ((3000000, 300), None)
    """
    fields = header.removeprefix(codecs.BOM_UTF8).split()
    if len(fields) != 2 or not all(part.isdigit() for part in fields):
        return None
    return int(fields[0]), int(fields[1])


def text_rows(lines: Iterable[bytes], name: str, wanted: frozenset[str] | None) -> Iterator[WordRow]:
    """Yield each wanted word (all if None) and its values (d,) from the lines of the file ``name``.

    A first line of two whole numbers is a header, and what it announces has to come. Fields are parted by
    single spaces, or by tabs, and nothing else, because words may hold the other blanks of Unicode; some
    words of the large GloVe files hold spaces as well, and values are therefore counted from the end of the
    line.
    """
    numbered = ((number, line.rstrip(b" \t\r\n")) for number, line in enumerate(lines, start=1))
    filled: Iterator[tuple[int, bytes]] = ((number, line) for number, line in numbered if line)
    first = next(filled, None)
    if first is None:
        raise DatasetError(f"{name} is empty; get the file again")
    announced = announced_sizes(first[1])
    if announced is None:
        filled, size = chain([first], filled), len(_parted(first[1])) - 1
    else:
        size = announced[1]
    if not size:
        raise DatasetError(f"{name}: line 1 has no values{_other_separator(first[1])}")
    number = count = longer = 0
    for count, (number, line) in enumerate(filled, start=1):  # noqa: B007 - compared with the header
        place = f"{name}: line {number}"
        fields = _fields(line, size, place, is_declared=announced is not None)
        longer += len(fields) > size + 1 and _is_number(fields[-size - 1])
        word = _decoded(b" ".join(fields[:-size]), wanted, place)
        if word is not None:
            yield word, finite_values(_numbers(fields[-size:], place), word, place)
    if count > 2 and longer == count:  # of one or two words both may end in a number
        raise DatasetError(
            f"{name}: each line has more values than the {size} that its header announces; correct it"
        )
    if announced is not None and count != announced[0]:
        raise DatasetError(
            f"{name} has {count} words, and its header announces {announced[0]}; "
            f"it is cut off after line {number} or put together from several, get it again"
        )


def _parted(line: bytes) -> list[bytes]:
    """Return the fields of a line; where there is a tab, the word ends at the first one."""
    if b"\t" not in line:
        first, *others = line.lstrip(b" ").split(b" ")
        return [first, *filter(None, others)]
    word, _, values = line.partition(b"\t")
    return [word, *values.split()]


def _other_separator(line: bytes) -> str:
    for mark, name in ((b",", "commas"), (b";", "semicolons")):
        if line.count(mark) > 1:
            return f" between spaces or tabs; its fields are separated by {name}, write spaces"
    return "; each line is a word and its values"


def _fields(line: bytes, size: int, place: str, *, is_declared: bool) -> list[bytes]:
    """Return the fields of a line; a word may end in a number only where a header declares the dimension."""
    fields = _parted(line)
    values = len(fields) - 1
    if values < size or (values > size and not is_declared and _is_number(fields[-size - 1])):
        raise DatasetError(
            f"{place} has {values} values, and {size} are expected; the line is damaged or cut off, "
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
        raise DatasetError(
            f"{place}: {error}; the line is damaged, or a header that is not two whole numbers; get the file "
            "again, or remove the line"
        ) from error


def binary_rows(file: IO[bytes], name: str, wanted: frozenset[str] | None) -> Iterator[WordRow]:
    """Yield each wanted word (all if None) and its values (d,) from an open file, ``name`` in errors.

    A line of two numbers, n and d, is followed by n times a word, a space and d little-endian float32. The
    original program ends each vector by a line feed, and others do not.
    """
    announced = announced_sizes(file.readline(LONGEST_LINE))
    assert announced is not None, "told by the header"
    count, size = announced
    if size < 1:
        raise DatasetError(f"{name} announces vectors of {size} dimensions; get the file again")
    for number, (word_bytes, values_bytes) in enumerate(_entries(file, name, count, 4 * size), start=1):
        place = f"{name}: word {number} of {count}"
        word = _decoded(word_bytes, wanted, place)
        if word is not None:
            values = np.frombuffer(values_bytes, dtype="<f4").astype(np.float32)
            _check_order_of_bytes(values, place)
            yield word, finite_values(values, word, place)


def _check_order_of_bytes(values: NDArray[np.float32], place: str) -> None:
    """Raise ``DatasetError`` for numbers as no training makes them, which other orders of bytes give."""
    largest = float(np.abs(values).max(initial=0))
    if 0 < largest < UNLIKELY_SMALL or UNLIKELY_LARGE < largest < np.inf:
        raise DatasetError(
            f"{place}: the largest value of the vector is {largest:.3g}, so these are hardly little-endian "
            "float32; write the file again as such"
        )


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
    for row, stored in enumerate(words.tolist()):
        word = unicodedata.normalize("NFC", stored)
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
        try:
            return read_array(archive, "words"), read_array(archive, "vectors")
        except DatasetError as error:
            raise DatasetError(f"{path}: {error}") from error


def _decoded(word: bytes, wanted: frozenset[str] | None, place: str) -> str | None:
    """Return the word if it is wanted; one that is not UTF-8 is an error only where all words are."""
    try:
        decoded = unicodedata.normalize("NFC", word.decode("utf-8"))
    except UnicodeDecodeError as error:
        if wanted is not None:
            return None
        raise DatasetError(
            f"{place}: the word {word[:40]!r} is not UTF-8; convert the file, or check its format by its name"
        ) from error
    return decoded if wanted is None or decoded in wanted else None


def finite_values(values: NDArray[np.float32], word: str, place: str) -> NDArray[np.float32]:
    """Return ``values`` (d,), which have to be finite."""
    if not np.isfinite(values).all():
        value = values[~np.isfinite(values)][0]
        raise DatasetError(
            f"{place}: the vector of {word!r} holds {value}; get the file again, or drop the word"
        )
    return values
