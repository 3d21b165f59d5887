"""The graph of nearest neighbours and its normalised Laplacian, never dense in the number of points.

L = I - D^(-1/2) W D^(-1/2), with W 0/1 and an edge where either end is a neighbour of the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from cmbench.methods.views.inputs import Matrix

Graph: TypeAlias = sparse.csr_array
Points: TypeAlias = NDArray[Any]  # float32 or float64 (n, d): distances are taken in that precision
BLOCK_ROWS = 4096
DISTANCES_AT_ONCE = 1 << 25  # 128 MB of float32


def nearest_neighbours(points: Points, n_neighbours: int) -> NDArray[np.intp]:
    """Return the indices (n, k) of the k nearest other points of each point, in no particular order.

    Exact, by brute force in blocks of rows. A point is left out of its own list by its index, so
    that repeated points are neighbours of each other. k is cut to n - 1.
    """
    k = min(n_neighbours, len(points) - 1)
    found = [
        np.argpartition(_without_self(distances, rows), k - 1, axis=1)[:, :k].copy()
        for rows, distances in squared_distance_blocks(points, points)
    ]
    return np.concatenate(found)


def squared_distance_blocks(rows: Points, others: Points) -> Iterator[tuple[slice, Points]]:
    """Yield blocks of rows, as slices, with their squared distances (block, n_others)."""
    height = max(1, DISTANCES_AT_ONCE // len(others))
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


def normalised_adjacency(graph: Graph) -> Graph:
    """Return D^(-1/2) W D^(-1/2); the normalised Laplacian is the identity minus this."""
    row, column = graph.nonzero()
    scale = 1 / np.sqrt(np.maximum(degrees(graph), 1))
    weights = (graph.data * scale[row] * scale[column]).astype(graph.dtype)
    return sparse.csr_array((weights, (row, column)), shape=graph.shape)


def degrees(graph: Graph) -> NDArray[np.intp]:
    """Return the number of edges of each point."""
    return np.diff(graph.indptr)


def smoothness(points: Points, adjacency: Graph) -> Matrix:
    """Return X̃ᵀ L X̃ (d, d), float64, for points X̃ and the normalised ``adjacency``."""
    averaged = adjacency @ points
    total = np.zeros((points.shape[1], points.shape[1]))
    for start in range(0, len(points), BLOCK_ROWS):
        rows = points[start : start + BLOCK_ROWS]
        total += rows.T @ (rows - averaged[start : start + BLOCK_ROWS])
    return (total + total.T) / 2


def _without_self(distances: Points, rows: slice) -> Points:
    distances[np.arange(len(distances)), np.arange(rows.start, rows.stop)] = np.inf
    return distances
