"""JRL against cvxpy, closed forms and its own invariances."""

import warnings
from dataclasses import replace

import cvxpy as cp
import numpy as np
import pytest
from noisy_classes import sample

from cmbench.datasets.draft import Split
from cmbench.errors import MethodError
from cmbench.evaluation.evaluator import bimodal_map
from cmbench.methods.contract import Unlabelled
from cmbench.methods.jrl.curvature import (
    FeatureCurvature,
    SampleCurvature,
    SampleProducts,
    normalised_adjacency,
    view_products,
)
from cmbench.methods.jrl.method import JRL, SMOOTHNESSES, SPARSITIES
from cmbench.methods.jrl.regression import Projections, joint_products, minimise, row_norms, smoothing
from cmbench.methods.views.inputs import MethodWarning, one_hot
from cmbench.methods.views.neighbours import knn_graph
from cmbench.methods.views.scaling import scaled_view

NEIGHBOURS = 5


def zscored(matrix, by=None):
    by = matrix if by is None else by
    return (matrix - by.mean(axis=0)) / by.std(axis=0)


def products(split, unlabelled=None):
    images, texts = scaled_view(split.images, "images"), scaled_view(split.texts, "texts")
    extra = (None, None) if unlabelled is None else (unlabelled.images, unlabelled.texts)
    views = tuple(
        view_products(view, more, n_neighbours=NEIGHBOURS, with_graph=True)
        for view, more in zip((images, texts), extra, strict=True)
    )
    targets = one_hot(split.labels, np.unique(split.labels))
    return joint_products(images, texts, targets, views)


def solved(
    split, *, gamma, lam=1.0, mu=1.0, sigma=0.1, start=None, unlabelled=None, max_passes=3000, tol=1e-13
):
    """The minimiser to high accuracy, the losses, and the problem."""
    data = products(split, unlabelled)
    problem = data.problem(lam=lam, mu=mu, sigma=sigma)
    start = start or data.start()
    projections, losses = minimise(
        problem, start, sparsity=gamma, epsilon=1e-9, max_passes=max_passes, tolerance=tol
    )
    return projections, losses, problem


def dense_laplacian(points):
    return np.eye(len(points)) - normalised_adjacency(knn_graph(points, NEIGHBOURS)).toarray()


def objective(split, p, q, *, gamma, lam, mu, sigma):
    """The objective as it is written in the docstring, from dense matrices."""
    x, y = zscored(split.images), zscored(split.texts)
    t = one_hot(split.labels, np.unique(split.labels))
    smooth = sum(np.trace(w.T @ v.T @ dense_laplacian(v) @ v @ w) for v, w in ((x, p), (y, q)))
    fit = np.sum((x @ p - t) ** 2) + np.sum((y @ q - t) ** 2)
    sparse = row_norms(p).sum() + row_norms(q).sum()
    return lam * np.sum((x @ p - y @ q) ** 2) + mu * fit + sigma * smooth + gamma * sparse


def convex_optimum(split, *, gamma, lam, mu, sigma):
    x, y = zscored(split.images), zscored(split.texts)
    t = one_hot(split.labels, np.unique(split.labels))
    p, q = cp.Variable((x.shape[1], t.shape[1])), cp.Variable((y.shape[1], t.shape[1]))
    loss = lam * cp.sum_squares(x @ p - y @ q)
    loss += mu * (cp.sum_squares(x @ p - t) + cp.sum_squares(y @ q - t))
    for view, weights in ((x, p), (y, q)):
        values, vectors = np.linalg.eigh(dense_laplacian(view))
        root = (vectors * np.sqrt(np.clip(values, 0, None))).T
        loss += sigma * cp.sum_squares((root @ view) @ weights)
    loss += gamma * (cp.sum(cp.norm(p, 2, axis=1)) + cp.sum(cp.norm(q, 2, axis=1)))
    problem = cp.Problem(cp.Minimize(loss))
    problem.solve(solver=cp.CLARABEL, tol_gap_abs=1e-10, tol_gap_rel=1e-10, tol_feas=1e-10)
    return problem.value, p.value, q.value


@pytest.fixture
def rng():
    return np.random.default_rng(0)


WEIGHTS = {"lam": 0.7, "mu": 1.3, "sigma": 0.4}


def test_the_loss_is_the_objective_as_written(rng):
    split = sample(rng)
    p, q = rng.normal(size=(8, 3)), rng.normal(size=(6, 3))
    found = products(split).problem(**WEIGHTS).loss(Projections(p, q), 2.0)
    assert found == pytest.approx(objective(split, p, q, gamma=2.0, **WEIGHTS), rel=1e-12)


