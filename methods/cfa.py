"""CFA: cross-modal factor analysis."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

import numpy as np
from scipy import linalg

from cmbench.datasets.draft import Split
from cmbench.errors import MethodError
from cmbench.methods.parameters import Number, SearchSpace, Words, check_parameters
from cmbench.methods.views.inputs import Matrix, check_training_pairs
from cmbench.methods.views.maps import (
    Candidate,
    ComponentMethod,
    MapPair,
    choose,
    sizes_to_try,
    with_fixed_signs,
)
from cmbench.methods.views.scaling import MODES, Mode, ScaledView, cross_gram, scaled_views

RANK_TOLERANCE = 1e-10  # relative to the largest singular value, in float64
ZERO_SHARE = 1e-12  # a cross-product below this share of ‖X‖‖Y‖ is rounding noise


class CFA(ComponentMethod):
    """Cross-modal factor analysis: rotations of both views that bring partners together.

    With X and Y the scaled training rows::

        minimise ‖XA - YB‖²  subject to  AᵀA = I, BᵀB = I,

    solved by the singular vectors of XᵀY = A diag(s) Bᵀ, of which the first k are kept. Over full
    rotations (the narrower view padded with zero columns) this is the minimiser; cut to k columns
    the pair maximises tr(AᵀXᵀYB), and need not minimise the distance: a pair of directions of
    little variance would.

    Attributes
    ----------
    singular_values_ : float64, of XᵀY, falling, those above rounding only
    n_components_, rank_ : the size chosen, and the largest the data support
    validation_map_ : MAP on validation of the choice, None when there was none to make

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> images = rng.normal(size=(60, 4))
    >>> rotation = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    >>> pairs = Split(images, images @ rotation, np.arange(60) % 3, np.arange(60).astype(str))
    >>> cfa = CFA(n_components="all", scaling="center").fit(pairs, pairs)
    >>> bool(np.allclose(cfa.transform_images(images), cfa.transform_texts(images @ rotation)))
    True
    """

    name: ClassVar[str] = "cfa"
    paper_name: ClassVar[str] = "CFA"
    citation: ClassVar[str] = (
        "D. Li, N. Dimitrova, M. Li, I. Sethi, Multimedia content processing through cross-modal "
        "association, ACM MM 2003"
    )
    uses_labels: ClassVar[bool] = False
    version: ClassVar[int] = 1

    scaling: Annotated[Mode, Words(*MODES), SearchSpace("zscore", "center")] = "zscore"
    """How columns are scaled with training statistics: ``"zscore"`` standardises them. ``"center"`` keeps
    their proportions, and so does ``"global"``, which divides each view by one number too: neither rotations
    nor cosines depend on that. CFA depends on the choice, and the scaling of the original is not known;
    uncentred (``"none"``), the means of the views dominate.
    """
    normalise_rows: Annotated[bool, Words(True, False), SearchSpace(False, True)] = False
    """Whether each row is first divided by its 2-norm."""
    sv_power: Annotated[float, Number(0)] = 0.0
    """Component i is multiplied by (s_i / s_1)**sv_power in both views; 0 is as published."""

    def fit(self, train: Split, validation: Split) -> Self:
        """Learn the rotations from ``train``; choose the number of components on ``validation``."""
        check_parameters(self)
        check_training_pairs(train)
        images, texts = scaled_views(train, mode=self.scaling, normalise_rows=self.normalise_rows)
        image_weights, values, text_weights = factors(images, texts)
        importance = (values / values[0]) ** self.sv_power
        maps = MapPair.linear(images, texts, image_weights * importance, text_weights * importance)
        sizes = sizes_to_try(self.n_components, len(values), validation)
        choice = choose([Candidate(self, maps, sizes)], validation)
        self._adopt(choice)
        self.singular_values_ = values
        self.rank_ = len(values)
        return self


def factors(images: ScaledView, texts: ScaledView) -> tuple[Matrix, Matrix, Matrix]:
    """Return A (d_image, r), the r singular values of XᵀY above rounding, and B (d_text, r)."""
    left, values, right = linalg.svd(cross_gram(images, texts), full_matrices=False)
    if values[0] <= ZERO_SHARE * _norm(images) * _norm(texts):
        raise MethodError("images and texts have no common variation; check that row i of each is pair i")
    rank = int(np.sum(values > RANK_TOLERANCE * values[0]))
    image_weights, text_weights = with_fixed_signs(left[:, :rank], right[:rank].T)
    return image_weights, values[:rank], text_weights


def _norm(view: ScaledView) -> float:
    return float(np.sqrt(sum(np.sum(rows**2) for rows in view.blocks())))
