"""The common space as it can be kept with a record: some test pairs on their first principal axes.

Representations themselves may take gigabytes. A picture of the space shows a few hundred points, and
embeddings such as t-SNE begin with a few dozen principal components, so these are kept: small, of every
cell, and without a request that would have to be made before a training of hours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmbench.evaluation.arrays import blas

MOST_PAIRS = 1_000
"""How many pairs are kept at most; a figure of more shows a cloud."""
AXES = 50
"""How many axes are kept at most, the number that t-SNE is usually given."""


@dataclass(frozen=True, eq=False)
class Components:
    """Test pairs on the principal axes of their representations at unit length.

    Parameters
    ----------
    rows : int64 (m,), which pairs
    values : float64 (2 m, c), the images on each axis and after them the texts, centred
    share : float64 (c,), the part of the whole variance on each axis, falling
    """

    rows: NDArray[np.int64]
    values: NDArray[np.float64]
    share: NDArray[np.float64]


def components(
    images: ArrayLike, texts: ArrayLike, *, pairs: int = MOST_PAIRS, axes: int = AXES
) -> Components:
    """Return the principal components of paired representations (n, k), of at most so many pairs and axes.

    Items are compared by cosine, so rows are taken at unit length (a zero row stays zero), and images and
    texts have one mean and one set of axes. Of more pairs, those at even distances are taken, which of
    a test set in the order of its categories have the same shares. On each axis, the value farthest from 0
    is positive.

    >>> found = components([[1.0, 0.0], [0.0, 1.0]], [[2.0, 0.0], [0.0, 0.5]], axes=1)
    >>> (found.values / found.values[0]).round(3).T.tolist(), found.share.round(3).tolist()
    ([[1.0, -1.0, 1.0, -1.0]], [1.0])
    """
    sides = [np.asarray(side) for side in (images, texts)]
    count = len(sides[0])
    rows = np.unique(np.linspace(0, count - 1, min(pairs, count)).round().astype(np.int64))
    stacked = np.concatenate([_unit(side[rows]) for side in sides])
    constant = stacked.max(axis=0) == stacked.min(axis=0)  # whose mean, rounded, must not look like a spread
    stacked = np.where(constant, 0.0, stacked - stacked.mean(axis=0))
    # Threads of an eigendecomposition wait for each other so often that other work holds them up for seconds
    with blas().limit(limits=1):
        values = _on_principal_axes(stacked, min(axes, *stacked.shape))
    total = float((stacked**2).sum())
    variance = (values**2).sum(axis=0)
    return Components(rows, values, variance / total if total > 0 else variance)


def _unit(rows: NDArray[np.generic]) -> NDArray[np.float64]:
    floats = rows.astype(np.float64)
    largest = np.abs(floats).max(axis=1, keepdims=True)
    floats /= np.where(largest > 0, largest, 1)  # squares of what is tiny or huge would vanish, or overflow
    lengths = np.linalg.norm(floats, axis=1, keepdims=True)
    unit: NDArray[np.float64] = floats / np.where(lengths > 0, lengths, 1)
    return unit


def _on_principal_axes(centred: NDArray[np.float64], axes: int) -> NDArray[np.float64]:
    """Return the rows (n, k) on the axes of largest variance (n, axes)."""
    if centred.shape[1] <= len(centred):
        _, vectors = np.linalg.eigh(centred.T @ centred)
        values = centred @ vectors[:, ::-1][:, :axes]
    else:  # X X' has the same eigenvalues, and X on its axes is U S
        squares, vectors = np.linalg.eigh(centred @ centred.T)
        values = vectors[:, ::-1][:, :axes] * np.sqrt(np.maximum(squares[::-1][:axes], 0.0))
    farthest = np.abs(values).argmax(axis=0)
    signs = np.where(values[farthest, np.arange(values.shape[1])] < 0, -1.0, 1.0)
    signed: NDArray[np.float64] = values * signs
    return signed