@pytest.mark.parametrize("gamma", [1.0, 20.0])
def test_the_minimum_is_that_of_cvxpy(rng, gamma):
    split = sample(rng)
    value, p, q = convex_optimum(split, gamma=gamma, **WEIGHTS)
    found, _, problem = solved(split, gamma=gamma, **WEIGHTS)
    assert problem.loss(found, gamma) == pytest.approx(value, rel=1e-9)
    np.testing.assert_allclose(found.images, p, atol=1e-6)
    np.testing.assert_allclose(found.texts, q, atol=1e-6)


def test_no_pass_raises_the_loss(rng):
    for gamma in (0.5, 20.0):
        _, losses, _ = solved(sample(rng), gamma=gamma)
        assert np.max(np.diff(losses)) <= 1e-10 * losses[0]


def test_updating_both_views_from_the_old_pair_does_not_raise_the_loss_either(rng):
    problem = products(sample(rng)).problem(**WEIGHTS)
    current = Projections(rng.normal(size=(8, 3)), rng.normal(size=(6, 3)))
    losses = []
    for _ in range(30):
        losses.append(problem.loss(current, 5.0, 1e-9))
        current = Projections(
            problem.updated_images(current, 5.0, 1e-9), problem.updated_texts(current, 5.0, 1e-9)
        )
    assert np.max(np.diff(losses)) <= 1e-10 * losses[0]


def test_a_pass_updates_the_texts_from_the_new_images(rng):
    split = sample(rng)
    data = products(split)
    found, losses, problem = solved(split, gamma=5.0, max_passes=1)
    images = problem.updated_images(data.start(), 5.0, 1e-9)
    np.testing.assert_allclose(found.images, images, atol=1e-12)
    expected = problem.updated_texts(Projections(images, data.start().texts), 5.0, 1e-9)
    np.testing.assert_allclose(found.texts, expected, atol=1e-12)
    assert len(losses) == 2


@pytest.mark.parametrize("widths", [(8, 6), (90, 70)])
def test_it_starts_from_ridge_regression(rng, widths):
    split = sample(rng, widths=widths)
    targets = one_hot(split.labels, np.arange(3))
    for view, found in (
        (split.images, products(split).start().images),
        (split.texts, products(split).start().texts),
    ):
        x = zscored(view)
        gram = x.T @ x
        ridge = 0.01 * np.trace(gram) / len(gram)
        np.testing.assert_allclose(
            found, np.linalg.solve(gram + ridge * np.eye(len(gram)), x.T @ targets), atol=1e-11
        )


def test_the_start_does_not_matter(rng):
    split = sample(rng)
    random_start = Projections(rng.normal(size=(8, 3)), rng.normal(size=(6, 3)))
    one, other = (solved(split, gamma=5.0, start=start)[0] for start in (None, random_start))
    np.testing.assert_allclose(one.images, other.images, atol=1e-6)
    np.testing.assert_allclose(one.texts, other.texts, atol=1e-6)


def test_zero_is_optimal_exactly_from_the_largest_sparsity_on(rng):
    problem = products(sample(rng)).problem(**WEIGHTS)
    zero = Projections(np.zeros((8, 3)), np.zeros((6, 3)))
    largest = problem.largest_sparsity
    at_zero = problem.loss(zero, largest)
    for _ in range(300):
        tiny = Projections(1e-4 * rng.normal(size=(8, 3)), 1e-4 * rng.normal(size=(6, 3)))
        assert problem.loss(tiny, largest) > at_zero
    targets = (problem.image_targets, problem.text_targets)
    view = int(np.argmax([row_norms(t).max() for t in targets]))
    row = row_norms(targets[view]).argmax()
    step = [np.zeros((8, 3)), np.zeros((6, 3))]
    step[view][row] = 1e-6 * targets[view][row] / np.linalg.norm(targets[view][row])
    assert problem.loss(Projections(*step), largest) >= at_zero
    assert problem.loss(Projections(*step), 0.99 * largest) < problem.loss(zero, 0.99 * largest)


def test_without_sparsity_graph_and_pairs_it_is_least_squares(rng):
    split = sample(rng)
    jrl = JRL(gamma_rel=0.0, sigma=0.0, lam=0.0).fit(split, split)
    targets = one_hot(split.labels, np.arange(3))
    for fitted_map, view in ((jrl.image_map_, split.images), (jrl.text_map_, split.texts)):
        expected = np.linalg.lstsq(zscored(view), targets, rcond=None)[0]
        np.testing.assert_allclose(fitted_map.weights, expected, atol=1e-10)


def test_without_sparsity_a_wide_view_takes_the_solution_of_smallest_norm(rng):
    split = sample(rng, n=20, widths=(40, 30))
    jrl = JRL(gamma_rel=0.0, sigma=0.0, lam=0.0).fit(split, split)
    expected = np.linalg.pinv(zscored(split.images)) @ one_hot(split.labels, np.arange(3))
    np.testing.assert_allclose(jrl.image_map_.weights, expected, atol=1e-9)


