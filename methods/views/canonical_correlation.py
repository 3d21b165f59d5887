"""Ridge canonical correlation of two paired, scaled views: the mathematics of CCA and KCCA.

With C_xx, C_yy and C_xy the covariances (divisor n - 1) of centered X and Y::

    maximise tr(Aᵀ C_xy B)  subject to  Aᵀ(C_xx + r_x I)A = I,  Bᵀ(C_yy + r_y I)B = I        (1)

with the weights A and B of images and texts and their ridges r_x and r_y. Where W_x and W_y whiten the views,
W_xᵀ(C_xx + r_x I)W_x = I and the same for y, (1) is solved by an SVD::

    W_xᵀ C_xy W_y = P diag(correlations) Qᵀ,  A = W_x P,  B = W_y Q                          (2)

The two solvers differ in how they whiten.

H. Hotelling, "Relations between two sets of variates", Biometrika 28, 1936. The SVD route is that
of Å. Björck and G. Golub, Mathematics of Computation 27, 1973; the ridge that of H. Vinod, Journal
of Econometrics 4, 1976.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from scipy import linalg

from cmbench.errors import MethodError
from cmbench.methods.views.inputs import Matrix
from cmbench.methods.views.maps import with_fixed_signs
from cmbench.methods.views.scaling import ScaledView, cross_gram, gram, paired_blocks

RANK_TOLERANCE = 1e-10  # relative to the largest singular value, in float64
SMALLEST_CHOLESKY_RIDGE = 1e-8  # relative to the mean variance; below it a singular covariance stays so
SINGULAR_PIVOT = 1e-13  # squared ratio of Cholesky pivots at which a matrix counts as singular


@dataclass(frozen=True, eq=False)
class CanonicalDirections:
    """Weights (d, k) of each view, the k correlations in falling order, and the solver that found them."""

    image_weights: Matrix
    text_weights: Matrix
    correlations: Matrix
    solver: str


class CanonicalProblem(Protocol):
    """Two views prepared once, solved for any pair of ridges."""

    @property
    def image_variance(self) -> float:
        """The mean variance of the image columns."""

    @property
    def text_variance(self) -> float:
        """The mean variance of the text columns."""

    def solve(self, image_ridge: float, text_ridge: float) -> CanonicalDirections:
        """Return the canonical directions for these ridges, added to the covariances."""


@dataclass(frozen=True, eq=False)
class SvdProblem:
    """Whitening by the SVD of each view, X = U_x S_x V_xᵀ: right for tall, wide and rank-deficient views.

    Without ridges it gives the solution of smallest norm, that of the pseudo-inverse.

    Parameters
    ----------
    image_axes, text_axes : right singular vectors V (d, rank)
    image_deviations, text_deviations : D = S / sqrt(n - 1), standard deviations along these axes
    overlap : U_xᵀ U_y, the products of the left singular vectors
    """

    image_axes: Matrix
    text_axes: Matrix
    image_deviations: Matrix
    text_deviations: Matrix
    overlap: Matrix

    @classmethod
    def from_views(cls, images: ScaledView, texts: ScaledView) -> SvdProblem:
        """Decompose both views (n, d)."""
        image_rows, text_rows = _reduced(images, texts)
        image_left, image_values, image_axes = _thin_svd(image_rows)
        text_left, text_values, text_axes = _thin_svd(text_rows)
        norm = np.sqrt(images.shape[0] - 1)
        return cls(image_axes, text_axes, image_values / norm, text_values / norm, image_left.T @ text_left)

    @property
    def image_variance(self) -> float:
        """The mean variance of the image columns."""
        return float(np.sum(self.image_deviations**2) / len(self.image_axes))

    @property
    def text_variance(self) -> float:
        """The mean variance of the text columns."""
        return float(np.sum(self.text_deviations**2) / len(self.text_axes))

    def solve(self, image_ridge: float, text_ridge: float) -> CanonicalDirections:
        """Return the canonical directions for these ridges, added to the covariances."""
        # W = V (D² + r I)^(-1/2) whitens a view
        image_whitening = 1 / np.sqrt(self.image_deviations**2 + image_ridge)
        text_whitening = 1 / np.sqrt(self.text_deviations**2 + text_ridge)
        # (2), with C_xy = V_x D_x U_xᵀU_y D_y V_yᵀ
        image_shrinkage = (image_whitening * self.image_deviations)[:, None]
        text_shrinkage = text_whitening * self.text_deviations
        whitened_cross = image_shrinkage * self.overlap * text_shrinkage
        left, correlations, right = linalg.svd(whitened_cross, full_matrices=False)
        image_weights = self.image_axes @ (image_whitening[:, None] * left)
        text_weights = self.text_axes @ (text_whitening[:, None] * right.T)
        return _directions(image_weights, text_weights, correlations, RANK_TOLERANCE, "svd")


@dataclass(frozen=True, eq=False)
class CholeskyProblem:
    """Whitening by Cholesky factors of the covariances, which are computed once: fast for many rows.

    Where a covariance with its ridge is numerically singular it falls back on ``SvdProblem``.
    """

    images: ScaledView
    texts: ScaledView

    @cached_property
    def _covariances(self) -> tuple[Matrix, Matrix, Matrix]:
        """C_xx, C_yy and C_xy, without ridges."""
        degrees = self.images.shape[0] - 1
        return (
            gram(self.images) / degrees,
            gram(self.texts) / degrees,
            cross_gram(self.images, self.texts) / degrees,
        )

    @cached_property
    def _fallback(self) -> SvdProblem:
        return SvdProblem.from_views(self.images, self.texts)

    @property
    def image_variance(self) -> float:
        """The mean variance of the image columns."""
        return float(np.trace(self._covariances[0]) / self.images.shape[1])

    @property
    def text_variance(self) -> float:
        """The mean variance of the text columns."""
        return float(np.trace(self._covariances[1]) / self.texts.shape[1])

    def solve(self, image_ridge: float, text_ridge: float) -> CanonicalDirections:
        """Return the canonical directions for these ridges, added to the covariances."""
        image_covariance, text_covariance, cross = self._covariances
        # C + r I = L Lᵀ, so that W = L^(-T) whitens a view
        try:
            image_factor = _cholesky(image_covariance, image_ridge)
            text_factor = _cholesky(text_covariance, text_ridge)
        except linalg.LinAlgError:
            return self._fallback.solve(image_ridge, text_ridge)
        # (2): L_x^(-1) C_xy L_y^(-T), and the weights from its singular vectors
        half_whitened = linalg.solve_triangular(image_factor, cross, lower=True)
        whitened_cross = linalg.solve_triangular(text_factor, half_whitened.T, lower=True).T
        left, correlations, right = linalg.svd(whitened_cross, full_matrices=False)
        image_weights = linalg.solve_triangular(image_factor, left, lower=True, trans="T")
        text_weights = linalg.solve_triangular(text_factor, right.T, lower=True, trans="T")
        # Whitening magnifies rounding; correlations below that are noise
        noise = np.finfo(np.float64).eps * _condition(image_factor) * _condition(text_factor)
        return _directions(image_weights, text_weights, correlations, max(noise, RANK_TOLERANCE), "cholesky")


def canonical_problem(
    images: ScaledView, texts: ScaledView, *, solver: str, smallest_ridge: float
) -> CanonicalProblem:
    """Prepare two views for ``solver``: ``"svd"``, ``"cholesky"``, or ``"auto"``.

    ``"auto"`` takes Cholesky factors if there are more rows than columns of both views together, and the
    smallest ridge, relative to the mean variance, keeps the covariances regular; else the SVD.
    """
    n_rows, n_columns = images.shape[0], images.shape[1] + texts.shape[1]
    suits_cholesky = n_rows > n_columns and smallest_ridge >= SMALLEST_CHOLESKY_RIDGE
    if solver == "cholesky" or (solver == "auto" and suits_cholesky):
        return CholeskyProblem(images, texts)
    return SvdProblem.from_views(images, texts)


def _reduced(images: ScaledView, texts: ScaledView) -> tuple[Matrix, Matrix]:
    """Return matrices with the same products XᵀX, YᵀY and XᵀY as the views, but few rows.

    Nothing else of the rows counts in (1). Tall views are replaced by the triangular factor R of
    [X Y] = QR, built block by block; its columns are split as those of [X Y] were.
    """
    n_images = images.shape[1]
    n_columns = n_images + texts.shape[1]
    if images.shape[0] <= n_columns:
        return images.dense(), texts.dense()
    triangle: Matrix = np.zeros((0, n_columns))
    for image_rows, text_rows in paired_blocks(images, texts, height=n_columns):
        stacked = np.vstack([triangle, np.hstack([image_rows, text_rows])])
        triangle = np.asarray(np.linalg.qr(stacked, mode="r"))
    return triangle[:, :n_images], triangle[:, n_images:]


def _thin_svd(matrix: Matrix) -> tuple[Matrix, Matrix, Matrix]:
    """Return U (n, rank), the singular values (rank,) above rounding, and V (d, rank)."""
    left, values, right = linalg.svd(matrix, full_matrices=False)
    rank = int(np.sum(values > RANK_TOLERANCE * values[0]))
    return left[:, :rank], values[:rank], right[:rank].T


def _cholesky(covariance: Matrix, ridge: float) -> Matrix:
    """Return the lower factor of a covariance with its ridge; ``LinAlgError`` where that is near singular."""
    ridged = covariance.copy()
    ridged[np.diag_indices_from(ridged)] += ridge
    factor = linalg.cholesky(ridged, lower=True, overwrite_a=True)
    pivots = np.diag(factor) ** 2
    if pivots.min() <= SINGULAR_PIVOT * pivots.max():
        raise linalg.LinAlgError("numerically singular")
    return factor


def _condition(factor: Matrix) -> float:
    """Return by how much whitening with a Cholesky factor may magnify rounding."""
    return float(np.linalg.norm(factor) / np.diag(factor).min())


def _directions(
    image_weights: Matrix, text_weights: Matrix, correlations: Matrix, noise: float, solver: str
) -> CanonicalDirections:
    """Keep the components whose correlation is above ``noise``; fix their signs."""
    rank = int(np.sum(correlations > noise))
    if rank == 0:
        raise MethodError("images and texts are uncorrelated; check that row i of each describes pair i")
    image_weights, text_weights = with_fixed_signs(image_weights[:, :rank], text_weights[:, :rank])
    return CanonicalDirections(image_weights, text_weights, np.clip(correlations[:rank], 0.0, 1.0), solver)
