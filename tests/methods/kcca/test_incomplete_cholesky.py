"""The incomplete Cholesky factor against the dense kernel matrix it stands for."""

import numpy as np
import pytest

from cmbench.methods.kcca import kernels as module
from cmbench.methods.kcca.kernels import GaussianKernel, incomplete_cholesky


def gaussian(rng, n=60, d=3, sigma=1.5):
    points = rng.normal(size=(n, d))
    return GaussianKernel(sigma).between(points, points)


def factorised(kernel, *, rank=None, tolerance=0.0):
    return incomplete_cholesky(
        lambda index: kernel[:, index], np.diag(kernel).copy(), rank=rank or len(kernel), tolerance=tolerance
    )


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(params=[1, 5, 64])
def _batch_size(request, monkeypatch):
    monkeypatch.setattr(module, "CANDIDATES", request.param)


@pytest.mark.usefixtures("_batch_size")
def test_at_full_rank_the_kernel_is_reproduced(rng):
    kernel = gaussian(rng, sigma=0.8)
    result = factorised(kernel)
    np.testing.assert_allclose(result.factor @ result.factor.T, kernel, atol=1e-11)
    assert 0 <= result.residual_share < 1e-11


@pytest.mark.usefixtures("_batch_size")
def test_the_factor_is_exact_in_the_pivot_columns_and_lower_triangular_in_the_pivot_rows(rng):
    kernel = gaussian(rng)
    result = factorised(kernel, rank=15)
    assert len(set(result.pivots.tolist())) == 15
    np.testing.assert_allclose(
        (result.factor @ result.factor.T)[:, result.pivots], kernel[:, result.pivots], atol=1e-13
    )
    np.testing.assert_array_equal(result.triangle, np.tril(result.triangle))


def test_the_factor_is_the_nystrom_approximation_of_its_pivots(rng):
    kernel = gaussian(rng)
    result = factorised(kernel, rank=15)
    pivots = result.pivots
    nystrom = kernel[:, pivots] @ np.linalg.solve(kernel[np.ix_(pivots, pivots)], kernel[pivots])
    np.testing.assert_allclose(result.factor @ result.factor.T, nystrom, atol=1e-11)


def test_the_residual_is_positive_semi_definite_and_its_trace_falls(rng):
    kernel = gaussian(rng)
    shares = []
    for rank in (1, 2, 5, 10, 20, 40):
        result = factorised(kernel, rank=rank)
        residual = kernel - result.factor @ result.factor.T
        assert np.linalg.eigvalsh(residual).min() > -1e-12
        assert result.residual_share == pytest.approx(np.trace(residual) / np.trace(kernel), abs=1e-12)
        shares.append(result.residual_share)
    assert shares == sorted(shares, reverse=True)


@pytest.mark.usefixtures("_batch_size")
def test_each_pivot_has_the_largest_residual(rng):
    kernel = gaussian(rng) * np.outer(scale := rng.uniform(0.5, 2, 60), scale)
    pivots = factorised(kernel, rank=20).pivots
    for step in range(20):
        done = pivots[:step]
        residual = np.diag(kernel).copy()
        if step:
            residual -= np.einsum(
                "ij,ji->i", kernel[:, done], np.linalg.solve(kernel[np.ix_(done, done)], kernel[done])
            )
        assert residual[pivots[step]] == pytest.approx(residual.max(), abs=1e-12)


def test_it_stops_at_the_tolerance(rng):
    kernel = gaussian(rng)
    result = factorised(kernel, tolerance=0.05)
    assert result.residual_share <= 0.05
    assert factorised(kernel, rank=len(result.pivots) - 1).residual_share > 0.05


def test_repeated_rows_give_no_pivot_of_their_own(rng):
    points = np.tile(rng.normal(size=(20, 3)), (4, 1))
    kernel = GaussianKernel(0.5).between(points, points)
    result = factorised(kernel)
    assert len(result.pivots) == 20
    assert len({tuple(points[i]) for i in result.pivots}) == 20


def test_only_the_columns_needed_are_asked_for(rng):
    kernel, asked = gaussian(rng, n=500, sigma=3.0), []

    def columns(index):
        asked.extend(index.tolist())
        return kernel[:, index]

    incomplete_cholesky(columns, np.ones(500), rank=5, tolerance=0.0)
    assert len(asked) < 500