def test_a_heavier_pairwise_term_brings_partners_closer(rng):
    split = sample(rng)
    gaps = []
    for lam in (0.0, 0.1, 1.0, 10.0, 100.0):
        found, _, _ = solved(split, gamma=1.0, lam=lam)
        gap = zscored(split.images) @ found.images - zscored(split.texts) @ found.texts
        gaps.append(np.sum(gap**2))
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[-1] < gaps[0] / 5


def test_without_the_pairwise_term_the_views_do_not_see_each_other(rng):
    split = sample(rng)
    within = np.concatenate([np.roll(np.flatnonzero(split.labels == j), 1) for j in range(3)])
    source = np.empty(60, dtype=int)
    source[np.concatenate([np.flatnonzero(split.labels == j) for j in range(3)])] = within
    repaired = replace(split, texts=split.texts[source])
    alone = [solved(s, gamma=2.0, lam=0.0)[0].images for s in (split, repaired)]
    paired = [solved(s, gamma=2.0, lam=1.0)[0].images for s in (split, repaired)]
    np.testing.assert_allclose(*alone, atol=1e-8)
    assert np.abs(paired[0] - paired[1]).max() > 1e-3


def test_renaming_categories_permutes_the_scores(rng):
    split = sample(rng)
    names = np.array([30, 7, 11])  # gaps are fine: 7 < 11 < 30
    renamed = replace(split, labels=names[split.labels])
    plain, other = (JRL(gamma_rel=0.1, n_neighbours=5).fit(s, s) for s in (split, renamed))
    np.testing.assert_allclose(
        plain.transform_images(split.images)[:, [1, 2, 0]], other.transform_images(split.images), atol=1e-12
    )
    assert other.n_components_ == 3


def test_swapping_the_views_swaps_the_projections(rng):
    split = sample(rng)
    swapped = replace(split, images=split.texts, texts=split.images)
    one, other = solved(split, gamma=2.0)[0], solved(swapped, gamma=2.0)[0]
    np.testing.assert_allclose(one.images, other.texts, atol=1e-6)
    np.testing.assert_allclose(one.texts, other.images, atol=1e-6)


@pytest.mark.parametrize("zero_rows", [False, True])
def test_both_forms_of_the_curvature_solve_alike(rng, zero_rows):
    rows, middle = rng.normal(size=(15, 40)), np.cov(rng.normal(size=(15, 60)))
    by_rows, by_features = SampleCurvature(rows, middle), FeatureCurvature(rows.T @ middle @ rows)
    stiffness, target = rng.uniform(0.5, 2, 40), rng.normal(size=(40, 3))
    if zero_rows:
        stiffness[:10] = 1e14
    np.testing.assert_allclose(
        by_rows.solve(stiffness, target), by_features.solve(stiffness, target), atol=1e-10
    )
    assert by_rows.energy(target) == pytest.approx(by_features.energy(target), rel=1e-12)


def test_few_rows_and_many_features_reach_the_optimum(rng):
    split = sample(rng, n=24, widths=(40, 30))
    assert isinstance(products(split).images, SampleProducts)
    value, _, _ = convex_optimum(split, gamma=3.0, **WEIGHTS)
    found, _, problem = solved(split, gamma=3.0, **WEIGHTS, max_passes=20_000)
    assert problem.loss(found, 3.0) == pytest.approx(value, rel=1e-6)
    assert value <= objective(split, found.images, found.texts, gamma=3.0, **WEIGHTS) * (1 + 1e-9)


@pytest.mark.parametrize("widths", [(8, 6), (120, 100)])
def test_unlabelled_rows_enter_the_graph_and_nothing_else(rng, widths):
    split = sample(rng, widths=widths)
    extra = sample(rng, n=30, widths=widths)
    unlabelled = Unlabelled(extra.images, extra.texts)
    problem = products(split, unlabelled).problem(**WEIGHTS)
    p, q = rng.normal(size=(widths[0], 3)), rng.normal(size=(widths[1], 3))
    expected = objective(split, p, q, gamma=2.0, **{**WEIGHTS, "sigma": 0.0})
    for train, more, w in ((split.images, extra.images, p), (split.texts, extra.texts, q)):
        points = zscored(np.vstack([train, more]), by=train)
        expected += WEIGHTS["sigma"] * np.trace(w.T @ points.T @ dense_laplacian(points) @ points @ w)
    assert problem.loss(Projections(p, q), 2.0) == pytest.approx(expected, rel=1e-10)


