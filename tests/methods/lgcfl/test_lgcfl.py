"""LGCFL against cvxpy, its optimality conditions, re-weighted least squares and its invariances."""

import warnings
from dataclasses import replace

import cvxpy as cp
import numpy as np
import pytest

from cmbench.datasets.draft import Split
from cmbench.errors import MethodError
from cmbench.evaluation.evaluator import bimodal_map
from cmbench.methods.lgcfl.group_sparsity import contiguous_groups, groups_of
from cmbench.methods.lgcfl.method import LGCFL, SPARSITIES, GroupedView, label_regression, solutions
from cmbench.methods.views.inputs import MethodWarning, one_hot
from cmbench.methods.views.scaling import scaled_view

CLASSES = np.arange(3)
EXACT = {"tol": 1e-15, "max_iterations": 50_000}


def features(rng, labels, d, noise=1.5):
    return np.random.default_rng(d).normal(size=(3, d))[labels] + noise * rng.normal(size=(len(labels), d))


def sample(rng, n=60, widths=(8, 6)):
    labels = np.arange(n) % 3
    return Split(*(features(rng, labels, d) for d in widths), labels, np.arange(n).astype(str))


def zscored(matrix):
    return (matrix - matrix.mean(axis=0)) / matrix.std(axis=0)


def centered_codes(labels):
    codes = one_hot(labels, CLASSES)
    return codes - codes.mean(axis=0)


def grouped(matrix, labels, groups):
    return GroupedView(label_regression(scaled_view(matrix, "view"), one_hot(labels, CLASSES)), groups)


def solved(images, image_labels, texts, text_labels, *, rho, beta=0.0):
    """The solution to high accuracy for views of any length, with groups of 2 and of 3 features."""
    views = (
        grouped(images, image_labels, contiguous_groups(images.shape[1], block=2)),
        grouped(texts, text_labels, contiguous_groups(texts.shape[1], block=3)),
    )
    return next(solutions(*views, (rho,), beta=beta, max_iterations=50_000, tolerance=1e-15))


def thresholds(matrix, labels, block, rho):
    """tau sqrt|g| for each group, from the definition of tau."""
    x = zscored(matrix)
    linear = x.T @ centered_codes(labels) / len(x)
    starts = range(0, x.shape[1], block)
    roots = np.sqrt([len(linear[s : s + block]) for s in starts])
    return (
        rho
        * max(np.linalg.norm(linear[s : s + block]) / r for s, r in zip(starts, roots, strict=True))
        * roots
    )


def terms(matrix, labels, block, rho, weights, backend):
    """Loss and penalty of one view, in NumPy or in cvxpy."""
    x, t = zscored(matrix), centered_codes(labels)
    square, norm = backend
    starts = range(0, x.shape[1], block)
    penalty = sum(
        a * norm(weights[s : s + block])
        for a, s in zip(thresholds(matrix, labels, block, rho), starts, strict=True)
    )
    return square(x @ weights - t) / (2 * len(x)) + penalty


NUMPY = (lambda m: np.sum(m**2), np.linalg.norm)
CVXPY = (cp.sum_squares, lambda m: cp.norm(m, "fro"))


def coupling(images, image_labels, texts, text_labels, beta):
    """Rows sqrt(beta π_j / 2) times the class means of each view; π is 0 for a class one view lacks."""
    rows = []
    for j in CLASSES:
        in_images, in_texts = image_labels == j, text_labels == j
        if in_images.any() and in_texts.any():
            share = np.sqrt(beta / 2 * (in_images.mean() + in_texts.mean()) / 2)
            rows.append(
                (
                    share * zscored(images)[in_images].mean(axis=0),
                    share * zscored(texts)[in_texts].mean(axis=0),
                )
            )
    return tuple(np.array(means) for means in zip(*rows, strict=True))


def convex_optimum(images, image_labels, texts, text_labels, *, rho, beta=0.0):
    p, q = cp.Variable((images.shape[1], 3)), cp.Variable((texts.shape[1], 3))
    loss = terms(images, image_labels, 2, rho, p, CVXPY) + terms(texts, text_labels, 3, rho, q, CVXPY)
    if beta:
        left, right = coupling(images, image_labels, texts, text_labels, beta)
        loss += cp.sum_squares(left @ p - right @ q)
    problem = cp.Problem(cp.Minimize(loss))
    problem.solve(solver=cp.CLARABEL, tol_gap_abs=1e-9, tol_gap_rel=1e-9, tol_feas=1e-9)
    return problem.value, p.value, q.value


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def unpaired(rng):
    """Seven features for 50 images, eight for 41 texts, labels of their own."""
    image_labels, text_labels = rng.integers(0, 3, 50), rng.integers(0, 3, 41)
    return features(rng, image_labels, 7), image_labels, features(rng, text_labels, 8), text_labels


