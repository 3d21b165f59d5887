"""Values of runs over seeds and splits, nested in pairs."""

from dataclasses import replace

import numpy as np
import pytest

from cmbench.errors import EvaluationError
from cmbench.evaluation.nesting import Nested, Run, nested_in_pairs
from cmbench.evaluation.statistics import difference


def run(seed, split, **values):
    return Run(seed, split, np.array(list(values)), np.array(list(values.values()), dtype=np.float64))


def test_runs_of_one_split_stay_as_they_are():
    runs = [run(0, 0, b=0.2, a=0.4), run(1, 0, b=0.6, a=0.8)]
    assert nested_in_pairs([runs]).values[0].tolist() == [[0.2, 0.4], [0.6, 0.8]]


def test_a_row_is_a_seed_and_a_pair_has_its_mean_over_splits():
    runs = [
        run(0, 0, a=0.2, b=0.4),
        run(1, 0, a=0.0, b=0.0),
        run(0, 2, b=0.6, c=1.0),
        run(1, 2, b=1.0, c=0.5),
    ]
    assert nested_in_pairs([runs]).values[0].round(9).tolist() == [[0.2, 0.5, 1.0], [0.0, 0.5, 0.5]]


def test_pairs_that_a_seed_was_not_tested_on_are_nan():
    first = [run(0, 0, a=0.2, b=0.4), run(0, 1, b=0.4, c=0.3), run(1, 0, a=0.2, b=0.4)]
    (left,) = nested_in_pairs([first]).values
    assert np.isnan(left).tolist() == [[False, False, False], [False, False, True]]


def test_only_splits_that_all_methods_have_count():
    first = [run(None, 0, a=0.2, b=0.4), run(None, 1, b=0.8, c=0.3)]
    second = [run(None, 0, a=0.1, b=0.5), run(None, 2, a=0.9)]
    assert [values.tolist() for values in nested_in_pairs([first, second]).values] == [
        [[0.2, 0.4]],
        [[0.1, 0.5]],
    ]
    with pytest.raises(EvaluationError, match="no split was run with every method"):
        nested_in_pairs([first, second[1:]])


def test_queries_that_are_not_of_each_pair_are_refused_with_several_splits():
    pictures = Run(0, 1, np.array(["a", "b"]), np.array([0.5]))
    with pytest.raises(EvaluationError, match="1 queries of 2 pairs"):
        nested_in_pairs([[run(0, 0, a=0.2, b=0.1), pictures]])


def with_units(units, **values):
    return replace(run(0, 0, **values), units=np.array(units))


def test_a_unit_counts_once_and_leaves_the_means_as_they_are():
    first = with_units([0, 0, 2, 2, 4], a=0.1, b=0.3, c=0.2, d=0.9, e=0.5)
    second = run(0, 0, a=0.0, b=0.2, c=np.nan, d=0.7, e=0.5)
    for method, pairs in zip(nested_in_pairs([[first], [second]]).in_units(), (first, second), strict=True):
        assert method.shape == (1, 3)
        assert method.mean() == pytest.approx(pairs.values[[0, 1, 3, 4]].mean())


def test_copies_of_pairs_are_no_further_evidence():
    random = np.random.default_rng(0)
    once = random.uniform(size=(2, 1, 40))
    thrice = [np.repeat(values, 3, axis=1) for values in once]
    alike = Nested(thrice, np.arange(120) // 3 * 3).in_units()
    assert difference(*alike).p == difference(*once).p
    assert difference(*alike).standard_error == pytest.approx(difference(*once).standard_error)
    assert difference(*thrice).p < difference(*once).p


def test_units_are_followed_through_splits():
    one = with_units([0, 0, 2], a=0.1, b=0.3, c=0.2)
    other = replace(run(0, 1, b=0.5, a=0.3, d=0.6, e=0.8), units=np.array([0, 0, 2, 2]))
    found = nested_in_pairs([[one, other]])
    assert found.units.tolist() == [0, 0, 1, 2, 2]
    assert [values.shape for values in found.in_units()] == [(1, 3)]


def test_queries_that_are_not_one_of_each_pair_stand_alone():
    pictures = Run(0, 0, np.array(["a", "b", "c"]), np.array([0.5, 0.6]), np.array([0, 0, 2]))
    assert nested_in_pairs([[pictures]]).units is None
