"""The categories of training and validation pairs, numbered from 0."""

from __future__ import annotations

import numpy as np

from cmbench.datasets.contract import Split
from cmbench.errors import MethodError
from cmbench.methods.label_code import Labels, checked_classes


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
