"""Scaling learned on training rows, and the Gram matrices of scaled views."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.preprocessing import Normalizer, StandardScaler

from cmbench.errors import MethodError
from cmbench.methods.parameters import parameters_of
from cmbench.methods.registry import registry
from cmbench.methods.training.device import DeviceRows
from cmbench.methods.views import inputs as input_contract
from cmbench.methods.views.scaling import MODES, ScaledView, Scaling, cross_gram, gram, scaled_view


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


def centred_over_one_deviation(train, new):
    """Return new rows centred by training means and divided by the root of the mean training variance."""
    centred = train - train.mean(axis=0)
    return (new - train.mean(axis=0)) / np.sqrt((centred**2).mean())


def test_global_scaling_centres_and_divides_by_one_number_of_the_training_rows(rng):
    train, new = rng.normal(3, [5, 1, 0.1, 7, 2, 2], (40, 6)), rng.normal(size=(7, 6))
    scaling = Scaling.fit(train, "images", mode="global")
    np.testing.assert_allclose(scaling.apply(new), centred_over_one_deviation(train, new), rtol=1e-12)
    assert scaling.apply(train).var() == pytest.approx(1)


def test_global_scaling_leaves_constant_columns_out_of_the_number_it_divides_by(rng):
    train, new = rng.normal(size=(40, 3)), rng.normal(size=(7, 3))
    train[:, 1] = 0.1
    lively = [0, 2]
    expected = centred_over_one_deviation(train[:, lively], new[:, lively])
    np.testing.assert_allclose(Scaling.fit(train, "x", mode="global").apply(new)[:, lively], expected)


def test_global_scaling_on_the_device_is_that_of_numpy(rng):
    train = rng.normal(3, [5, 1, 0.1, 7], (40, 4)).astype(np.float32)
    rows = DeviceRows(train, Scaling.fit(train, "images", mode="global"), torch.device("cpu"))
    index = np.array([3, 1, 39])
    expected = centred_over_one_deviation(train.astype(float), train[index])
    np.testing.assert_allclose(rows.rows(index).numpy(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "parameter"),
    [
        *((name, "preprocessing") for name in ("cmgans", "dcca", "deep-sm", "corr-ae", "cmdn", "ccl-coarse")),
        *((name, "scaling") for name in ("cfa", "kcca", "jrl", "lgcfl")),
    ],
)
def test_methods_offer_global_scaling(name, parameter):
    constraint = {each.name: each.constraint for each in parameters_of(registry()[name].load())}[parameter]
    assert constraint.accepts("global")


@pytest.mark.parametrize(
    ("name", "settings"),
    [("kcca", {"kernel": "linear"}), ("jrl", {"gamma_rel": 0.1}), ("lgcfl", {"rho": 0.1}), ("cfa", {})],
)
def test_a_method_with_global_scaling_is_that_method_on_features_scaled_so(toy, name, settings):
    views = {
        split: [
            centred_over_one_deviation(np.float64(trained), np.float64(rows))
            for trained, rows in zip(
                toy.train.views.values(), getattr(toy, split).views.values(), strict=True
            )
        ]
        for split in ("train", "validation")
    }
    train = replace(toy.train, images=views["train"][0], texts=views["train"][1])
    validation = replace(toy.validation, images=views["validation"][0], texts=views["validation"][1])
    method = registry()[name].load()
    given = method(scaling="global", **settings).fit(toy.train, toy.validation)
    beforehand = method(scaling="center", **settings).fit(train, validation)
    np.testing.assert_allclose(
        np.abs(given.transform_images(toy.validation.images)),
        np.abs(beforehand.transform_images(validation.images)),
        rtol=1e-2,
        atol=1e-4,  # solvers stop by a tolerance
    )


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


@pytest.mark.parametrize("mode", MODES)
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


@pytest.mark.parametrize("mode", ["zscore", "global"])
@pytest.mark.parametrize("scale", [1e200, 1e-200])
def test_extreme_scales_survive_scaling(rng, scale, mode):
    train = rng.normal(size=(30, 3))
    expected = Scaling.fit(train, "images", mode=mode).apply(train)
    scaled = Scaling.fit(train * scale, "images", mode=mode).apply(train * scale)
    np.testing.assert_allclose(scaled, expected, rtol=1e-9)


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
