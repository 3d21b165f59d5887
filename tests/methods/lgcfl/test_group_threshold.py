"""Group soft-thresholding against its definition, and the solver built on it against cvxpy."""

import cvxpy as cp
import numpy as np
import pytest

from cmbench.methods.lgcfl.group_sparsity import (
    GroupPenalty,
    Quadratic,
    contiguous_groups,
    groups_of,
    minimise,
    stacked,
)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_groups_may_have_any_numbers_and_need_not_be_contiguous(rng):
    weights = rng.normal(size=(6, 2))
    groups = groups_of(np.array([9, 2, 9, 5, 2, 9]))
    expected = [np.linalg.norm(weights[rows]) for rows in ([1, 4], [3], [0, 2, 5])]
    np.testing.assert_allclose(groups.norms(weights), expected, rtol=1e-12)
    np.testing.assert_array_equal(groups.sizes, [2, 1, 3])


def test_blocks_are_contiguous_and_the_last_may_be_shorter():
    groups = contiguous_groups(7, block=3)
    np.testing.assert_array_equal(groups.membership, [0, 0, 0, 1, 1, 1, 2])
    np.testing.assert_array_equal(groups.sizes, [3, 3, 1])
    np.testing.assert_array_equal(contiguous_groups(3, block=100).sizes, [3])


def test_stacked_groups_stay_apart():
    both = stacked(contiguous_groups(3, block=2), contiguous_groups(2, block=2))
    np.testing.assert_array_equal(both.membership, [0, 0, 1, 2, 2])
    np.testing.assert_array_equal(both.sizes, [2, 1, 2])


def test_shrinking_is_the_proximal_step_of_the_group_norm(rng):
    weights = rng.normal(size=(7, 3))
    groups, amounts = contiguous_groups(7, block=3), np.array([0.5, 1.5, 10.0])
    variable = cp.Variable((7, 3))
    penalty = sum(
        a * cp.norm(variable[rows], "fro")
        for a, rows in zip(amounts, (slice(0, 3), slice(3, 6), slice(6, 7)), strict=True)
    )
    cp.Problem(cp.Minimize(0.5 * cp.sum_squares(variable - weights) + penalty)).solve(solver=cp.CLARABEL)
    shrunk = groups.shrunk(weights, amounts)
    np.testing.assert_allclose(shrunk, variable.value, atol=1e-5)
    np.testing.assert_allclose(
        groups.norms(shrunk), np.clip(groups.norms(weights) - amounts, 0, None), atol=1e-12
    )
    assert (shrunk[6] == 0).all()


def test_shrinking_zeros_gives_zeros():
    zeros = np.zeros((4, 2))
    np.testing.assert_array_equal(contiguous_groups(4, block=2).shrunk(zeros, np.ones(2)), zeros)


def test_shrinking_keeps_the_precision(rng):
    weights = rng.normal(size=(4, 2)).astype(np.float32)
    assert contiguous_groups(4, block=2).shrunk(weights, np.ones(2)).dtype == np.float32


def quadratic(rng, width=12, columns=3, rows=30):
    """½‖XW - T‖² of an ill-conditioned X."""
    x = rng.normal(size=(rows, width)) * np.logspace(0, -2, width)
    t = rng.normal(size=(rows, columns))
    return x, t, Quadratic(lambda w: x.T @ (x @ w), x.T @ t, 0.5 * np.sum(t**2))


def test_the_steepness_bounds_the_largest_eigenvalue_closely(rng):
    for width in (12, 90):
        x, _, smooth = quadratic(rng, width=width, rows=100)
        largest = np.linalg.eigvalsh(x.T @ x)[-1]
        assert largest <= smooth.steepness() <= 1.002 * largest


def test_the_value_is_that_of_the_quadratic(rng):
    x, t, smooth = quadratic(rng)
    weights = rng.normal(size=(12, 3))
    expected = 0.5 * np.sum((x @ weights - t) ** 2)
    assert smooth.value(weights, smooth.product(weights)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("strength", [0.02, 0.3])
def test_the_solver_reaches_the_optimum_of_cvxpy_without_ever_rising(rng, strength):
    x, t, smooth = quadratic(rng)
    groups = contiguous_groups(12, block=4)
    amounts = strength * np.full(3, groups.norms(smooth.linear).max())
    variable = cp.Variable((12, 3))
    penalty = sum(a * cp.norm(variable[4 * g : 4 * g + 4], "fro") for g, a in enumerate(amounts))
    problem = cp.Problem(cp.Minimize(0.5 * cp.sum_squares(x @ variable - t) + penalty))
    problem.solve(solver=cp.CLARABEL, tol_gap_abs=1e-9, tol_gap_rel=1e-9, tol_feas=1e-9)
    weights, history = minimise(
        smooth,
        GroupPenalty(groups, amounts),
        np.zeros((12, 3)),
        steepness=smooth.steepness(),
        max_iterations=20_000,
        tolerance=1e-14,
    )
    assert history[-1] == pytest.approx(problem.value, rel=1e-8)
    expected = 0.5 * np.sum((x @ weights - t) ** 2) + amounts @ groups.norms(weights)
    assert history[-1] == pytest.approx(expected, rel=1e-10)
    assert (np.diff(history) <= 0).all()


def test_it_stops_when_ten_iterations_hardly_help_and_at_the_limit(rng):
    _, _, smooth = quadratic(rng)
    groups = contiguous_groups(12, block=4)
    penalty = GroupPenalty(groups, np.full(3, 0.1))

    def iterations(max_iterations, tolerance):
        settings = {"steepness": smooth.steepness(), "max_iterations": max_iterations, "tolerance": tolerance}
        return minimise(smooth, penalty, np.zeros((12, 3)), **settings)[1]

    history = iterations(10_000, 1e-6)
    assert history[-11] - history[-1] < 1e-6 * history[-1]
    assert history[-12] - history[-2] >= 1e-6 * history[-2]
    assert len(iterations(7, 0.0)) == 8


def test_it_is_much_faster_than_plain_proximal_steps(rng):
    _, _, smooth = quadratic(rng)
    groups = contiguous_groups(12, block=4)
    penalty = GroupPenalty(groups, np.full(3, 0.01))
    steepness = smooth.steepness()
    plain = np.zeros((12, 3))
    for _ in range(200):
        step = plain - (smooth.product(plain) - smooth.linear) / steepness
        plain = groups.shrunk(step, penalty.amounts / steepness)
    value = smooth.value(plain, smooth.product(plain)) + penalty.value(plain)
    settings = {"steepness": steepness, "tolerance": 0.0}
    _, history = minimise(smooth, penalty, np.zeros((12, 3)), max_iterations=200, **settings)
    optimum = minimise(smooth, penalty, np.zeros((12, 3)), max_iterations=20_000, **settings)[1][-1]
    assert history[-1] - optimum < (value - optimum) / 5
