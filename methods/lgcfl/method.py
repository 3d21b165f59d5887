"""LGCFL: local group based consistent feature learning, a reconstruction."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from cmbench.datasets.draft import Split
from cmbench.errors import MethodError
from cmbench.methods.lgcfl.group_sparsity import (
    GroupPenalty,
    Groups,
    Quadratic,
    contiguous_groups,
    groups_of,
    minimise,
    stacked,
)
from cmbench.methods.parameters import Count, Number, SearchSpace, Words, check_parameters
from cmbench.methods.views.inputs import Matrix, check_training_pairs, label_codes, warn
from cmbench.methods.views.maps import Candidate, MapPair, MappedMethod, choose
from cmbench.methods.views.scaling import Mode, ScaledView, gram, product_with, scaled_views


@dataclass(frozen=True, eq=False)
class LabelRegression:
    """1/(2n) ‖XW - T‖² of one view, with T the one-hot labels minus their mean.

    Parameters
    ----------
    quadratic : the term, as a function of W (d, c)
    class_means : mean row of each class (c, d); zero for a class without rows
    class_shares : share of each class among the rows (c,)
    """

    quadratic: Quadratic
    class_means: Matrix
    class_shares: Matrix


def label_regression(view: ScaledView, codes: Matrix) -> LabelRegression:
    """Return the regression of labels on a scaled view; ``codes`` (n, c) has a 1 for each category of a row.

    Products are summed in float64; the quadratic works in the precision of the features.
    """
    n_rows = len(codes)
    shares = codes.mean(axis=0)
    targets = codes - shares
    sums = product_with(view, codes).T
    means = sums / np.maximum(codes.sum(axis=0), 1)[:, None]
    linear = (product_with(view, targets) / n_rows).astype(view.precision)
    constant = float(np.sum(targets**2)) / (2 * n_rows)
    return LabelRegression(Quadratic(_covariance_product(view), linear, constant), means, shares)


def coupled(images: LabelRegression, texts: LabelRegression, weight: float) -> Quadratic:
    """Return both terms for [W_x; W_y] plus weight/2 Σ_j π_j ‖(mean image of j) W_x - (mean text of j) W_y‖².

    π_j is the mean share of class j in the two views, and 0 where one view lacks it.
    """
    n_images = images.class_means.shape[1]
    importance = (images.class_shares + texts.class_shares) / 2
    importance = np.where((images.class_shares > 0) & (texts.class_shares > 0), importance, 0.0)
    means = np.hstack([images.class_means, -texts.class_means])
    linear = np.vstack([images.quadratic.linear, texts.quadratic.linear])
    differences = (np.sqrt(weight * importance)[:, None] * means).astype(linear.dtype)

    def product(weights: Matrix) -> Matrix:
        image_product = images.quadratic.product(weights[:n_images])
        text_product = texts.quadratic.product(weights[n_images:])
        return np.vstack([image_product, text_product]) + differences.T @ (differences @ weights)

    return Quadratic(product, linear, images.quadratic.constant + texts.quadratic.constant)


def _covariance_product(view: ScaledView) -> Callable[[Matrix], Matrix]:
    """Return W -> XᵀXW / n, through XᵀX for many rows and through X for few."""
    n_rows, width = view.shape
    if n_rows < width:
        rows = view.dense().astype(view.precision)
        return lambda weights: rows.T @ (rows @ weights) / n_rows
    covariance = (gram(view) / n_rows).astype(view.precision)
    return lambda weights: covariance @ weights


@dataclass(frozen=True, eq=False)
class GroupedView:
    """The regression of one view and the groups of its features."""

    regression: LabelRegression
    groups: Groups

    @property
    def largest_amounts(self) -> Matrix:
        """The least thresholds (n_groups,), proportional to sqrt(group size), that make W = 0 optimal."""
        roots = np.sqrt(self.groups.sizes)
        per_root = self.groups.norms(self.regression.quadratic.linear) / roots
        return np.asarray(roots * per_root.max())


@dataclass(frozen=True, eq=False)
class GroupSparseSolution:
    """Weights (d, c) of both views for one ``rho``, the objective by iteration, and the groups at zero."""

    rho: float
    image_weights: Matrix
    text_weights: Matrix
    history: tuple[list[float], ...]
    image_zero_share: float
    text_zero_share: float

    @property
    def iterations(self) -> int:
        """Iterations of the solver, the most of any part."""
        return max(map(len, self.history)) - 1


@dataclass(frozen=True, eq=False)
class _Part:
    """A problem that can be solved by itself: one view, or both of them when they are coupled."""

    smooth: Quadratic
    groups: Groups
    largest_amounts: Matrix


def solutions(
    images: GroupedView,
    texts: GroupedView,
    rhos: Sequence[float],
    *,
    beta: float,
    max_iterations: int,
    tolerance: float,
) -> Iterator[GroupSparseSolution]:
    """Yield the solution for each rho, from which the solver starts for the next.

    A rho is relative to the smallest value that makes the weights of a view zero. Views that are not coupled
    (``beta`` 0) are solved one by one.
    """
    parts = _parts(images, texts, beta)
    steepness = [part.smooth.steepness() for part in parts]
    current = [np.zeros_like(part.smooth.linear) for part in parts]
    n_images = len(images.regression.quadratic.linear)
    for rho in rhos:
        solved = [
            minimise(
                part.smooth,
                GroupPenalty(part.groups, rho * part.largest_amounts),
                start,
                steepness=bound,
                max_iterations=max_iterations,
                tolerance=tolerance,
            )
            for part, start, bound in zip(parts, current, steepness, strict=True)
        ]
        current = [weights for weights, _ in solved]
        both = np.vstack(current)
        image_weights, text_weights = both[:n_images], both[n_images:]
        yield GroupSparseSolution(
            rho,
            image_weights,
            text_weights,
            tuple(history for _, history in solved),
            float(np.mean(images.groups.norms(image_weights) == 0)),
            float(np.mean(texts.groups.norms(text_weights) == 0)),
        )


def _parts(images: GroupedView, texts: GroupedView, beta: float) -> list[_Part]:
    if beta == 0:
        return [
            _Part(view.regression.quadratic, view.groups, view.largest_amounts) for view in (images, texts)
        ]
    smooth = coupled(images.regression, texts.regression, beta)
    amounts = np.concatenate([images.largest_amounts, texts.largest_amounts])
    return [_Part(smooth, stacked(images.groups, texts.groups), amounts)]


SPARSITIES = (0.6, 0.3, 0.1, 0.03, 0.01)  # falling, so that each solution is a start for the next
IMAGE_BLOCK = 64
TEXT_BLOCK = 100


class LGCFL(MappedMethod):
    """Local group based consistent feature learning: group-sparse regression on the labels.

    For each view m with scaled training rows X_m, centered one-hot labels T_m, and features in
    groups g::

        minimise  Σ_m [ 1/(2 n_m) ‖X_m W_m - T_m‖² + τ_m Σ_g sqrt|g| ‖W_m[g]‖_F ]
                  + beta/2 Σ_j π_j ‖m_xj W_x - m_yj W_y‖²,

    with m_xj the mean image of category j, m_yj its mean text, and π_j its mean share. The
    representation of a row is its c scores.

    Where a row has several categories, T_m is their 0/1 matrix, centered, as in least-squares regression on
    labels in general; m_xj is then the mean image of the rows that have category j.

    **A reconstruction.** Only the abstract of the paper could be read: it is supervised, needs no
    pairs, learns the basis matrices of the modalities jointly, and exploits local groups of
    features. The loss, the group norm, its weights and the solver were chosen as the standard way
    to have these properties; the coupling by ``beta`` makes the learning literally joint and is
    off by default, since no source implies such a term.

    Attributes
    ----------
    rho_ : what was used
    n_components_ : the number of categories
    image_zero_share_, text_zero_share_ : share of groups left out
    iterations_ : of the solver, for the chosen rho
    validation_map_ : MAP on validation of the choice, None when there was none to make

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> labels = np.arange(90) % 3
    >>> views = [np.eye(3)[labels] @ rng.normal(size=(3, d)) + rng.normal(size=(90, d)) for d in (6, 4)]
    >>> pairs = Split(*views, labels=labels, ids=np.arange(90).astype(str))
    >>> LGCFL(rho=0.1, image_block=2).fit(pairs, pairs).transform_texts(views[1]).shape
    (90, 3)
    """

    name: ClassVar[str] = "lgcfl"
    paper_name: ClassVar[str] = "LGCFL"
    citation: ClassVar[str] = (
        "C. Kang, S. Xiang, S. Liao, C. Xu, C. Pan, Learning consistent feature representation for "
        "cross-modal multimedia retrieval, IEEE TMM 17, 2015"
    )
    uses_labels: ClassVar[bool] = True
    multi_label: ClassVar[bool] = True
    version: ClassVar[int] = 1

    rho: Annotated[float | str, Number(0, words=("validation",))] = "validation"
    """τ_m relative to the smallest value that makes W_m zero. ``"validation"`` tries 0.01, 0.03, 0.1, 0.3 and
    0.6 and keeps the best by the mean of the two bi-modal MAPs.
    """
    beta: Annotated[float, Number(0)] = 0.0
    """Weight of the coupling of class means."""
    image_block: Annotated[int | None, Count(1, optional=True), SearchSpace(1, 16, 64)] = None
    """Image features are grouped in blocks of this many neighbours; 1 makes single features sparse. None
    takes the groups of the training split, and without them blocks of 64.
    """
    text_block: Annotated[int | None, Count(1, optional=True)] = None
    """Text features are grouped in blocks of this many neighbours; 1 makes single features sparse. None takes
    the groups of the training split, and without them blocks of 100, as many as the usual word CNN has
    filters of a width.
    """
    scaling: Annotated[
        Mode, Words("zscore", "center", "global"), SearchSpace("zscore", "center", "global")
    ] = "zscore"
    """How columns are scaled with training statistics: to mean 0 and deviation 1, or to mean 0 only. With
    ``"global"`` each view is divided by one number too, which makes no difference beyond rounding: ``rho`` is
    relative to the scale of features.
    """
    normalise_rows: Annotated[bool, Words(True, False), SearchSpace(False, True)] = False
    """Whether each row is first divided by its 2-norm."""
    max_iterations: Annotated[int, Count(1)] = 1000
    """Iterations of the solver for one value of rho, at most."""
    tol: Annotated[float, Number(0)] = 1e-6
    """The solver stops when ten iterations lower the objective by less than this share."""

    def fit(self, train: Split, validation: Split) -> Self:
        """Learn from ``train``; choose rho on ``validation``. The pairing of rows is not used."""
        check_parameters(self)
        check_training_pairs(train)
        codes = label_codes(train.labels, len(train.images))
        images, texts = scaled_views(train, mode=self.scaling, normalise_rows=self.normalise_rows)
        solved = solutions(
            GroupedView(label_regression(images, codes), self._image_groups(train)),
            GroupedView(label_regression(texts, codes), self._text_groups(train)),
            SPARSITIES if isinstance(self.rho, str) else (self.rho,),
            beta=self.beta,
            max_iterations=self.max_iterations,
            tolerance=self.tol,
        )
        candidates = [
            Candidate(
                solution,
                MapPair.linear(images, texts, solution.image_weights, solution.text_weights),
                (codes.shape[1],),
            )
            for solution in solved
        ]
        choice = choose(candidates, validation)
        self._adopt(choice)
        self._record(choice.model)
        return self

    def _image_groups(self, train: Split) -> Groups:
        given = train.image_groups if self.image_block is None else None
        return feature_groups("image", given, train.images.shape[1], block=self.image_block or IMAGE_BLOCK)

    def _text_groups(self, train: Split) -> Groups:
        given = train.text_groups if self.text_block is None else None
        return feature_groups("text", given, train.texts.shape[1], block=self.text_block or TEXT_BLOCK)

    def _record(self, solution: GroupSparseSolution) -> None:
        self.rho_, self.iterations_ = solution.rho, solution.iterations
        self.image_zero_share_ = solution.image_zero_share
        self.text_zero_share_ = solution.text_zero_share
        if solution.image_zero_share == 1 or solution.text_zero_share == 1:
            warn(f"rho is {solution.rho}: all features of a view are left out and its scores are 0; use less")


def feature_groups(view: str, given: NDArray[np.int64] | None, n_features: int, *, block: int) -> Groups:
    """Return the groups ``given`` for each feature, or contiguous blocks."""
    if given is None:
        return contiguous_groups(n_features, block=block)
    if given.shape != (n_features,):
        raise MethodError(
            f"{view}_groups has shape {given.shape}; it names the block of each of {n_features} features"
        )
    return groups_of(given)
