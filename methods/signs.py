"""Deterministic signs of paired components."""

from __future__ import annotations

import numpy as np

from cmbench.methods.preprocessing import Matrix


def with_fixed_signs(image_weights: Matrix, text_weights: Matrix) -> tuple[Matrix, Matrix]:
    """Flip each component so that its largest image weight, by magnitude, is positive.

    The text column is flipped with its image column: a pair of components is only determined up
    to one common sign.

    >>> with_fixed_signs(np.array([[-2.0], [1.0]]), np.array([[3.0]]))
    (array([[ 2.],
           [-1.]]), array([[-3.]]))
    """
    largest = np.abs(image_weights).argmax(axis=0)
    signs = np.sign(image_weights[largest, np.arange(image_weights.shape[1])])
    signs[signs == 0] = 1.0
    return image_weights * signs, text_weights * signs
