"""Scaling into [0, 1] by the ranges of training rows, against NumPy written out."""

import numpy as np
import pytest

from cmbench.errors import MethodError
from cmbench.methods.views import inputs as input_contract
from cmbench.methods.views.scaling import Scaling, UnitScaling

ROWS = np.array([[1.0, -4.0, 7.0], [3.0, 0.0, 7.0], [2.0, 4.0, 7.0]], dtype=np.float32)


def test_each_column_goes_from_0_to_1_and_a_constant_one_is_0():
    expected = [[0.0, 0.0, 0.0], [1.0, 0.5, 0.0], [0.5, 1.0, 0.0]]
    assert UnitScaling.of_columns(ROWS, "images").apply(ROWS).tolist() == expected


def test_one_range_for_all_columns_keeps_their_proportions():
    found = UnitScaling.of_all(ROWS, "codes").apply(ROWS)
    np.testing.assert_allclose(found, (ROWS.astype(float) + 4) / 11, rtol=1e-12)


@pytest.mark.parametrize("learned", [UnitScaling.of_columns, UnitScaling.of_all])
def test_new_values_beyond_the_range_are_clipped_and_none_of_their_statistics_counts(learned):
    new = np.array([[-100.0, 0.0, 7.0], [100.0, 100.0, 100.0]])
    scaling = learned(ROWS, "images")
    found = scaling.apply(new)
    assert found.min() == 0.0
    assert found.max() <= 1.0
    assert found[1, 0] == 1.0
    assert np.array_equal(np.vstack([scaling.apply(row[None]) for row in new]), found)
    assert scaling.encode(new).dtype == np.float32


@pytest.mark.parametrize("learned", [UnitScaling.of_columns, UnitScaling.of_all])
def test_ranges_are_learned_block_by_block(learned, monkeypatch):
    random = np.random.default_rng(0).normal(size=(50, 4))
    whole = learned(random, "images")
    monkeypatch.setattr(input_contract, "BLOCK_VALUES", 12)
    parts = learned(random, "images")
    assert np.array_equal(whole.mean, parts.mean)
    assert np.array_equal(whole.scale, parts.scale)


def test_columns_are_constant_where_rounding_is_all_they_have():
    rows = np.column_stack([ROWS[:, 0], 1e6 + np.array([0.0, 0.06, 0.0])]).astype(np.float32)
    assert np.isinf(Scaling.fit(rows, "images").scale).tolist() == [False, True]
    assert not UnitScaling.of_columns(rows, "images").apply(rows)[:, 1].any()


def test_rows_that_are_all_alike_are_an_error():
    with pytest.raises(MethodError, match="images are the same in every training row"):
        UnitScaling.of_columns(np.ones((3, 2)), "images")
    with pytest.raises(MethodError, match="codes are all 0 in training"):
        UnitScaling.of_all(np.zeros((3, 2)), "codes")
