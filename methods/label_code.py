"""Category labels as target codes."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cmbench.errors import MethodError
from cmbench.methods.preprocessing import Matrix

Labels: TypeAlias = NDArray[np.int64]


def checked_classes(labels: NDArray[Any], n_rows: int) -> Labels:
    """Return the distinct labels in order; raise ``MethodError`` unless there is one whole number a row.

    Labels may have gaps: what counts is which classes are present. Fewer than two raise.
    """
    if not isinstance(labels, np.ndarray) or labels.shape != (n_rows,):
        raise MethodError(f"labels have shape {np.shape(labels)}; give one for each of the {n_rows} pairs")
    if labels.dtype.kind not in "iu":
        raise MethodError(f"labels are {labels.dtype}; give whole numbers")
    classes = np.unique(labels)
    if len(classes) < 2:
        raise MethodError(f"all training pairs have label {classes[0]}; give at least two categories")
    return classes


def one_hot(labels: NDArray[Any], classes: NDArray[Any]) -> Matrix:
    """Return the code (n, c) with a 1 in the column of each row's class.

    >>> one_hot(np.array([7, 3]), np.array([3, 7]))
    array([[0., 1.],
           [1., 0.]])
    """
    code: Matrix = (labels[:, None] == classes).astype(np.float64)
    return code
