"""Features that tell nothing: rows of a split that are all the same, and columns that stand still or count.

Everything is read in blocks, so that features may be memory-mapped, and no further than is needed to tell.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cmbench.datasets.draft import FloatMatrix, blocks

Columns = NDArray[np.int64]

FEWEST_COUNTED = 20
"""Rows in which numbers do not grow from each to the next by chance."""


def all_the_same(rows: FloatMatrix) -> bool:
    """Return whether all rows of a matrix (n, d) are equal; those of an empty one are.

    >>> all_the_same(np.ones((3, 2), np.float32)), all_the_same(np.eye(2, dtype=np.float32))
    (True, False)
    """
    return all(bool((block == rows[:1]).all()) for block in blocks(rows))


def still_in_training(train: FloatMatrix, others: Sequence[FloatMatrix], *, fewest: float) -> Columns:
    """Return the columns that have one value in training and another in the rows of ``others``.

    Where they are fewer than ``fewest``, the result may be empty: then it is not read on.

    >>> train, test = np.array([[0, 1, 2], [0, 1, 3]], np.float32), np.array([[4, 1, 2]], np.float32)
    >>> still_in_training(train, [test], fewest=1)
    array([0])
    """
    still: Columns = np.arange(train.shape[1], dtype=np.int64)
    for block in blocks(train):
        still = still[(_of(block, still) == train[0, still]).all(axis=0)]
        if len(still) < max(1, fewest):
            return np.empty(0, dtype=np.int64)
    moved = np.zeros(len(still), dtype=np.bool_)
    for rows in others:
        for block in blocks(rows):
            moved |= (_of(block, still) != train[0, still]).any(axis=0)
            if moved.all():
                return still
    return still[moved]


def counting(splits: Sequence[FloatMatrix]) -> Columns:
    """Return the columns that in every split hold whole numbers, each larger than that of the row before.

    An index that was written along with features does. Splits of fewer than ``FEWEST_COUNTED`` rows say
    nothing, and without another there is none.

    >>> rows = np.arange(40, dtype=np.float32).reshape(20, 2)
    >>> rows[3, 1] = 0.5
    >>> counting([rows])
    array([0])
    """
    long = [rows for rows in splits if len(rows) >= FEWEST_COUNTED]
    found: Columns = np.arange(splits[0].shape[1] if long else 0, dtype=np.int64)
    for rows in long:
        for part in (rows[:FEWEST_COUNTED], rows):  # of the first rows all columns, of the others few
            values = part[:, found]
            grows = (np.diff(values, axis=0) > 0).all(axis=0)
            found = found[grows & (values == np.floor(values)).all(axis=0)]
    return found


def _of(block: FloatMatrix, columns: Columns) -> FloatMatrix:
    """Return some columns of a block; all of them without a copy."""
    return block if len(columns) == block.shape[1] else block[:, columns]
