"""The arrays a split holds: their keys and types, and how to walk through big ones."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from cmbench.datasets.contract import Split

Scalar = TypeVar("Scalar", bound=np.generic)

ARRAY_TYPES: dict[str, tuple[str, int]] = {
    "images": ("float32", 2),
    "texts": ("float32", 2),
    "labels": ("int64", 1),
    "ids": ("str", 1),
    "image_parts": ("float32", 2),
    "image_parts_offsets": ("int64", 1),
    "text_parts": ("float32", 2),
    "text_parts_offsets": ("int64", 1),
    "image_groups": ("int64", 1),
    "text_groups": ("int64", 1),
}
"""Type and number of dimensions of every array of a split, by key."""

BLOCK_BYTES = 2**24  # looked at together, so that memory-mapped features are never loaded whole


def blocks(array: NDArray[Scalar]) -> Iterator[NDArray[Scalar]]:
    """Yield the rows of ``array`` in blocks of about ``BLOCK_BYTES``, at least one row each.

    >>> [len(rows) for rows in blocks(np.zeros((5000, 2048), dtype=np.float32))]
    [2048, 2048, 904]
    """
    row_bytes = array.itemsize * prod(array.shape[1:])
    step = max(1, BLOCK_BYTES // max(1, row_bytes))
    for start in range(0, len(array), step):
        yield array[start : start + step]


def split_arrays(split: Split) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield (key, array) of everything a split holds, by the keys of ``ARRAY_TYPES``."""
    yield from (("images", split.images), ("texts", split.texts))
    yield from (("labels", split.labels), ("ids", split.ids))
    for key, parts in (("image_parts", split.image_parts), ("text_parts", split.text_parts)):
        if parts is not None:
            yield from ((key, parts.values), (f"{key}_offsets", parts.offsets))
    for key, groups in (("image_groups", split.image_groups), ("text_groups", split.text_groups)):
        if groups is not None:
            yield key, groups


def file_key(key: str, split_name: str) -> str:
    """Return what feature files call an array of a split.

    >>> file_key("images", "train"), file_key("image_parts_offsets", "train")
    ('images_train', 'image_parts_train_offsets')
    """
    stem = key.removesuffix("_offsets")
    return f"{stem}_{split_name}{key[len(stem) :]}"
