"""The quadratic term of one view in a graph-regularised regression, for many rows or for few.

H = weight · XᵀX + sigma · X̃ᵀLX̃, with X the labelled rows, X̃ those and the unlabelled ones, and L
the normalised Laplacian of the nearest-neighbour graph of X̃.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse

from cmbench.methods.views.inputs import Matrix
from cmbench.methods.views.neighbours import Graph, Points, knn_graph
from cmbench.methods.views.reweighting import reweighted
from cmbench.methods.views.scaling import ScaledView, gram

BLOCK_ROWS = 4096


def normalised_adjacency(graph: Graph) -> Graph:
    """Return D^(-1/2) W D^(-1/2); the normalised Laplacian is the identity minus this."""
    row, column = graph.nonzero()
    scale = 1 / np.sqrt(np.maximum(degrees(graph), 1))
    weights = (graph.data * scale[row] * scale[column]).astype(graph.dtype)
    return sparse.csr_array((weights, (row, column)), shape=graph.shape)


def degrees(graph: Graph) -> NDArray[np.intp]:
    """Return the number of edges of each point."""
    return np.diff(graph.indptr)


def smoothness(points: Points, adjacency: Graph) -> Matrix:
    """Return X̃ᵀ L X̃ (d, d), float64, for points X̃ and the normalised ``adjacency``."""
    averaged = adjacency @ points
    total = np.zeros((points.shape[1], points.shape[1]))
    for start in range(0, len(points), BLOCK_ROWS):
        rows = points[start : start + BLOCK_ROWS]
        total += rows.T @ (rows - averaged[start : start + BLOCK_ROWS])
    return (total + total.T) / 2


class Curvature(Protocol):
    """The quadratic term H of one view."""

    def energy(self, projection: Matrix) -> float:
        """Return tr PᵀHP."""

    def solve(self, stiffness: Matrix, target: Matrix) -> Matrix:
        """Return (diag(stiffness) + H)⁻¹ target, for ``stiffness`` (d,) and ``target`` (d, c)."""


@dataclass(frozen=True, eq=False)
class FeatureCurvature:
    """H itself (d, d): for views with more rows than features."""

    matrix: Matrix

    def energy(self, projection: Matrix) -> float:
        return float(np.sum(projection * (self.matrix @ projection)))

    def solve(self, stiffness: Matrix, target: Matrix) -> Matrix:
        if not stiffness.any():
            return linalg.pinvh(self.matrix) @ target  # of smallest norm where H is singular
        return reweighted(self.matrix, stiffness, target, _solved_by_cholesky)


def _solved_by_cholesky(system: Matrix, target: Matrix) -> Matrix:
    factor = linalg.cho_factor(system, lower=True, overwrite_a=True)
    solution: Matrix = linalg.cho_solve(factor, target)
    return solution


@dataclass(frozen=True, eq=False)
class SampleCurvature:
    """H = X̃ᵀMX̃ kept as rows X̃ (n, d) and M (n, n): for views with fewer rows than features."""

    rows: Matrix
    middle: Matrix

    def energy(self, projection: Matrix) -> float:
        scores = self.rows @ projection
        return float(np.sum(scores * (self.middle @ scores)))

    def solve(self, stiffness: Matrix, target: Matrix) -> Matrix:
        if not stiffness.any():
            return FeatureCurvature(self.rows.T @ self.middle @ self.rows).solve(stiffness, target)
        # With S = diag(stiffness): (S + X̃ᵀMX̃)⁻¹B = S⁻¹B - S⁻¹X̃ᵀ (I + M X̃S⁻¹X̃ᵀ)⁻¹ M X̃S⁻¹B  (Woodbury).
        eased = target / stiffness[:, None]  # S⁻¹B
        softened = self.rows / stiffness  # X̃S⁻¹
        system = self.middle @ (softened @ self.rows.T)
        system[np.diag_indices_from(system)] += 1.0
        correction = linalg.solve(system, self.middle @ (self.rows @ eased), overwrite_a=True)
        return eased - softened.T @ correction


class ViewProducts(Protocol):
    """The products of one view from which H follows for any weight and sigma; computed once."""

    def curvature(self, weight: float, sigma: float) -> Curvature:
        """Return H with this weight of XᵀX and this sigma."""

    def mean_energy(self) -> float:
        """Return the mean of the diagonal of XᵀX."""


@dataclass(frozen=True, eq=False)
class FeatureProducts:
    """XᵀX and X̃ᵀLX̃, both (d, d); no smoothness when no sigma needs it."""

    gram: Matrix
    smoothness: Matrix | None

    def curvature(self, weight: float, sigma: float) -> FeatureCurvature:
        matrix = weight * self.gram
        if sigma and self.smoothness is not None:
            matrix += sigma * self.smoothness
        return FeatureCurvature(matrix)

    def mean_energy(self) -> float:
        return float(np.trace(self.gram) / len(self.gram))


@dataclass(frozen=True, eq=False)
class SampleProducts:
    """The rows X̃ (n, d), the labelled ones first, and their normalised adjacency."""

    rows: Matrix
    n_labelled: int
    adjacency: Graph | None

    def curvature(self, weight: float, sigma: float) -> SampleCurvature:
        labelled = np.arange(len(self.rows)) < self.n_labelled
        middle = np.diag(np.where(labelled, weight, 0.0))
        if sigma and self.adjacency is not None:
            middle += sigma * (np.eye(len(self.rows)) - self.adjacency.toarray())
        return SampleCurvature(self.rows, middle)

    def mean_energy(self) -> float:
        return float(np.sum(self.rows[: self.n_labelled] ** 2) / self.rows.shape[1])


def view_products(
    view: ScaledView, unlabelled: NDArray[Any] | None, *, n_neighbours: int, with_graph: bool
) -> ViewProducts:
    """Return the products of labelled rows and ``unlabelled`` features (m, d).

    In feature form unless there are more features than rows. The neighbours are found in the
    scaled features, in their own precision.
    """
    extra = view.features[:0] if unlabelled is None else unlabelled
    n_rows, width = view.shape[0] + len(extra), view.shape[1]
    adjacency = None
    if with_graph:
        adjacency = normalised_adjacency(knn_graph(all_points(view, extra), n_neighbours))
    if n_rows < width:
        rows = np.concatenate([view.dense(), view.scaling.apply(extra)])
        return SampleProducts(rows, view.shape[0], adjacency)
    smooth = None if adjacency is None else smoothness(all_points(view, extra), adjacency)
    return FeatureProducts(gram(view), smooth)


def all_points(view: ScaledView, extra: NDArray[Any]) -> Points:
    """Return the scaled rows of the view and of ``extra``, float32 where the features are, else float64."""
    views = (view, ScaledView(extra, view.scaling))
    return np.concatenate([rows.astype(view.precision) for part in views for rows in part.blocks()])
