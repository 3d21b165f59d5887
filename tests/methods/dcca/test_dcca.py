"""DCCA: its linear form against CCA, its final projection, what it learns from, and what it keeps."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from representations import represented

from cmbench.datasets.draft import Split
from cmbench.errors import MethodError
from cmbench.evaluation.evaluator import bimodal_map
from cmbench.methods.cca import CCA
from cmbench.methods.dcca.method import DCCA, paired_correlation
from cmbench.methods.dcca.total_correlation import total_correlation
from cmbench.methods.training.curves import CollapseError, DivergenceError
from cmbench.methods.views.inputs import MethodWarning

TINY = {"n_components": 3, "hidden_width": 12, "device": "cpu", "threads": 1}
BRIEF = {**TINY, "epochs": 6}
LINEAR = {**TINY, "hidden_layers": 0, "ridge": 1e-9, "weight_decay": 0.0, "stopping": "none"}


def fitted(toy, **parameters):
    return DCCA(**{**BRIEF, **parameters}).fit(toy.train, toy.validation)


def related(n=150, *, seed=0, widths=(7, 5)):
    """Two views of four sources with noise of their own."""
    mixing, random = np.random.default_rng(11), np.random.default_rng(seed)
    latent = random.normal(size=(n, 4)) * [2.0, 1.5, 1.0, 0.5]
    views = [(latent @ mixing.normal(size=(4, d)) + random.normal(size=(n, d))) for d in widths]
    return Split(*(each.astype(np.float32) for each in views), np.arange(n) % 3, np.arange(n).astype(str))


def test_linear_networks_reach_the_optimum_of_cca_and_never_pass_it():
    train = related()
    optimum = CCA(n_components=3, ridge=0.0).fit(train, train).correlations_[:3].sum()
    method = DCCA(**{**LINEAR, "learning_rate": 0.02, "epochs": 300, "eval_epochs": 10}).fit(train, train)
    climb = method.curves_["batch_correlation"]
    assert climb[0] < optimum - 0.1, "choose a start that is not the optimum already"
    assert (climb <= optimum + 1e-6).all()
    assert method.training_correlation_ == pytest.approx(optimum, abs=1e-4)
    assert method.training_correlation_ <= optimum + 1e-5


def test_what_linear_networks_find_is_the_space_of_the_canonical_variates():
    train, test = related(), related(seed=1)
    method = DCCA(**{**LINEAR, "learning_rate": 0.02, "epochs": 300, "eval_epochs": 50}).fit(train, train)
    cca = CCA(n_components=3, ridge=0.0).fit(train, train)
    for side, features in (("images", test.images), ("texts", test.texts)):
        ours, theirs = (getattr(each, f"transform_{side}")(features) for each in (method, cca))
        assert np.abs(np.diag(np.corrcoef(ours.T, theirs.T)[:3, 3:])) == pytest.approx(1, abs=1e-2)


@pytest.mark.parametrize("ridge", [0.0, 1e-12])
def test_variates_of_training_items_are_white_and_correlate_only_with_their_partners(ridge):
    train = related()
    method = DCCA(**{**TINY, "ridge": ridge, "epochs": 10}).fit(train, train)
    joint = np.cov(represented(method, train).T)
    np.testing.assert_allclose(joint[:3, :3], np.eye(3), atol=1e-6)
    np.testing.assert_allclose(joint[3:, 3:], np.eye(3), atol=1e-6)
    np.testing.assert_allclose(joint[:3, 3:], np.diag(method.correlations_), atol=1e-6)
    assert represented(method, train).mean(axis=0) == pytest.approx(0, abs=1e-6)
    assert (np.diff(method.correlations_) <= 0).all()
    assert method.training_correlation_ == pytest.approx(method.correlations_.sum(), abs=1e-6)


def test_with_a_ridge_the_ridged_covariance_is_white(toy):
    method = fitted(toy, ridge=0.1)
    for row_map in (method.image_map_, method.text_map_):
        features = toy.train.images if row_map is method.image_map_ else toy.train.texts
        network, projection = row_map.steps
        outputs, weights = network(features), projection.weights
        ridged = np.cov(outputs.T) + 0.1 * np.eye(3)
        np.testing.assert_allclose(weights.T @ ridged @ weights, np.eye(3), atol=1e-6)
    condition = [
        np.linalg.cond(np.cov(row_map.steps[0](features).T) + 0.1 * np.eye(3))
        for row_map, features in ((method.image_map_, toy.train.images), (method.text_map_, toy.train.texts))
    ]
    assert method.condition_ == pytest.approx(max(condition))


def test_the_final_correlations_add_up_to_the_objective_of_all_training_pairs(toy):
    method = fitted(toy, ridge=0.02, epochs=20)
    outputs = [
        torch.from_numpy(row_map.steps[0](features))
        for row_map, features in ((method.image_map_, toy.train.images), (method.text_map_, toy.train.texts))
    ]
    expected = total_correlation(*outputs, ridge=0.02).total.item()
    assert method.correlations_.sum() == pytest.approx(expected, abs=1e-9)


def test_without_the_final_projection_the_two_views_do_not_meet():
    train, validation, test = (related(120, seed=seed) for seed in range(3))
    method = DCCA(**{**TINY, "ridge": 1e-3, "epochs": 100}).fit(train, validation)
    own_pair = np.arange(len(test))
    raw = method.image_map_.steps[0](test.images), method.text_map_.steps[0](test.texts)
    projected = method.transform_images(test.images), method.transform_texts(test.texts)
    assert bimodal_map(*projected, own_pair) > 2 * bimodal_map(*raw, own_pair)


def test_training_raises_the_correlation_of_new_pairs():
    train, validation, test = (related(200, seed=seed) for seed in range(3))
    correlations = [
        paired_correlation(method.transform_images(test.images), method.transform_texts(test.texts))
        for method in (
            DCCA(**{**TINY, "ridge": 1e-3, "epochs": epochs, "stopping": "none"}).fit(train, validation)
            for epochs in (1, 150)
        )
    ]
    assert correlations[1] > correlations[0] + 0.1, correlations


def test_corr_power_weighs_components_by_their_correlation(toy):
    plain, weighted = (fitted(toy, corr_power=power, ridge=1e-3) for power in (0.0, 2.0))
    expected = plain.transform_images(toy.test.images) * plain.correlations_**2
    np.testing.assert_allclose(weighted.transform_images(toy.test.images), expected)


def test_the_sum_of_paired_correlations_is_that_of_numpy():
    first, second = np.random.default_rng(0).normal(size=(2, 30, 4))
    first[:, 2] = 1.5
    expected = sum(np.corrcoef(first[:, i], second[:, i])[0, 1] for i in (0, 1, 3))
    assert paired_correlation(first, second) == pytest.approx(expected)


def test_labels_do_not_count_but_pairs_do(toy):
    random = np.random.default_rng(0)
    relabelled = replace(toy.train, labels=random.permutation(toy.train.labels))
    paired_anew = replace(toy.train, texts=random.permutation(toy.train.texts))
    before = represented(fitted(toy), toy.test)
    for train, same in ((relabelled, True), (paired_anew, False)):
        after = represented(DCCA(**BRIEF).fit(train, toy.validation), toy.test)
        assert np.array_equal(after, before) is same


def test_stopping_by_correlation_takes_no_label_of_validation_either(toy):
    relabelled = replace(toy.validation, labels=np.zeros_like(toy.validation.labels))
    parameters = {**BRIEF, "epochs": 30, "stopping": "correlation", "learning_rate": 0.05}
    methods = [DCCA(**parameters).fit(toy.train, pairs) for pairs in (toy.validation, relabelled)]
    assert np.array_equal(*(represented(method, toy.test) for method in methods))
    curve = methods[0].curves_["validation_correlation"]
    assert methods[0].best_iteration_ == methods[0].curves_["iteration"][curve.argmax()]
    assert methods[0].validation_correlation_ == pytest.approx(curve.max(), abs=1e-5)


def test_the_state_kept_is_the_best_on_validation_after_the_final_projection(toy):
    method = fitted(toy, epochs=60, learning_rate=0.05, ridge=1e-4, patience=60)
    curve = method.curves_["validation_map"]
    assert curve.argmax() < len(curve) - 1, "choose a setting whose best state is not the last"
    sides = method.transform_images(toy.validation.images), method.transform_texts(toy.validation.texts)
    assert bimodal_map(*sides, toy.validation.labels) == pytest.approx(curve.max(), abs=1e-6)
    assert method.validation_map_ == pytest.approx(curve.max(), abs=1e-6)
    assert method.best_iteration_ == method.curves_["iteration"][curve.argmax()]


def test_training_ends_when_patience_does(toy):
    method = fitted(toy, epochs=5000, patience=3, eval_epochs=1, learning_rate=0.05)
    assert method.iterations_ == method.best_iteration_ + 3 < 5000


def test_settings_are_chosen_by_the_map_on_validation(toy, monkeypatch):
    monkeypatch.setattr("cmbench.methods.dcca.method.SIZES", (2, 5, 50))
    chosen = fitted(toy, n_components="validation", ridge="validation", epochs=10)
    each = {
        (size, ridge): fitted(toy, n_components=size, ridge=ridge, epochs=10).validation_map_
        for size in (2, 5)
        for ridge in (1e-3, 1e-1)
    }
    best = max(each, key=each.get)
    assert (chosen.n_components_, chosen.ridge_) == best
    assert chosen.validation_map_ == each[best] > min(each.values())
    alone = fitted(toy, n_components=best[0], ridge=best[1], epochs=10)
    assert np.array_equal(represented(chosen, toy.test), represented(alone, toy.test))


def test_few_pairs_leave_few_components_to_choose_from(toy):
    (small, other) = DCCA(n_components="validation", ridge="validation")._grid(80)
    assert (small.n_components, other.n_components) == (10, 10)
    assert {each.n_components for each in DCCA(n_components="validation")._grid(400)} == {20, 50}
    assert {each.n_components for each in DCCA(n_components="validation")._grid(2000)} == {20, 50, 100}
    assert [each.ridge for each in DCCA(ridge="validation")._grid(80)] == [1e-3, 1e-1]


@pytest.mark.parametrize(
    ("pairs", "size", "asked", "batch"),
    [
        (900, 50, 1000, 900),
        (5000, 50, 1000, 1000),
        (5000, 300, 1000, 1200),
        (5000, 20, 50, 200),
        (80, 3, 9, 80),
    ],
)
def test_batches_are_large_enough_for_covariances(pairs, size, asked, batch):
    assert DCCA(n_components=size, batch_size=asked).batch(pairs) == batch


def test_more_than_one_batch_makes_an_epoch():
    train = related(450)
    method = DCCA(**{**BRIEF, "batch_size": 10, "epochs": 3, "eval_epochs": 2}).fit(
        train, related(60, seed=1)
    )
    assert method.iterations_ == 6
    assert method.curves_["iteration"].tolist() == [4, 6]


@pytest.mark.parametrize("stopping", ["correlation", "none"])
def test_a_search_without_the_map_on_validation_is_refused(toy, stopping):
    with pytest.raises(MethodError, match=rf"ridge is 'validation'.*stopping is '{stopping}'; give a number"):
        fitted(toy, ridge="validation", stopping=stopping)


def test_too_few_pairs_for_the_components_are_refused(toy):
    with pytest.raises(MethodError, match=r"n_components is 80, but there are 80 training pairs.*lower it"):
        fitted(toy, n_components=80)


def test_few_pairs_for_each_component_are_warned_of(toy):
    with pytest.warns(
        MethodWarning, match=r"n_components is 11 for 80 training pairs.* fewer than 8 for each"
    ):
        fitted(toy, n_components=11, epochs=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted(toy, n_components=10, ridge=1e-3, epochs=1)


def test_components_that_nearly_depend_on_each_other_are_warned_of(toy):
    with pytest.warns(MethodWarning, match=r"condition number .*raise ridge, or lower n_components"):
        method = fitted(toy, n_components=20, hidden_width=2, ridge=0.0, epochs=2)
    assert method.condition_ > 1e8
    assert method.n_components_ <= 2, "outputs of two hidden units have two dimensions"


@pytest.mark.parametrize(
    "how",
    [
        {"weight_decay": 100, "learning_rate": 0.05},
        {"weight_decay": 100, "learning_rate": 0.05, "activation": "relu"},
        {"learning_rate": 1000.0},
    ],
)
def test_outputs_that_tell_nothing_any_more_are_an_error(toy, how):
    alike = r"dcca: outputs of the networks no longer tell training pairs apart; change learning_rate, or"
    with pytest.raises(CollapseError, match=alike):
        fitted(toy, **how, epochs=60, patience=60)


def test_zscored_features_do_not_depend_on_their_units(toy):
    scale = np.geomspace(1e-3, 1e3, 12).astype(np.float32)
    other = [
        replace(split, images=split.images * scale - 2) for split in (toy.train, toy.validation, toy.test)
    ]
    method = DCCA(**{**BRIEF, "preprocessing": "zscore"}).fit(*other[:2])
    peer = fitted(toy, preprocessing="zscore")
    np.testing.assert_allclose(represented(method, other[2]), represented(peer, toy.test), atol=2e-2)


def test_curves_hold_a_finite_value_of_everything_for_each_look(toy):
    curves = fitted(toy, epochs=5).curves_
    names = {"iteration", "batch_correlation", "training_correlation", "validation_correlation"}
    names |= {f"{view}_{what}" for view in ("image", "text") for what in ("condition", "gradient")}
    assert curves.keys() == names | {"validation_map"}
    assert curves["iteration"].tolist() == [2, 4, 5]
    gradients = {"image_gradient", "text_gradient"}
    for name in curves.keys() - gradients:
        assert np.isfinite(curves[name]).all(), name
    assert all(np.isfinite(curves[name][:2]).all() for name in gradients)


def test_an_objective_that_is_not_finite_is_reported_with_its_step(toy):
    with pytest.raises(DivergenceError, match=r"dcca: batch_correlation became nan at step 2"):
        fitted(toy, activation="relu", learning_rate=1e38)
