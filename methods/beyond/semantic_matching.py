"""SM: semantic matching, and SCM, semantic matching of canonical components."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from cmbench.datasets.draft import Split
from cmbench.methods.cca import RCCA
from cmbench.methods.parameters import Count, Number, SearchSpace, Words, check_parameters
from cmbench.methods.views.inputs import Matrix, check_training_pairs, class_numbers, warn
from cmbench.methods.views.maps import Candidate, LinearMap, MapPair, MappedMethod, choose
from cmbench.methods.views.scaling import Mode, Scaling

PENALTIES = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 1e-3, 1e-4, 1e-5)
"""They fall, so that each solution is a start for the next."""
LEAST_LOGARITHM = -30.0


@dataclass(frozen=True, eq=False)
class PosteriorMap:
    """A row becomes what a classifier says of it: ``form`` of softmax(linear(row) + intercept).

    Parameters
    ----------
    linear : features (n, d) to (n, c)
    intercept : (c,)
    form : ``probability``, ``centred``, ``logarithm`` or ``logit``
    """

    linear: LinearMap
    intercept: Matrix
    form: str

    def __call__(self, features: NDArray[Any]) -> Matrix:
        """Map features (n, d) to (n, c)."""
        return FORMS[self.form](self.linear(features) + self.intercept)

    def first(self, n_components: int) -> PosteriorMap:
        """Return the map to the first classes only."""
        return replace(self, linear=self.linear.first(n_components), intercept=self.intercept[:n_components])


@dataclass(frozen=True, eq=False)
class Front:
    """What a classifier looks at: scaled features (n, d), or these times ``basis`` (d, k) if there is one."""

    view: str
    scaling: Scaling
    basis: Matrix | None = None

    @classmethod
    def of(cls, mapping: LinearMap) -> Front:
        """Return the front that gives what a linear map gives."""
        return cls(mapping.view, mapping.scaling, mapping.weights)

    def rows(self, features: NDArray[Any]) -> Matrix:
        """Return what the classifier sees of training features (n, d)."""
        if self.basis is None:
            return self.scaling.apply(features)
        return LinearMap(self.view, self.scaling, self.basis)(features)

    def followed_by(self, weights: Matrix) -> LinearMap:
        """Return the map of features to the classifier's products with ``weights``."""
        return LinearMap(self.view, self.scaling, weights if self.basis is None else self.basis @ weights)


def _centred(values: Matrix) -> Matrix:
    centred: Matrix = values - values.mean(axis=1, keepdims=True)
    return centred


FORMS: dict[str, Callable[[Matrix], Matrix]] = {
    "probability": lambda logits: softmax(logits, axis=1),
    "centred": lambda logits: _centred(softmax(logits, axis=1)),
    "logarithm": lambda logits: _centred(np.maximum(log_softmax(logits, axis=1), LEAST_LOGARITHM)),
    "logit": lambda logits: logits,
}
"""What stands for an item, of its logits (n, c)."""


