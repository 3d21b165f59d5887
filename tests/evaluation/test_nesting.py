"""Values of runs over seeds and splits, nested in pairs."""

import numpy as np
import pytest

from cmbench.errors import EvaluationError
from cmbench.evaluation.nesting import Run, nested_in_pairs


def run(seed, split, **values):
    return Run(seed, split, np.array(list(values)), np.array(list(values.values()), dtype=np.float64))


def test_runs_of_one_split_stay_as_they_are():
    runs = [run(0, 0, b=0.2, a=0.4), run(1, 0, b=0.6, a=0.8)]
    assert nested_in_pairs([runs])[0].tolist() == [[0.2, 0.4], [0.6, 0.8]]


def test_a_row_is_a_seed_and_a_pair_has_its_mean_over_splits():
    runs = [
        run(0, 0, a=0.2, b=0.4),
        run(1, 0, a=0.0, b=0.0),
        run(0, 2, b=0.6, c=1.0),
        run(1, 2, b=1.0, c=0.5),
    ]
    assert nested_in_pairs([runs])[0].round(9).tolist() == [[0.2, 0.5, 1.0], [0.0, 0.5, 0.5]]


def test_pairs_that_a_seed_was_not_tested_on_are_nan():
    first = [run(0, 0, a=0.2, b=0.4), run(0, 1, b=0.4, c=0.3), run(1, 0, a=0.2, b=0.4)]
    (left,) = nested_in_pairs([first])
    assert np.isnan(left).tolist() == [[False, False, False], [False, False, True]]


def test_only_splits_that_all_methods_have_count():
    first = [run(None, 0, a=0.2, b=0.4), run(None, 1, b=0.8, c=0.3)]
    second = [run(None, 0, a=0.1, b=0.5), run(None, 2, a=0.9)]
    assert [values.tolist() for values in nested_in_pairs([first, second])] == [[[0.2, 0.4]], [[0.1, 0.5]]]
    with pytest.raises(EvaluationError, match="no split was run with every method"):
        nested_in_pairs([first, second[1:]])


def test_queries_that_are_not_of_each_pair_are_refused_with_several_splits():
    pictures = Run(0, 1, np.array(["a", "b"]), np.array([0.5]))
    with pytest.raises(EvaluationError, match="1 queries of 2 pairs"):
        nested_in_pairs([[run(0, 0, a=0.2, b=0.1), pictures]])
