"""Least-squares regression of centered label codes on each view, as quadratics: LGCFL's smooth part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmbench.methods.monotone_fista import Quadratic
from cmbench.methods.views.inputs import Matrix, one_hot
from cmbench.methods.views.scaling import ScaledView, gram, product_with


@dataclass(frozen=True, eq=False)
class LabelRegression:
    """1/(2n) ‖XW - T‖² of one view, with T the one-hot labels minus their mean.

    Parameters
    ----------
    quadratic : the term, as a function of W (d, c)
    class_means : mean row of each class (c, d); zero for a class without rows
    class_shares : share of each class among the rows (c,)
    """

    quadratic: Quadratic
    class_means: Matrix
    class_shares: Matrix


def label_regression(view: ScaledView, labels: NDArray[Any], classes: NDArray[Any]) -> LabelRegression:
    """Return the regression of ``labels`` (n,) on a scaled view, over all ``classes``, present or not.

    Products are summed in float64; the quadratic works in the precision of the features.
    """
    n_rows = len(labels)
    codes = one_hot(labels, classes)
    shares = codes.mean(axis=0)
    targets = codes - shares
    sums = product_with(view, codes).T
    means = sums / np.maximum(codes.sum(axis=0), 1)[:, None]
    linear = (product_with(view, targets) / n_rows).astype(view.precision)
    constant = float(np.sum(targets**2)) / (2 * n_rows)
    return LabelRegression(Quadratic(_covariance_product(view), linear, constant), means, shares)


def coupled(images: LabelRegression, texts: LabelRegression, weight: float) -> Quadratic:
    """Return both terms for [W_x; W_y] plus weight/2 Σ_j π_j ‖(mean image of j) W_x - (mean text of j) W_y‖².

    π_j is the mean share of class j in the two views, and 0 where one view lacks it.
    """
    n_images = images.class_means.shape[1]
    importance = (images.class_shares + texts.class_shares) / 2
    importance = np.where((images.class_shares > 0) & (texts.class_shares > 0), importance, 0.0)
    means = np.hstack([images.class_means, -texts.class_means])
    linear = np.vstack([images.quadratic.linear, texts.quadratic.linear])
    differences = (np.sqrt(weight * importance)[:, None] * means).astype(linear.dtype)

    def product(weights: Matrix) -> Matrix:
        own = [images.quadratic.product(weights[:n_images]), texts.quadratic.product(weights[n_images:])]
        return np.vstack(own) + differences.T @ (differences @ weights)

    return Quadratic(product, linear, images.quadratic.constant + texts.quadratic.constant)


def _covariance_product(view: ScaledView) -> Callable[[Matrix], Matrix]:
    """Return W -> XᵀXW / n, through XᵀX for many rows and through X for few."""
    n_rows, width = view.shape
    if n_rows < width:
        rows = view.dense().astype(view.precision)
        return lambda weights: rows.T @ (rows @ weights) / n_rows
    covariance = (gram(view) / n_rows).astype(view.precision)
    return lambda weights: covariance @ weights
