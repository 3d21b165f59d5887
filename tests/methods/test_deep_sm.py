"""Deep-SM: its linear form against scikit-learn, what it is insensitive to, and what it keeps."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
import torch
from representations import represented
from sklearn.linear_model import LogisticRegression

from cmbench.datasets.draft import Split
from cmbench.errors import MethodError
from cmbench.evaluation.evaluator import average_precision, bimodal_map
from cmbench.methods.deep_sm import DeepSM, posteriors
from cmbench.methods.networks.perceptron import Shape, ViewNetwork
from cmbench.methods.training.curves import DivergenceError
from cmbench.methods.training.device import NetworkMap
from cmbench.methods.training.loop import Finding
from cmbench.methods.views.scaling import Scaling

TINY = {"hidden_width": 12, "batch_size": 16, "device": "cpu", "threads": 1}
BRIEF = {**TINY, "epochs": 4, "learning_rate": 0.02}
LINEAR = {
    "hidden_image": 0,
    "hidden_text": 0,
    "optimizer": "sgd",
    "learning_rate": 0.5,
    "batch_size": 1000,
    "stopping": "none",
    "threads": 1,
}


def fitted(toy, **parameters):
    return DeepSM(**{**BRIEF, **parameters}).fit(toy.train, toy.validation)


@pytest.mark.parametrize("weight_decay", [0.01, 0.1])
def test_without_hidden_layers_it_is_logistic_regression(toy, weight_decay):
    budget = {"epochs": 250, "eval_epochs": 250}
    method = DeepSM(**LINEAR, weight_decay=weight_decay, preprocessing="zscore", **budget)
    method.fit(toy.train, toy.validation)
    n = len(toy.train)
    for side in ("images", "texts"):
        features = getattr(toy.train, side)
        mean, deviation = features.mean(axis=0), features.std(axis=0)
        peer = LogisticRegression(C=1 / (n * weight_decay), tol=1e-10, max_iter=10_000)
        peer.fit((features - mean) / deviation, toy.train.labels)
        new = getattr(toy.test, side)
        ours = getattr(method, f"transform_{side}")(new)
        np.testing.assert_allclose(ours, peer.predict_proba((new - mean) / deviation), atol=1e-3)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_two_categories_that_lie_apart_are_all_told_apart(optimizer):
    random = np.random.default_rng(0)
    labels = np.arange(160) % 2
    centres = 6 * labels[:, None]
    views = [(random.normal(size=(160, d)) + centres).astype(np.float32) for d in (8, 6)]
    pairs = Split(*views, labels, np.arange(160).astype(str))
    method = DeepSM(**{**TINY, "optimizer": optimizer, "epochs": 8, "learning_rate": 0.02})
    method.fit(pairs, pairs)
    assert method.image_validation_accuracy_ == method.text_validation_accuracy_ == 1.0
    assert method.validation_map_ == pytest.approx(1.0, abs=1e-3)


def test_representations_are_distributions_over_the_categories_in_order(toy):
    method = fitted(toy, epochs=8)
    rows = represented(method, toy.test).reshape(-1, 2, 4)
    np.testing.assert_allclose(rows.sum(axis=2), 1)
    assert (rows >= 0).all()
    assert method.classes_.tolist() == [0, 1, 2, 3]
    assert (rows[:, 0].argmax(axis=1) == toy.test.labels).mean() > 0.5


def represented_logits(logits):
    """Return the representation of items whose features are their logits."""
    width = logits.shape[1]
    network = ViewNetwork(width, Shape(0, 1, width, "relu"), torch.Generator())
    with torch.no_grad():
        network.layers[0].weight.copy_(torch.eye(width))
        network.layers[0].bias.zero_()
    scaling = Scaling(np.zeros(width), np.ones(width))
    return posteriors(NetworkMap(network, "images", scaling, torch.float64)(logits.astype(np.float32)))


def test_perfect_classifiers_retrieve_perfectly():
    labels = np.arange(30) % 5
    certain = represented_logits(1000.0 * np.eye(5)[labels])
    assert set(np.unique(certain)) == {0.0, 1.0}
    assert bimodal_map(certain, certain, labels) == 1.0


def test_classifiers_that_know_nothing_rank_at_chance_and_not_nan():
    labels = np.array([0, 0, 1, 1, 1, 2])
    nothing = represented_logits(np.zeros((6, 3)))

    def chance(relevant):
        orders = [np.array(order) for order in set(permutations(relevant))]
        ranks = np.arange(1, 7)
        return np.mean([(np.cumsum(order) / ranks)[order].mean() for order in orders])

    expected = np.mean([chance(tuple((labels == label).tolist())) for label in labels])
    assert bimodal_map(nothing, nothing, labels) == pytest.approx(expected, abs=1e-12)


def expected_ap(sizes, relevant):
    """AP of groups of tied items, ranked one group after the other, over all orders within each."""
    total, before, hits = 0.0, 0, 0
    for size, good in zip(sizes, relevant, strict=True):
        for place in range(1, size + 1):
            others = (place - 1) * (good - 1) / max(size - 1, 1)
            total += good / size * (hits + 1 + others) / (before + place)
        before, hits = before + size, hits + good
    return total / hits


@pytest.mark.parametrize("right", [10, 7, 4])
def test_certain_image_classifiers_with_even_errors_have_the_map_of_the_closed_form(right):
    """Of 10 images of each of 4 categories ``right`` are recognised; the others go round the other three."""
    labels = np.repeat(np.arange(4), 10)
    step = np.tile(np.r_[np.zeros(right, int), 1 + np.arange(10 - right) % 3], 4)
    images = represented_logits(1000.0 * np.eye(4)[(labels + step) % 4])
    texts = represented_logits(1000.0 * np.eye(4)[labels])
    found = average_precision(images, texts, labels, labels).mean()
    recognised, missed = expected_ap((10, 30), (10, 0)), expected_ap((10, 30), (0, 10))
    assert found == pytest.approx(right / 10 * recognised + (1 - right / 10) * missed, abs=1e-12)


def re_paired(split, side):
    """Give every item of one side the partner of another pair of its category."""
    random, rows = np.random.default_rng(0), np.arange(len(split))
    for label in np.unique(split.labels):
        own = np.flatnonzero(split.labels == label)
        rows[own] = random.permutation(own)
    return replace(split, **{side: getattr(split, side)[rows]})


def test_each_network_is_blind_to_the_other_modality(toy):
    method = fitted(toy)
    for moved, side in (("images", "texts"), ("texts", "images")):
        noise = np.random.default_rng(0).normal(size=getattr(toy.train, moved).shape).astype(np.float32)
        for train in (re_paired(toy.train, moved), replace(toy.train, **{moved: noise})):
            other = DeepSM(**BRIEF).fit(train, toy.validation)
            transforms = [getattr(each, f"transform_{side}") for each in (method, other)]
            assert np.array_equal(*(transform(getattr(toy.test, side)) for transform in transforms))


@pytest.mark.parametrize("moved", ["images", "texts"])
def test_pairing_anew_within_categories_changes_nothing(toy, moved):
    parameters = {**BRIEF, "batch_size": 80, "epochs": 12, "dropout": 0.0, "stopping": "none"}
    method, other = (
        DeepSM(**parameters).fit(train, toy.validation) for train in (toy.train, re_paired(toy.train, moved))
    )
    np.testing.assert_allclose(represented(other, toy.test), represented(method, toy.test), atol=1e-4)


def test_labels_count(toy):
    shuffled = replace(toy.train, labels=np.random.default_rng(0).permutation(toy.train.labels))
    other = DeepSM(**BRIEF).fit(shuffled, toy.validation)
    assert not np.allclose(represented(other, toy.test), represented(fitted(toy), toy.test), atol=1e-3)


def test_labels_may_have_gaps(toy):
    def spread(split):
        return replace(split, labels=split.labels * 3 + 5)

    method = DeepSM(**BRIEF).fit(spread(toy.train), spread(toy.validation))
    assert method.classes_.tolist() == [5, 8, 11, 14]
    assert np.array_equal(represented(method, toy.test), represented(fitted(toy), toy.test))


def test_an_epoch_leaves_out_units_of_its_own(toy):
    kept = {
        "hidden_image": 1,
        "hidden_text": 1,
        "learning_rate": 1e-12,
        "batch_size": 1000,
        "stopping": "none",
    }
    losses = fitted(toy, **kept, dropout=0.5).curves_["image_loss"]
    again = fitted(toy, **kept, dropout=0.5).curves_["image_loss"]
    assert np.array_equal(losses, again)
    assert np.ptp(losses) > 1e-3, "rows and weights are the same, so the units left out are not"
    assert np.ptp(fitted(toy, **kept, dropout=0.0).curves_["image_loss"]) < 1e-5


def test_a_look_puts_accuracy_first_and_then_the_lower_cross_entropy(toy):
    method, truth = fitted(toy), toy.validation.labels
    logits_of, _, _ = method.image_map_.steps
    logits = logits_of(toy.validation.images)
    accuracy = (logits.argmax(axis=1) == truth).mean()
    own = np.exp(logits[np.arange(len(truth)), truth]) / np.exp(logits).sum(axis=1)
    found = method.score({"image": logits_of}, toy.train, toy.validation)
    assert found.score == pytest.approx((accuracy, np.log(own).mean()))
    assert found.measured == {
        "image_validation_accuracy": pytest.approx(accuracy),
        "image_validation_loss": pytest.approx(-np.log(own).mean()),
    }


def test_each_network_keeps_its_state_of_highest_accuracy_then_lowest_loss(toy):
    method = fitted(toy, epochs=16, random_state=1)
    truth = toy.validation.labels
    for view in ("image", "text"):
        accuracy, loss = (method.curves_[f"{view}_validation_{what}"] for what in ("accuracy", "loss"))
        best = min(range(len(loss)), key=lambda point: (-accuracy[point], loss[point]))
        assert getattr(method, f"{view}_best_iteration_") == method.curves_["iteration"][best]
        kept = getattr(method, f"transform_{view}s")(getattr(toy.validation, f"{view}s"))
        assert (kept.argmax(axis=1) == truth).mean() == pytest.approx(accuracy[best])
        assert getattr(method, f"{view}_validation_accuracy_") == pytest.approx(accuracy[best])
        assert -np.log(kept[np.arange(len(truth)), truth]).mean() == pytest.approx(loss[best], rel=1e-5)


def test_networks_stop_each_for_itself(toy, monkeypatch):
    looks = {"image": 0, "text": 0}
    highest = {"image": 2, "text": 4}

    def look(self, outputs, train, validation):
        (view,) = outputs
        looks[view] += 1
        score = min(looks[view], highest[view]) / 10
        return Finding((score, 0.0), {f"{view}_validation_accuracy": score})

    monkeypatch.setattr(DeepSM, "score", look)
    method = fitted(toy, epochs=100, patience=3)
    assert (method.image_best_iteration_, method.image_iterations_) == (10, 25)
    assert (method.text_best_iteration_, method.text_iterations_) == (20, 35)
    assert method.iterations_ == 60
    assert (method.image_validation_accuracy_, method.text_validation_accuracy_) == (0.2, 0.4)
    assert method.curves_["iteration"].tolist() == list(range(5, 40, 5))
    assert np.isfinite(method.curves_["image_loss"]).tolist() == 5 * [True] + 2 * [False]
    assert np.isfinite(method.curves_["text_loss"]).all()


def test_curves_have_one_length_and_the_names_of_their_networks(toy):
    curves = fitted(toy, epochs=5, eval_epochs=2).curves_
    own = ("loss", "accuracy", "gradient", "validation_accuracy", "validation_loss")
    assert curves.keys() == {"iteration"} | {f"{view}_{what}" for view in ("image", "text") for what in own}
    assert curves["iteration"].tolist() == [10, 20, 25]
    assert {values.shape for values in curves.values()} == {(3,)}
    for name in curves.keys() - {"image_gradient", "text_gradient"}:
        assert np.isfinite(curves[name]).all(), name


@pytest.mark.parametrize(
    ("optimizer", "rate", "decay"), [("adam", 1e-3, 0.0), ("sgd", 0.01, 5e-4)], ids=["adam", "sgd"]
)
def test_auto_is_what_is_usual_for_the_optimiser(optimizer, rate, decay):
    def rate_and_decay(**parameters):
        weights, biases = (
            DeepSM(optimizer=optimizer, **parameters).optimizer_of([torch.nn.Linear(2, 1)]).param_groups
        )
        assert weights["lr"] == biases["lr"]
        assert biases["weight_decay"] == 0
        return weights["lr"], weights["weight_decay"]

    assert rate_and_decay() == (rate, decay)
    assert rate_and_decay(learning_rate=0.5, weight_decay=0.25) == (0.5, 0.25)


def test_momentum_has_an_effect_on_sgd_alone(toy):
    for optimizer, same in (("sgd", False), ("adam", True)):
        found = [
            represented(fitted(toy, optimizer=optimizer, momentum=each), toy.test) for each in (0.0, 0.9)
        ]
        assert np.array_equal(*found) is same


def test_a_category_of_validation_that_was_never_trained_is_refused(toy):
    strange = replace(toy.validation, labels=toy.validation.labels + 1)
    with pytest.raises(MethodError, match="deep-sm: category 4 of validation has no training pair"):
        DeepSM(**BRIEF).fit(toy.train, strange)


def test_a_single_category_is_refused(toy):
    alike = replace(toy.train, labels=np.zeros_like(toy.train.labels))
    with pytest.raises(MethodError, match="all training pairs have label 0"):
        DeepSM(**BRIEF).fit(alike, toy.validation)


def test_a_loss_that_is_not_finite_is_reported_with_its_network_and_step(toy):
    with pytest.raises(DivergenceError, match=r"deep-sm: image_loss became nan at step 2"):
        fitted(toy, learning_rate=1e38)
