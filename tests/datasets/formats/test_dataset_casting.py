"""Casts from what files hold to the contract's types."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays as drawn_arrays

from cmbench.datasets.formats.casting import float_matrix, int_vector, single_int, single_text, text_vector
from cmbench.errors import DatasetError


@pytest.mark.parametrize("kind", [np.float16, np.float64, ">f4", np.int8, np.uint16, np.bool_, np.longdouble])
def test_every_real_type_becomes_float32_in_row_order(kind):
    values = np.asfortranarray([[0, 1], [1, 0], [1, 1]]).astype(kind)
    cast = float_matrix("images", values)
    assert cast.dtype == np.float32
    assert cast.flags.c_contiguous
    np.testing.assert_array_equal(cast, [[0, 1], [1, 0], [1, 1]])


def test_native_float32_is_not_copied():
    values = np.ones((3, 2), dtype=np.float32)
    assert float_matrix("images", values) is values


@pytest.mark.parametrize("kind", [np.uint8, np.int32, ">i8", np.float32, np.float64, np.bool_])
@pytest.mark.parametrize("shape", [(3,), (3, 1), (1, 3)])
def test_labels_of_every_type_and_orientation_become_an_int64_vector(kind, shape):
    cast = int_vector("labels", np.array([1, 0, 1]).astype(kind).reshape(shape))
    assert cast.dtype == np.int64
    assert cast.dtype.isnative
    assert cast.tolist() == [1, 0, 1]


def test_what_is_not_a_number_is_refused():
    for values in (np.ones((2, 2), dtype=complex), np.array([["a", "b"]]), np.array([[None]])):
        with pytest.raises(DatasetError, match=r"images is .*must be float32"):
            float_matrix("images", values)
        with pytest.raises(DatasetError, match=r"labels is .*must be integers"):
            int_vector("labels", values[:1])


def test_rows_are_counted_across_blocks(monkeypatch):
    monkeypatch.setattr("cmbench.datasets.draft.BLOCK_BYTES", 48)
    values = np.arange(20.0).reshape(10, 2)
    np.testing.assert_array_equal(float_matrix("images", values), values)
    values[8, 1] = -1e39
    with pytest.raises(DatasetError, match=r"images row 8 column 1 is -1e\+39"):
        float_matrix("images", values)


WHOLE = st.integers(-(2**70), 2**70).map(float)


@given(drawn_arrays(np.float64, st.integers(1, 4), elements=WHOLE | st.floats()))
def test_int_vector_keeps_every_value_or_refuses(values):
    whole = [value.is_integer() and abs(value) < 2**63 for value in values.tolist()]
    if all(whole):
        assert int_vector("labels", values).tolist() == [int(value) for value in values.tolist()]
    else:
        with pytest.raises(DatasetError, match=f"row {whole.index(False)} is"):
            int_vector("labels", values)


@given(drawn_arrays(np.float64, (3, 2), elements=st.floats()))
def test_float_matrix_rounds_every_value_or_refuses(values):
    with np.errstate(over="ignore"):
        rounded = values.astype(np.float32)
    if (np.isfinite(rounded) == np.isfinite(values)).all():
        np.testing.assert_array_equal(float_matrix("images", values), rounded)
    else:
        with pytest.raises(DatasetError, match="float32 cannot hold"):
            float_matrix("images", values)


def test_unsigned_labels_beyond_int64_are_refused():
    with pytest.raises(DatasetError, match="row 1 is 18446744073709551615"):
        int_vector("labels", np.array([0, 2**64 - 1], dtype=np.uint64))


def test_bytes_and_whole_numbers_become_texts():
    assert text_vector("ids", np.array(["cat", "dög"]).astype("U9")).tolist() == ["cat", "dög"]
    assert text_vector("ids", np.array(["dög".encode(), b"x"])).tolist() == ["dög", "x"]
    assert text_vector("ids", np.array([[3.0], [12.0]])).tolist() == ["3", "12"]
    with pytest.raises(DatasetError, match=r"ids row 1 .*not UTF-8"):
        text_vector("ids", np.array([b"a", b"\xff"]))
    with pytest.raises(DatasetError, match=r"ids row 0 is 0\.5"):
        text_vector("ids", np.array([0.5]))
    with pytest.raises(DatasetError, match="ids is Python objects"):
        text_vector("ids", np.array([None]))


def test_single_values_are_single():
    assert single_text("name", np.array("x")) == "x"
    assert single_text("name", np.array([], dtype=np.str_)) == ""
    assert single_int("first_label", np.array([[1.0]])) == 1
    with pytest.raises(DatasetError, match="name holds 2 texts"):
        single_text("name", np.array(["x", "y"]))
    with pytest.raises(DatasetError, match="first_label holds 0 numbers"):
        single_int("first_label", np.array([]))