class SM(MappedMethod):
    """Semantic matching: an item is what logistic regression on its features says of its category.

    For each modality by itself, with its scaled rows x_i and categories y_i ::

        minimise over A, b  -(1/n) Σ_i log softmax(x_i A + b)_{y_i} + penalty/2 ‖A‖²,

    and the representation of an item is the vector of its class probabilities. Which image belongs to which
    text does not matter.

    N. Rasiwasia, J. Costa Pereira, E. Coviello, G. Doyle, G. Lanckriet, R. Levy, N. Vasconcelos, "A new
    approach to cross-modal multimedia retrieval", ACM MM 2010.

    Attributes
    ----------
    penalty_ : what was used
    n_components_ : the number of categories
    validation_map_ : MAP on validation of the choice, None when there was none to make

    Notes
    -----
    Deep-SM is this with networks in place of the linear classifier. The paper's penalty is not known; it is
    chosen on validation, one for both modalities. The classifier is that of scikit-learn, by L-BFGS in
    float64.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> labels = np.arange(90) % 3
    >>> views = [np.eye(3)[labels] @ rng.normal(size=(3, d)) + rng.normal(size=(90, d)) for d in (6, 4)]
    >>> pairs = Split(*views, labels=labels, ids=np.arange(90).astype(str))
    >>> SM(penalty=0.01).fit(pairs, pairs).transform_images(views[0]).sum(axis=1).round(6)[:2]
    array([1., 1.])
    """

    name: ClassVar[str] = "sm"
    paper_name: ClassVar[str] = "SM"
    citation: ClassVar[str] = (
        "N. Rasiwasia, J. Costa Pereira, E. Coviello, G. Doyle, G. Lanckriet, R. Levy, N. Vasconcelos, A new "
        "approach to cross-modal multimedia retrieval, ACM MM 2010"
    )
    uses_labels: ClassVar[bool] = True
    version: ClassVar[int] = 3

    penalty: Annotated[float | str, Number(0, open_ends=True, words=("validation",))] = "validation"
    """Strength of the squared penalty. ``"validation"`` tries 10, 3, 1, 0.3, 0.1, 0.03, 0.01, and
    the powers of ten down to 1e-5, and keeps the best by the mean of the two bi-modal MAPs.
    """
    form: Annotated[str, Words(*FORMS), SearchSpace("probability", "centred", "logarithm")] = "probability"
    """What stands for an item: its class probabilities; these less their mean (``"centred"``), whose cosine
    is the normalised correlation; their logarithms, not below -30, less their mean; or the logits.
    """
    scaling: Annotated[
        Mode, Words("zscore", "center", "global"), SearchSpace("zscore", "center", "global")
    ] = "zscore"
    """How columns are scaled with training statistics: to mean 0 and deviation 1; to mean 0 only; or to mean
    0, and all columns of a view divided by one number. The penalty is one for both views and of no unit, so
    that with ``"center"`` it holds the view whose features are small down more.
    """
    normalise_rows: Annotated[bool, Words(True, False), SearchSpace(False, True)] = False
    """Whether each row is first divided by its 2-norm."""
    max_iterations: Annotated[int, Count(1)] = 500
    """Iterations of L-BFGS for one penalty."""
    tol: Annotated[float, Number(0, open_ends=True)] = 1e-6
    """L-BFGS stops when no entry of the gradient is above this."""

    def fit(self, train: Split, validation: Split) -> Self:
        """Learn from ``train``; choose the penalty on ``validation``."""
        check_parameters(self)
        check_training_pairs(train)
        numbers, _ = class_numbers(train, validation, self.name)
        fronts = self._fronts(train, validation)
        penalties = PENALTIES if isinstance(self.penalty, str) else (self.penalty,)
        columns = (int(numbers.max()) + 1,)
        both = zip(
            self._path(fronts[0], train.images, numbers, penalties),
            self._path(fronts[1], train.texts, numbers, penalties),
            strict=True,
        )
        candidates = [
            Candidate((penalty, images, texts), MapPair(images[0], texts[0]), columns)
            for penalty, (images, texts) in zip(penalties, both, strict=True)
        ]
        choice = choose(candidates, validation)
        self._adopt(choice)
        self.penalty_, (_, image_converged), (_, text_converged) = choice.model
        if not (image_converged and text_converged):
            warn(f"L-BFGS did not converge at the penalty {self.penalty_:g}; raise max_iterations or tol")
        return self

    def _fronts(self, train: Split, validation: Split) -> tuple[Front, Front]:
        """Return what the classifiers of both views look at: here the scaled features."""
        return self._scaled(train.images, "images"), self._scaled(train.texts, "texts")

    def _scaled(self, features: NDArray[Any], view: str) -> Front:
        scaling = Scaling.fit(features, view, mode=self.scaling, normalise_rows=self.normalise_rows)
        return Front(view, scaling)

    def _path(
        self,
        front: Front,
        features: NDArray[Any],
        numbers: NDArray[np.int64],
        penalties: Sequence[float],
    ) -> Iterator[tuple[PosteriorMap, bool]]:
        """Yield the classifier of each penalty, each found from the one before, and whether it converged."""
        rows = front.rows(features)
        classifier = LogisticRegression(max_iter=self.max_iterations, tol=self.tol, warm_start=True)
        # Of two classes scikit-learn keeps a_1 - a_0, whose square is twice ‖A‖²
        halves = 2 if numbers.max() == 1 else 1
        for penalty in penalties:
            classifier.set_params(C=halves / (penalty * len(rows)))
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", ConvergenceWarning)
                classifier.fit(rows, numbers)
            weights, intercept = classifier.coef_, classifier.intercept_
            if halves == 2:
                weights, intercept = np.vstack([-weights, weights]) / 2, np.r_[-intercept, intercept] / 2
            yield PosteriorMap(front.followed_by(weights.T), intercept.copy(), self.form), not caught


class SCM(SM):
    """Semantic correlation matching: semantic matching of canonical components in place of features.

    Ridge CCA of the training pairs gives components of both views (``RCCA``, which chooses their number and
    its ridge on validation), and SM is done on these.

    N. Rasiwasia, J. Costa Pereira, E. Coviello, G. Doyle, G. Lanckriet, R. Levy, N. Vasconcelos, "A new
    approach to cross-modal multimedia retrieval", ACM MM 2010.

    Attributes
    ----------
    penalty_, n_components_, validation_map_ : as for SM
    n_canonical_ : canonical components that the classifiers look at
    """

    name: ClassVar[str] = "scm"
    paper_name: ClassVar[str] = "SCM"
    version: ClassVar[int] = 3

    n_canonical: Annotated[int | str, Count(1, words=("all", "validation"))] = "validation"
    """Canonical components that the classifiers look at; ``"validation"`` takes as many as serve CCA best."""
    scaling: Annotated[Mode, Words("zscore")] = "zscore"
    """How columns are scaled: to mean 0 and deviation 1, on which ridge CCA is defined here."""
    normalise_rows: Annotated[bool, Words(False)] = False
    """Rows are taken as they are."""

    def _fronts(self, train: Split, validation: Split) -> tuple[Front, Front]:
        front = RCCA(n_components=self.n_canonical).fit(train, validation)
        self.n_canonical_ = front.n_components_
        assert isinstance(front.image_map_, LinearMap)
        assert isinstance(front.text_map_, LinearMap)
        return Front.of(front.image_map_), Front.of(front.text_map_)