def test_transductive_fits_use_unlabelled_features_and_inductive_ones_do_not(rng):
    split, extra = sample(rng), sample(rng, n=30)
    unlabelled = Unlabelled(extra.images, extra.texts)
    settings = {"gamma_rel": 0.1, "sigma": 10.0, "n_neighbours": 5}
    plain = JRL(**settings).fit(split, split)
    transductive = JRL(**settings, transductive=True).fit(split, split, unlabelled)
    assert not plain.wants_unlabelled
    assert transductive.wants_unlabelled
    assert np.abs(plain.image_map_.weights - transductive.image_map_.weights).max() > 1e-4
    with pytest.raises(MethodError, match="transductive is True, so fit needs unlabelled"):
        JRL(transductive=True).fit(split, split)
    with pytest.raises(MethodError, match="transductive is False, but fit was given"):
        JRL().fit(split, split, unlabelled)
    with pytest.raises(MethodError, match="unlabelled texts have 5 features"):
        JRL(transductive=True).fit(split, split, Unlabelled(extra.images, extra.texts[:, :5]))


def test_the_sparsity_is_the_best_on_validation(rng):
    train, validation = sample(rng), sample(rng)
    scores = {}
    for gamma_rel in SPARSITIES:
        jrl = JRL(gamma_rel=gamma_rel).fit(train, validation)
        views = jrl.transform_images(validation.images), jrl.transform_texts(validation.texts)
        scores[gamma_rel] = bimodal_map(*views, validation.labels)
    chosen = JRL().fit(train, validation)
    assert chosen.gamma_rel_ == max(scores, key=scores.get)
    assert chosen.validation_map_ == pytest.approx(max(scores.values()), abs=1e-12)


def test_the_graph_weight_can_be_chosen_too(rng):
    train, validation = sample(rng), sample(rng)
    scores = {}
    for sigma in SMOOTHNESSES:
        jrl = JRL(gamma_rel=0.1, sigma=sigma).fit(train, validation)
        views = jrl.transform_images(validation.images), jrl.transform_texts(validation.texts)
        scores[sigma] = bimodal_map(*views, validation.labels)
    best = max(scores, key=scores.get)
    assert best != SMOOTHNESSES[0]  # or the first would be as good a choice
    assert JRL(gamma_rel=0.1, sigma="validation").fit(train, validation).sigma_ == best


def test_features_of_pure_noise_are_left_out(rng):
    split = sample(rng, n=300)
    noisy = replace(split, images=np.hstack([split.images, rng.normal(size=(300, 20))]))
    jrl = JRL(gamma_rel=0.3, sigma=0.0, max_passes=500, tol=1e-12).fit(noisy, noisy)
    norms = row_norms(jrl.image_map_.weights)
    assert (norms[8:] == 0).mean() > 0.5
    assert norms[:8].max() > 0
    assert jrl.image_zero_share_ == pytest.approx(np.mean(norms == 0))


@pytest.mark.parametrize("gamma_rel", [1.0, 5.0])
def test_too_much_sparsity_leaves_nothing_with_a_warning(rng, gamma_rel):
    split = sample(rng)
    with pytest.warns(MethodWarning, match="all features are left out"):
        jrl = JRL(gamma_rel=gamma_rel).fit(split, split)
    assert not jrl.transform_images(split.images).any()
    assert JRL(gamma_rel=0.99, max_passes=500).fit(split, split).image_map_.weights.any()


def test_constant_columns_get_no_weight_and_repeated_samples_are_fine(rng):
    split = sample(rng)
    images = np.hstack([split.images, np.full((60, 1), 3.0)])
    doubled = Split(
        *(np.concatenate([v, v]) for v in (images, split.texts, split.labels)), np.arange(120).astype(str)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        jrl = JRL(gamma_rel=0.1, n_neighbours=1).fit(doubled, doubled)
    assert (jrl.image_map_.weights[-1] == 0).all()
    assert np.isfinite(jrl.image_map_.weights).all()


def test_most_columns_constant_still_leaves_a_scale_for_rounding(rng):
    split = sample(rng)
    data = products(replace(split, images=np.hstack([split.images, np.ones((60, 30))])))
    assert smoothing(data.start()) > 0


def test_a_single_category_is_refused(rng):
    split = sample(rng)
    with pytest.raises(MethodError, match="all training pairs have label 4; give at least two"):
        JRL().fit(replace(split, labels=np.full(60, 4)), split)


def test_float32_features_give_nearly_the_same_as_float64(rng):
    split = sample(rng, n=120)
    single = replace(split, images=split.images.astype(np.float32), texts=split.texts.astype(np.float32))
    double = replace(single, images=single.images.astype(float), texts=single.texts.astype(float))
    one, other = (JRL(gamma_rel=0.1).fit(s, s).transform_images(s.images) for s in (single, double))
    np.testing.assert_allclose(one, other, atol=1e-4)
