"""Differences between methods, against SciPy, power theory, brute force and simulations of the null."""

import math
import warnings
from itertools import combinations, product

import numpy as np
import pytest
from scipy import stats

from cmbench.errors import EvaluationError
from cmbench.evaluation.nesting import Nested
from cmbench.evaluation.statistics import compare_all, difference, holm, ranks


def test_the_permutation_test_equals_all_changes_of_sign_of_few_pairs():
    random = np.random.default_rng(0)
    first, second = random.uniform(size=(2, 9))
    d = first - second
    means = [np.mean(d * signs) for signs in product((-1, 1), repeat=len(d))]
    exact = np.mean([abs(mean) >= abs(d.mean()) - 1e-12 for mean in means])
    assert difference(first, second, resamples=40_000).p == pytest.approx(exact, abs=0.01)


def test_the_permutation_test_agrees_with_that_of_scipy():
    random = np.random.default_rng(1)
    first = random.beta(2, 3, size=120)
    second = first + 0.03 + 0.1 * random.normal(size=120)
    theirs = stats.permutation_test(
        (first, second),
        lambda x, y, axis: np.mean(x, axis=axis) - np.mean(y, axis=axis),
        permutation_type="samples",
        n_resamples=20_000,
        vectorized=True,
        rng=np.random.default_rng(2),
    )
    assert difference(first, second, resamples=20_000).p == pytest.approx(theirs.pvalue, abs=0.005)


def test_the_interval_agrees_with_the_percentile_bootstrap_of_scipy():
    random = np.random.default_rng(3)
    d = random.gamma(2, 0.05, size=150)
    theirs = stats.bootstrap(
        (d,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(4)
    ).confidence_interval
    ours = difference(d, np.zeros(150), resamples=20_000)
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs), abs=0.001)
    assert ours.standard_error == pytest.approx(stats.sem(d))


def test_methods_that_are_equal_do_not_differ():
    values = np.linspace(0, 1, 40)
    result = difference(values, values)
    assert (result.mean, result.p, result.low, result.high) == (0.0, 1.0, 0.0, 0.0)


def test_exchanging_the_methods_changes_the_sign_alone():
    random = np.random.default_rng(5)
    first, second = random.uniform(size=(2, 3, 60))
    there, back = difference(first, second), difference(second, first)
    assert there.mean == -back.mean
    assert there.p == pytest.approx(back.p, abs=0.02)


def test_pairs_without_an_ap_are_left_out():
    random = np.random.default_rng(6)
    first, second = random.uniform(size=(2, 30))
    holed = np.append(first, np.nan), np.append(second, 0.5)
    assert difference(*holed) == difference(first, second)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [(np.ones(3), np.ones(4), "3 and 4 pairs"), (np.ones(1), np.ones(1), "fewer than two pairs")],
)
def test_what_cannot_be_compared_is_refused(first, second, message):
    with pytest.raises(EvaluationError, match=message):
        difference(first, second)


def simulated(random, *, pairs, runs, shift=0.0):
    """Return AP (runs, pairs) of two methods: hard and easy pairs, noise of pairs and of seeds."""
    hardness = random.normal(0.4, 0.2, size=pairs)
    noise = random.normal(0, 0.1, size=(2, 1, pairs)) + random.normal(0, 0.05, size=(2, runs, pairs))
    seeds = random.normal(0, 0.01, size=(2, runs, 1)) if runs > 1 else 0.0
    first, second = hardness + noise + seeds
    return first + shift, second


@pytest.mark.slow
@pytest.mark.parametrize("runs", [1, 3, 5])
def test_methods_that_differ_by_noise_alone_are_called_different_in_five_of_a_hundred(runs):
    random = np.random.default_rng(7)
    draws = 400
    called = [
        difference(*simulated(random, pairs=200, runs=runs), resamples=999).p <= 0.05 for _ in range(draws)
    ]
    interval = stats.binomtest(int(np.sum(called)), draws).proportion_ci()
    print(f"{runs} runs: {np.mean(called):.3f}, 95 % interval {interval.low:.3f} to {interval.high:.3f}")
    assert interval.low <= 0.05 <= interval.high


@pytest.mark.slow
def test_pairs_that_belong_together_call_methods_different_no_more_often():
    random = np.random.default_rng(9)
    units, draws = np.repeat(np.arange(0, 120, 3), 3), 400
    called = {"units": 0, "pairs": 0}
    for _ in range(draws):
        shared = np.repeat(random.normal(0, 0.1, size=(2, 1, 40)), 3, axis=2)
        values = [*(shared + random.normal(0, 0.05, size=(2, 1, 120)))]
        called["units"] += difference(*Nested(values, units).in_units(), resamples=999).p <= 0.05
        called["pairs"] += difference(*values, resamples=999).p <= 0.05
    interval = stats.binomtest(called["units"], draws).proportion_ci()
    print(f"{called['units']} of {draws} in units, {called['pairs']} in pairs")
    assert interval.low <= 0.05 <= interval.high
    assert called["pairs"] > 3 * called["units"]