@pytest.mark.parametrize(("rho", "beta"), [(0.1, 0.0), (0.5, 0.0), (0.1, 2.0)])
def test_the_minimum_is_that_of_cvxpy_for_unpaired_views(unpaired, rho, beta):
    value, p, q = convex_optimum(*unpaired, rho=rho, beta=beta)
    found = solved(*unpaired, rho=rho, beta=beta)
    assert sum(history[-1] for history in found.history) == pytest.approx(value, abs=1e-8)
    np.testing.assert_allclose(found.image_weights, p, atol=1e-5)
    np.testing.assert_allclose(found.text_weights, q, atol=1e-5)


def test_the_same_groups_are_zero_as_in_cvxpy(unpaired):
    _, p, _ = convex_optimum(*unpaired, rho=0.85)
    found = solved(*unpaired, rho=0.85)
    norms = contiguous_groups(7, block=2).norms(p)
    zero = contiguous_groups(7, block=2).norms(found.image_weights) == 0
    np.testing.assert_array_equal(zero, norms < 1e-4)
    assert 0 < zero.sum() < 4
    assert found.image_zero_share == zero.mean()


@pytest.mark.parametrize("beta", [0.0, 2.0])
def test_the_objective_is_as_written_and_never_rises(unpaired, beta):
    images, image_labels, texts, text_labels = unpaired
    found = solved(*unpaired, rho=0.1, beta=beta)
    expected = terms(images, image_labels, 2, 0.1, found.image_weights, NUMPY)
    expected += terms(texts, text_labels, 3, 0.1, found.text_weights, NUMPY)
    if beta:
        left, right = coupling(*unpaired, beta)
        expected += np.sum((left @ found.image_weights - right @ found.text_weights) ** 2)
    assert sum(history[-1] for history in found.history) == pytest.approx(expected, rel=1e-10)
    assert all((np.diff(history) <= 0).all() for history in found.history)


@pytest.mark.parametrize("rho", [0.1, 0.85])
def test_the_optimality_conditions_hold_in_every_group(unpaired, rho):
    images, labels, _, _ = unpaired
    weights = solved(*unpaired, rho=rho).image_weights
    x = zscored(images)
    gradient = (x.T @ (x @ weights) - x.T @ centered_codes(labels)) / len(x)
    for start, amount in zip(range(0, 7, 2), thresholds(images, labels, 2, rho), strict=True):
        group, slope = weights[start : start + 2], gradient[start : start + 2]
        if group.any():
            np.testing.assert_allclose(slope + amount * group / np.linalg.norm(group), 0, atol=1e-7)
        else:
            assert np.linalg.norm(slope) <= amount * (1 + 1e-9)


@pytest.mark.parametrize("rho", [0.05, 0.3])
def test_reweighted_least_squares_reaches_the_same_objective(unpaired, rho):
    images, labels, _, _ = unpaired
    x, t = zscored(images), centered_codes(labels)
    covariance, linear = x.T @ x / len(x), x.T @ t / len(x)
    amounts, groups = thresholds(images, labels, 2, rho), contiguous_groups(7, block=2)
    weights = np.linalg.solve(covariance + 0.01 * np.eye(7), linear)
    for _ in range(3000):
        stiffness = amounts / np.sqrt(groups.norms(weights) ** 2 + 1e-16)
        weights = np.linalg.solve(covariance + np.diag(stiffness[groups.membership]), linear)
    expected = terms(images, labels, 2, rho, weights, NUMPY)
    assert solved(*unpaired, rho=rho).history[0][-1] == pytest.approx(expected, abs=1e-7)


def test_everything_is_zero_exactly_from_the_largest_threshold_on(unpaired):
    at, below = solved(*unpaired, rho=1.0), solved(*unpaired, rho=0.99)
    assert not at.image_weights.any()
    assert not at.text_weights.any()
    assert below.image_weights.any()
    assert below.text_weights.any()


