"""CMDN as a method: what it finds, what it keeps, and what it refuses."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from representations import represented

from cmbench.errors import MethodError
from cmbench.evaluation.evaluator import bimodal_map
from cmbench.methods.cmdn.method import CMDN
from cmbench.methods.training.curves import CollapseError, DivergenceError
from cmbench.methods.training.loop import Training

pytestmark = pytest.mark.filterwarnings("ignore::cmbench.methods.views.inputs.MethodWarning")

SIZES = {"first_level": 12, "sae_hidden": 9, "sae_code": 5, "hidden_image": 10, "hidden_text": 9}
SIZES |= {"code": 8, "joint": 11, "fusion": 7, "width": 8}
BATCHES = {"rbm_batch_size": 16, "class_batch": 16, "batch_size": 48}
LENGTH = {"eval_epochs": 1, "rbm_epochs": 8, "class_epochs": 3, "epochs": 2}
LENGTH |= {"sae_epochs": None, "sae_rate": 0.02, "joint_epochs": None}
BRIEF = {**SIZES, **BATCHES, **LENGTH, "device": "cpu"}
EARLY = 4 * 8 + 4 * 8 + 8 + 2 * (8 + 3)  # autoencoders, RBMs, joint RBM, fusion and classifiers
EPOCHS = EARLY + 4 * 2


def fitted(toy, **parameters):
    return CMDN(**{**BRIEF, **parameters}).fit(toy.train, toy.validation)


@pytest.fixture(scope="module")
def method(toy):
    return fitted(toy)


@pytest.fixture(scope="module")
def default(toy, method):
    return represented(method, toy.test)


def test_a_common_space_is_found(toy):
    sizes = dict.fromkeys(SIZES, 24) | {"first_level": 32, "sae_code": 12}
    length = {"rbm_epochs": 30, "sae_epochs": None, "class_epochs": 20, "epochs": 40, "learning_rate": 0.01}
    rates = {"gaussian_rate": 0.01, "sae_rate": 0.01}
    made = CMDN(**sizes, **BATCHES, **length, **rates, depth=3, device="cpu").fit(toy.train, toy.validation)
    sides = made.transform_images(toy.test.images), made.transform_texts(toy.test.texts)
    assert bimodal_map(*sides, toy.test.labels) > 0.5, "chance is 0.29"


def test_labels_may_have_gaps(toy, default):
    train, validation = (replace(split, labels=split.labels * 3 + 5) for split in (toy.train, toy.validation))
    assert np.array_equal(represented(CMDN(**BRIEF).fit(train, validation), toy.test), default)


def test_post_normalisation_takes_the_statistics_of_training_items(toy):
    raw, post = (fitted(toy, post=post, stopping="none") for post in ("none", "zscore_train"))
    for side, features in (("images", toy.train.images), ("texts", toy.train.texts)):
        before, after = (getattr(made, f"transform_{side}")(features) for made in (raw, post))
        assert ((before > 0) & (before < 1)).all()
        np.testing.assert_allclose(after, (before - before.mean(axis=0)) / before.std(axis=0), atol=1e-4)


def test_the_state_that_is_kept_is_the_best_on_validation(toy):
    made = fitted(toy, depth=2, epochs=20, learning_rate=0.3)
    of_level = np.isfinite(made.curves_["level2_loss"])
    curve, iterations = made.curves_["validation_map"][of_level], made.curves_["iteration"][of_level]
    best = np.argmax(curve)
    assert best < len(curve) - 1, "choose a setting whose best state is not the last"
    assert made.best_iteration_ == iterations[best]
    assert made.validation_map_ == pytest.approx(curve[best], abs=1e-6)
    assert fitted(toy, stopping="none").validation_map_ is None


def test_a_fixed_length_ignores_validation(toy):
    nonsense = replace(toy.validation, labels=toy.validation.labels[::-1].copy())
    made = [CMDN(**BRIEF, stopping="none").fit(toy.train, pairs) for pairs in (toy.validation, nonsense)]
    assert np.array_equal(*(represented(each, toy.test) for each in made))
    assert not any("validation" in name for name in made[0].curves_)


def test_a_level_ends_when_patience_does(toy):
    made = fitted(toy, depth=1, epochs=1000, patience=2, learning_rate=0.05)
    assert made.iterations_ == made.best_iteration_ + 2 * 5 < 5 * (EARLY + 1000)


def test_curves_follow_all_stages_on_one_count(method):
    curves = method.curves_
    assert curves["iteration"].tolist() == [*range(5, 5 * EPOCHS + 1, 5)]
    assert method.iterations_ == 5 * EPOCHS
    early = {f"sae{number}_{name}_loss" for number in (1, 2) for name in ("image", "text")}
    early |= {f"rbm{number}_{name}_error" for number in (1, 2) for name in ("image", "text")}
    early |= {"joint_error", "joint_image_error", "joint_text_error"}
    early |= {f"{name}_{kind}" for name in ("image", "text") for kind in ("loss", "accuracy")}
    kinds = ("loss", "image_loss", "text_loss", "class_loss")
    assert early | {f"level{number}_{kind}" for number in (1, 2, 3, 4) for kind in kinds} <= set(curves)
    last = {name: values[-1] for name, values in curves.items()}
    parts = last["level4_image_loss"] + last["level4_text_loss"] + last["level4_class_loss"]
    assert last["level4_loss"] == pytest.approx(parts, rel=1e-5)
    assert np.isfinite(curves["validation_map"]).sum() == 4 * 2


def test_features_may_have_any_units_and_columns_that_say_nothing(toy, default):
    scale = np.geomspace(1e-3, 1e3, 12).astype(np.float32)
    train, validation, test = (
        replace(split, images=np.hstack([split.images * scale - 2, np.full((len(split), 1), 7)]))
        for split in (toy.train, toy.validation, toy.test)
    )
    made = represented(CMDN(**BRIEF).fit(train, validation), test)
    assert np.isfinite(made).all()
    assert made.shape == default.shape


def test_memory_mapped_features_train_the_same(toy, tmp_path, default):
    for name in ("images", "texts"):
        np.save(tmp_path / f"{name}.npy", getattr(toy.train, name))
    mapped = {name: np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in ("images", "texts")}
    made = CMDN(**BRIEF).fit(replace(toy.train, **mapped), toy.validation)
    assert np.array_equal(represented(made, toy.test), default)


def test_a_level_that_diverges_is_an_error(toy, monkeypatch):
    with pytest.raises(DivergenceError, match=r"cmdn: level1_\w*loss became nan at step \d+"):
        fitted(toy, learning_rate=1e38)


def test_an_autoencoder_that_learns_nothing_is_an_error(toy):
    with pytest.raises(
        MethodError, match=r"cmdn: sae1_image reconstructs .*; change sae_rate, or raise rbm_e"
    ):
        fitted(toy, sae_rate=1e-9)


def test_codes_that_are_all_the_same_are_an_error(toy):
    alike = r"cmdn: codes of \w+ no longer tell training pairs apart; change learning_rate, or lower weight_d"
    with pytest.raises(CollapseError, match=alike):
        fitted(toy, weight_decay=1e3, epochs=60, eval_epochs=30)


def test_how_far_codes_lie_apart_is_told_before_they_are_standardised(toy):
    method = fitted(toy, post="none")
    both = method.transform_images(toy.validation.images), method.transform_texts(toy.validation.texts)
    expected = min(each.std(axis=0).mean() for each in both)
    assert method.code_deviation_ == pytest.approx(expected, rel=1e-3)
    assert fitted(toy).code_deviation_ == pytest.approx(expected, rel=0.5)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"depth": 5}, "depth is 5; use 1, 2, 3, 4 or 'validation'"),
        ({"depth": 0}, "depth is 0"),
        ({"label_weight": -1}, "label_weight is -1; use a number of 0 or more"),
        ({"sae_code": 0}, "sae_code is 0"),
        ({"learning_rate": "adam"}, "learning_rate is 'adam'"),
        ({"optimizer": "lbfgs"}, "optimizer is 'lbfgs'"),
    ],
)
def test_bad_parameters_are_refused_with_the_remedy(toy, parameters, message):
    with pytest.raises(MethodError, match=f"cmdn: {message}"):
        fitted(toy, **parameters)


def test_a_category_only_validation_has_is_an_error_before_anything_is_trained(toy, monkeypatch):
    monkeypatch.delattr(Training, "run")
    strange = replace(toy.validation, labels=toy.validation.labels + 1)
    with pytest.raises(MethodError, match="cmdn: category 4 of validation has no training pair"):
        CMDN(**BRIEF).fit(toy.train, strange)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpu_trains_to_nearly_the_same(toy):
    made = [fitted(toy, device=device, depth=2, stopping="none") for device in ("cpu", "cuda")]
    assert made[1].device_ == "cuda"
    here, there = (represented(each, toy.test) for each in made)
    assert np.corrcoef(here.ravel(), there.ravel())[0, 1] > 0.99
