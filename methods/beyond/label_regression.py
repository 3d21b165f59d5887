"""Linear maps of both views onto the labels: the ridge regression, and what its successors share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, ClassVar, Self

import numpy as np
from scipy import linalg

from cmbench.datasets.draft import Split
from cmbench.methods.parameters import Number, SearchSpace, Words, check_parameters
from cmbench.methods.views.inputs import Matrix, check_training_pairs, class_numbers, label_codes
from cmbench.methods.views.maps import Candidate, MapPair, MappedMethod, choose
from cmbench.methods.views.scaling import Mode, ScaledView, gram, product_with, scaled_views


@dataclass(frozen=True, eq=False)
class Regression:
    """Scaled rows X (n, d) of one view, and the codes T (n, c) that they are to give."""

    view: ScaledView
    codes: Matrix

    @cached_property
    def gram(self) -> Matrix:
        """XᵀX (d, d)."""
        return gram(self.view)

    @cached_property
    def target(self) -> Matrix:
        """XᵀT (d, c)."""
        return product_with(self.view, self.codes)

    @cached_property
    def unit(self) -> float:
        """tr(XᵀX) / d, the mean eigenvalue: a penalty in this unit means the same on any features."""
        total = sum(float(np.sum(rows**2)) for rows in self.view.blocks())
        return total / self.view.shape[1]

    @cached_property
    def vanishing(self) -> float:
        """The least penalty λ at which the W that minimises ‖XW - T‖² + λ ‖W‖_2,1 is 0: 2 max_r ‖x_rᵀT‖.

        A share of it means the same on any features, in whatever units they are.
        """
        return 2 * float(np.linalg.norm(self.target, axis=1).max())

    @cached_property
    def spectrum(self) -> tuple[Matrix, Matrix]:
        """The eigenvectors Q (d, r) of XᵀX and its eigenvalues (r,), of the r that are not 0 by necessity."""
        n_rows, width = self.view.shape
        if n_rows >= width:
            values, vectors = linalg.eigh(self.gram)
            return vectors, np.maximum(values, 0.0)
        rows = self.view.dense()
        values, left = linalg.eigh(rows @ rows.T)  # n by n, and Q = Xᵀ left / sqrt(values)
        kept = values > values[-1] * n_rows * np.finfo(float).eps
        return rows.T @ left[:, kept] / np.sqrt(values[kept]), values[kept]

    def ridge(self, penalty: float) -> Matrix:
        """Return W (d, c) that minimises ‖XW - T‖² + penalty ‖W‖²."""
        vectors, values = self.spectrum
        weights: Matrix = vectors @ ((vectors.T @ self.target) / (values + penalty)[:, None])
        return weights


@dataclass(frozen=True, eq=False)
class Weights:
    """Weights (d, c) of both views, and how they came about.

    Parameters
    ----------
    setting : what ``fit`` is to say of them, by attribute without its ``_``
    images, texts : the weights
    history : the objective after each iteration, where there are any
    """

    setting: dict[str, float | int]
    images: Matrix
    texts: Matrix
    history: tuple[float, ...] = ()


class LabelRegressionMethod(MappedMethod):
    """A method that maps both views linearly onto the labels: ``fit``, and the choice of its penalty.

    A subclass yields the weights of each setting worth trying from ``_solutions``. The one with the highest
    mean of the two bi-modal MAPs on validation is kept; among equals the first.
    """

    uses_labels: ClassVar[bool] = True
    multi_label: ClassVar[bool] = True
    centred: ClassVar[bool] = True
    """Whether the codes of labels are centred."""

    scaling: Annotated[Mode, Words("zscore", "center"), SearchSpace("zscore", "center")] = "zscore"
    """How columns are scaled with training statistics: to mean 0 and deviation 1, or to mean 0 only."""
    normalise_rows: Annotated[bool, Words(True, False), SearchSpace(False, True)] = False
    """Whether each row is first divided by its 2-norm."""

    def fit(self, train: Split, validation: Split) -> Self:
        """Learn from ``train``; choose the penalty on ``validation``. The pairing of rows is not used."""
        check_parameters(self)
        check_training_pairs(train)
        codes = label_codes(train.labels, len(train.images))
        if not train.is_multi_label:
            class_numbers(train, validation, self.name)  # refuses a category that only validation has
        if self.centred:
            codes = codes - codes.mean(axis=0)
        views = scaled_views(train, mode=self.scaling, normalise_rows=self.normalise_rows)
        images, texts = (Regression(view, codes) for view in views)
        candidates = [
            Candidate(weights, MapPair.linear(*views, weights.images, weights.texts), (codes.shape[1],))
            for weights in self._solutions(images, texts)
        ]
        choice = choose(candidates, validation)
        self._adopt(choice)
        for name, value in choice.model.setting.items():
            setattr(self, f"{name}_", value)
        return self

    @abstractmethod
    def _solutions(self, images: Regression, texts: Regression) -> Iterator[Weights]:
        """Yield the weights of each setting to try, those of the strongest penalty first."""


ALPHAS = tuple(10.0**exponent for exponent in range(3, -7, -1))


class Ridge(LabelRegressionMethod):
    """Ridge regression of the labels on each view, the plainest supervised common space.

    With X_m the scaled rows of view m and T the centred one-hot labels ::

        minimise  ‖X_m W_m - T‖² + λ_m ‖W_m‖²,    λ_m = alpha tr(X_mᵀX_m) / d_m.

    The representation of a row is its scores x W_m, without the intercept, which would favour frequent
    categories. It is what JFSSL and LCFS come down to without sparsity and coupling, and no paper's method.

    Attributes
    ----------
    alpha_ : what was used
    n_components_ : the number of categories
    validation_map_ : MAP on validation of the choice, None when there was none to make

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> labels = np.arange(90) % 3
    >>> views = [np.eye(3)[labels] @ rng.normal(size=(3, d)) + rng.normal(size=(90, d)) for d in (6, 4)]
    >>> pairs = Split(*views, labels=labels, ids=np.arange(90).astype(str))
    >>> Ridge(alpha=0.1).fit(pairs, pairs).transform_texts(views[1]).shape
    (90, 3)
    """

    name: ClassVar[str] = "ridge"
    paper_name: ClassVar[str] = "Ridge"
    citation: ClassVar[str] = (
        "A. Hoerl, R. Kennard, Ridge regression: biased estimation for nonorthogonal problems, "
        "Technometrics 12, 1970"
    )
    version: ClassVar[int] = 1

    alpha: Annotated[float | str, Number(0, open_ends=True, words=("validation",))] = "validation"
    """The penalty λ_m in units of the mean eigenvalue of X_mᵀX_m. ``"validation"`` tries the powers of ten
    from 1e-6 to 1e3 and keeps the best by the mean of the two bi-modal MAPs.
    """

    def _solutions(self, images: Regression, texts: Regression) -> Iterator[Weights]:
        for alpha in ALPHAS if isinstance(self.alpha, str) else (self.alpha,):
            yield Weights(
                {"alpha": alpha}, images.ridge(alpha * images.unit), texts.ridge(alpha * texts.unit)
            )
