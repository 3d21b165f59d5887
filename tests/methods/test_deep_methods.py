"""What every deep baseline has in common: parameters, validation, scaling, rows apart from their batch."""

import math
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from representations import represented

from cmbench.datasets.draft import Split
from cmbench.errors import MethodError
from cmbench.methods.dcca.method import DCCA
from cmbench.methods.deep_sm import DeepSM
from cmbench.methods.parameters import constraints_of
from cmbench.methods.training.deep_method import PRACTICAL
from cmbench.methods.views.inputs import MethodWarning

BRIEF = {
    DCCA: {"n_components": 3, "ridge": 1e-3, "hidden_width": 12, "epochs": 4},
    DeepSM: {"hidden_width": 12, "batch_size": 16, "epochs": 4, "learning_rate": 0.02},
}
METHODS = pytest.mark.parametrize("kind", BRIEF)


def brief(kind, **parameters):
    return kind(**{**BRIEF[kind], "device": "cpu", "threads": 1, **parameters})


def fitted(toy, kind, **parameters):
    return brief(kind, **parameters).fit(toy.train, toy.validation)


@METHODS
def test_memory_mapped_features_train_the_same(toy, tmp_path, kind):
    for name in ("images", "texts"):
        np.save(tmp_path / f"{name}.npy", getattr(toy.train, name))
    mapped = {name: np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in ("images", "texts")}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        method = brief(kind).fit(replace(toy.train, **mapped), toy.validation)
    assert np.array_equal(represented(method, toy.test), represented(fitted(toy, kind), toy.test))


@METHODS
def test_an_item_alone_is_represented_as_in_a_batch(toy, kind):
    method = fitted(toy, kind)
    whole = method.transform_images(toy.test.images)
    alone = np.vstack([method.transform_images(toy.test.images[i : i + 1]) for i in range(len(whole))])
    np.testing.assert_allclose(alone, whole, rtol=1e-9, atol=1e-12)
    assert method.transform_texts(toy.test.texts[:0]).shape == (0, whole.shape[1])


@METHODS
def test_a_fixed_length_ignores_validation(toy, kind):
    nonsense = replace(toy.validation, labels=toy.validation.labels[::-1].copy())
    methods = [brief(kind, stopping="none").fit(toy.train, pairs) for pairs in (toy.validation, nonsense)]
    assert np.array_equal(*(represented(method, toy.test) for method in methods))
    assert methods[0].validation_map_ is None
    assert not any("validation" in name for name in methods[0].curves_)


@METHODS
@pytest.mark.parametrize("preprocessing", ["none", "rownorm"])
def test_features_are_scaled_as_asked(toy, kind, preprocessing):
    method = fitted(toy, kind, preprocessing=preprocessing, learning_rate=0.02)
    longer = 7 * toy.test.images
    same = np.allclose(method.transform_images(longer), method.transform_images(toy.test.images), atol=1e-5)
    assert same is (preprocessing == "rownorm")


@METHODS
def test_zscored_features_do_not_depend_on_their_units(toy, kind):
    scale = np.geomspace(1e-3, 1e3, 12).astype(np.float32)
    other = [
        replace(split, images=split.images * scale - 2) for split in (toy.train, toy.validation, toy.test)
    ]
    method = brief(kind, preprocessing="zscore").fit(*other[:2])
    peer = fitted(toy, kind, preprocessing="zscore")
    np.testing.assert_allclose(represented(method, other[2]), represented(peer, toy.test), atol=2e-2)


BAD = {
    None: {
        "hidden_width": 0,
        "learning_rate": 0.0,
        "weight_decay": math.inf,
        "batch_size": 1,
        "epochs": 0,
        "stopping": "map",
        "eval_epochs": 0,
        "patience": 1.5,
        "preprocessing": "whiten",
        "device": "tpu",
        "threads": 0,
        "checkpoint": 3,
        "checkpoint_seconds": -1,
        "gradient_clip": 0.0,
        "random_state": None,
    },
    DCCA: {
        "n_components": 0,
        "ridge": -1.0,
        "corr_power": -1,
        "hidden_layers": -1,
        "activation": "tanh",
        "dropout": 1.0,
    },
    DeepSM: {
        "hidden_image": -1,
        "hidden_text": 1.0,
        "dropout": 1.0,
        "optimizer": "lbfgs",
        "momentum": 1.0,
        "stopping": "correlation",
    },
}


@METHODS
def test_a_bad_value_is_refused_by_name(toy, kind):
    for name, value in {**BAD[None], **BAD[kind]}.items():
        with pytest.raises(MethodError, match=rf"{kind.name}: {name} is .*; use "):
            fitted(toy, kind, **{name: value})


@METHODS
def test_every_parameter_has_a_constraint_and_defaults_and_values_to_try_keep_it(kind):
    parameters = kind().get_params()
    assert parameters.keys() == constraints_of(kind).keys() == {*BAD[None], *BAD[kind]}
    assert all(constraints_of(kind)[name].accepts(value) for name, value in parameters.items())
    assert set(kind.practical) == set(PRACTICAL) <= parameters.keys()
    for name, values in kind.tuning_space.items():
        assert all(constraints_of(kind)[name].accepts(value) for value in values)


@METHODS
def test_new_features_of_another_width_are_refused(toy, kind):
    with pytest.raises(MethodError, match="images have 8 features, but the method was fitted on 12"):
        fitted(toy, kind).transform_images(toy.test.texts)
    with pytest.raises(MethodError, match=f"{kind.name} is not fitted"):
        kind().transform_texts(toy.test.texts)


@METHODS
def test_threads_are_recorded_and_given_back(toy, kind):
    before = torch.get_num_threads()
    assert fitted(toy, kind, threads=before + 1, epochs=1, stopping="none").threads_ == before + 1
    assert torch.get_num_threads() == before


@METHODS
def test_a_validation_part_that_is_too_small_is_called_by_its_name(toy, kind):
    one = Split(**{key: getattr(toy.validation, key)[:1] for key in ("images", "texts", "labels", "ids")})
    with pytest.raises(MethodError, match=r"images have 1 validation row\(s\)"):
        kind().fit(toy.train, one)


def test_representations_that_are_all_alike_are_warned_of(toy):
    with pytest.warns(MethodWarning, match=r"deep-sm: representations .* nearly equal .*weight_decay"):
        method = fitted(toy, DeepSM, learning_rate=1e-6)
    assert method.collapsed_


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@METHODS
def test_a_gpu_trains_to_nearly_the_same(toy, kind):
    same = {} if kind is DCCA else {"dropout": 0.0}  # its random numbers are the device's own
    here, there = (
        represented(fitted(toy, kind, device=device, **same), toy.test) for device in ("cpu", "cuda")
    )
    np.testing.assert_allclose(np.abs(here), np.abs(there), atol=1e-2)
