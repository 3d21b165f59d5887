"""The SHA-256 over a dataset's arrays: the same whatever file they came from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cmbench.datasets.arrays import blocks, file_key, split_arrays

if TYPE_CHECKING:
    from cmbench.datasets.contract import Split

__all__ = ["fingerprint", "split_arrays"]


def fingerprint(splits: Iterable[tuple[str, Split]], class_names: Sequence[str]) -> str:
    """Return the SHA-256 (hexadecimal) over the splits' arrays, ids and class names.

    Numbers are hashed as little-endian bytes in row order, texts as UTF-8 with their lengths, and
    every array after its key and shape. Neither the dataset's name nor its card takes part.
    """
    digest = sha256(b"cmbench dataset 1\n")
    digest.update(f"class_names ({len(class_names)},)\n".encode())
    digest.update(_text_bytes(class_names))
    for name, split in splits:
        for key, array in split_arrays(split):
            digest.update(f"{file_key(key, name)} {array.shape}\n".encode())
            for rows in blocks(array):
                digest.update(_canonical_bytes(rows))
    return digest.hexdigest()


def _canonical_bytes(rows: NDArray[Any]) -> bytes:
    if rows.dtype.kind == "U":
        return _text_bytes(rows.tolist())
    return np.ascontiguousarray(rows, dtype=rows.dtype.newbyteorder("<")).tobytes()


def _text_bytes(texts: Iterable[str]) -> bytes:
    encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    return b"".join(b"%d:%s" % (len(text), text) for text in encoded)