def test_without_sparsity_it_is_least_squares(rng):
    split = sample(rng)
    fitted = LGCFL(rho=0.0, **EXACT).fit(split, split)
    for fitted_map, view in ((fitted.image_map_, split.images), (fitted.text_map_, split.texts)):
        expected = np.linalg.lstsq(zscored(view), centered_codes(split.labels), rcond=None)[0]
        np.testing.assert_allclose(fitted_map.weights, expected, atol=1e-6)


@pytest.mark.parametrize("beta", [0.0, 1.0])
def test_shuffling_one_view_with_its_labels_changes_nothing(unpaired, rng, beta):
    images, image_labels, texts, text_labels = unpaired
    order = rng.permutation(41)
    plain = solved(*unpaired, rho=0.1, beta=beta)
    shuffled = solved(images, image_labels, texts[order], text_labels[order], rho=0.1, beta=beta)
    flat = 1e-7  # J is told to 1e-15 of itself at best, and so the weights of its minimum to the root, 3e-8
    np.testing.assert_allclose(plain.image_weights, shuffled.image_weights, atol=flat)
    np.testing.assert_allclose(plain.text_weights, shuffled.text_weights, atol=flat)


def test_coupling_brings_the_class_means_of_the_views_together(unpaired):
    def gap(beta):
        found = solved(*unpaired, rho=0.05, beta=beta)
        left, right = coupling(*unpaired, 1.0)
        return np.sum((left @ found.image_weights - right @ found.text_weights) ** 2)

    gaps = [gap(beta) for beta in (0.0, 1.0, 10.0)]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[-1] < gaps[0] / 2


def test_a_class_missing_in_one_view_is_allowed(unpaired):
    images, image_labels, texts, text_labels = unpaired
    kept = text_labels != 2
    found = solved(images, image_labels, texts[kept], text_labels[kept], rho=0.1)
    assert found.image_weights[:, 2].any()
    np.testing.assert_array_equal(found.text_weights[:, 2], 0)
    coupled = solved(images, image_labels, texts[kept], text_labels[kept], rho=0.1, beta=5.0)
    value, p, _ = convex_optimum(images, image_labels, texts[kept], text_labels[kept], rho=0.1, beta=5.0)
    assert coupled.history[0][-1] == pytest.approx(value, abs=1e-8)
    np.testing.assert_allclose(coupled.image_weights, p, atol=1e-5)


def test_permuting_features_inside_a_group_permutes_rows_of_the_weights(rng):
    split = sample(rng)
    order = np.array([1, 0, 3, 2, 5, 4, 7, 6])
    settings = {"rho": 0.3, "image_block": 2, **EXACT}
    plain = LGCFL(**settings).fit(split, split).image_map_.weights
    permuted = replace(split, images=split.images[:, order])
    np.testing.assert_allclose(
        LGCFL(**settings).fit(permuted, permuted).image_map_.weights, plain[order], atol=1e-8
    )


def test_renaming_categories_permutes_the_scores(rng):
    split = sample(rng)
    renamed = replace(split, labels=np.array([30, 7, 11])[split.labels])
    plain, other = (LGCFL(rho=0.1).fit(s, s).transform_texts(split.texts) for s in (split, renamed))
    np.testing.assert_allclose(plain[:, [1, 2, 0]], other, atol=1e-12)


def test_repeating_every_sample_changes_nothing(rng):
    split = sample(rng)
    doubled = Split(
        *(np.concatenate([v, v]) for v in (split.images, split.texts, split.labels)),
        np.arange(120).astype(str),
    )
    one, other = (LGCFL(rho=0.1).fit(s, s).image_map_.weights for s in (split, doubled))
    np.testing.assert_allclose(one, other, atol=1e-9)


def test_more_features_than_rows_reach_the_same_optimum(rng):
    labels = np.arange(24) % 3
    images, texts = features(rng, labels, 40), features(rng, labels, 30)
    value, _, _ = convex_optimum(images, labels, texts, labels, rho=0.2)
    found = solved(images, labels, texts, labels, rho=0.2)
    assert sum(history[-1] for history in found.history) == pytest.approx(value, abs=1e-8)


