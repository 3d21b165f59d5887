"""Kernels between rows of features, and the median rule for the width of the Gaussian one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.spatial.distance import pdist

from cmbench.errors import MethodError
from cmbench.methods.views.inputs import Matrix
from cmbench.methods.views.scaling import ScaledView

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
