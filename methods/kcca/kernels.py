"""Kernels between rows of features, their incomplete Cholesky factors, and the maps that follow from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import linalg
from scipy.spatial.distance import pdist

from cmbench.errors import MethodError
from cmbench.methods.views.inputs import Matrix, check_new_features, row_blocks
from cmbench.methods.views.scaling import ScaledView, Scaling

MEDIAN_ROWS = 1000


class Kernel(Protocol):
    """A positive semi-definite function of two rows, for many rows at once."""

    def between(self, rows: Matrix, others: Matrix) -> Matrix:
        """Return the kernel (n, m) of ``rows`` (n, d) with ``others`` (m, d)."""

    def diagonal(self, rows: Matrix) -> Matrix:
        """Return the kernel (n,) of each row with itself."""


@dataclass(frozen=True)
class GaussianKernel:
    """exp(-‖u - v‖² / (2 sigma²)).

    >>> GaussianKernel(sigma=1.0).between(np.zeros((1, 2)), np.array([[0.0, 0.0], [1.0, 1.0]])).round(4)
    array([[1.    , 0.3679]])
    """

    sigma: float

    def between(self, rows: Matrix, others: Matrix) -> Matrix:
        result = rows @ others.T
        result *= -2.0
        result += np.einsum("ij,ij->i", rows, rows)[:, None]
        result += np.einsum("ij,ij->i", others, others)
        np.maximum(result, 0.0, out=result)  # cancellation may leave a distance just below zero
        result *= -0.5 / self.sigma**2
        return np.exp(result, out=result)

    def diagonal(self, rows: Matrix) -> Matrix:
        return np.ones(len(rows))


@dataclass(frozen=True)
class LinearKernel:
    """The inner product: KCCA with it is ridge CCA."""

    def between(self, rows: Matrix, others: Matrix) -> Matrix:
        product: Matrix = rows @ others.T
        return product

    def diagonal(self, rows: Matrix) -> Matrix:
        norms: Matrix = np.einsum("ij,ij->i", rows, rows)
        return norms


def median_sigma(view: ScaledView, name: str, *, random_state: int) -> float:
    """Return the width whose square is the median non-zero squared distance between training rows.

    Taken over min(n, 1000) rows drawn without replacement.
    """
    n_rows = view.shape[0]
    generator = np.random.default_rng(random_state)
    drawn = generator.choice(n_rows, size=min(n_rows, MEDIAN_ROWS), replace=False)
    distances = pdist(view.rows(np.sort(drawn)), "sqeuclidean")
    if not (distances > 0).any():
        raise MethodError(f"{name}: all training rows looked at are identical, so no kernel width fits them")
    return float(np.sqrt(np.median(distances[distances > 0])))


Pivots: TypeAlias = NDArray[np.intp]
SMALLEST_PIVOT = 1e-12  # relative to the largest diagonal entry: beyond it the residue is rounding
CANDIDATES = 128  # columns computed together: one matrix product instead of many matrix-vector ones


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
    # The residual is the diagonal of K - R Rᵀ, for the columns of R made so far.
    n_rows, trace, largest = len(diagonal), diagonal.sum(), diagonal.max()
    residual = diagonal.astype(np.float64)
    factor = np.zeros((n_rows, min(rank, n_rows)), order="F")
    pivots: list[int] = []
    candidates = _Candidates(columns)
    while len(pivots) < factor.shape[1]:
        pivot = int(residual.argmax())
        if residual[pivot] <= SMALLEST_PIVOT * largest or residual.sum() <= tolerance * trace:
            break
        # A column of K - R Rᵀ over the root of its diagonal entry is the next column of R.
        column = candidates.take(pivot, residual, factor[:, : len(pivots)])
        column /= np.sqrt(residual[pivot])
        column[pivots] = 0.0  # exactly: the residual of a pivot row is zero
        residual -= column**2
        np.maximum(residual, 0.0, out=residual)  # rounding may leave an entry just below zero
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


@dataclass(frozen=True, eq=False)
class KernelMap:
    """A row becomes ``(r - mean) @ weights``, where ``triangle @ r`` is its kernel with the pivots.

    Parameters
    ----------
    scaling : of the features, before the kernel
    pivot_rows : scaled training rows (m, d)
    triangle : lower triangular (m, m), the pivot rows of the factor
    centering : subtracts the training means of the m coordinates
    weights : (m, k)
    """

    view: str
    scaling: Scaling
    kernel: Kernel
    pivot_rows: Matrix
    triangle: Matrix
    centering: Scaling
    weights: Matrix

    def __call__(self, features: NDArray[Any]) -> Matrix:
        """Map features (n, d) to (n, k); a row gives the same alone as in a batch."""
        check_new_features(features, self.view, width=self.pivot_rows.shape[1])
        mapped = [self._mapped(rows) for rows in row_blocks(features)]
        return np.concatenate([np.empty((0, self.weights.shape[1])), *mapped])

    def first(self, n_components: int) -> KernelMap:
        """Return the map to the first components only."""
        return replace(self, weights=self.weights[:, :n_components].copy())

    def _mapped(self, rows: NDArray[Any]) -> Matrix:
        similarities = self.kernel.between(self.pivot_rows, self.scaling.apply(rows))
        coordinates = linalg.solve_triangular(self.triangle, similarities, lower=True, overwrite_b=True).T
        return self.centering.apply(coordinates) @ self.weights


def factorise(view: ScaledView, kernel: Kernel, *, rank: int, tolerance: float) -> IncompleteCholesky:
    """Return the incomplete Cholesky factor of the uncentered kernel matrix of the training rows."""

    def columns(index: Pivots) -> Matrix:
        pivots = view.rows(index)
        return np.concatenate([kernel.between(rows, pivots) for rows in view.blocks()])

    diagonal = np.concatenate([kernel.diagonal(rows) for rows in view.blocks()])
    return incomplete_cholesky(columns, diagonal, rank=rank, tolerance=tolerance)


def coordinates_of(factor: IncompleteCholesky, view: str) -> ScaledView:
    """Return the training rows in the coordinates of the factor, centered by their means.

    Centering them is the same as centering the kernel matrix R Rᵀ.
    """
    return ScaledView(factor.factor, Scaling.fit(factor.factor, view, mode="center"))
