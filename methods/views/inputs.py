"""What methods ask of their input, the errors when it is not given, and the types of arrays they share."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cmbench.datasets.draft import Labels, Modality, Split, first_non_finite_row, row_slices
from cmbench.errors import MethodError, MethodWarning
from cmbench.methods.contract import Method

Matrix: TypeAlias = NDArray[np.float64]
MODALITIES: tuple[Modality, Modality] = ("image", "text")
OTHER: dict[Modality, Modality] = {"image": "text", "text": "image"}

# Values looked at together, so that memory-mapped features are never loaded whole. At 8 MiB in
# float64, a block stays near the cache and its memory is used again for the next one.
BLOCK_VALUES = 1 << 20


def row_blocks(features: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Yield the rows of ``features`` (n, d) in blocks of at most ``BLOCK_VALUES`` values."""
    return (features[rows] for rows in row_slices(len(features), block_height(features.shape[1])))


def block_height(width: int) -> int:
    """Return how many rows of ``width`` values make a block."""
    return max(1, BLOCK_VALUES // width)


def check_features(features: NDArray[Any], view: str) -> None:
    """Raise ``MethodError`` unless ``features`` is a matrix of finite real numbers."""
    if not isinstance(features, np.ndarray) or features.ndim != 2 or features.shape[1] == 0:
        raise MethodError(
            f"{view} have shape {np.shape(features)}; give a 2-D array with one row per item "
            "and at least one feature"
        )
    if features.dtype.kind not in "fiu":
        raise MethodError(f"{view} hold {features.dtype} values; give real numbers, as float32 or float64")
    row = first_non_finite_row(features)
    if row is not None:
        raise MethodError(f"{view} row {row} holds NaN or infinity; remove or repair that item")


def check_new_features(features: NDArray[Any], view: str, *, width: int) -> None:
    """Raise ``MethodError`` unless ``features`` can be mapped by a map fitted on ``width`` features."""
    check_features(features, view)
    if features.shape[1] != width:
        raise MethodError(
            f"{view} have {features.shape[1]} features, but the method was fitted on {width}; "
            "extract them in the same way"
        )


def check_fitted(method: Method, attribute: str) -> None:
    """Raise ``MethodError`` unless ``fit`` has set that attribute of the method."""
    if not hasattr(method, attribute):
        raise MethodError(f"{method.name} is not fitted; call fit(train, validation) first")


def check_training_view(features: NDArray[Any], view: str, part: str = "training") -> None:
    """Raise ``MethodError`` unless ``features`` can be learned from: a finite matrix of two rows or more."""
    check_features(features, view)
    if len(features) < 2:
        raise MethodError(f"{view} have {len(features)} {part} row(s); give at least 2")


def check_training_pairs(pairs: Split, part: str = "training") -> None:
    """Raise ``MethodError`` unless row i of the images of that part can be the partner of text i."""
    check_training_view(pairs.images, "images", part)
    check_training_view(pairs.texts, "texts", part)
    if len(pairs.images) != len(pairs.texts):
        raise MethodError(
            f"there are {len(pairs.images)} {part} images but {len(pairs.texts)} texts; "
            "row i of each must describe pair i"
        )


def checked_classes(labels: NDArray[Any], n_rows: int) -> Labels:
    """Return the distinct labels in order; raise ``MethodError`` unless there is one whole number a row.

    Labels may have gaps: what counts is which classes are present. Fewer than two raise.
    """
    if not isinstance(labels, np.ndarray) or labels.shape != (n_rows,):
        raise MethodError(f"labels have shape {np.shape(labels)}; give one for each of the {n_rows} pairs")
    if labels.dtype.kind not in "iu":
        raise MethodError(f"labels are {labels.dtype}; give whole numbers")
    classes = np.unique(labels)
    if len(classes) < 2:
        raise MethodError(f"all training pairs have label {classes[0]}; give at least two categories")
    return classes


def one_hot(labels: NDArray[Any], classes: NDArray[Any]) -> Matrix:
    """Return the code (n, c) with a 1 in the column of each row's class.

    >>> one_hot(np.array([7, 3]), np.array([3, 7]))
    array([[0., 1.],
           [1., 0.]])
    """
    code: Matrix = (labels[:, None] == classes).astype(np.float64)
    return code


def label_codes(labels: NDArray[Any], n_rows: int) -> Matrix:
    """Return the categories of each pair as a 0/1 code (n, c), a column for each that some pair has.

    ``labels`` are (n,), one category a pair, or a matrix of 0 and 1 already. Raises ``MethodError`` for
    labels that are neither, and for fewer than two categories.
    """
    if np.ndim(labels) != 2 or np.shape(labels)[1] == 1:
        return one_hot(labels, checked_classes(labels, n_rows))
    if len(labels) != n_rows or not np.isin(labels, (0, 1)).all():
        raise MethodError(
            f"labels have shape {np.shape(labels)}; give a row of 0 and 1 for each of the {n_rows} pairs"
        )
    codes: Matrix = labels[:, labels.any(axis=0)].astype(np.float64)
    if codes.shape[1] < 2:
        raise MethodError(f"training pairs have {codes.shape[1]} categories; give at least two")
    return codes


def class_numbers(train: Split, validation: Split, method: str) -> tuple[Labels, Labels]:
    """Return for the pairs of both splits the place of their label among the labels of training, in order.

    Raises
    ------
    MethodError
        A category of validation has no training pair, or training has fewer than two categories.
    """
    classes = checked_classes(train.labels, len(train.images))
    unknown = np.setdiff1d(validation.labels, classes)
    if len(unknown):
        raise MethodError(
            f"{method}: category {unknown[0]} of validation has no training pair; remove its pairs"
        )
    return classes.searchsorted(train.labels), classes.searchsorted(validation.labels)


def warn(message: str) -> None:
    """Give a ``MethodWarning`` on behalf of whoever called ``fit``.

    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     warn("the kernel is poorly approximated; raise rank")
    >>> caught[0].category.__name__
    'MethodWarning'
    """
    warnings.warn(message, MethodWarning, stacklevel=3)