@pytest.mark.slow
def test_a_planted_difference_is_found_as_often_as_theory_says():
    random = np.random.default_rng(8)
    pairs, shift, draws = 462, 0.03, 300  # the test pairs of Wikipedia
    error = math.sqrt(2 * (0.1**2 + 0.05**2) / pairs)
    theory = stats.norm.sf(1.96 - shift / error) + stats.norm.cdf(-1.96 - shift / error)
    found = [
        difference(*simulated(random, pairs=pairs, runs=1, shift=shift), resamples=999).p <= 0.05
        for _ in range(draws)
    ]
    assert np.mean(found) == pytest.approx(theory, abs=3 * math.sqrt(theory * (1 - theory) / draws) + 0.01)


def test_the_correction_is_that_of_holm():
    p = np.random.default_rng(9).uniform(0, 0.1, size=7)
    corrected = holm(p)
    for level in (0.01, 0.05, 0.1, 0.2, 0.5):
        rejected = set()
        for step, at in enumerate(np.argsort(p)):  # the method as its author states it
            if p[at] > level / (len(p) - step):
                break
            rejected.add(int(at))
        assert rejected == {int(at) for at in np.flatnonzero(corrected <= level)}


def test_two_methods_share_a_letter_exactly_if_they_do_not_differ():
    for seed in range(30):
        random = np.random.default_rng(seed)
        pairs = random.uniform(size=80)
        shifts = random.choice([0.0, 0.03, 0.06, 0.2], size=6)
        result = compare_all(
            [pairs + shift + 0.1 * random.normal(size=80) for shift in shifts], resamples=999
        )
        for i, j in combinations(range(6), 2):
            assert bool(set(result.groups[i]) & set(result.groups[j])) == (result.p[i, j] > 0.05)
        best = int(np.argmax(result.means))
        assert "a" in result.groups[best]
        assert result.best == tuple(
            "a" in letters or result.p[best, i] > 0.05 for i, letters in enumerate(result.groups)
        )


def test_a_comparison_of_two_has_the_p_of_their_difference():
    random = np.random.default_rng(10)
    first, second = random.uniform(size=(2, 4, 50))
    assert compare_all([first, second]).p[0, 1] == pytest.approx(difference(first, second).p, abs=0.02)


def test_the_order_of_methods_changes_nothing():
    random = np.random.default_rng(3)
    pairs = random.uniform(size=60)
    methods = [
        pairs + shift + 0.2 * random.normal(size=(runs, 60))
        for shift, runs in ((0.0, 3), (0.05, 5), (0.06, 1), (0.1, 3), (0.12, 2))
    ]
    straight = compare_all(methods)
    for order in ([4, 3, 2, 1, 0], [2, 0, 4, 1, 3]):
        found = compare_all([methods[at] for at in order])
        np.testing.assert_array_equal(found.p, straight.p[np.ix_(order, order)])
        assert found.groups == tuple(straight.groups[at] for at in order)


def test_one_method_alone_is_the_best_group():
    assert compare_all([np.linspace(0, 1, 5)]).groups == ("a",)


def test_more_than_26_groups_have_names():
    result = compare_all(
        [np.linspace(0, 1, 30) + 0.1 * i + 1e-3 * np.arange(30) * (i % 2) for i in range(30)]
    )
    assert len(set(result.groups)) == 30
    assert result.groups[29] == "a"
    assert result.groups[0] == "d1"


def test_ranks_are_those_of_friedman_and_nemenyi():
    scores = np.array(
        [[0.9, 0.8, 0.7, 0.1], [0.8, 0.9, 0.6, 0.2], [0.7, 0.6, 0.6, 0.3], [0.9, 0.5, 0.4, 0.2]]
    )
    result = ranks(scores)
    assert result.average.tolist() == [1.25, 1.875, 2.875, 4.0]
    assert result.wins.tolist() == [3, 1, 0, 0]
    assert result.p == pytest.approx(stats.friedmanchisquare(*scores.T).pvalue)
    # table 5 of Demsar (2006): q.05 of 4 methods is 2.569
    assert result.critical_difference == pytest.approx(2.569 * math.sqrt(4 * 5 / (6 * 4)), abs=1e-3)


def test_datasets_on_which_all_methods_are_equal_rank_them_alike_without_a_word():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        placed = ranks(np.ones((3, 4)))
    assert placed.average.tolist() == [2.5] * 4
    assert placed.p == 1


def test_too_few_datasets_have_ranks_but_no_test():
    result = ranks([[0.2, 0.1, 0.3]])
    assert result.average.tolist() == [2, 3, 1]
    assert result.p is None
    assert result.critical_difference is None


def test_a_difference_is_found_among_many_methods_and_too_many_are_refused():
    pairs = np.random.default_rng(0).uniform(size=60)
    alike = [pairs + 0.001 * np.sin(np.arange(60) * k) for k in range(1, 40)]
    assert compare_all([*alike, pairs + 0.5]).best == (*[False] * 39, True)
    with pytest.raises(EvaluationError, match="101 methods are too many"):
        compare_all([pairs] * 101)
