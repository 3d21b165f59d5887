"""JFSSL: joint feature selection and subspace learning."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse

from cmbench.methods.beyond.label_regression import LabelRegressionMethod, Regression, Weights
from cmbench.methods.parameters import Count, Number, SearchSpace
from cmbench.methods.views.inputs import Matrix
from cmbench.methods.views.neighbours import knn_graph
from cmbench.methods.views.reweighting import reweighted
from cmbench.methods.views.scaling import ScaledView, product_with

SPARSITIES = (0.1, 0.03, 0.01, 1e-3)
COUPLINGS = (1.0, 1e-1, 1e-2, 1e-3)
START = 1e-2  # the ridge penalty of the weights begun with, in units of the mean eigenvalue of XᵀX
SMALLEST_ROW = 1e-8  # of the mean squared row norm at first: added to squared norms, which rounds their kink
NOT_SELECTED = 10.0  # rows below this times the root of what is added are 0, but for the rounded kink


@dataclass(frozen=True, eq=False)
class GraphTerms:
    """What the multi-modal graph adds to the problem of one view, per unit of ``coupling``.

    Parameters
    ----------
    quadratic : XᵀL_xxX (d, d), with L_xx the diagonal block of the Laplacian
    pull : XᵀT / the mean number of neighbours of another modality, (d, c)
    across : TᵀX (c, d): XᵀW_xyY is ``pull`` times that of the other view
    """

    quadratic: Matrix
    pull: Matrix
    across: Matrix


class JFSSL(LabelRegressionMethod):
    """Joint feature selection and subspace learning: sparse regression on labels over a multi-modal graph.

    With X, Y the scaled rows of images and texts, T the one-hot labels, and F = [XU; YV] (2n, c) ::

        minimise  ‖XU - T‖² + ‖YV - T‖² + λ_1 (‖U‖_2,1 + ‖V‖_2,1) + λ_2 tr(FᵀLF),

    with L = D - W the Laplacian of a graph of all items: items of different modality are joined if they have
    a category in common, those of one modality if one is among the nearest neighbours of the other. The
    problem is convex; it is solved by iteratively reweighted least squares, U and V in turns. With
    R = diag(1 / (2 ‖u^r‖)) over the rows of U ::

        U <- (XᵀX + λ_1 R + λ_2 XᵀL_xxX)⁻¹ (XᵀT + λ_2 XᵀW_xyYV),   and V alike.

    K. Wang, R. He, L. Wang, W. Wang, T. Tan, "Joint feature selection and subspace learning for cross-modal
    retrieval", TPAMI 38(10), 2016.

    Attributes
    ----------
    alpha_, coupling_ : what was used
    image_selected_, text_selected_ : shares of features kept, those whose weights are not 0; at the minimum
        they may be fewer, since the rounds end before the last weights have come to nothing
    iterations_ : of the reweighting
    n_components_ : the number of categories
    validation_map_ : MAP on validation of the choice, None when there was none to make

    Notes
    -----
    Our choices, where the paper's could not be read: each block of the graph is divided by its mean degree,
    so that λ_2 means the same for any number of pairs; λ_1 is, for each view, a share of the least one at
    which all weights are 0; the Gaussian weights' width is the median distance of neighbours. The product
    with the block of labels, W_xy = TTᵀ, is taken as (XᵀT)(TᵀY), and no n by n matrix is formed.

    Examples
    --------
    >>> from cmbench.datasets.draft import Split
    >>> rng = np.random.default_rng(0)
    >>> labels = np.arange(90) % 3
    >>> views = [np.eye(3)[labels] @ rng.normal(size=(3, d)) + rng.normal(size=(90, d)) for d in (6, 4)]
    >>> pairs = Split(*views, labels=labels, ids=np.arange(90).astype(str))
    >>> JFSSL(alpha=0.01, coupling=0.1).fit(pairs, pairs).transform_images(views[0]).shape
    (90, 3)
    """

    name: ClassVar[str] = "jfssl"
    paper_name: ClassVar[str] = "JFSSL"
    citation: ClassVar[str] = (
        "K. Wang, R. He, L. Wang, W. Wang, T. Tan, Joint feature selection and subspace learning for "
        "cross-modal retrieval, IEEE TPAMI 38(10), 2016"
    )
    version: ClassVar[int] = 2
    centred: ClassVar[bool] = False

    alpha: Annotated[float | str, Number(0, words=("validation",))] = "validation"
    """The penalty λ_1 as a share of 2 max_r ‖x_rᵀT‖, for each view its own: from 1 on, all weights are 0.
    ``"validation"`` tries 0.1, 0.03, 0.01 and 0.001 with each ``coupling`` and keeps the best by the mean of
    the two bi-modal MAPs.
    """
    coupling: Annotated[float | str, Number(0, words=("validation",))] = "validation"
    """The weight λ_2 of the graph. ``"validation"`` tries 1, 0.1, 0.01 and 0.001."""
    intra: Annotated[float, Number(0), SearchSpace(0.0, 1.0)] = 1.0
    """Weight of the neighbours within a modality beside those of the other one."""
    n_neighbours: Annotated[int, Count(1)] = 10
    """Nearest neighbours within a modality; the graph joins two items if one is a neighbour of the other."""
    max_iterations: Annotated[int, Count(1)] = 50
    """Rounds of the reweighting, at most."""
    tol: Annotated[float, Number(0)] = 1e-6
    """The rounds end when one lowers the objective by less than this share."""

    def _solutions(self, images: Regression, texts: Regression) -> Iterator[Weights]:
        terms = [self._terms(view) for view in (images, texts)]
        alphas = SPARSITIES if isinstance(self.alpha, str) else (self.alpha,)
        couplings = COUPLINGS if isinstance(self.coupling, str) else (self.coupling,)
        for alpha, coupling in product(alphas, couplings):
            yield self._solution(images, texts, terms, alpha=alpha, coupling=coupling)

    def _terms(self, regression: Regression) -> GraphTerms:
        """Return the terms of one view; each block of the graph has the mean degree 1 before its weight."""
        codes = regression.codes
        degrees = codes @ codes.sum(axis=0)  # rows of TTᵀ summed: neighbours of the other modality
        quadratic = _weighted_gram(regression.view, degrees / degrees.mean())
        if self.intra:
            quadratic += self.intra * _intra_modal(regression.view, self.n_neighbours)
        return GraphTerms(quadratic, regression.target / degrees.mean(), regression.target.T)

    def _solution(
        self,
        images: Regression,
        texts: Regression,
        terms: list[GraphTerms],
        *,
        alpha: float,
        coupling: float,
    ) -> Weights:
        views = (images, texts)
        penalties = [alpha * view.vanishing for view in views]
        systems = [view.gram + coupling * term.quadratic for view, term in zip(views, terms, strict=True)]
        weights = [view.ridge(START * view.unit) for view in views]
        floors = [smallest_square(projection) for projection in weights]
        history: list[float] = []
        for _ in range(self.max_iterations):
            for this, other in ((0, 1), (1, 0)):
                pulled = terms[this].pull @ (terms[other].across @ weights[other])
                stiffness = penalties[this] / (2 * row_norms(weights[this], floors[this]))
                weights[this] = solved(systems[this], stiffness, views[this].target + coupling * pulled)
            sparse_part = sum(
                penalty * row_norms(projection, floor).sum()
                for penalty, projection, floor in zip(penalties, weights, floors, strict=True)
            )
            history.append(sparse_part + _smooth_part(views, terms, systems, weights, coupling))
            if len(history) > 1 and history[-2] - history[-1] <= self.tol * abs(history[-2]):
                break
        kept = [selected(projection, floor) for projection, floor in zip(weights, floors, strict=True)]
        setting = selection(kept, alpha=alpha, coupling=coupling, iterations=len(history))
        return Weights(setting, kept[0], kept[1], tuple(history))


def _smooth_part(
    views: tuple[Regression, Regression],
    terms: list[GraphTerms],
    systems: list[Matrix],
    weights: list[Matrix],
    coupling: float,
) -> float:
    """Return ‖XU - T‖² + ‖YV - T‖² + coupling tr(FᵀLF), from products that are at hand."""
    value = 2 * float(np.sum(views[0].codes ** 2))
    for view, system, projection in zip(views, systems, weights, strict=True):
        value += float(np.sum(projection * (system @ projection - 2 * view.target)))
    crossed = (terms[0].pull.T @ weights[0]) * (terms[1].across @ weights[1])
    return value - 2 * coupling * float(np.sum(crossed))


def smallest_square(weights: Matrix) -> float:
    """Return what is added to the squared norms of rows, for their norm to have a slope at 0."""
    return SMALLEST_ROW * max(float(np.mean(np.sum(weights**2, axis=1))), np.finfo(float).tiny)


def row_norms(weights: Matrix, floor: float) -> Matrix:
    """Return sqrt(‖row‖² + floor) of each row (d,)."""
    norms: Matrix = np.sqrt(np.sum(weights**2, axis=1) + floor)
    return norms


def selected(weights: Matrix, floor: float) -> Matrix:
    """Return weights (d, c) whose rows are 0 where only the rounded kink of their norm keeps them from it."""
    kept = np.linalg.norm(weights, axis=1) > NOT_SELECTED * np.sqrt(floor)
    return np.where(kept[:, None], weights, 0.0)


def selection(
    weights: Sequence[Matrix], *, alpha: float, coupling: float, iterations: int
) -> dict[str, float | int]:
    """Return what a fit says of its weights (d, c) of images and of texts, by attribute without its ``_``."""
    images, texts = (float(np.mean(each.any(axis=1))) for each in weights)
    return {
        "alpha": alpha,
        "coupling": coupling,
        "iterations": iterations,
        "image_selected": images,
        "text_selected": texts,
    }


def solved(system: Matrix, stiffness: Matrix, target: Matrix) -> Matrix:
    """Return (system + diag(stiffness))⁻¹ target (d, c); where some stiffness is 0, that of smallest norm."""
    if not stiffness.all():
        return linalg.pinvh(system + np.diag(stiffness)) @ target
    return reweighted(system, stiffness, target, partial(linalg.solve, assume_a="pos"))


def _weighted_gram(view: ScaledView, weights: NDArray[Any]) -> Matrix:
    """Return Xᵀ diag(weights) X (d, d)."""
    total = np.zeros((view.shape[1], view.shape[1]))
    start = 0
    for rows in view.blocks():
        total += rows.T @ (weights[start : start + len(rows), None] * rows)
        start += len(rows)
    return total


def _intra_modal(view: ScaledView, n_neighbours: int) -> Matrix:
    """Return Xᵀ(D - W)X (d, d) of the graph of nearest neighbours with Gaussian weights, of mean degree 1."""
    rows = view.dense().astype(view.precision)
    graph = gaussian_graph(rows, n_neighbours)
    graph /= graph.sum() / len(rows)
    degrees = np.asarray(graph.sum(axis=1)).ravel()
    averaged = product_with(view, np.asarray(graph @ rows, dtype=np.float64))
    return _weighted_gram(view, degrees) - (averaged + averaged.T) / 2


def gaussian_graph(rows: Matrix, n_neighbours: int) -> sparse.csr_array:
    """Return the symmetric graph (n, n) of nearest neighbours with weights exp(-distance² / (2 median²)).

    >>> gaussian_graph(np.array([[0.0], [1.0], [2.0]]), 1).toarray().round(3)
    array([[0.   , 0.607, 0.   ],
           [0.607, 0.   , 0.607],
           [0.   , 0.607, 0.   ]])
    """
    graph = knn_graph(rows, n_neighbours).astype(np.float64)
    row, column = graph.nonzero()
    squares = np.concatenate(
        [np.sum((rows[i].astype(np.float64) - rows[j]) ** 2, axis=1) for i, j in _edges(row, column)]
    )
    width = float(np.median(squares)) or 1.0
    return sparse.csr_array((np.exp(-squares / (2 * width)), (row, column)), shape=graph.shape)


def _edges(row: NDArray[Any], column: NDArray[Any]) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Yield the ends of edges, two points each, in blocks."""
    for start in range(0, len(row), 8192):
        yield row[start : start + 8192], column[start : start + 8192]
