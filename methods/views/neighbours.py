"""The graph of the nearest neighbours of points."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Graph: TypeAlias = sparse.csr_array
Points: TypeAlias = NDArray[Any]  # float32 or float64 (n, d): distances are taken in that precision
DISTANCES_AT_ONCE = 1 << 21  # 8 MB of float32, and twice that for the indices that order them
FEWEST_ROWS = 256  # of a block: a product of fewer is bound by reading the other points


def nearest_neighbours(points: Points, n_neighbours: int) -> NDArray[np.intp]:
    """Return the indices (n, k) of the k nearest other points of each point, in no particular order.

    Exact, by brute force in blocks of rows. A point is left out of its own list by its index, so
    that repeated points are neighbours of each other. k is cut to n - 1.
    """
    k = min(n_neighbours, len(points) - 1)
    blocks = [
        np.argpartition(_without_self(distances, rows), k - 1, axis=1)[:, :k].copy()
        for rows, distances in squared_distance_blocks(points, points)
    ]
    return np.concatenate(blocks)


def squared_distance_blocks(rows: Points, others: Points) -> Iterator[tuple[slice, Points]]:
    """Yield blocks of rows, as slices, with their squared distances (block, n_others)."""
    height = max(FEWEST_ROWS, DISTANCES_AT_ONCE // len(others))
    norms = np.einsum("ij,ij->i", others, others)
    for start in range(0, len(rows), height):
        block = slice(start, min(start + height, len(rows)))
        distances = rows[block] @ others.T
        distances *= -2
        distances += np.einsum("ij,ij->i", rows[block], rows[block])[:, None]
        distances += norms
        yield block, np.maximum(distances, 0, out=distances)  # cancellation may go just below zero


def knn_graph(points: Points, n_neighbours: int) -> Graph:
    """Return the symmetric 0/1 adjacency (n, n) of the points, without loops.

    >>> knn_graph(np.array([[0.0], [1.0], [5.0]]), 1).toarray()
    array([[0., 1., 0.],
           [1., 0., 1.],
           [0., 1., 0.]])
    """
    neighbours = nearest_neighbours(points, n_neighbours)
    n, k = neighbours.shape
    entries = (np.ones(n * k, dtype=points.dtype), neighbours.ravel(), np.arange(0, n * k + 1, k))
    directed = sparse.csr_array(entries, shape=(n, n))
    graph: Graph = sparse.csr_array(directed.maximum(directed.T))
    return graph


def _without_self(distances: Points, rows: slice) -> Points:
    distances[np.arange(len(distances)), np.arange(rows.start, rows.stop)] = np.inf
    return distances