def test_groups_come_from_the_parameter_then_the_split_then_the_default(rng):
    membership = np.array([0, 1, 0, 1, 2, 2, 0, 1])
    split = replace(sample(rng), image_groups=membership)
    settings = {"rho": 0.5, **EXACT}
    given = LGCFL(**settings).fit(split, split).image_map_.weights
    view = grouped(split.images, split.labels, groups_of(membership))
    text = grouped(split.texts, split.labels, contiguous_groups(6, block=100))
    expected = next(solutions(view, text, (0.5,), beta=0.0, max_iterations=50_000, tolerance=1e-15))
    np.testing.assert_allclose(given, expected.image_weights, atol=1e-12)
    single = LGCFL(**settings, image_block=1).fit(split, split).image_map_.weights
    assert np.abs(single - given).max() > 1e-3
    plain = replace(sample(np.random.default_rng(0)))
    one_block = LGCFL(**settings, image_block=64).fit(plain, plain).image_map_.weights
    np.testing.assert_array_equal(LGCFL(**settings).fit(plain, plain).image_map_.weights, one_block)


def test_groups_of_the_wrong_length_are_refused(rng):
    split = replace(sample(rng), text_groups=np.zeros(5, np.int64))
    with pytest.raises(MethodError, match=r"text_groups has shape \(5,\); .* each of 6 features"):
        LGCFL().fit(split, split)


def test_rho_is_the_best_on_validation(rng):
    train, validation = sample(rng), sample(rng)
    chosen = LGCFL(image_block=2, tol=1e-12).fit(train, validation)
    scores = {}
    for rho in SPARSITIES:
        fitted = LGCFL(rho=rho, image_block=2, tol=1e-12).fit(train, validation)
        views = fitted.transform_images(validation.images), fitted.transform_texts(validation.texts)
        scores[rho] = bimodal_map(*views, validation.labels)
    assert chosen.validation_map_ == pytest.approx(max(scores.values()), abs=1e-6)
    assert scores[chosen.rho_] == pytest.approx(max(scores.values()), abs=1e-6)


def test_a_sequence_of_sparsities_starts_each_from_the_last_and_ends_at_the_same(unpaired):
    images, image_labels, texts, text_labels = unpaired
    views = (
        grouped(images, image_labels, contiguous_groups(7, block=2)),
        grouped(texts, text_labels, contiguous_groups(8, block=3)),
    )
    settings = {"beta": 0.0, "max_iterations": 1000, "tolerance": 1e-10}
    together = list(solutions(*views, (0.1, 0.099), **settings))
    alone = next(solutions(*views, (0.099,), **settings))
    assert together[1].iterations < alone.iterations
    assert together[1].history[0][-1] == pytest.approx(alone.history[0][-1], rel=1e-8)


def test_too_much_sparsity_leaves_nothing_with_a_warning(rng):
    split = sample(rng)
    with pytest.warns(MethodWarning, match="all features of a view are left out"):
        fitted = LGCFL(rho=1.0).fit(split, split)
    assert not fitted.transform_images(split.images).any()


def test_a_single_category_is_refused(rng):
    split = sample(rng)
    with pytest.raises(MethodError, match="give at least two categories"):
        LGCFL().fit(replace(split, labels=np.zeros(60, int)), split)


def test_a_constant_feature_is_never_selected_and_nearly_equal_ones_are_fine(rng):
    split = sample(rng)
    twin = split.images[:, :1] + 1e-9 * rng.normal(size=(60, 1))
    wide = replace(split, images=np.hstack([split.images, np.full((60, 1), 2.0), twin]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted = LGCFL(rho=0.05, image_block=1).fit(wide, wide)
    assert (fitted.image_map_.weights[8] == 0).all()
    assert np.isfinite(fitted.image_map_.weights).all()


def test_the_scaling_is_a_choice(rng):
    split = replace(sample(rng), images=sample(rng).images * np.logspace(0, 3, 8))
    zscore, center = (LGCFL(rho=0.1, scaling=mode).fit(split, split) for mode in ("zscore", "center"))
    np.testing.assert_allclose(center.image_map_.scaling.scale, 1.0)
    np.testing.assert_allclose(zscore.image_map_.scaling.scale, split.images.std(axis=0))


def test_float32_features_give_nearly_the_same_as_float64(rng):
    split = sample(rng, n=120)
    single = replace(split, images=split.images.astype(np.float32), texts=split.texts.astype(np.float32))
    double = replace(single, images=single.images.astype(float), texts=single.texts.astype(float))
    one, other = (LGCFL(rho=0.1).fit(s, s).transform_images(s.images) for s in (single, double))
    np.testing.assert_allclose(one, other, atol=2e-3)
