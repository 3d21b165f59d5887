"""Kendall's tau against SciPy's, and its interval against a bootstrap by loops."""

from itertools import permutations

import numpy as np
import pytest
from scipy import stats

from cmbench.evaluation.agreement import chance_of_tau, kendall_tau, tau_interval


@pytest.mark.parametrize("seed", range(5))
def test_tau_is_that_of_scipy_also_with_ties(seed):
    random = np.random.default_rng(seed)
    rows, others = random.integers(0, 6, (40, 9)), random.integers(0, 6, 9)
    expected = [stats.kendalltau(row, others).statistic for row in rows]
    np.testing.assert_allclose(kendall_tau(rows, others), expected, atol=1e-12)


def test_where_all_tie_there_is_no_tau():
    assert np.isnan(kendall_tau([1, 1, 1], [1, 2, 3])).all()
    assert np.isnan(kendall_tau([1, 2, 3], [1, 1, 1])).all()


@pytest.mark.parametrize("order", [[1, 2, 3, 4, 5, 6], [2, 1, 3, 6, 5, 4], [4, 1, 5, 6, 3, 2]])
def test_the_chance_of_a_tau_is_the_share_of_all_orders_that_are_as_close(order):
    plain = np.arange(6)
    taus = np.abs(kendall_tau(list(permutations(plain)), plain))
    expected = np.mean(taus >= abs(kendall_tau(order, plain)[0]) - 1e-12)
    assert chance_of_tau(order, plain) == pytest.approx(expected, rel=1e-12)


def test_the_interval_is_that_of_a_bootstrap_over_pairs():
    random = np.random.default_rng(0)
    methods = random.normal(0.5, 0.2, (25, 60)) + np.linspace(0, 0.06, 25)[:, None]
    others = np.arange(25) + random.normal(size=25)
    drawn = [
        stats.kendalltau(methods[:, random.integers(0, 60, 60)].mean(axis=1), others).statistic
        for _ in range(1500)
    ]
    expected = np.quantile(drawn, [0.025, 0.975])
    np.testing.assert_allclose(tau_interval(list(methods), others), expected, atol=0.02)


def test_runs_that_differ_widen_the_interval():
    pairs = np.linspace(0.2, 0.8, 200)
    methods = [pairs + 0.01 * place for place in range(6)]
    assert tau_interval(methods, range(6)) == (1.0, 1.0)
    runs = [np.stack([method - 0.1, method + 0.1]) for method in methods]
    low, high = tau_interval(runs, range(6))
    assert low < 0.2 < high
