"""The released JRL against a plain, dense retelling of its algorithm."""

import warnings

import numpy as np
import pytest
from noisy_classes import sample
from scipy.spatial.distance import cdist

from cmbench.datasets.draft import Split
from cmbench.errors import MethodError
from cmbench.methods.contract import Unlabelled
from cmbench.methods.jrl.release import JRLRelease

SETTINGS = {"gamma": 20.0, "sigma": 5.0, "lam": 1.5, "mu": 0.8, "n_neighbours": 6, "max_passes": 5}


def scaled(train, test):
    deviation = train.std(axis=0)
    if deviation.min() == 0:
        deviation = deviation + 0.001
    return (train - train.mean(axis=0)) / deviation, (test - train.mean(axis=0)) / deviation


def dense_laplacian(points, k):
    distances = cdist(points, points)
    kernel = 1 / (1 + np.exp(distances))
    nearest = np.argsort(distances, axis=1)[:, 1 : k + 1]
    graph = np.zeros_like(kernel)
    np.put_along_axis(graph, nearest, 1.0, axis=1)
    scale = 1 / np.sqrt(np.maximum(graph, graph.T).sum(axis=1))
    return np.eye(len(points)) - scale[:, None] * kernel * scale


def retold(train, test, *, gamma, sigma, lam, mu, n_neighbours, max_passes, tol=0.02, seed=0):
    """Return the training and test scores of both views, and the number of losses evaluated."""
    (x, new_x), (y, new_y) = scaled(train.images, test.images), scaled(train.texts, test.texts)
    t = np.eye(train.labels.max() + 1)[train.labels]
    all_x, all_y = np.vstack([x, new_x]), np.vstack([y, new_y])
    graph_x = all_x.T @ dense_laplacian(all_x, n_neighbours) @ all_x
    graph_y = all_y.T @ dense_laplacian(all_y, n_neighbours) @ all_y
    p, q = (np.random.default_rng(seed).random((t.shape[1], v.shape[1])).T for v in (x, y))
    last = 0.0
    for step in range(1, max_passes + 1):  # noqa: B007 - the last one is returned
        loss = sigma * (np.trace(p.T @ graph_x @ p) + np.trace(q.T @ graph_y @ q))
        loss += mu * (np.sum((x @ p - t) ** 2) + np.sum((y @ q - t) ** 2)) + lam * np.sum(
            (x @ p - y @ q) ** 2
        )
        loss += gamma * (np.linalg.norm(p, axis=1).sum() + np.linalg.norm(q, axis=1).sum())
        scores = (x @ p, y @ q, new_x @ p, new_y @ q)
        with np.errstate(divide="ignore"):  # rows of constant columns
            weight_p, weight_q = (np.diag(gamma / (2 * np.linalg.norm(w, axis=1))) for w in (p, q))
        next_p = np.linalg.solve(
            weight_p + sigma * graph_x + (lam + mu) * x.T @ x, lam * x.T @ y @ q + mu * x.T @ t
        )
        next_q = np.linalg.solve(
            weight_q + sigma * graph_y + (lam + mu) * y.T @ y, lam * y.T @ x @ p + mu * y.T @ t
        )
        if last != 0 and (last - loss) / last < tol:
            break
        p, q, last = next_p, next_q, loss
    return scores, step


def label_similarity(scores, labels, k):
    """W Y Wᵀ of the release: image-text similarity by the labels of the k nearest training items."""
    train_x, train_y, new_x, new_y = scores
    anchors, anchor_labels = np.vstack([train_x, train_y]), np.tile(labels, 2)
    shares = []
    for rows in (new_x, new_y):
        weights = 1 / (1 + np.exp(cdist(rows, anchors)))
        threshold = np.sort(weights, axis=1)[:, -k][:, None]
        weights = np.where(weights >= threshold, weights, 0.0)
        shares.append(weights / weights.sum(axis=1, keepdims=True))
    same = (anchor_labels[:, None] == anchor_labels).astype(float)
    return shares[0] @ same @ shares[1].T


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("changes", [{}, {"gamma": 200.0}, {"max_passes": 1}, {"tol": 0.0}, {"sigma": 0.0}])
def test_it_is_the_released_algorithm(rng, changes):
    train, test = sample(rng), sample(rng, n=20)
    settings = {**SETTINGS, **changes}
    fitted = JRLRelease(**settings).fit(train, train, Unlabelled(test.images, test.texts))
    (_, _, images, texts), steps = retold(train, test, **settings)
    np.testing.assert_allclose(fitted.transform_images(test.images), images, atol=1e-5)
    np.testing.assert_allclose(fitted.transform_texts(test.texts), texts, atol=1e-5)
    assert fitted.passes_ == steps


def test_the_stopping_rule_ends_some_fits_before_the_last_pass(rng):
    train, test = sample(rng), sample(rng, n=20)
    unlabelled = Unlabelled(test.images, test.texts)
    passes = {
        tol: JRLRelease(**SETTINGS, tol=tol).fit(train, train, unlabelled).passes_ for tol in (0.0, 0.9)
    }
    assert passes == {0.0: 5, 0.9: 3} or passes[0.9] < passes[0.0]


def test_the_label_similarity_is_the_cosine_of_images_and_texts(rng):
    train, test = sample(rng), sample(rng, n=20)
    fitted = JRLRelease(**SETTINGS, retrieval="labels").fit(train, train, Unlabelled(test.images, test.texts))
    scores, _ = retold(train, test, **SETTINGS)
    images, texts = fitted.transform_images(test.images), fitted.transform_texts(test.texts)
    np.testing.assert_allclose(np.linalg.norm(images, axis=1), 1.0, atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(texts, axis=1), 1.0, atol=1e-12)
    np.testing.assert_allclose(images @ texts.T, label_similarity(scores, train.labels, 6), atol=1e-5)
    assert images.shape == (20, fitted.n_components_) == (20, 5)


def test_a_constant_column_adds_a_little_to_every_deviation(rng):
    train, test = sample(rng), sample(rng, n=20)
    train.images[:, 2] = test.images[:, 2] = 0.0
    unlabelled = Unlabelled(test.images, test.texts)
    settings = {**SETTINGS, "max_passes": 2}
    fitted = JRLRelease(**settings).fit(train, train, unlabelled)
    (_, _, images, _), _ = retold(train, test, **settings)
    np.testing.assert_allclose(fitted.transform_images(test.images), images, atol=1e-5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        longer = JRLRelease(**SETTINGS, tol=0.0).fit(train, train, unlabelled)
    assert np.isfinite(longer.transform_images(test.images)).all()


def test_it_wants_unlabelled_features_unless_told_not_to(rng):
    train = sample(rng)
    assert JRLRelease().wants_unlabelled
    assert not JRLRelease(transductive=False).wants_unlabelled
    with pytest.raises(MethodError, match="jrl-release: transductive is True, so fit needs unlabelled"):
        JRLRelease().fit(train, train)
    empty = Split(train.images[:0], train.texts[:0], train.labels[:0], train.ids[:0])
    alone = JRLRelease(**SETTINGS, transductive=False).fit(train, train)
    (scores, _, _, _), _ = retold(train, empty, **SETTINGS)
    np.testing.assert_allclose(alone.transform_images(train.images), scores, atol=1e-5)


def test_the_seed_draws_the_start(rng):
    train = sample(rng)
    fits = [
        JRLRelease(**SETTINGS, transductive=False, random_state=seed)
        .fit(train, train)
        .transform_images(train.images)
        for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(fits[0], fits[1])
    assert np.abs(fits[0] - fits[2]).max() > 1e-6
