"""JRL: joint representation learning with sparse and semi-supervised regularisation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar, Self

import numpy as np

from cmbench.datasets.draft import Split
from cmbench.errors import MethodError
from cmbench.methods.contract import Unlabelled
from cmbench.methods.jrl.curvature import view_products
from cmbench.methods.jrl.regression import (
    JointProducts,
    JointRegression,
    Projections,
    joint_products,
    minimise,
    smoothing,
)
from cmbench.methods.parameters import AddedLater, Count, Number, SearchSpace, Words, check_parameters
from cmbench.methods.views.inputs import (
    Matrix,
    check_new_features,
    check_training_pairs,
    label_codes,
    warn,
)
from cmbench.methods.views.maps import Candidate, MapPair, MappedMethod, choose
from cmbench.methods.views.scaling import Mode, ScaledView, scaled_views

SPARSITIES = (0.01, 0.03, 0.1, 0.3)
SMOOTHNESSES = (0.0, 0.1, 1.0)


class JRL(MappedMethod):
    """Joint representation learning: regress both views on the labels, together and sparsely.

    With X, Y the scaled training rows, T their one-hot labels, X̃, Ỹ the rows with unlabelled
    ones added, and L the normalised Laplacians of their nearest-neighbour graphs::

        minimise  lam ‖XP - YQ‖² + mu (‖XP - T‖² + ‖YQ - T‖²)
                  + sigma (tr PᵀX̃ᵀL_xX̃P + tr QᵀỸᵀL_yỸQ) + gamma (‖P‖₂₁ + ‖Q‖₂₁),

    a convex problem, solved by iteratively re-weighted least squares. The representation of a row
    is its c scores, one for each category.

    Where a row has several categories, T is their 0/1 matrix: the objective does not ask that its rows have
    one 1.

    Attributes
    ----------
    gamma_rel_, sigma_ : what was used
    n_components_ : the number of categories
    image_zero_share_, text_zero_share_ : share of features that P and Q leave out
    passes_ : of the solver
    validation_map_ : MAP on validation of the choice, None when there was none to make

    Notes
    -----
    Differs from the authors' code (PKU-ICST-MIPL/JRL_TCSVT2014), which ``JRLRelease`` follows: a
    true nearest-neighbour Laplacian, each view updated from the newest other, run to convergence
    from ridge regression, gamma free of scale, and cosine of the scores instead of propagated labels.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> labels = np.arange(90) % 3
    >>> views = [np.eye(3)[labels] @ rng.normal(size=(3, d)) + rng.normal(size=(90, d)) for d in (6, 4)]
    >>> pairs = Split(*views, labels=labels, ids=np.arange(90).astype(str))
    >>> JRL(gamma_rel=0.1).fit(pairs, pairs).transform_images(views[0]).shape
    (90, 3)
    """

    name: ClassVar[str] = "jrl"
    paper_name: ClassVar[str] = "JRL"
    citation: ClassVar[str] = (
        "X. Zhai, Y. Peng, J. Xiao, Learning cross-media joint representation with sparse and "
        "semisupervised regularization, IEEE TCSVT 24, 2014"
    )
    uses_labels: ClassVar[bool] = True
    multi_label: ClassVar[bool] = True
    version: ClassVar[int] = 1

    gamma_rel: Annotated[float | str, Number(0, words=("validation",))] = "validation"
    """gamma, relative to the smallest value that makes P and Q zero. ``"validation"`` tries 0.01, 0.03, 0.1
    and 0.3 and keeps the best by the mean of the two bi-modal MAPs.
    """
    sigma: Annotated[float | str, Number(0, words=("validation",)), SearchSpace(*SMOOTHNESSES)] = 0.1
    """Weight of the graph term; ``"validation"`` tries 0, 0.1 and 1."""
    lam: Annotated[float, Number(0)] = 1.0
    """Weight of the pairwise term, which brings the scores of an image and its text together."""
    mu: Annotated[float, Number(0, open_ends=True)] = 1.0
    """Weight of the label term."""
    n_neighbours: Annotated[int, Count(1), SearchSpace(5, 20, 100)] = 100
    """Neighbours of each row in the graph, cut to the number of other rows."""
    transductive: Annotated[bool, Words(True, False)] = False
    """Whether the graph includes the unlabelled features given to ``fit``, as in the authors' code. The
    default learns from training rows only.
    """
    scaling: Annotated[
        Mode, Words("zscore", "center", "global"), SearchSpace("zscore", "global"), AddedLater("zscore")
    ] = "zscore"
    """How columns are scaled with training statistics: to mean 0 and deviation 1; to mean 0 only
    (``"center"``); or to mean 0, and then by one number for each view (``"global"``), which keeps the
    proportions of columns and makes both views weigh alike in the sparsity term.
    """
    max_passes: Annotated[int, Count(1)] = 50
    """Passes of the solver, at most; each solves for P and for Q once."""
    tol: Annotated[float, Number(0)] = 1e-4
    """The solver stops when a pass lowers the objective by less than this share."""

    @property
    def wants_unlabelled(self) -> bool:
        return self.transductive

    def fit(self, train: Split, validation: Split, unlabelled: Unlabelled | None = None) -> Self:
        """Learn from ``train``, and from ``unlabelled`` features if the method is transductive."""
        check_parameters(self)
        check_training_pairs(train)
        check_unlabelled(self.name, train, unlabelled, wanted=self.transductive)
        images, texts = scaled_views(train, mode=self.scaling)
        solutions = self._solutions(self._products(train, images, texts, unlabelled))
        candidates = [_candidate(images, texts, solution) for solution in solutions]
        choice = choose(candidates, validation)
        self._adopt(choice)
        self._record(choice.model)
        return self

    def _products(
        self, train: Split, images: ScaledView, texts: ScaledView, unlabelled: Unlabelled | None
    ) -> JointProducts:
        extra = (None, None) if unlabelled is None else (unlabelled.images, unlabelled.texts)
        image_products, text_products = (
            view_products(view, features, n_neighbours=self.n_neighbours, with_graph=self.sigma != 0)
            for view, features in zip((images, texts), extra, strict=True)
        )
        targets = label_codes(train.labels, len(train.images))
        return joint_products(images, texts, targets, (image_products, text_products))

    def _solutions(self, products: JointProducts) -> Iterator[_Solution]:
        sigmas = SMOOTHNESSES if isinstance(self.sigma, str) else (self.sigma,)
        gammas = SPARSITIES if isinstance(self.gamma_rel, str) else (self.gamma_rel,)
        start = products.start()
        for sigma in sigmas:
            problem = products.problem(lam=self.lam, mu=self.mu, sigma=sigma)
            yield from (self._solution(problem, start, sigma, gamma_rel) for gamma_rel in gammas)

    def _solution(
        self, problem: JointRegression, start: Projections, sigma: float, gamma_rel: float
    ) -> _Solution:
        if gamma_rel >= 1:
            nothing = Projections(np.zeros_like(start.images), np.zeros_like(start.texts))
            return _Solution(sigma, gamma_rel, nothing, 0)
        projections, losses = minimise(
            problem,
            start,
            sparsity=gamma_rel * problem.largest_sparsity,
            epsilon=smoothing(start),
            max_passes=self.max_passes,
            tolerance=self.tol,
        )
        return _Solution(sigma, gamma_rel, projections, len(losses) - 1)

    def _record(self, solution: _Solution) -> None:
        self.sigma_, self.gamma_rel_, self.passes_ = solution.sigma, solution.gamma_rel, solution.passes
        self.image_zero_share_ = zero_share(solution.projections.images)
        self.text_zero_share_ = zero_share(solution.projections.texts)
        if self.gamma_rel_ >= 1:
            warn(f"gamma_rel is {self.gamma_rel_}: all features are left out and all scores are 0; use less")


@dataclass(frozen=True, eq=False)
class _Solution:
    """Projections and the parameters that led to them."""

    sigma: float
    gamma_rel: float
    projections: Projections
    passes: int


def _candidate(images: ScaledView, texts: ScaledView, solution: _Solution) -> Candidate[_Solution]:
    p, q = solution.projections.images, solution.projections.texts
    return Candidate(solution, MapPair.linear(images, texts, p, q), (p.shape[1],))


def check_unlabelled(name: str, train: Split, unlabelled: Unlabelled | None, *, wanted: bool) -> None:
    """Raise ``MethodError`` unless ``unlabelled`` features are there exactly when ``wanted`` and fit."""
    if unlabelled is None:
        if wanted:
            raise MethodError(f"{name}: transductive is True, so fit needs unlabelled features; pass them")
        return
    if not wanted:
        raise MethodError(
            f"{name}: transductive is False, but fit was given unlabelled features; leave them out"
        )
    check_new_features(unlabelled.images, "unlabelled images", width=train.images.shape[1])
    check_new_features(unlabelled.texts, "unlabelled texts", width=train.texts.shape[1])


def zero_share(projection: Matrix) -> float:
    """Return the share of features whose row of the projection is zero."""
    return float(np.mean(~projection.any(axis=1)))
