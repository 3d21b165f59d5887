"""KCCA: kernel canonical correlation analysis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Self

import numpy as np

from cmbench.datasets.draft import Split
from cmbench.methods.kcca.kernels import (
    GaussianKernel,
    IncompleteCholesky,
    Kernel,
    KernelMap,
    LinearKernel,
    coordinates_of,
    factorise,
    median_sigma,
)
from cmbench.methods.parameters import (
    AddedLater,
    Count,
    Number,
    SearchRange,
    SearchSpace,
    Words,
    check_parameters,
)
from cmbench.methods.views.canonical_correlation import CanonicalDirections, canonical_problem
from cmbench.methods.views.inputs import Matrix, check_training_pairs, warn
from cmbench.methods.views.maps import (
    Candidate,
    ComponentMethod,
    MapPair,
    choose,
    sizes_to_try,
    with_fixed_signs,
)
from cmbench.methods.views.scaling import Mode, ScaledView, scaled_views

POOR_APPROXIMATION = 0.5  # share of the kernel's trace left over at which the fit is doubtful


class KCCA(ComponentMethod):
    """Kernel CCA: canonical correlation in the feature space of a Gaussian kernel.

    With K_x and K_y the centered kernel matrices and κ' = kappa / (1 - kappa)::

        maximise aᵀK_xK_yb / sqrt( (aᵀK_x²a + κ' aᵀK_xa) (bᵀK_y²b + κ' bᵀK_yb) ).

    The kernels are exp(-‖u - v‖² / (2 sigma²)) on scaled features, and are never formed: each is
    replaced by a pivoted incomplete Cholesky factor R of at most ``rank`` columns, computed column
    by column, and the problem becomes ridge CCA of the two factors. A new row takes the
    coordinates in which it would have stood among the training rows.

    Attributes
    ----------
    correlations_ : float64, of the regularised problem (of the projections for ``"unit"``), falling
    n_components_, rank_ : the size chosen, and the largest the factors support
    image_rank_, text_rank_ : columns of the factors
    image_residual_, text_residual_ : shares of the kernels' trace they leave
    image_sigma_, text_sigma_ : widths of the Gaussian kernels
    validation_map_ : MAP on validation of the choice, None when there was none to make

    Notes
    -----
    Differs from Hardoon's routine ``kcanonca_reg_ver2`` in centering the factor instead of the
    kernel (the same at full rank), in the relative stopping rule, and in not renormalising unless
    asked to. The width, kappa and size used in published tables are not known.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> latent = rng.normal(size=300)
    >>> views = [np.c_[latent, rng.normal(size=300)], np.c_[latent**2, rng.normal(size=300)]]
    >>> pairs = Split(*views, labels=np.arange(300) % 3, ids=np.arange(300).astype(str))
    >>> bool(KCCA(n_components=1).fit(pairs, pairs).correlations_[0] > 0.9)
    True
    """

    name: ClassVar[str] = "kcca"
    paper_name: ClassVar[str] = "KCCA"
    citation: ClassVar[str] = (
        "D. Hardoon, S. Szedmak, J. Shawe-Taylor, Canonical correlation analysis: an overview with "
        "application to learning methods, Neural Computation 16, 2004"
    )
    uses_labels: ClassVar[bool] = False
    nonconforming: ClassVar[Mapping[str, str]] = {
        "seeds_differ": "the seed draws the rows of the median rule, and of few rows all are taken"
    }
    version: ClassVar[int] = 1

    kappa: Annotated[float, Number(0, 1, open_ends=True), SearchRange(0.05, 0.99)] = 0.5
    """Regularisation as in Hardoon's routine, (1 - kappa) Z + kappa I for a product Z of kernel matrices. It
    must be above 0: a kernel of full rank correlates anything with anything.
    """
    rank: Annotated[int, Count(1), SearchSpace(500, 1000, 2000)] = 1000
    """Columns of a Cholesky factor, at most. A factor takes 8 · rank bytes a training row."""
    tol: Annotated[float, Number(0, 1)] = 1e-3
    """A factor is complete when the share of the kernel's trace that it leaves is at most this."""
    sigma_scale: Annotated[float, Number(0, open_ends=True), SearchRange(0.3, 3.0, log=True)] = 1.0
    """Factor on the median rule: sigma is ``sigma_scale`` times the root of the median non-zero squared
    distance between 1000 training rows.
    """
    kernel: Annotated[str, Words("gaussian", "linear")] = "gaussian"
    """The kernel of both views: the Gaussian above, or the inner product of scaled features."""
    scaling: Annotated[
        Mode, Words("zscore", "center", "global"), SearchSpace("zscore", "global"), AddedLater("zscore")
    ] = "zscore"
    """How columns are scaled with training statistics, before the kernel: to mean 0 and deviation 1; to mean
    0 only (``"center"``); or to mean 0, and then by one number for each view (``"global"``), which keeps the
    proportions of columns. As sigma follows the distances between rows, the last two differ for the linear
    kernel alone.
    """
    normalise: Annotated[str, Words("constraint", "unit")] = "constraint"
    """``"constraint"`` keeps the scale of the objective. ``"unit"`` is the default of Hardoon's routine:
    training projections have unit norm and are sorted by their plain correlation. That scrambles the order
    where many training correlations are close to 1.
    """
    corr_power: Annotated[float, Number(0)] = 0.0
    """Component i is multiplied by (its correlation)**corr_power in both views; 0 is as published."""
    random_state: Annotated[int, Count(0)] = 0
    """The seed of the draw of training rows for the median rule."""

    def fit(self, train: Split, validation: Split) -> Self:
        """Learn from ``train``; choose the number of components on ``validation``."""
        check_parameters(self)
        check_training_pairs(train)
        image_rows, text_rows = scaled_views(train, mode=self.scaling)
        images, texts = self._kernel_view(image_rows, "images"), self._kernel_view(text_rows, "texts")
        solution = self._solution(images.coordinates, texts.coordinates)
        importance = solution.correlations**self.corr_power
        maps = MapPair(
            images.map_to(solution.image_weights * importance),
            texts.map_to(solution.text_weights * importance),
        )
        self.rank_ = len(solution.correlations)
        sizes = sizes_to_try(self.n_components, self.rank_, validation, fewer_than_classes=True)
        choice = choose([Candidate(self, maps, sizes)], validation)
        self._adopt(choice)
        self.correlations_ = solution.correlations
        self._record("image", images)
        self._record("text", texts)
        return self

    def _kernel_view(self, view: ScaledView, name: str) -> _KernelView:
        kernel: Kernel = LinearKernel()
        if self.kernel == "gaussian":
            median = median_sigma(view, name, random_state=self.random_state)
            kernel = GaussianKernel(self.sigma_scale * median)
        factor = factorise(view, kernel, rank=self.rank, tolerance=self.tol)
        if factor.residual_share > POOR_APPROXIMATION:
            warn(
                f"{name}: {len(factor.pivots)} columns leave {factor.residual_share:.0%} of the kernel "
                "unexplained, so new rows look all alike; raise sigma_scale or rank"
            )
        return _KernelView(name, view, kernel, factor, coordinates_of(factor, name))

    def _solution(self, images: ScaledView, texts: ScaledView) -> CanonicalDirections:
        penalty = self.kappa / (1 - self.kappa) / (images.shape[0] - 1)  # on the covariance
        # With a penalty the covariances are regular, also where the factor is as wide as it is long.
        problem = canonical_problem(images, texts, solver="cholesky", smallest_ridge=penalty)
        solution = problem.solve(penalty, penalty)
        return solution if self.normalise == "constraint" else _unit_norm(solution, images, texts)

    def _record(self, modality: str, view: _KernelView) -> None:
        setattr(self, f"{modality}_rank_", len(view.factor.pivots))
        setattr(self, f"{modality}_residual_", view.factor.residual_share)
        if isinstance(view.kernel, GaussianKernel):
            setattr(self, f"{modality}_sigma_", view.kernel.sigma)


