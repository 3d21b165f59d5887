"""Semantic matching against the conditions of its minimum and another solver."""

import numpy as np
import pytest
from scipy import optimize
from scipy.special import expit

from cmbench.datasets.draft import Split
from cmbench.evaluation.evaluator import evaluate
from cmbench.methods.beyond.semantic_matching import PENALTIES, SCM, SM
from cmbench.methods.cca import RCCA


def pairs_of(n=90, classes=3, seed=0):
    random = np.random.default_rng(seed)
    labels = np.sort(random.integers(classes, size=n))
    images, texts = (
        random.normal(size=(classes, width))[labels] + random.normal(size=(n, width)) for width in (6, 4)
    )
    return Split(images, texts, labels, np.arange(n).astype(str))


def scaled(features):
    return (features - features.mean(axis=0)) / features.std(axis=0)


def test_the_gradient_vanishes_at_the_solution_and_posteriors_have_the_frequencies_of_categories():
    pairs = pairs_of()
    method = SM(penalty=0.02, tol=1e-9).fit(pairs, pairs)
    residual = method.transform_images(pairs.images) - np.eye(3)[pairs.labels]
    gradient = scaled(pairs.images).T @ residual / 90 + 0.02 * method.image_map_.linear.weights
    np.testing.assert_allclose(gradient, 0, atol=1e-6)
    np.testing.assert_allclose(residual.sum(axis=0), 0, atol=1e-5)


def test_two_categories_are_binary_logistic_regression_with_half_the_penalty():
    pairs = pairs_of(classes=2)
    method = SM(penalty=0.1, tol=1e-9).fit(pairs, pairs)
    rows, signs = scaled(pairs.texts), 2.0 * pairs.labels - 1

    def loss(flat):  # of w = a_1 - a_0, with a_1 = -a_0
        weights, intercept = flat[:-1], flat[-1]
        margins = signs * (rows @ weights + intercept)
        slopes = -signs * expit(-margins) / len(rows)
        gradient = np.r_[rows.T @ slopes + 0.05 * weights, slopes.sum()]
        return np.mean(np.logaddexp(0, -margins)) + 0.025 * weights @ weights, gradient

    best = optimize.minimize(loss, np.zeros(5), jac=True, method="BFGS", options={"gtol": 1e-9}).x
    weights = method.text_map_.linear.weights
    np.testing.assert_allclose(weights[:, 1] - weights[:, 0], best[:-1], atol=1e-5)


def test_a_huge_penalty_leaves_chance_for_all_items_tie():
    pairs = pairs_of()
    method = SM(penalty=1e12).fit(pairs, pairs)
    images, texts = method.transform_images(pairs.images), method.transform_texts(pairs.texts)
    measured = evaluate(images.round(6), texts.round(6), pairs.labels)
    shares = np.bincount(pairs.labels) / 90
    chance = expected_precision(90, np.bincount(pairs.labels))
    assert measured.map["image_to_text"] == pytest.approx(np.sum(shares * chance), abs=1e-6)


def expected_precision(n, relevant):
    """Return the expected AP of a random order of n items, by the number that are relevant."""
    harmonic = np.sum(1 / np.arange(1, n + 1))
    return ((relevant - 1) / (n - 1) * (n - harmonic) + harmonic) / n


@pytest.mark.parametrize("form", ["centred", "logarithm", "logit"])
def test_the_forms_are_functions_of_the_probabilities(form):
    pairs = pairs_of()
    probabilities = SM(penalty=0.01).fit(pairs, pairs).transform_texts(pairs.texts)
    mapped = SM(penalty=0.01, form=form).fit(pairs, pairs).transform_texts(pairs.texts)
    expected = np.log(probabilities) if form != "centred" else probabilities
    expected = expected - expected.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(mapped - mapped.mean(axis=1, keepdims=True), expected, atol=1e-9)


def test_scm_is_sm_of_canonical_components():
    pairs = pairs_of()
    method = SCM(penalty=0.01, n_canonical=2).fit(pairs, pairs)
    front = RCCA(n_components=2).fit(pairs, pairs)
    components = Split(
        front.transform_images(pairs.images), front.transform_texts(pairs.texts), pairs.labels, pairs.ids
    )
    alone = SM(penalty=0.01, scaling="center").fit(components, components)
    np.testing.assert_allclose(
        method.transform_images(pairs.images), alone.transform_images(components.images), atol=1e-4
    )


def large_pairs(n, seed):
    """Noisy pairs whose features, only centred, are large enough for a strong penalty to serve them best."""
    random, labels = np.random.default_rng(seed), np.arange(n) % 4
    centres = np.random.default_rng(9).normal(size=(4, 80))
    views = [1.5 * (centres[labels, :d] + 2.5 * random.normal(size=(n, d))) for d in (80, 40)]
    return Split(*(view.astype(np.float32) for view in views), labels, np.arange(n).astype(str))


def test_the_penalty_is_that_of_the_highest_map_on_validation_and_may_be_a_strong_one():
    train, validation = large_pairs(40, seed=0), large_pairs(200, seed=1)
    maps = {}
    for penalty in PENALTIES:
        method = SM(penalty=penalty, scaling="center").fit(train, validation)
        rows = method.transform_images(validation.images), method.transform_texts(validation.texts)
        maps[penalty] = evaluate(*rows, validation.labels).map["bimodal_average"]
    assert SM(scaling="center").fit(train, validation).penalty_ == max(maps, key=maps.get) == 3.0
