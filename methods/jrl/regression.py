"""The objective of JRL and the re-weighted least squares that minimises it.

Written in products that do not grow with the number of rows, for images X and texts Y with
targets T, projections P (d_image, c) and Q (d_text, c)::

    J(P, Q) = tr PᵀH_xP + tr QᵀH_yQ - 2 lam tr PᵀCQ - 2 mu (tr PᵀXᵀT + tr QᵀYᵀT) + 2 mu ‖T‖²
              + sparsity (‖P‖₂₁ + ‖Q‖₂₁),

with C = XᵀY and H_x = (lam + mu) XᵀX + sigma X̃ᵀL_xX̃: the sum of pairwise distance, label
regression, graph smoothness and row sparsity. ‖·‖₂₁ is the sum of row norms, each smoothed to
sqrt(‖p_i‖² + epsilon²), so that J is what the passes decrease.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cmbench.methods.jrl.curvature import Curvature, ViewProducts
from cmbench.methods.views.inputs import Matrix
from cmbench.methods.views.scaling import ScaledView, cross_gram, product_with

ZERO_ROW = 1e-6  # of the largest row norm; re-weighting shrinks rows geometrically, never to 0


@dataclass(frozen=True, eq=False)
class Projections:
    """P (d_image, c) and Q (d_text, c)."""

    images: Matrix
    texts: Matrix


@dataclass(frozen=True, eq=False)
class JointRegression:
    """Everything J needs, for fixed ``lam``, ``mu`` and (inside the curvatures) sigma.

    Parameters
    ----------
    images, texts : the curvatures H_x and H_y
    cross : XᵀY (d_image, d_text)
    image_targets, text_targets : XᵀT and YᵀT, (d, c)
    target_energy : ‖T‖²
    """

    images: Curvature
    texts: Curvature
    cross: Matrix
    image_targets: Matrix
    text_targets: Matrix
    target_energy: float
    lam: float
    mu: float

    @property
    def largest_sparsity(self) -> float:
        """The least sparsity that makes P = Q = 0 optimal: 2 mu times the largest row norm of XᵀT and YᵀT."""
        largest = max(row_norms(targets).max() for targets in (self.image_targets, self.text_targets))
        return float(2 * self.mu * largest)

    def loss(self, projections: Projections, sparsity: float, epsilon: float = 0.0) -> float:
        """Return J, with row norms smoothed by ``epsilon``."""
        p, q = projections.images, projections.texts
        linear = self.mu * (np.sum(p * self.image_targets) + np.sum(q * self.text_targets))
        linear += self.lam * np.sum(p * (self.cross @ q))
        norms = sum(np.sqrt(row_norms(w) ** 2 + epsilon**2).sum() for w in (p, q))
        quadratic = self.images.energy(p) + self.texts.energy(q)
        return float(quadratic - 2 * linear + 2 * self.mu * self.target_energy + sparsity * norms)

    def updated_images(self, projections: Projections, sparsity: float, epsilon: float) -> Matrix:
        """Return the P that minimises the re-weighted quadratic for fixed Q."""
        target = self.lam * (self.cross @ projections.texts) + self.mu * self.image_targets
        return self.images.solve(_stiffness(projections.images, sparsity, epsilon), target)

    def updated_texts(self, projections: Projections, sparsity: float, epsilon: float) -> Matrix:
        """Return the Q that minimises the re-weighted quadratic for fixed P."""
        target = self.lam * (self.cross.T @ projections.images) + self.mu * self.text_targets
        return self.texts.solve(_stiffness(projections.texts, sparsity, epsilon), target)


def minimise(
    problem: JointRegression,
    start: Projections,
    *,
    sparsity: float,
    epsilon: float,
    max_passes: int,
    tolerance: float,
) -> tuple[Projections, list[float]]:
    """Return the minimiser of J, and J before the first and after each pass.

    Each pass uses the new P for Q. Stops when a pass lowers J by less than ``tolerance`` times its
    value. Rows whose norm is below 1e-6 of the largest are then set to zero.
    """
    current = start
    losses = [problem.loss(start, sparsity, epsilon)]
    for _ in range(max_passes):
        halfway = Projections(problem.updated_images(current, sparsity, epsilon), current.texts)
        current = Projections(halfway.images, problem.updated_texts(halfway, sparsity, epsilon))
        losses.append(problem.loss(current, sparsity, epsilon))
        if losses[-2] - losses[-1] < tolerance * abs(losses[-2]):
            break
    return Projections(_pruned(current.images), _pruned(current.texts)), losses


def row_norms(matrix: Matrix) -> Matrix:
    """Return the 2-norm of each row."""
    norms: Matrix = np.linalg.norm(matrix, axis=1)
    return norms


def _stiffness(projection: Matrix, sparsity: float, epsilon: float) -> Matrix:
    return sparsity / (2 * np.sqrt(row_norms(projection) ** 2 + epsilon**2))


def _pruned(projection: Matrix) -> Matrix:
    norms = row_norms(projection)
    return np.where((norms > ZERO_ROW * norms.max())[:, None], projection, 0.0)


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