@dataclass(frozen=True, eq=False)
class _KernelView:
    """One view, its kernel, the Cholesky factor, and the training rows in its coordinates."""

    name: str
    view: ScaledView
    kernel: Kernel
    factor: IncompleteCholesky
    coordinates: ScaledView

    def map_to(self, weights: Matrix) -> KernelMap:
        return KernelMap(
            self.name,
            self.view.scaling,
            self.kernel,
            self.view.rows(self.factor.pivots),
            self.factor.triangle,
            self.coordinates.scaling,
            weights,
        )


def _unit_norm(solution: CanonicalDirections, images: ScaledView, texts: ScaledView) -> CanonicalDirections:
    image_scores, text_scores = (
        np.concatenate([rows @ weights for rows in view.blocks()])
        for view, weights in ((images, solution.image_weights), (texts, solution.text_weights))
    )
    image_norms = np.linalg.norm(image_scores, axis=0)
    text_norms = np.linalg.norm(text_scores, axis=0)
    correlations = np.einsum("ij,ij->j", image_scores, text_scores) / (image_norms * text_norms)
    order = np.argsort(-correlations, kind="stable")
    image_weights, text_weights = with_fixed_signs(
        (solution.image_weights / image_norms)[:, order], (solution.text_weights / text_norms)[:, order]
    )
    return CanonicalDirections(
        image_weights, text_weights, np.clip(correlations[order], 0.0, 1.0), solution.solver
    )
