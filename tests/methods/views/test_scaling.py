"""Scaling learned on training rows, and the Gram matrices of scaled views."""

import numpy as np
import pytest
from sklearn.preprocessing import Normalizer, StandardScaler

from cmbench.errors import MethodError
from cmbench.methods.views import inputs as input_contract
from cmbench.methods.views.scaling import ScaledView, Scaling, cross_gram, gram, scaled_view


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_zscore_agrees_with_scikit_learn(rng):
    train, new = rng.normal(3, 5, (40, 6)), rng.normal(size=(7, 6))
    expected = StandardScaler().fit(train).transform(new)
    np.testing.assert_allclose(Scaling.fit(train, "images").apply(new), expected, rtol=1e-12)


def test_centering_subtracts_the_training_mean_and_none_changes_nothing(rng):
    train, new = rng.normal(3, 5, (40, 6)), rng.normal(size=(7, 6))
    np.testing.assert_allclose(
        Scaling.fit(train, "images", mode="center").apply(new), new - train.mean(axis=0), rtol=1e-12
    )
    np.testing.assert_array_equal(Scaling.fit(train, "images", mode="none").apply(new), new)


def test_rows_are_normalised_before_the_statistics_are_taken(rng):
    train, new = rng.normal(size=(40, 6)), np.vstack([rng.normal(size=(3, 6)), np.zeros((1, 6))])
    expected = StandardScaler().fit(Normalizer().transform(train)).transform(Normalizer().transform(new))
    scaling = Scaling.fit(train, "images", normalise_rows=True)
    np.testing.assert_allclose(scaling.apply(new), expected, rtol=1e-12)


def test_statistics_do_not_depend_on_the_block_size(rng, monkeypatch):
    features = rng.normal(size=(50, 4))
    whole = Scaling.fit(features, "images")
    monkeypatch.setattr(input_contract, "BLOCK_VALUES", 7 * 4)
    blocked = Scaling.fit(features, "images")
    np.testing.assert_allclose(whole.mean, blocked.mean, rtol=1e-12)
    np.testing.assert_allclose(whole.scale, blocked.scale, rtol=1e-12)


@pytest.mark.parametrize("mode", ["none", "center", "zscore"])
def test_a_constant_column_is_exactly_zero_in_training_and_afterwards(rng, mode):
    train = rng.normal(size=(30, 3))
    train[:, 1] = 0.1
    scaling = Scaling.fit(train, "images", mode=mode)
    assert (scaling.apply(train)[:, 1] == 0).all()
    assert (scaling.apply(rng.normal(size=(5, 3)))[:, 1] == 0).all()
    assert scaling.n_constant == 1


@pytest.mark.parametrize(("dtype", "jitter"), [(np.float64, 3e-13), (np.float32, 3e-7)])
def test_a_column_constant_up_to_rounding_counts_as_constant(rng, dtype, jitter):
    train = rng.normal(size=(30, 2))
    train[:, 0] = 5.0 * (1 + jitter * rng.uniform(-1, 1, 30))
    assert Scaling.fit(train.astype(dtype), "images").n_constant == 1


def test_a_column_that_varies_little_but_truly_is_kept(rng):
    train = rng.normal(size=(30, 2)) * [1e-9, 1.0] + [1.0, 0.0]
    assert Scaling.fit(train, "images").n_constant == 0


@pytest.mark.parametrize("normalise_rows", [False, True])
def test_a_view_of_identical_rows_is_refused_and_not_blown_up(normalise_rows):
    features = np.tile(np.random.default_rng(0).normal(size=5), (20, 1))
    with pytest.raises(MethodError, match=r"texts are the same in every training row"):
        Scaling.fit(features, "texts", normalise_rows=normalise_rows)


@pytest.mark.parametrize("scale", [1e150, 1e-150])
def test_extreme_scales_survive_zscoring(rng, scale):
    train = rng.normal(size=(30, 3))
    expected = Scaling.fit(train, "images").apply(train)
    np.testing.assert_allclose(Scaling.fit(train * scale, "images").apply(train * scale), expected, rtol=1e-9)


def test_the_input_is_left_as_it_was(rng):
    train = rng.normal(size=(30, 3))
    before = train.copy()
    Scaling.fit(train, "images", normalise_rows=True).apply(train)
    np.testing.assert_array_equal(train, before)


def test_gram_matrices_are_those_of_the_dense_rows_whatever_the_blocks(rng, monkeypatch, tmp_path):
    images, texts = rng.normal(size=(50, 6)).astype(np.float32), rng.normal(size=(50, 4)).astype(np.float32)
    np.save(tmp_path / "images.npy", images)
    monkeypatch.setattr(input_contract, "BLOCK_VALUES", 7 * 4)
    left, right = (
        scaled_view(np.load(tmp_path / "images.npy", mmap_mode="r"), "images"),
        scaled_view(texts, "t"),
    )
    x, y = (
        StandardScaler().fit_transform(images.astype(float)),
        StandardScaler().fit_transform(texts.astype(float)),
    )
    np.testing.assert_allclose(gram(left), x.T @ x, atol=1e-10)
    np.testing.assert_allclose(cross_gram(left, right), x.T @ y, atol=1e-10)


def test_float32_features_are_summed_in_float64():
    features = (np.random.default_rng(0).normal(size=(20_000, 2)) + 100).astype(np.float32)
    view = ScaledView(features, Scaling.fit(features, "images", mode="none"))
    exact = features.astype(np.longdouble)
    np.testing.assert_allclose(gram(view), (exact.T @ exact).astype(float), rtol=1e-12)
