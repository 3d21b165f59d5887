"""A view in the coordinates of an incomplete Cholesky factor: training rows and new ones alike."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from cmbench.methods.incomplete_cholesky import IncompleteCholesky, Pivots, incomplete_cholesky
from cmbench.methods.kernels import Kernel
from cmbench.methods.views.inputs import Matrix, check_new_features, row_blocks
from cmbench.methods.views.scaling import ScaledView, Scaling


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
