"""The Laplacian of the authors' JRL code: a dense kernel under the degrees of a neighbour graph.

L = I - D^(-1/2) K D^(-1/2), with K_ij = 1 / (1 + exp(‖x_i - x_j‖)), its diagonal of 1/2 included,
and D the degrees of the nearest-neighbour graph of the same points. It need not be positive
semi-definite.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cmbench.methods.knn_graph import Points, squared_distance_blocks
from cmbench.methods.views.inputs import Matrix


def kernel_smoothness(points: Points, degrees: NDArray[np.intp]) -> Matrix:
    """Return X̃ᵀ L X̃ (d, d), float64, for points X̃ (n, d); K is made and used block by block."""
    weighted = points / np.sqrt(degrees)[:, None].astype(points.dtype)
    total = np.zeros((points.shape[1], points.shape[1]))
    for rows, distances in squared_distance_blocks(points, points):
        total += points[rows].T @ points[rows]
        total -= weighted[rows].T @ (closeness(distances) @ weighted)
    return (total + total.T) / 2


def closeness(squared_distances: Points) -> Points:
    """Return 1 / (1 + exp(distance)), computed in place without overflow.

    >>> closeness(np.array([0.0, 1e6]))
    array([0.5, 0. ])
    """
    decay = np.sqrt(squared_distances, out=squared_distances)
    np.exp(np.negative(decay, out=decay), out=decay)
    decay /= 1 + decay
    return decay
