"""Casts from what files hold to the types of the contract, refused where a value would not survive."""

from __future__ import annotations

import unicodedata
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmbench.datasets.draft import blocks
from cmbench.errors import DatasetError

MOST_CHARACTERS = 200
"""Of the name of a dataset."""


def float_matrix(key: str, array: NDArray[Any]) -> NDArray[np.float32]:
    """Return the two-dimensional ``array`` as float32 in row order.

    Other real types are rounded to float32, as long as finite values stay finite. Native float32
    comes back as it is, a memory map of it still mapped; anything else is cast block by block.
    """
    if array.dtype.kind not in "biuf":
        raise DatasetError(f"{key} is {_kind(array)}; it must be float32, float64 or integers")
    if array.ndim != 2:
        flatten = f"; make them with {key}.reshape(len({key}), -1)" if array.ndim > 2 else ""
        raise DatasetError(
            f"{key} has shape {array.shape}; it must have two dimensions, a row for each pair{flatten}"
        )
    if array.dtype == np.float32 and (isinstance(array, np.memmap) or array.flags.c_contiguous):
        return array
    cast = np.empty(array.shape, dtype=np.float32)
    start = 0
    for source in blocks(array):
        target = cast[start : start + len(source)]
        with np.errstate(over="ignore"):
            target[...] = source
        _check_survival(key, start, source, target)
        start += len(source)
    return cast


def _check_survival(key: str, start: int, source: NDArray[Any], target: NDArray[np.float32]) -> None:
    lost = np.isfinite(source) & ~np.isfinite(target)
    if lost.any():
        row, column = map(int, np.argwhere(lost)[0])
        raise DatasetError(
            f"{key} row {start + row} column {column} is {source[row, column]}, which float32 cannot hold; "
            "rescale the features"
        )


def int_vector(key: str, array: NDArray[Any]) -> NDArray[np.int64]:
    """Return ``array`` of shape (n,), (n, 1) or (1, n) as int64; floats must be whole numbers.

    >>> int_vector("labels_train", np.array([[0.0, 2.0]]))
    array([0, 2])
    """
    vector = _vector(key, array)
    if vector.dtype.kind not in "biuf":
        raise DatasetError(f"{key} is {_kind(array)}; it must be integers")
    if vector.dtype == np.int64:
        return vector
    lost = _not_an_int64(vector)
    if lost.any():
        row = int(np.argmax(lost))
        is_large = np.isfinite(vector[row]) and abs(vector[row]) >= 2.0**63
        what = "too large for 64 bits with a sign" if is_large else "not an integer"
        raise DatasetError(f"{key} row {row} is {vector[row]}, which is {what}; correct that pair")
    return vector.astype(np.int64)


def _not_an_int64(numbers: NDArray[Any]) -> NDArray[np.bool_]:
    fits: NDArray[np.bool_] = np.ones(numbers.shape, dtype=np.bool_)
    if numbers.dtype.kind == "f":
        numbers = numbers.astype(np.promote_types(numbers.dtype, np.float64))  # float16 ends at 65,504
        fits = (np.floor(numbers) == numbers) & (np.abs(numbers) < 2.0**63)  # NaN equals nothing
    elif numbers.dtype.kind == "u":
        fits = numbers <= np.iinfo(np.int64).max
    return ~fits


def text_vector(key: str, array: NDArray[Any]) -> NDArray[np.str_]:
    """Return ``array`` of shape (n,), (n, 1) or (1, n) as texts; bytes are read as UTF-8, integers spelt out.

    >>> text_vector("ids_train", np.array([7.0, 12.0]))
    array(['7', '12'], dtype='<U2')
    """
    vector = _vector(key, array)
    if vector.dtype.kind == "U":
        return vector
    if vector.dtype.kind == "S":
        return np.array([_decoded(key, row, text) for row, text in enumerate(vector.tolist())], dtype=np.str_)
    if vector.dtype.kind == "f" and not np.isfinite(vector).all():
        row = int(np.argmin(np.isfinite(vector)))
        raise DatasetError(
            f"{key} row {row} is {vector[row]}, which is no text; write one, or leave {key} out"
        )
    if vector.dtype.kind in "iuf":
        return np.array([str(number) for number in int_vector(key, vector).tolist()], dtype=np.str_)
    raise DatasetError(f"{key} is {_kind(array)}; it must be texts")


def shown_texts(key: str, array: NDArray[Any]) -> NDArray[np.str_]:
    """Return ``array`` as ``text_vector`` does, for texts that stand in tables and figures.

    Half a character, as of a file name that is not UTF-8, becomes the replacement character: no font has it.
    """
    return np.array([whole_characters(text) for text in text_vector(key, array).tolist()], dtype=np.str_)


def whole_characters(text: str) -> str:
    r"""Return a text with the replacement character for each lone surrogate.

    >>> ascii(whole_characters("caf\udce9"))
    "'caf\\ufffd'"
    """
    return "".join("\ufffd" if "\ud800" <= character <= "\udfff" else character for character in text)


def single_text(key: str, array: NDArray[Any]) -> str:
    """Return the one text in ``array``; an empty array is the empty text."""
    texts = shown_texts(key, np.atleast_1d(array)).tolist()
    if len(texts) > 1:
        raise DatasetError(f"{key} holds {len(texts)} texts; it must be one")
    return str(texts[0]) if texts else ""


def one_line(key: str, array: NDArray[Any]) -> str:
    """Return the one text in ``array``, which stands in lines of terminals and tables, and in names of files.

    At most ``MOST_CHARACTERS`` of them, and no end of line or other control character.
    """
    text = single_text(key, array)
    if len(text) > MOST_CHARACTERS or any(unicodedata.category(character) == "Cc" for character in text):
        raise DatasetError(
            f"{key} is {text[:40]!r}{'...' if len(text) > 40 else ''}; it must be one line of at most "
            f"{MOST_CHARACTERS} characters"
        )
    return text


def single_int(key: str, array: NDArray[Any]) -> int:
    """Return the one integer in ``array``."""
    numbers = int_vector(key, np.atleast_1d(array))
    if len(numbers) != 1:
        raise DatasetError(f"{key} holds {len(numbers)} numbers; it must be one")
    return int(numbers[0])


def _vector(key: str, array: NDArray[Any]) -> NDArray[Any]:
    if array.ndim == 1:
        return array
    if array.ndim == 2 and 1 in array.shape:
        return array.reshape(-1)
    raise DatasetError(f"{key} has shape {array.shape}; it must be one value for each item")


def _decoded(key: str, row: int, text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise DatasetError(f"{key} row {row} is {text!r}, which is not UTF-8; save it as text") from error


def _kind(array: NDArray[Any]) -> str:
    names = {"U": "texts", "S": "bytes", "O": "Python objects", "c": "complex numbers", "V": "records"}
    return names.get(array.dtype.kind, str(array.dtype))
