"""Gram and cross-product matrices of scaled views, summed block by block in float64."""

from __future__ import annotations

import numpy as np
from scipy.linalg import blas

from cmbench.methods.preprocessing import Matrix, ScaledView, paired_blocks


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
