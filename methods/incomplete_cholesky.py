"""Pivoted incomplete Cholesky factorisation of a kernel matrix that is never formed.

F. Bach and M. Jordan, "Kernel independent component analysis", JMLR 3, 2002; the same as partial
Gram-Schmidt orthogonalisation in Hardoon et al., 2004.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from cmbench.methods.views.inputs import Matrix

Pivots: TypeAlias = NDArray[np.intp]
SMALLEST_PIVOT = 1e-12  # relative to the largest diagonal entry: beyond it the residue is rounding
CANDIDATES = 128  # columns looked after together: one matrix product instead of many matrix-vector ones


@dataclass(frozen=True, eq=False)
class IncompleteCholesky:
    """K ≈ R Rᵀ, exact in the pivot columns.

    Parameters
    ----------
    factor : R, float64 (n, m); its pivot rows form a lower triangular matrix
    pivots : the m rows chosen, in order
    residual_share : trace(K - R Rᵀ) / trace(K), from 1 (nothing explained) to 0
    """

    factor: Matrix
    pivots: Pivots
    residual_share: float

    @property
    def triangle(self) -> Matrix:
        """The pivot rows of the factor (m, m), lower triangular."""
        return self.factor[self.pivots]


def incomplete_cholesky(
    columns: Callable[[Pivots], Matrix], diagonal: Matrix, *, rank: int, tolerance: float
) -> IncompleteCholesky:
    """Factorise the kernel with the given ``diagonal`` (n,), asking only for the columns it needs.

    ``columns(index)`` returns the kernel columns (n, len(index)). Each step takes as pivot the row
    with the largest residual; it stops at ``rank`` pivots, when the residual trace is at most
    ``tolerance`` times the trace, or when no residual is above rounding.

    Examples
    --------
    >>> kernel = np.array([[4.0, 2.0, 2.0], [2.0, 3.0, 1.0], [2.0, 1.0, 1.0]])
    >>> result = incomplete_cholesky(lambda index: kernel[:, index], np.diag(kernel), rank=3, tolerance=0.0)
    >>> result.pivots.tolist(), bool(np.allclose(result.factor @ result.factor.T, kernel))
    ([0, 1], True)
    """
    n_rows, trace, largest = len(diagonal), diagonal.sum(), diagonal.max()
    residual = diagonal.astype(np.float64)
    factor = np.zeros((n_rows, min(rank, n_rows)), order="F")
    pivots: list[int] = []
    candidates = _Candidates(columns)
    while len(pivots) < factor.shape[1]:
        pivot = int(residual.argmax())
        if residual[pivot] <= SMALLEST_PIVOT * largest or residual.sum() <= tolerance * trace:
            break
        column = candidates.take(pivot, residual, factor[:, : len(pivots)])
        column /= np.sqrt(residual[pivot])
        column[pivots] = 0.0  # exactly: the residual of a pivot row is zero
        residual -= column**2
        np.maximum(residual, 0.0, out=residual)
        residual[pivot] = 0.0
        factor[:, len(pivots)] = column
        pivots.append(pivot)
    share = float(residual.sum() / trace)
    return IncompleteCholesky(factor[:, : len(pivots)], np.array(pivots, dtype=np.intp), share)


class _Candidates:
    """Kernel columns of the rows most likely to be the next pivots, less what the factor explained.

    ``residuals[:, i]`` belongs to row ``rows[i]``; the first ``taken_out`` columns of the factor
    are subtracted from it. The rest is subtracted from a column when it is needed.
    """

    def __init__(self, columns: Callable[[Pivots], Matrix]) -> None:
        self._columns = columns
        self._rows: Pivots = np.empty(0, dtype=np.intp)
        self._residuals: Matrix = np.empty((0, 0))
        self._taken_out = 0

    def take(self, pivot: int, residual: Matrix, factor: Matrix) -> Matrix:
        """Return the residual column (n,) of ``pivot``, computing new candidates if it is not among them."""
        if pivot not in self._rows:
            self._refresh(pivot, residual, factor)
        column = self._residuals[:, int(np.flatnonzero(self._rows == pivot)[0])]
        newer = factor[:, self._taken_out :]
        result: Matrix = column - newer @ newer[pivot]
        return result

    def _refresh(self, pivot: int, residual: Matrix, factor: Matrix) -> None:
        size = min(CANDIDATES, len(residual))
        likely = np.argpartition(-residual, size - 1)[:size]
        likely = np.union1d(likely, pivot)  # the pivot may be missing among equals
        kept = np.isin(self._rows, likely)
        fresh = np.setdiff1d(likely, self._rows)
        newer = factor[:, self._taken_out :]
        old = self._residuals[:, kept] - newer @ newer[self._rows[kept]].T if kept.any() else None
        new = self._columns(fresh) - factor @ factor[fresh].T
        self._residuals = np.asfortranarray(new if old is None else np.hstack([old, new]))
        self._rows = np.concatenate([self._rows[kept], fresh])
        self._taken_out = factor.shape[1]
