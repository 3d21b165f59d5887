"""Corr-AE as a method: what it learns, what it chooses, what it keeps, and what its parameters do."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from representations import represented
from small_corr_ae import BRIEF, ROUNDS_1, scores_of

from cmbench.errors import MethodError
from cmbench.evaluation.evaluator import bimodal_map
from cmbench.methods.corr_ae.correspondence import CorrespondenceFitting, CorrespondenceSettings
from cmbench.methods.corr_ae.method import CorrAE, CorrAECorr, CorrAECross, CorrAEFull
from cmbench.methods.training.curves import CollapseError, DivergenceError
from cmbench.methods.training.loop import Run, Training
from cmbench.methods.training.pairs import PairCodes
from cmbench.methods.views.inputs import MethodWarning

pytestmark = pytest.mark.filterwarnings("ignore::cmbench.methods.views.inputs.MethodWarning")


def fitted(toy, kind=CorrAEFull, **parameters):
    return kind(**{**BRIEF, "alpha": 0.5, **parameters}).fit(toy.train, toy.validation)


@pytest.fixture(scope="module")
def default(toy):
    return represented(fitted(toy), toy.test)


@pytest.fixture(scope="module")
def best_of_nine(toy):
    return CorrAE(**BRIEF).fit(toy.train, toy.validation)


def test_pairs_bring_both_modalities_into_one_space(toy):
    sizes = {"embedding": 24, "hidden": 24, "code": 24, "rbm_batch_size": 16, "batch_size": 16}
    length = {
        "rbm_epochs": 30,
        "gaussian_rate": 0.01,
        "epochs": 20,
        "learning_rate": 0.01,
        "stopping": "none",
    }

    def score(train, seed):
        method = CorrAEFull(**sizes, **length, alpha=0.5, random_state=seed, device="cpu")
        method.fit(train, toy.validation)
        sides = method.transform_images(toy.test.images), method.transform_texts(toy.test.texts)
        return bimodal_map(*sides, toy.test.labels), bimodal_map(*sides, np.arange(len(toy.test)))

    paired = [score(toy.train, seed) for seed in range(3)]
    apart = []
    for seed in range(3):
        shuffled = toy.train.texts[np.random.default_rng(seed).permutation(len(toy.train))]
        apart.append(score(replace(toy.train, texts=shuffled), seed))
    by_category, by_pair = np.transpose(paired)
    assert by_category.min() > 0.5, "chance is 0.29"
    assert by_pair.min() > 0.2, "chance is 0.09"
    assert np.transpose(apart)[1].max() < 0.17


def test_the_best_variant_with_its_best_weight_is_chosen_on_validation(toy, best_of_nine):
    tried, full = scores_of(best_of_nine.trials_), scores_of(best_of_nine.finals_)
    alphas = (0.2, 0.5, 0.8)
    assert set(tried) == {f"{name} {alpha}" for name in ("corr", "cross", "full") for alpha in alphas}
    best = [
        max((f"{name} {alpha}" for alpha in alphas), key=tried.__getitem__)
        for name in ("corr", "cross", "full")
    ]
    assert list(full) == best
    chosen = max(full, key=full.__getitem__)
    assert chosen == f"{best_of_nine.variant_} {best_of_nine.alpha_:g}"
    assert best_of_nine.validation_map_ == pytest.approx(full[chosen], abs=1e-4)


@pytest.mark.parametrize(
    ("kind", "name"), [(CorrAECorr, "corr"), (CorrAECross, "cross"), (CorrAEFull, "full")]
)
def test_a_variant_alone_is_what_the_choice_trained(toy, best_of_nine, kind, name):
    alone = kind(**BRIEF).fit(toy.train, toy.validation)
    assert alone.variant_ == name
    assert f"{name} {alone.alpha_:g} {alone.validation_map_:.4f}" in best_of_nine.finals_.split(", ")
    assert alone.trials_ in best_of_nine.trials_
    assert not alone.finals_
    same = np.array_equal(represented(alone, toy.test), represented(best_of_nine, toy.test))
    assert same == (best_of_nine.variant_ == name)


def test_variants_are_compared_in_full_when_alpha_is_given(toy):
    method = fitted(toy, CorrAE)
    assert not method.trials_
    assert list(scores_of(method.finals_)) == ["corr 0.5", "cross 0.5", "full 0.5"]


def test_a_variant_that_starts_slowly_is_chosen_if_it_ends_as_the_best(toy, monkeypatch):
    found = {"corr": 0.5, "cross": 0.6, "full": 0.4}
    assert CorrAE(**BRIEF).trial_steps > 3 * 5, "all nine are trained to the end"

    def trained(self, *, pause, original=CorrespondenceFitting.trained):
        training = original(self)
        training.best.score = (found[self.variant],)
        return training

    monkeypatch.setattr(CorrespondenceFitting, "trained", trained)
    assert CorrAE(**BRIEF).fit(toy.train, toy.validation).variant_ == "cross"


def test_stage_1_is_trained_once_for_all_trials(toy, monkeypatch):
    seen = []
    original = Training.run
    monkeypatch.setattr(
        Training, "run", lambda self, *a, **k: seen.append(list(self.modules)) or original(self, *a, **k)
    )
    CorrAE(**BRIEF).fit(toy.train, toy.validation)
    assert len([modules for modules in seen if "rbm" in modules]) == 4
    assert len([modules for modules in seen if "autoencoder" in modules]) == 9


def test_labels_of_training_pairs_do_not_count(toy, default):
    shuffled = replace(toy.train, labels=np.random.default_rng(0).permutation(toy.train.labels))
    method = CorrAEFull(**BRIEF, alpha=0.5).fit(shuffled, toy.validation)
    assert np.array_equal(represented(method, toy.test), default)
    assert not CorrAE.uses_labels


def first_rate(variant="full", **settings):
    codes = PairCodes(
        {"image": np.full((8, 4), 0.5, np.float32), "text": np.full((8, 4), 0.4, np.float32)}, np.arange(8)
    )
    training = CorrespondenceSettings(**settings)
    fitting = CorrespondenceFitting(variant, 0.5, training, codes, codes, Run("toy", 0))
    fitting.update(np.arange(8), norms=False)
    return fitting.optimizer


def test_rates_by_default_are_those_of_the_release_for_sgd_and_a_thousandth_for_adam():
    for variant, rate in (("corr", 0.05), ("cross", 0.01), ("full", 0.05)):
        sgd = first_rate(variant, optimizer="sgd").param_groups
        assert [group["lr"] for group in sgd] == [rate, rate]
        assert [group["momentum"] for group in sgd] == [0.5, 0.5]
        assert [group["weight_decay"] for group in sgd] == [1e-4, 0.0]
        assert first_rate(variant).param_groups[0]["lr"] == 1e-3
    for optimizer in ("sgd", "adam"):
        chosen = first_rate(optimizer=optimizer, learning_rate=0.3)
        assert chosen.param_groups[0]["lr"] == 0.3


def test_post_normalisation_takes_the_statistics_of_training_items(toy):
    raw, post = fitted(toy, post="none", stopping="none"), fitted(toy, stopping="none")
    for side, features in (("images", toy.train.images), ("texts", toy.train.texts)):
        before, after = (getattr(method, f"transform_{side}")(features) for method in (raw, post))
        assert ((before > 0) & (before < 1)).all()
        np.testing.assert_allclose(after, (before - before.mean(axis=0)) / before.std(axis=0), atol=1e-5)


def test_the_state_that_is_kept_is_the_best_on_validation(toy):
    setting = {"epochs": 12, "learning_rate": 0.05, "preprocessing": "zscore"}
    method = fitted(toy, **setting)
    curve = method.curves_["validation_map"]
    best = np.nanargmax(curve)
    assert best < len(curve) - 1, "choose a setting whose best state is not the last"
    assert method.best_iteration_ == method.curves_["iteration"][best]
    assert method.validation_map_ == pytest.approx(np.nanmax(curve), abs=1e-6)
    last = fitted(toy, **setting, stopping="none")
    assert not np.allclose(represented(last, toy.test), represented(method, toy.test))
    assert last.validation_map_ is None


def test_training_ends_when_patience_does(toy):
    method = fitted(toy, epochs=1000, patience=2, learning_rate=0.05)
    assert method.iterations_ == method.best_iteration_ + 2 * 5 < ROUNDS_1 + 1000 * 5


def test_curves_follow_all_stages_on_one_count(toy):
    method = fitted(toy, eval_epochs=1)
    assert method.iterations_ == ROUNDS_1 + 3 * 5
    assert method.curves_["iteration"].tolist() == [*range(5, ROUNDS_1 + 3 * 5 + 1, 5)]
    losses = {f"{name}_loss" for name in ("correlation", "image_to_text", "image_to_image", "text_to_text")}
    errors = {f"rbm{layer}_{name}_error" for layer in (1, 2) for name in ("image", "text")}
    assert losses | errors | {"loss", "text_to_image_loss", "validation_map", "iteration"} == set(
        method.curves_
    )
    alpha = 0.5
    last = {name: values[-1] for name, values in method.curves_.items()}
    parts = sum(
        last[f"{path}_loss"] for path in ("image_to_image", "image_to_text", "text_to_image", "text_to_text")
    )
    assert last["loss"] == pytest.approx((1 - alpha) * parts + alpha * last["correlation_loss"], rel=1e-4)


def test_memory_mapped_features_train_the_same(toy, tmp_path, default):
    for name in ("images", "texts"):
        np.save(tmp_path / f"{name}.npy", getattr(toy.train, name))
    mapped = {name: np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in ("images", "texts")}
    method = CorrAEFull(**BRIEF, alpha=0.5).fit(replace(toy.train, **mapped), toy.validation)
    assert np.array_equal(represented(method, toy.test), default)


def test_collapsed_codes_are_warned_of(toy):
    collapsing = {"alpha": 1, "learning_rate": 0.05, "epochs": 20, "stopping": "none"}
    with pytest.warns(MethodWarning, match=r"corr-ae-full: representations .* nearly equal .*lower alpha"):
        method = fitted(toy, **collapsing, post="none")
    assert method.collapsed_
    assert method.code_deviation_ < 0.01
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert not fitted(toy, **collapsing, post="zscore_train").collapsed_, "standardised, they differ"
    assert not [each for each in caught if "nearly equal" in str(each.message)]


def test_codes_that_are_all_the_same_are_an_error(toy):
    alike = r"corr-ae-full: codes of \w+ no longer tell training pairs apart; lower alpha or weight_decay"
    with pytest.raises(CollapseError, match=alike):
        fitted(toy, weight_decay=1000, learning_rate=0.05, epochs=60)


def test_an_autoencoder_that_learns_nothing_names_its_rate(toy):
    with pytest.raises(MethodError, match=r"dae_image reconstructs .*; change dae_rate, or raise rbm_epochs"):
        fitted(toy, pretrain="dae", dae_rate=1e-9)


def test_features_that_no_rbm_can_learn_are_an_error(toy):
    huge = replace(toy.train, images=1e4 * toy.train.images)
    with pytest.raises((MethodError, DivergenceError), match=r"rbm1_image.*standardise"):
        CorrAEFull(**BRIEF, preprocessing="none", gaussian_rate=0.001).fit(huge, toy.validation)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"alpha": 1.5}, "alpha is 1.5; use a number between 0 and 1 or 'validation'"),
        ({"pretrain": "ae"}, "pretrain is 'ae'; use 'rbm' or 'dae'"),
        ({"hidden": 0}, "hidden is 0"),
        ({"optimizer": "lbfgs"}, "optimizer is 'lbfgs'"),
        ({"learning_rate": 0}, "learning_rate is 0"),
        ({"corruption": 2}, "corruption is 2"),
        ({"post": "zscore"}, "post is 'zscore'"),
        ({"stopping": "none"}, "9 combinations of variant and alpha .* corr-ae-full"),
    ],
)
def test_bad_parameters_are_refused_with_the_remedy(toy, parameters, message):
    with pytest.raises(MethodError, match=f"corr-ae: {message}"):
        CorrAE(**{**BRIEF, **parameters}).fit(toy.train, toy.validation)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("pretrain", [{}, {"pretrain": "dae", "rbm_epochs": 40, "dae_rate": 0.02}])
def test_a_gpu_trains_to_nearly_the_same(toy, pretrain):
    settings = {**pretrain, "stopping": "none"}
    methods = [fitted(toy, **{**settings, "device": device}) for device in ("cpu", "cuda")]
    assert methods[1].device_ == "cuda"
    here, there = (represented(method, toy.test) for method in methods)
    assert np.corrcoef(here.ravel(), there.ravel())[0, 1] > 0.99
