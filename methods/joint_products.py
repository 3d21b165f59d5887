"""The matrix products JRL needs of its data, computed once for all weights of its terms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cmbench.methods.curvature import ViewProducts
from cmbench.methods.joint_regression import JointRegression, Projections, row_norms
from cmbench.methods.views.inputs import Matrix
from cmbench.methods.views.scaling import ScaledView, cross_gram, product_with

START_RIDGE = 1e-2  # relative to the mean of the diagonal of XᵀX
EPSILON = 1e-6  # relative to the median row norm of the start, constant features aside


@dataclass(frozen=True, eq=False)
class JointProducts:
    """Products of both views (``images``, ``texts``), between them (XᵀY) and with the targets (XᵀT, YᵀT)."""

    images: ViewProducts
    texts: ViewProducts
    cross: Matrix
    image_targets: Matrix
    text_targets: Matrix
    target_energy: float

    def problem(self, *, lam: float, mu: float, sigma: float) -> JointRegression:
        """Return the objective with these weights of its terms."""
        return JointRegression(
            self.images.curvature(lam + mu, sigma),
            self.texts.curvature(lam + mu, sigma),
            self.cross,
            self.image_targets,
            self.text_targets,
            self.target_energy,
            lam,
            mu,
        )

    def start(self) -> Projections:
        """Return the ridge regression of the targets on each view."""
        return Projections(
            _ridge(self.images, self.image_targets),
            _ridge(self.texts, self.text_targets),
        )


def joint_products(
    images: ScaledView, texts: ScaledView, targets: Matrix, views: tuple[ViewProducts, ViewProducts]
) -> JointProducts:
    """Return the products of paired, scaled views and their targets (n, c), given those of each view."""
    return JointProducts(
        *views,
        cross_gram(images, texts),
        product_with(images, targets),
        product_with(texts, targets),
        float(np.sum(targets**2)),
    )


def smoothing(start: Projections) -> float:
    """Return the epsilon that rounds off row norms around zero."""
    norms = np.concatenate([row_norms(start.images), row_norms(start.texts)])
    return float(EPSILON * np.median(norms[norms > 0]))


def _ridge(products: ViewProducts, targets: Matrix) -> Matrix:
    ridge = START_RIDGE * products.mean_energy()
    return products.curvature(1.0, 0.0).solve(np.full(len(targets), ridge), targets)
