"""CCA: canonical correlation analysis, plain and with a ridge chosen on validation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Self

from cmbench.datasets.draft import Split
from cmbench.methods.parameters import Number, SearchRange, Words, check_parameters
from cmbench.methods.views.canonical_correlation import (
    CanonicalDirections,
    CanonicalProblem,
    canonical_problem,
)
from cmbench.methods.views.inputs import check_training_pairs, warn
from cmbench.methods.views.maps import Candidate, ComponentMethod, MapPair, choose, sizes_to_try
from cmbench.methods.views.scaling import ScaledView, scaled_views

RIDGES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
UNINFORMATIVE = 1 - 1e-3
"""Where even the weakest training correlation is this high, none of them means anything."""


class CCA(ComponentMethod):
    """Canonical correlation analysis: the directions in which images and texts correlate most.

    Both views are z-scored with training statistics; with C the covariances (divisor n - 1)::

        maximise tr(Aᵀ C_xy B)  subject to  Aᵀ(C_xx + r_x I)A = I,  Bᵀ(C_yy + r_y I)B = I,

    with r_x = ridge · tr(C_xx) / d_x, and r_y likewise: a relative ridge, so that one value suits
    any data. Unregularised CCA does not depend on the scale of features; z-scoring only gives the
    ridge one meaning. Linearly dependent features are dropped with the directions they span.

    Attributes
    ----------
    correlations_ : float64, the canonical correlations of the ridged problem, falling
    n_components_, rank_ : the size chosen, and the largest the data support
    ridge_, solver_ : what was used
    validation_map_ : MAP on validation of the choice, None when there was none to make

    Notes
    -----
    Ranking by CCA's projections follows Rasiwasia et al., ACM MM 2010 ("correlation matching").
    Neither paper says how many components were kept.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> latent = rng.normal(size=(60, 2))
    >>> views = [latent @ rng.normal(size=(2, d)) + rng.normal(size=(60, d)) / 10 for d in (5, 4)]
    >>> pairs = Split(*views, labels=np.arange(60) % 3, ids=np.arange(60).astype(str))
    >>> cca = CCA(n_components=2).fit(pairs, pairs)
    >>> cca.transform_images(views[0]).shape, bool(cca.correlations_[1] > 0.9)
    ((60, 2), True)
    """

    name: ClassVar[str] = "cca"
    paper_name: ClassVar[str] = "CCA"
    citation: ClassVar[str] = "H. Hotelling, Relations between two sets of variates, Biometrika 28, 1936"
    uses_labels: ClassVar[bool] = False
    version: ClassVar[int] = 1

    ridge: Annotated[float | str, Number(0, words=("validation",)), SearchRange(1e-6, 10.0, log=True)] = 1e-6
    """The relative ridge. The default only guards the numerics; 0 is the pseudo-inverse solution.
    ``"validation"`` tries 0.001, 0.01, 0.1, 1 and 10.
    """
    corr_power: Annotated[float, Number(0)] = 0.0
    """Component i is multiplied by (its correlation)**corr_power in both views; 0 is as published."""
    solver: Annotated[str, Words("auto", "svd", "cholesky")] = "auto"
    """``"svd"`` suits any shape and rank; ``"cholesky"`` is fast for many rows and falls back on the other;
    ``"auto"`` chooses between them.
    """

    def fit(self, train: Split, validation: Split) -> Self:
        """Learn the directions from ``train``; choose what is to be chosen on ``validation``."""
        check_parameters(self)
        check_training_pairs(train)
        images, texts = scaled_views(train)
        ridges: Sequence[float] = RIDGES if isinstance(self.ridge, str) else (float(self.ridge),)
        problem = canonical_problem(images, texts, solver=self.solver, smallest_ridge=min(ridges))
        candidates = [
            self._candidate(ridge, relative_solution(problem, ridge), images, texts, validation)
            for ridge in ridges
        ]
        choice = choose(candidates, validation)
        self.ridge_, solution = choice.model
        self._adopt(choice)
        self.correlations_ = solution.correlations
        self.rank_ = len(solution.correlations)
        self.solver_ = solution.solver
        _warn_when_uninformative(images, texts, solution)
        return self

    def _candidate(
        self,
        ridge: float,
        solution: CanonicalDirections,
        images: ScaledView,
        texts: ScaledView,
        validation: Split,
    ) -> Candidate[tuple[float, CanonicalDirections]]:
        importance = solution.correlations**self.corr_power
        weights = solution.image_weights * importance, solution.text_weights * importance
        maps = MapPair.linear(images, texts, *weights)
        rank = len(solution.correlations)
        sizes = sizes_to_try(self.n_components, rank, validation, fewer_than_classes=True)
        return Candidate((ridge, solution), maps, sizes)


class RCCA(CCA):
    """CCA whose ridge, too, is chosen on validation: what CCA can do when regularised.

    The same as ``CCA(ridge="validation")``, as a row of its own. Ridge CCA was proposed by
    H. Vinod, "Canonical ridge and econometrics of joint production", Journal of Econometrics 4, 1976.
    """

    name: ClassVar[str] = "rcca"
    paper_name: ClassVar[str] = "rCCA"
    citation: ClassVar[str] = "H. Vinod, Canonical ridge and econometrics of joint production, 1976"

    ridge = "validation"
    """The relative ridge; ``"validation"`` tries 0.001, 0.01, 0.1, 1 and 10."""


def relative_solution(problem: CanonicalProblem, ridge: float) -> CanonicalDirections:
    """Solve with ``ridge`` times the mean column variance of each view on its covariance."""
    return problem.solve(ridge * problem.image_variance, ridge * problem.text_variance)


def _warn_when_uninformative(images: ScaledView, texts: ScaledView, solution: CanonicalDirections) -> None:
    n_rows, width = images.shape[0], max(images.shape[1], texts.shape[1])
    if n_rows <= width or solution.correlations[-1] >= UNINFORMATIVE:
        warn(
            f"training correlations are uninformative: {n_rows} rows for up to {width} features "
            "(repeated rows count once); keep few components, or raise ridge"
        )
