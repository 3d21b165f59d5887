"""The one preprocessing of all methods: scaling of columns or of rows, learned on training rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import blas

from cmbench.datasets.draft import Modality, Split, row_slices
from cmbench.errors import MethodError
from cmbench.methods.views.inputs import Matrix, block_height, row_blocks

Mode: TypeAlias = Literal["none", "center", "zscore", "global"]
MODES: tuple[Mode, ...] = ("none", "center", "zscore", "global")

# A column whose deviation is below this share of its largest value holds rounding residue only.
# Measured against the column's own values: against the largest deviation of the matrix, a matrix
# of constant columns would have its rounding noise blown up to unit variance.
CONSTANT_SHARE = {np.dtype(np.float32): 1e-6, np.dtype(np.float64): 1e-11}


@dataclass(frozen=True, eq=False)
class Scaling:
    """Rows become ``(row - mean) / scale``, in float64; constant columns become exactly 0.

    Parameters
    ----------
    mean, scale : float64 (d,)
        What is subtracted and divided by. ``scale`` is infinite for a constant column.
    normalise_rows : bool
        Whether a row is first divided by its 2-norm; a zero row stays zero.

    Examples
    --------
    >>> features = np.array([[1.0, 7.0], [3.0, 7.0]])
    >>> Scaling.fit(features, "images").apply(features)
    array([[-1.,  0.],
           [ 1.,  0.]])
    """

    mean: Matrix
    scale: Matrix
    normalise_rows: bool = False

    @classmethod
    def fit(
        cls, features: NDArray[Any], view: str, *, mode: Mode = "zscore", normalise_rows: bool = False
    ) -> Scaling:
        """Learn from training rows (n, d): ``zscore`` uses the population deviation (ddof 0).

        ``global`` subtracts the mean of each column and divides all of them by one number, the root of the
        mean variance of the columns that vary. It keeps the proportions of columns, as they come out of a
        PCA or an LSA say, whose last columns ``zscore`` would blow up with the noise that they hold.

        Every mode, ``none`` included, maps constant columns to 0: they carry nothing. A view of
        nothing else raises ``MethodError``.
        """
        mean, deviation, constant = _statistics(features, normalise_rows)
        if constant.all():
            raise MethodError(f"{view} are the same in every training row; there is nothing to learn from")
        scale = deviation if mode == "zscore" else np.ones_like(deviation)
        if mode == "global":
            scale *= _root_mean_square(deviation[~constant])
        shift = np.zeros_like(mean) if mode == "none" else mean
        return cls(shift, np.where(constant, np.inf, scale), normalise_rows)

    @property
    def n_constant(self) -> int:
        """The number of columns that were constant in training."""
        return int(np.isinf(self.scale).sum())

    def apply(self, rows: NDArray[Any]) -> Matrix:
        """Return ``rows`` (n, d) scaled, as a new float64 array."""
        scaled = _rows_in_float64(rows, self.normalise_rows)
        scaled -= self.mean
        scaled /= self.scale
        return scaled


@dataclass(frozen=True, eq=False)
class ScaledView:
    """Training features (n, d) of one view seen through their scaling, block by block."""

    features: NDArray[Any]
    scaling: Scaling

    @property
    def shape(self) -> tuple[int, int]:
        """The number of rows and of columns."""
        return len(self.features), self.features.shape[1]

    @property
    def precision(self) -> np.dtype[Any]:
        """float32 for float32 features, else float64: what iterative solvers may work in."""
        return np.dtype(np.float32 if self.features.dtype == np.float32 else np.float64)

    def blocks(self) -> Iterator[Matrix]:
        """Yield the scaled rows in blocks, each a new float64 array."""
        return (self.scaling.apply(rows) for rows in row_blocks(self.features))

    def rows(self, index: NDArray[np.intp]) -> Matrix:
        """Return the scaled rows of that index."""
        return self.scaling.apply(self.features[index])

    def dense(self) -> Matrix:
        """Return all scaled rows; only for views known to be small."""
        return self.scaling.apply(self.features)


def paired_blocks(
    left: ScaledView, right: ScaledView, *, height: int | None = None
) -> Iterator[tuple[Matrix, Matrix]]:
    """Yield the same scaled rows of two paired views, in blocks of ``height``."""
    height = height or block_height(left.shape[1] + right.shape[1])
    for rows in row_slices(len(left.features), height):
        yield left.scaling.apply(left.features[rows]), right.scaling.apply(right.features[rows])


def scaled_view(
    features: NDArray[Any], view: str, *, mode: Mode = "zscore", normalise_rows: bool = False
) -> ScaledView:
    """Return training ``features`` with the scaling learned from them."""
    return ScaledView(features, Scaling.fit(features, view, mode=mode, normalise_rows=normalise_rows))


def scaled_views(
    train: Split, *, mode: Mode = "zscore", normalise_rows: bool = False
) -> tuple[ScaledView, ScaledView]:
    """Return the images and the texts of training pairs, each with the scaling learned from them."""
    return (
        scaled_view(train.images, "images", mode=mode, normalise_rows=normalise_rows),
        scaled_view(train.texts, "texts", mode=mode, normalise_rows=normalise_rows),
    )


def _root_mean_square(values: Matrix) -> float:
    largest = values.max()  # squares of 1e±200 would overflow or vanish
    return float(largest * np.sqrt(np.mean((values / largest) ** 2)))


def _rows_in_float64(rows: NDArray[Any], normalise: bool) -> Matrix:
    values = np.array(rows, dtype=np.float64)
    if normalise:
        norms = np.linalg.norm(values, axis=1, keepdims=True)
        values /= np.where(norms == 0.0, 1.0, norms)
    return values


def _statistics(features: NDArray[Any], normalise: bool) -> tuple[Matrix, Matrix, NDArray[np.bool_]]:
    """Return mean, population standard deviation and which columns are constant, all (d,)."""
    low, high, mean = _range_and_mean(features, normalise)
    peak = np.maximum(np.abs(low), np.abs(high))
    divisor = np.where(peak == 0.0, 1.0, peak)  # squares of 1e±200 would overflow or vanish
    squares = np.zeros_like(mean)
    for rows in row_blocks(features):
        residue = (_rows_in_float64(rows, normalise) - mean) / divisor
        squares += np.einsum("ij,ij->j", residue, residue)
    share = np.sqrt(squares / len(features))
    threshold = CONSTANT_SHARE.get(features.dtype, CONSTANT_SHARE[np.dtype(np.float64)])
    return mean, share * divisor, (low == high) | (share <= threshold)


def _range_and_mean(features: NDArray[Any], normalise: bool) -> tuple[Matrix, Matrix, Matrix]:
    width = features.shape[1]
    low, high, mean = np.full(width, np.inf), np.full(width, -np.inf), np.zeros(width)
    for rows in row_blocks(features):
        values = _rows_in_float64(rows, normalise)
        low, high = np.minimum(low, values.min(axis=0)), np.maximum(high, values.max(axis=0))
        mean += (values / len(features)).sum(axis=0)
    return low, high, mean


@dataclass(frozen=True, eq=False)
class UnitScaling(Scaling):
    """Values become their place between the least and the greatest of training, and others are clipped.

    Constant columns become 0.

    Examples
    --------
    >>> scaling = UnitScaling.of_columns(np.array([[1.0, 7.0], [3.0, 7.0]]), "images")
    >>> scaling.apply(np.array([[2.0, 8.0], [9.0, 7.0]]))
    array([[0.5, 0. ],
           [1. , 0. ]])
    """

    @classmethod
    def of_columns(cls, features: NDArray[Any], view: str) -> UnitScaling:
        """Learn the range of each column from training rows (n, d).

        Columns are constant, and nothing else an error, where ``Scaling.fit`` says so.
        """
        low, high = _ranges(features)
        constant = np.isinf(Scaling.fit(features, view).scale)
        return cls(low, np.where(constant, np.inf, high - low))

    @classmethod
    def of_all(cls, features: NDArray[Any], view: str) -> UnitScaling:
        """Learn one range for all columns from training rows (n, d), whose proportions it keeps."""
        low, high = _ranges(features)
        range_ = high.max() - low.min()
        if not range_:
            raise MethodError(f"{view} are all {low.min():g} in training; there is nothing to learn from")
        return cls(np.full_like(low, low.min()), np.full_like(low, range_))

    def apply(self, rows: NDArray[Any]) -> Matrix:
        """Return ``rows`` (n, d) scaled, from 0 to 1, as a new float64 array."""
        scaled = super().apply(rows)
        return np.clip(scaled, 0.0, 1.0, out=scaled)

    def encode(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        """Return ``rows`` (n, d) scaled, in the precision that networks take."""
        return self.apply(rows).astype(np.float32)


def _ranges(features: NDArray[Any]) -> tuple[Matrix, Matrix]:
    """Return the least and the greatest value of each column, both (d,)."""
    ends = [(rows.min(axis=0), rows.max(axis=0)) for rows in row_blocks(features)]
    low, high = zip(*ends, strict=True)
    return np.min(low, axis=0).astype(np.float64), np.max(high, axis=0).astype(np.float64)


Scalings: TypeAlias = dict[Modality, Scaling]
PREPROCESSING: dict[str, tuple[Mode, bool]] = {
    "none": ("none", False),
    "zscore": ("zscore", False),
    "global": ("global", False),
    "rownorm": ("none", True),
}


def learned_scalings(train: Split, preprocessing: str) -> Scalings:
    """Return the scaling of each view, learned from training rows alone."""
    mode, normalise_rows = PREPROCESSING[preprocessing]
    return {
        "image": Scaling.fit(train.images, "images", mode=mode, normalise_rows=normalise_rows),
        "text": Scaling.fit(train.texts, "texts", mode=mode, normalise_rows=normalise_rows),
    }


def mean_variance(view: ScaledView) -> float:
    """Return the variance of the scaled rows, a mean over the columns that vary; 1 after ``zscore``."""
    _, deviation, constant = _statistics(view.features, view.scaling.normalise_rows)
    return float(np.mean((deviation / view.scaling.scale)[~constant] ** 2))


def gram(view: ScaledView) -> Matrix:
    """Return XᵀX (d, d) of the scaled rows X; memory does not grow with the number of rows."""
    width = view.shape[1]
    total = np.zeros((width, width), order="F")
    for rows in view.blocks():
        total = blas.dsyrk(1.0, rows.T, beta=1.0, c=total, overwrite_c=True)  # the upper triangle
    total += np.triu(total, 1).T
    return total


def cross_gram(left: ScaledView, right: ScaledView) -> Matrix:
    """Return XᵀY (d_left, d_right) of the scaled rows X and Y of two paired views."""
    total = np.zeros((left.shape[1], right.shape[1]))
    for left_rows, right_rows in paired_blocks(left, right):
        total += left_rows.T @ right_rows
    return total


def product_with(view: ScaledView, targets: Matrix) -> Matrix:
    """Return XᵀT (d, c) of the scaled rows X and the rows of ``targets`` (n, c)."""
    total = np.zeros((view.shape[1], targets.shape[1]))
    start = 0
    for rows in view.blocks():
        total += rows.T @ targets[start : start + len(rows)]
        start += len(rows)
    return total
