"""The nearest-neighbour graph and its Laplacian against scikit-learn, csgraph and dense algebra."""

import numpy as np
import pytest
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import cdist
from sklearn.neighbors import NearestNeighbors

from cmbench.methods.jrl import curvature as module
from cmbench.methods.jrl.curvature import (
    degrees,
    normalised_adjacency,
    smoothness,
)
from cmbench.methods.jrl.release import kernel_smoothness
from cmbench.methods.views import neighbours
from cmbench.methods.views.neighbours import knn_graph, nearest_neighbours


@pytest.fixture
def points():
    return np.random.default_rng(0).normal(size=(70, 4))


def laplacian(graph):
    return np.eye(graph.shape[0]) - normalised_adjacency(graph).toarray()


@pytest.mark.parametrize("distances_at_once", [100, 1 << 20])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_neighbours_are_those_of_scikit_learn(points, monkeypatch, distances_at_once, dtype):
    monkeypatch.setattr(neighbours, "DISTANCES_AT_ONCE", distances_at_once)
    monkeypatch.setattr(neighbours, "FEWEST_ROWS", 1)
    expected = NearestNeighbors(n_neighbors=5).fit(points).kneighbors(return_distance=False)
    found = nearest_neighbours(points.astype(dtype), 5)
    np.testing.assert_array_equal(np.sort(found), np.sort(expected))


def test_a_repeated_point_is_its_twins_neighbour_and_never_its_own(points):
    doubled = np.vstack([points, points])
    found = nearest_neighbours(doubled, 1).ravel()
    np.testing.assert_array_equal(found, np.r_[np.arange(70, 140), np.arange(70)])


def test_more_neighbours_than_points_are_cut(points):
    assert nearest_neighbours(points, 1000).shape == (70, 69)


def test_the_graph_is_symmetric_without_loops_and_everyone_has_k_edges(points):
    graph = knn_graph(points, 6)
    dense = graph.toarray()
    np.testing.assert_array_equal(dense, dense.T)
    assert set(np.unique(dense)) == {0.0, 1.0}
    assert not dense.diagonal().any()
    assert degrees(graph).min() >= 6
    np.testing.assert_array_equal(degrees(graph), dense.sum(axis=1))


def test_an_edge_needs_one_end_only():
    line = np.array([[0.0], [1.0], [1.5], [9.0]])  # the last is nobody's neighbour but has one
    assert knn_graph(line, 1).toarray()[2, 3] == 1


def test_the_laplacian_is_normalised_and_counts_components(points):
    apart = np.vstack([points, points + 100, points - 100])
    graph = knn_graph(apart, 6)
    matrix = laplacian(graph)
    values = np.linalg.eigvalsh(matrix)
    assert values.min() > -1e-12
    assert values.max() <= 2
    np.testing.assert_allclose(matrix @ np.sqrt(degrees(graph)), 0, atol=1e-12)
    assert np.sum(values < 1e-9) == connected_components(graph)[0] >= 3


def test_the_laplacian_sums_squared_differences_over_edges(points):
    graph = knn_graph(points, 6)
    values = np.random.default_rng(1).normal(size=70)
    scaled = values / np.sqrt(degrees(graph))
    expected = 0.5 * np.sum(graph.toarray() * (scaled[:, None] - scaled) ** 2)
    assert values @ laplacian(graph) @ values == pytest.approx(expected, rel=1e-12)


def test_a_point_without_edges_does_not_divide_by_zero():
    lonely = module.Graph(np.array([[0.0, 1, 0], [1, 0, 0], [0, 0, 0]]))
    np.testing.assert_array_equal(normalised_adjacency(lonely).toarray(), lonely.toarray())


@pytest.mark.parametrize("block_rows", [7, 4096])
def test_smoothness_is_the_quadratic_form_of_the_dense_laplacian(points, monkeypatch, block_rows):
    monkeypatch.setattr(module, "BLOCK_ROWS", block_rows)
    graph = knn_graph(points, 6)
    expected = points.T @ laplacian(graph) @ points
    np.testing.assert_allclose(smoothness(points, normalised_adjacency(graph)), expected, atol=1e-10)


@pytest.mark.parametrize("distances_at_once", [100, 1 << 20])
def test_the_kernel_laplacian_is_that_of_the_dense_kernel(points, monkeypatch, distances_at_once):
    monkeypatch.setattr(neighbours, "DISTANCES_AT_ONCE", distances_at_once)
    monkeypatch.setattr(neighbours, "FEWEST_ROWS", 1)
    graph = knn_graph(points, 6)
    scale = 1 / np.sqrt(degrees(graph))
    kernel = 1 / (1 + np.exp(cdist(points, points)))
    expected = points.T @ (np.eye(70) - scale[:, None] * kernel * scale) @ points
    np.testing.assert_allclose(kernel_smoothness(points, degrees(graph)), expected, atol=1e-6)
