"""JRL as the authors released it: a row of its own beside the converged JRL."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from cmbench.datasets.draft import Labels, Split
from cmbench.methods.contract import Unlabelled
from cmbench.methods.jrl.curvature import FeatureCurvature, FeatureProducts, all_points, degrees
from cmbench.methods.jrl.method import JRL, check_unlabelled
from cmbench.methods.jrl.regression import JointProducts, JointRegression, Projections, joint_products
from cmbench.methods.parameters import Count, Number, Words, check_parameters
from cmbench.methods.views.inputs import Matrix, check_training_pairs, checked_classes, one_hot
from cmbench.methods.views.maps import MapPair, MappedMethod, RowMap
from cmbench.methods.views.neighbours import Points, knn_graph, squared_distance_blocks
from cmbench.methods.views.reweighting import reweighted
from cmbench.methods.views.scaling import ScaledView, Scaling, gram, scaled_view


def kernel_smoothness(points: Points, degrees: NDArray[np.intp]) -> Matrix:
    """Return X̃ᵀ L X̃ (d, d), float64, for points X̃ (n, d); K is made and used block by block."""
    weighted = points / np.sqrt(degrees)[:, None].astype(points.dtype)
    total = np.zeros((points.shape[1], points.shape[1]))
    for rows, distances in squared_distance_blocks(points, points):
        total += points[rows].T @ points[rows]
        total -= weighted[rows].T @ (closeness(distances) @ weighted)
    return (total + total.T) / 2


def closeness(squared_distances: Points) -> Points:
    """Return 1 / (1 + exp(distance)), computed in place without overflow.

    >>> closeness(np.array([0.0, 1e6]))
    array([0.5, 0. ])
    """
    decay = np.sqrt(squared_distances, out=squared_distances)
    np.exp(np.negative(decay, out=decay), out=decay)
    decay /= 1 + decay
    return decay


@dataclass(frozen=True, eq=False)
class LabelHistogramMap:
    """A row becomes the histogram of the labels of its nearest anchors, made a unit vector.

    An anchor at distance t from the projected row weighs 1 / (1 + exp(t)); the weights of a row
    add up to 1. A histogram h (c,) is shorter than 1. What is missing goes into an added column, one
    for images and another for texts: so the cosine of an image and a text is the inner product of
    their histograms, by which the authors rank. Two rows of one view share the added column, and
    their cosine is not that inner product.

    Parameters
    ----------
    projection : from the features of the view to the space of the anchors
    anchors : float64 (m, c)
    anchor_classes : int (m,), from 0
    n_neighbours : anchors that count
    added_column : which of the two added columns this view uses, 0 or 1
    """

    projection: RowMap
    anchors: Matrix
    anchor_classes: Labels
    n_neighbours: int
    added_column: int

    def __call__(self, features: NDArray[Any]) -> Matrix:
        """Map features (n, d) to unit vectors (n, c + 2)."""
        histograms = self.histograms(features)
        added = np.zeros((len(histograms), 2))
        added[:, self.added_column] = np.sqrt(np.clip(1 - np.sum(histograms**2, axis=1), 0, None))
        return np.hstack([histograms, added])

    def histograms(self, features: NDArray[Any]) -> Matrix:
        """Return the histograms (n, c) of features (n, d)."""
        projected = self.projection(features)
        blocks = squared_distance_blocks(projected, self.anchors)
        histograms = [self._histograms(distances) for _, distances in blocks]
        return np.concatenate([np.empty((0, self.n_classes)), *histograms])

    @property
    def n_classes(self) -> int:
        """The number of classes."""
        return int(self.anchor_classes.max()) + 1

    def _histograms(self, distances: Matrix) -> Matrix:
        k = min(self.n_neighbours, len(self.anchors))
        nearest = np.argpartition(distances, k - 1, axis=1)[:, :k]
        weights = closeness(np.take_along_axis(distances, nearest, axis=1))
        rows = np.repeat(np.arange(len(distances)), k)
        shape = (len(distances), self.n_classes)
        flat = np.ravel_multi_index((rows, self.anchor_classes[nearest].ravel()), shape)
        counts = np.bincount(flat, weights.ravel(), minlength=shape[0] * shape[1]).reshape(shape)
        totals = counts.sum(axis=1, keepdims=True)
        return counts / np.where(totals > 0, totals, 1)  # all anchors beyond the range of exp: zero row


ADDED_DEVIATION = 1e-3  # to every standard deviation, when one of them is zero

SMALLEST_NORM = 1e-12  # of a row of P or Q: that of a constant feature is zero, and is divided by


class JRLRelease(MappedMethod):
    """JRL with the settings, stopping rule and retrieval of the authors' released code.

    The objective is that of ``JRL`` with fixed weights. What differs from ``JRL``:

    * the graph term is I - D^(-1/2) K D^(-1/2) with a dense kernel K = 1 / (1 + exp(distance)) and
      the degrees D of the neighbour graph. In many dimensions K all but vanishes, and the term is
      a ridge on the projected rows; in few it need not be positive semi-definite;
    * the features mapped later take part in the graph, without labels;
    * P and Q start from the same uniform numbers, are both updated from the old pair, for at most
      five passes, and stop when a pass lowers the objective by less than 2 %. The projections are
      those the last evaluated objective belongs to: the update after it is not used;
    * where ``retrieval="labels"``, an image and a text are as similar as the class histograms of
      their 100 nearest training items, images and texts together, in the space of the scores.

    Attributes
    ----------
    n_components_ : the number of categories, and two more for ``"labels"``
    passes_ : evaluations of the objective

    Notes
    -----
    Departs from the release in this: the default ranks by cosine of scores. Its random numbers
    cannot be reproduced. A point is left out of its own neighbours by its index, not by being the
    first hit, and the code's patch for NaN in L is not needed.
    """

    name: ClassVar[str] = "jrl-release"
    paper_name: ClassVar[str] = "JRL (release)"
    citation: ClassVar[str] = JRL.citation
    uses_labels: ClassVar[bool] = True
    version: ClassVar[int] = 1

    gamma: Annotated[float, Number(0, open_ends=True)] = 1000.0
    """Weight of the sparsity term."""
    sigma: Annotated[float, Number(0)] = 1000.0
    """Weight of the graph term. The README of the code swaps the names of the graph and the pairwise term;
    ``sigma`` and ``lam`` are as the code uses them.
    """
    lam: Annotated[float, Number(0)] = 1.0
    """Weight of the pairwise term, which brings the scores of an image and its text together."""
    mu: Annotated[float, Number(0, open_ends=True)] = 1.0
    """Weight of the label term."""
    n_neighbours: Annotated[int, Count(1)] = 100
    """Neighbours in the graph, and nearest training items that a histogram counts."""
    transductive: Annotated[bool, Words(True, False)] = True
    """Whether unlabelled features take part in the graph, as in the release."""
    max_passes: Annotated[int, Count(1)] = 5
    """Evaluations of the objective, at most."""
    tol: Annotated[float, Number(0)] = 0.02
    """The solver stops when a pass lowers the objective by less than this share."""
    retrieval: Annotated[str, Words("scores", "labels")] = "scores"
    """``"scores"`` represents rows by their c scores, to be ranked by cosine. ``"labels"`` ranks the two
    bi-modal tasks as the release does, by inner products of class histograms. Vectors whose cosine is that
    inner product exist for rows of different views only: with ``"labels"`` the all-modal tasks mean little.
    """
    random_state: Annotated[int, Count(0)] = 0
    """The seed of the uniform numbers from which P and Q start."""

    @property
    def wants_unlabelled(self) -> bool:
        return self.transductive

    def fit(self, train: Split, validation: Split, unlabelled: Unlabelled | None = None) -> Self:
        """Learn from ``train`` and ``unlabelled``; ``validation`` is not used."""
        check_parameters(self)
        check_training_pairs(train)
        check_unlabelled(self.name, train, unlabelled, wanted=self.transductive)
        classes = checked_classes(train.labels, len(train.images))
        images, texts = _scaled(train.images, "images"), _scaled(train.texts, "texts")
        problem = self._products(images, texts, one_hot(train.labels, classes), unlabelled).problem(
            lam=self.lam, mu=self.mu, sigma=self.sigma
        )
        projections, self.passes_ = self._minimise(problem, self._start(problem))
        self.n_components_ = len(classes)
        maps = MapPair.linear(images, texts, projections.images, projections.texts)
        self.image_map_, self.text_map_ = maps.images, maps.texts
        if self.retrieval == "labels":
            self._map_to_labels(train, np.searchsorted(classes, train.labels))
        return self

    def _products(
        self, images: ScaledView, texts: ScaledView, targets: Matrix, unlabelled: Unlabelled | None
    ) -> JointProducts:
        image_extra = images.features[:0] if unlabelled is None else unlabelled.images
        text_extra = texts.features[:0] if unlabelled is None else unlabelled.texts
        views = (self._view(images, image_extra), self._view(texts, text_extra))
        return joint_products(images, texts, targets, views)

    def _view(self, view: ScaledView, extra: NDArray[Any]) -> _KernelProducts:
        points = all_points(view, extra)
        graph = knn_graph(points, self.n_neighbours)
        return _KernelProducts(gram(view), kernel_smoothness(points, degrees(graph)))

    def _start(self, problem: JointRegression) -> Projections:
        return Projections(
            *(
                np.random.default_rng(self.random_state).random(targets.shape[::-1]).T
                for targets in (problem.image_targets, problem.text_targets)
            )
        )

    def _minimise(self, problem: JointRegression, start: Projections) -> tuple[Projections, int]:
        """Return the projections of the last loss that was evaluated, and how many losses were."""
        current, last = start, problem.loss(start, self.gamma)
        for passes in range(2, self.max_passes + 1):
            current = Projections(
                problem.updated_images(current, self.gamma, SMALLEST_NORM),
                problem.updated_texts(current, self.gamma, SMALLEST_NORM),
            )
            loss = problem.loss(current, self.gamma)
            if (last - loss) / last < self.tol:
                return current, passes
            last = loss
        return current, self.max_passes

    def _map_to_labels(self, train: Split, classes: Labels) -> None:
        image_map, text_map = self.image_map_, self.text_map_
        anchors = np.vstack([image_map(train.images), text_map(train.texts)])
        nearest = (anchors, np.tile(classes, 2), self.n_neighbours)
        self.image_map_ = LabelHistogramMap(image_map, *nearest, added_column=0)
        self.text_map_ = LabelHistogramMap(text_map, *nearest, added_column=1)
        self.n_components_ += 2


class _KernelProducts(FeatureProducts):
    """XᵀX and X̃ᵀLX̃ with an L that need not be positive semi-definite."""

    def curvature(self, weight: float, sigma: float) -> _IndefiniteCurvature:
        return _IndefiniteCurvature(super().curvature(weight, sigma).matrix)


class _IndefiniteCurvature(FeatureCurvature):
    """An H that need not be positive semi-definite."""

    def solve(self, stiffness: Matrix, target: Matrix) -> Matrix:
        return reweighted(self.matrix, stiffness, target, partial(linalg.solve, assume_a="sym"))


def _scaled(features: NDArray[Any], view: str) -> ScaledView:
    """Return the z-scored view; if a column is constant, 0.001 is added to every deviation."""
    plain = scaled_view(features, view)
    if not plain.scaling.n_constant:
        return plain
    deviation = np.where(np.isinf(plain.scaling.scale), 0.0, plain.scaling.scale)
    return ScaledView(features, Scaling(plain.scaling.mean, deviation + ADDED_DEVIATION))
