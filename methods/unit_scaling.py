"""Scaling into the interval from 0 to 1 by the ranges of training rows, for what logistic units put out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmbench.errors import MethodError
from cmbench.methods.input_contract import row_blocks
from cmbench.methods.preprocessing import Matrix, Scaling


@dataclass(frozen=True, eq=False)
class UnitScaling(Scaling):
    """Values become their place between the least and the greatest of training, and others are clipped.

    Constant columns become 0.

    Examples
    --------
    >>> scaling = UnitScaling.of_columns(np.array([[1.0, 7.0], [3.0, 7.0]]), "images")
    >>> scaling.apply(np.array([[2.0, 8.0], [9.0, 7.0]]))
    array([[0.5, 0. ],
           [1. , 0. ]])
    """

    @classmethod
    def of_columns(cls, features: NDArray[Any], view: str) -> UnitScaling:
        """Learn the range of each column from training rows (n, d).

        Columns are constant, and nothing else an error, where ``Scaling.fit`` says so.
        """
        low, high = _ranges(features)
        constant = np.isinf(Scaling.fit(features, view).scale)
        return cls(low, np.where(constant, np.inf, high - low))

    @classmethod
    def of_all(cls, features: NDArray[Any], view: str) -> UnitScaling:
        """Learn one range for all columns from training rows (n, d), whose proportions it keeps."""
        low, high = _ranges(features)
        range_ = high.max() - low.min()
        if not range_:
            raise MethodError(f"{view} are all {low.min():g} in training; there is nothing to learn from")
        return cls(np.full_like(low, low.min()), np.full_like(low, range_))

    def apply(self, rows: NDArray[Any]) -> Matrix:
        """Return ``rows`` (n, d) scaled, from 0 to 1, as a new float64 array."""
        scaled = super().apply(rows)
        return np.clip(scaled, 0.0, 1.0, out=scaled)

    def encode(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        """Return ``rows`` (n, d) scaled, in the precision that networks take."""
        return self.apply(rows).astype(np.float32)


def _ranges(features: NDArray[Any]) -> tuple[Matrix, Matrix]:
    """Return the least and the greatest value of each column, both (d,)."""
    ends = [(rows.min(axis=0), rows.max(axis=0)) for rows in row_blocks(features)]
    low, high = zip(*ends, strict=True)
    return np.min(low, axis=0).astype(np.float64), np.max(high, axis=0).astype(np.float64)
