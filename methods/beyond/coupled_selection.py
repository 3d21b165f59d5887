"""LCFS: learning coupled feature spaces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Annotated, Any, ClassVar

import numpy as np
from scipy import linalg

from cmbench.methods.beyond.joint_selection import (
    START,
    row_norms,
    selected,
    selection,
    smallest_square,
    solved,
)
from cmbench.methods.beyond.label_regression import LabelRegressionMethod, Regression, Weights
from cmbench.methods.parameters import Count, Number, SearchSpace, Words
from cmbench.methods.views.inputs import Matrix
from cmbench.methods.views.scaling import Mode, cross_gram

SPARSITIES = (0.1, 0.03, 0.01, 1e-3)
COUPLINGS = (1.0, 1e-1, 1e-2, 1e-3, 1e-4)
FIRST_SMOOTHING, LAST_SMOOTHING = 1e-2, 1e-7  # of the nuclear norm, in units of its largest squared value
STAGES = 4  # from the first to the last smoothing
RELEASED_SMOOTHING = 1e-7
RELEASED_ROUNDS = 5


class LCFS(LabelRegressionMethod):
    """Coupled feature spaces: sparse regressions on labels whose predictions share a space of low rank.

    With X, Y the scaled rows of images and texts, T the one-hot labels, and M = [XU, YV] (n, 2c) ::

        minimise  ½‖XU - T‖² + ½‖YV - T‖² + λ_1/2 (‖U‖_2,1 + ‖V‖_2,1) + λ_2 ‖M‖_*

    with the nuclear norm, which joins the modalities. The problem is convex; it is solved by iteratively
    reweighted least squares. With P = diag(1 / (2 ‖u^r‖)) and S = (MMᵀ + μI)^(1/2) ::

        U <- (XᵀX + λ_1 P + λ_2 XᵀS⁻¹X)⁻¹ XᵀT,   and V alike, with the same S,

    while μ falls. The half of λ_1 is that of the released program, whose weights of rows have a factor of
    two.

    K. Wang, R. He, W. Wang, L. Wang, T. Tan, "Learning coupled feature spaces for cross-modal matching",
    ICCV 2013.

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
    S⁻¹ (n, n) is not formed: M = PΣQᵀ gives it as μ^(-1/2) I + P [(Σ² + μ)^(-1/2) - μ^(-1/2)] Pᵀ.

    The released program starts from rectangular identities, with μ = 1e-7 from the beginning, and makes
    five rounds, from which it is far from the minimum: outside the span of M, weights are held by λ_2
    μ^(-1/2). ``solver="released"`` and the preset ``released`` do that. Ours starts from ridge regression,
    lowers μ in stages, and goes on until the objective stands still.

    Examples
    --------
    >>> from cmbench.datasets.draft import Split
    >>> rng = np.random.default_rng(0)
    >>> labels = np.arange(90) % 3
    >>> views = [np.eye(3)[labels] @ rng.normal(size=(3, d)) + rng.normal(size=(90, d)) for d in (6, 4)]
    >>> pairs = Split(*views, labels=labels, ids=np.arange(90).astype(str))
    >>> LCFS(alpha=0.01, coupling=0.1).fit(pairs, pairs).transform_images(views[0]).shape
    (90, 3)
    """

    name: ClassVar[str] = "lcfs"
    paper_name: ClassVar[str] = "LCFS"
    citation: ClassVar[str] = (
        "K. Wang, R. He, W. Wang, L. Wang, T. Tan, Learning coupled feature spaces for cross-modal matching, "
        "ICCV 2013"
    )
    version: ClassVar[int] = 2
    centred: ClassVar[bool] = False
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "released": {
            "solver": "released",
            "alpha": 0.1,
            "alpha_unit": "one",
            "coupling": 0.001,
            "scaling": "none",
        }
    }

    scaling: Annotated[Mode, Words("zscore", "center", "none"), SearchSpace("zscore", "center")] = "zscore"
    """How columns are scaled with training statistics: to mean 0 and deviation 1, to mean 0 only, or not at
    all, as the released program takes them.
    """
    alpha: Annotated[float | str, Number(0, words=("validation",))] = "validation"
    """The weight λ_1 of the norms of rows. ``"validation"`` tries 0.1, 0.03, 0.01 and 0.001 with each
    ``coupling`` and keeps the best by the mean of the two bi-modal MAPs.
    """
    alpha_unit: Annotated[str, Words("vanishing", "one")] = "vanishing"
    """The unit of λ_1: 2 max_r ‖x_rᵀT‖ of each view, with which all of its weights are 0, or 1 as in the
    released program.
    """
    coupling: Annotated[float | str, Number(0, words=("validation",))] = "validation"
    """The weight λ_2 of the nuclear norm. ``"validation"`` tries 1, 0.1, 0.01, 0.001 and 0.0001."""
    solver: Annotated[str, Words("converged", "released")] = "converged"
    """Whether the rounds go to the minimum, or are the five of the released program."""
    max_iterations: Annotated[int, Count(1)] = 50
    """Rounds of the reweighting, at most, at each of four values of μ; the released program makes five."""
    tol: Annotated[float, Number(0)] = 1e-6
    """The rounds end when one lowers the objective by less than this share."""

    def _solutions(self, images: Regression, texts: Regression) -> Iterator[Weights]:
        alphas = SPARSITIES if isinstance(self.alpha, str) else (self.alpha,)
        couplings = COUPLINGS if isinstance(self.coupling, str) else (self.coupling,)
        solve = self._released if self.solver == "released" else self._converged
        across = cross_gram(images.view, texts.view)
        for alpha, coupling in product(alphas, couplings):
            units = (images.vanishing, texts.vanishing) if self.alpha_unit == "vanishing" else (1.0, 1.0)
            problem = CoupledRegressions(
                (images, texts), across, (alpha * units[0], alpha * units[1]), coupling
            )
            weights, rounds = solve(problem)
            setting = selection(weights, alpha=alpha, coupling=coupling, iterations=rounds)
            yield Weights(setting, weights[0], weights[1])

    def _converged(self, problem: CoupledRegressions) -> tuple[list[Matrix], int]:
        views = problem.views
        weights = [view.ridge(START * view.unit) for view in views]
        floors = [smallest_square(projection) for projection in weights]
        largest = float(problem.factors(weights)[0].max())
        rounds = 0
        for share in np.geomspace(FIRST_SMOOTHING, LAST_SMOOTHING, STAGES):
            smoothing = max(share * largest, np.finfo(float).tiny)
            history = [problem.objective(weights, floors, smoothing)]
            for _ in range(self.max_iterations):
                weights = problem.round(weights, floors, smoothing)
                history.append(problem.objective(weights, floors, smoothing))
                if history[-2] - history[-1] <= self.tol * abs(history[-2]):
                    break
            rounds += len(history) - 1
        return [selected(each, floor) for each, floor in zip(weights, floors, strict=True)], rounds

    def _released(self, problem: CoupledRegressions) -> tuple[list[Matrix], int]:
        n_classes = problem.views[0].codes.shape[1]
        weights = [np.eye(view.view.shape[1], n_classes) for view in problem.views]
        floors = [RELEASED_SMOOTHING, RELEASED_SMOOTHING]
        for _ in range(RELEASED_ROUNDS):
            weights = problem.round(weights, floors, RELEASED_SMOOTHING)
        return weights, RELEASED_ROUNDS


class CoupledRegressions:
    """The problem of LCFS for one λ_1 a view and one λ_2.

    Parameters
    ----------
    views : the regressions of images and of texts
    across : XᵀY (d_image, d_text)
    penalties : λ_1 of both views
    coupling : λ_2
    """

    def __init__(
        self,
        views: tuple[Regression, Regression],
        across: Matrix,
        penalties: tuple[float, float],
        coupling: float,
    ) -> None:
        self.views, self.penalties, self.coupling = views, penalties, coupling
        self.joint = (np.hstack([views[0].gram, across]), np.hstack([across.T, views[1].gram]))

    def factors(self, weights: list[Matrix]) -> tuple[Matrix, Matrix]:
        """Return the eigenvalues (r,) of MᵀM and eigenvectors (2c, r), those above rounding."""
        projections = linalg.block_diag(*weights)
        values, vectors = linalg.eigh(projections.T @ np.vstack(self.joint) @ projections)
        kept = values > max(float(values[-1]), 0.0) * len(values) * np.finfo(float).eps
        return values[kept], vectors[:, kept]

    def round(self, weights: list[Matrix], floors: list[float], smoothing: float) -> list[Matrix]:
        """Return the weights after one round: both views with the same S."""
        values, vectors = self.factors(weights)
        outside = smoothing**-0.5
        # XᵀP = XᵀMQΣ⁻¹, and the bracket of S⁻¹ on the span of P
        bracket = ((values + smoothing) ** -0.5 - outside) / values
        projections = linalg.block_diag(*weights) @ vectors
        updated = []
        for view, rows, projection, penalty, floor in zip(
            self.views, self.joint, weights, self.penalties, floors, strict=True
        ):
            seen = rows @ projections  # XᵀMQ (d, r)
            system = (1 + self.coupling * outside) * view.gram + self.coupling * (seen * bracket) @ seen.T
            updated.append(solved(system, penalty / (2 * row_norms(projection, floor)), view.target))
        return updated

    def objective(self, weights: list[Matrix], floors: list[float], smoothing: float) -> float:
        """Return the objective, with sqrt(s² + μ) for each singular value s of M above 0, and smoothed norms.

        That is tr (MᵀM + μI)^(1/2) less what μ adds at singular values that are 0.
        """
        values, _ = self.factors(weights)
        nuclear = float(np.sqrt(values + smoothing).sum())
        n_zero = 2 * self.views[0].codes.shape[1] - len(values)
        value: float = self.coupling * (nuclear + n_zero * float(np.sqrt(smoothing)))
        value += float(np.sum(self.views[0].codes ** 2))
        for view, projection, penalty, floor in zip(self.views, weights, self.penalties, floors, strict=True):
            value += 0.5 * float(np.sum(projection * (view.gram @ projection - 2 * view.target)))
            value += penalty / 2 * float(row_norms(projection, floor).sum())
        return value
