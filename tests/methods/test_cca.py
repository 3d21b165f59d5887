"""CCA against closed forms, scikit-learn and its own invariances."""

import warnings

import numpy as np
import pytest
from scipy.linalg import eigh, subspace_angles
from sklearn.base import clone
from sklearn.cross_decomposition import CCA as ScikitCCA

from cmbench.datasets.draft import Split
from cmbench.errors import MethodError
from cmbench.evaluation.evaluator import bimodal_map
from cmbench.methods.cca import CCA, RCCA, RIDGES
from cmbench.methods.cfa import CFA
from cmbench.methods.views import inputs as input_contract
from cmbench.methods.views.canonical_correlation import CholeskyProblem, SvdProblem
from cmbench.methods.views.inputs import MethodWarning
from cmbench.methods.views.scaling import ScaledView, scaled_view

SOLVERS = ("svd", "cholesky")


def pairs(images, texts, labels=None):
    n = len(images)
    return Split(images, texts, np.arange(n) % 3 if labels is None else labels, np.arange(n).astype(str))


def correlated_views(rng, n=200, widths=(7, 5), shared=4):
    latent = rng.normal(size=(n, shared)) * [2.0, 1.5, 1.0, 0.5][:shared]
    return [latent @ rng.normal(size=(shared, d)) + rng.normal(size=(n, d)) for d in widths]


def centered(matrix):
    return matrix - matrix.mean(axis=0)


def zscored(matrix):
    return centered(matrix) / matrix.std(axis=0)


def fitted(images, texts, **parameters):
    split = pairs(images, texts)
    return CCA(**{"n_components": "all", "ridge": 0.0, **parameters}).fit(split, split)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("solver", SOLVERS)
def test_correlations_are_cosines_of_the_angles_between_the_column_spaces(rng, solver):
    x, y = correlated_views(rng)
    angles = subspace_angles(centered(x), centered(y))
    np.testing.assert_allclose(
        fitted(x, y, solver=solver).correlations_, np.sort(np.cos(angles))[::-1], atol=1e-13
    )


@pytest.mark.parametrize("solver", SOLVERS)
def test_known_angles_are_recovered(rng, solver):
    q = np.linalg.qr(np.hstack([np.ones((50, 1)), rng.normal(size=(50, 4))]))[0][:, 1:]
    angles = np.array([0.3, 1.1])
    x = q[:, :2] @ rng.normal(size=(2, 2))
    y = (np.cos(angles) * q[:, :2] + np.sin(angles) * q[:, 2:]) @ rng.normal(size=(2, 2))
    np.testing.assert_allclose(fitted(x, y, solver=solver).correlations_, np.cos(angles), atol=1e-13)


def test_correlations_do_not_change_under_invertible_affine_maps(rng):
    x, y = correlated_views(rng)
    moved = fitted(x @ rng.normal(size=(7, 7)) + 5, y @ rng.normal(size=(5, 5)) - 3)
    np.testing.assert_allclose(fitted(x, y).correlations_, moved.correlations_, atol=1e-11)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("ridge", [0.0, 0.1])
def test_the_representations_keep_the_constraints_of_the_objective(rng, solver, ridge):
    x, y = correlated_views(rng)
    cca = fitted(x, y, solver=solver, ridge=ridge)
    a, b = cca.image_map_.weights, cca.text_map_.weights
    cxx, cyy, cxy = (
        left.T @ right / 199
        for left, right in ((zscored(x), zscored(x)), (zscored(y), zscored(y)), (zscored(x), zscored(y)))
    )
    rx, ry = ridge * np.trace(cxx) / 7, ridge * np.trace(cyy) / 5
    np.testing.assert_allclose(a.T @ (cxx + rx * np.eye(7)) @ a, np.eye(5), atol=1e-12)
    np.testing.assert_allclose(b.T @ (cyy + ry * np.eye(5)) @ b, np.eye(5), atol=1e-12)
    np.testing.assert_allclose(a.T @ cxy @ b, np.diag(cca.correlations_), atol=1e-12)


def test_the_first_components_agree_with_scikit_learn(rng):
    x, y = correlated_views(rng)
    scikit = ScikitCCA(n_components=2, scale=False, max_iter=20_000, tol=1e-12).fit(x, y)
    left, right = scikit.transform(x, y)
    theirs = [np.corrcoef(left[:, i], right[:, i])[0, 1] for i in range(2)]
    np.testing.assert_allclose(fitted(x, y).correlations_[:2], theirs, atol=1e-10)


def test_cca_with_one_hot_labels_is_discriminant_analysis(rng):
    labels = np.arange(120) % 4
    x = rng.normal(size=(120, 6)) + rng.normal(size=(4, 6))[labels]
    total = centered(x).T @ centered(x)
    means = np.array([x[labels == j].mean(axis=0) for j in labels])
    between = centered(means).T @ centered(means)
    expected = eigh(between, total, eigvals_only=True)[::-1][:3]
    cca = fitted(x, np.eye(4)[labels])
    np.testing.assert_allclose(cca.correlations_**2, expected, atol=1e-12)
    assert cca.rank_ == 3


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_huge_ridge_leads_to_the_directions_of_cfa(rng, solver):
    x, y = correlated_views(rng)
    split = pairs(x, y)
    a = fitted(x, y, ridge=1e7, solver=solver).image_map_.weights
    cfa = CFA(n_components="all").fit(split, split)
    np.testing.assert_allclose(a / np.linalg.norm(a, axis=0), cfa.image_map_.weights, atol=1e-5)


def test_the_order_of_the_pairs_does_not_matter_but_the_pairing_does(rng):
    x, y = correlated_views(rng, n=400)
    order = rng.permutation(200)
    train, shuffled = fitted(x[:200], y[:200]), fitted(x[:200][order], y[:200][order])
    np.testing.assert_allclose(train.image_map_.weights, shuffled.image_map_.weights, atol=1e-11)
    np.testing.assert_allclose(train.text_map_.weights, shuffled.text_map_.weights, atol=1e-11)
    broken = fitted(x[:200], y[:200][order])

    def held_out(cca):
        left, right = cca.transform_images(x[200:]), cca.transform_texts(y[200:])
        return np.corrcoef(left[:, 0], right[:, 0])[0, 1]

    assert held_out(train) > 0.8
    assert abs(held_out(broken)) < 0.3


def test_population_correlations_are_reached_with_many_samples(rng):
    n, known = 200_000, np.array([0.9, 0.5, 0.0])
    x, noise = rng.normal(size=(n, 3)), rng.normal(size=(n, 3))
    y = known * x + np.sqrt(1 - known**2) * noise
    cca = fitted(x @ rng.normal(size=(3, 3)), y @ rng.normal(size=(3, 3)))
    np.testing.assert_allclose(cca.correlations_, known, atol=3 / np.sqrt(n))


@pytest.mark.parametrize("ridge", [1e-6, 0.1, 10.0])
def test_both_solvers_give_the_same_representations(rng, ridge):
    x, y = correlated_views(rng)
    svd, cholesky = (fitted(x, y, ridge=ridge, solver=solver) for solver in SOLVERS)
    assert (svd.solver_, cholesky.solver_) == SOLVERS
    np.testing.assert_allclose(svd.transform_images(x), cholesky.transform_images(x), atol=1e-9)
    np.testing.assert_allclose(svd.transform_texts(y), cholesky.transform_texts(y), atol=1e-9)


@pytest.mark.parametrize("problem", [SvdProblem.from_views, CholeskyProblem])
def test_each_view_is_whitened_with_its_own_ridge(rng, problem):
    views = correlated_views(rng)
    directions = problem(*map(scaled_view, views, ("images", "texts"))).solve(0.3, 2.0)
    for rows, weights, ridge in zip(
        map(zscored, views), (directions.image_weights, directions.text_weights), (0.3, 2.0), strict=True
    ):
        covariance = rows.T @ rows / (len(rows) - 1) + ridge * np.eye(rows.shape[1])
        np.testing.assert_allclose(weights.T @ covariance @ weights, np.eye(weights.shape[1]), atol=1e-10)


def test_tall_views_are_reduced_block_by_block_to_the_same_solution(rng, monkeypatch):
    x, y = correlated_views(rng)
    whole = fitted(x, y, solver="svd")
    monkeypatch.setattr(input_contract, "BLOCK_VALUES", 17 * 4)
    monkeypatch.delattr(ScaledView, "dense")  # all rows at once are only for views known to be small
    np.testing.assert_allclose(
        whole.image_map_.weights, fitted(x, y, solver="svd").image_map_.weights, atol=1e-11
    )


def test_the_solver_is_chosen_by_shape_and_ridge(rng):
    x, y = correlated_views(rng)
    assert fitted(x, y, solver="auto", ridge=1e-6).solver_ == "cholesky"
    assert fitted(x, y, solver="auto", ridge=0.0).solver_ == "svd"
    with pytest.warns(MethodWarning):
        assert fitted(x[:6], y[:6], solver="auto", ridge=1e-6).solver_ == "svd"


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("ridge", [0.0, 1e-6])
def test_repeated_columns_are_dropped_with_the_rank_reported(rng, solver, ridge):
    x, y = correlated_views(rng)
    doubled = np.hstack([y, y[:, :2], y[:, :1] * 3])
    plain, repeated = fitted(x, y, solver=solver, ridge=ridge), fitted(x, doubled, solver=solver, ridge=ridge)
    assert repeated.rank_ == 5
    np.testing.assert_allclose(plain.correlations_, repeated.correlations_, atol=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_a_singular_covariance_falls_back_on_the_svd(seed):
    rng = np.random.default_rng(seed)
    x, y = correlated_views(rng)
    assert fitted(np.hstack([x, x]), y, solver="cholesky", ridge=0.0).solver_ == "svd"
    twin = x[:, :1] + 1e-7 * rng.normal(size=(200, 1))  # factorises, but to hardly a digit
    assert fitted(np.hstack([x, twin]), y, solver="cholesky", ridge=0.0).solver_ == "svd"


def test_fewer_samples_than_features_correlate_perfectly_with_a_warning(rng):
    x, y = rng.normal(size=(20, 40)), rng.normal(size=(20, 30))
    with pytest.warns(MethodWarning, match="uninformative"):
        cca = fitted(x, y)
    np.testing.assert_allclose(cca.correlations_, 1.0, atol=1e-10)
    assert cca.rank_ == 19
    with pytest.warns(MethodWarning, match="uninformative"):
        assert fitted(x, y, ridge=10.0).correlations_.max() < 0.99


def test_repeated_samples_correlate_perfectly_with_a_warning(rng):
    x, y = rng.normal(size=(10, 15)), rng.normal(size=(10, 12))
    for ridge in (0.0, 1e-6):
        with pytest.warns(MethodWarning, match="uninformative"):
            cca = fitted(np.tile(x, (10, 1)), np.tile(y, (10, 1)), ridge=ridge)
        assert cca.rank_ == 9


def test_ordinary_data_raise_no_warning(rng):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted(*correlated_views(rng))


def test_correlations_never_exceed_one(rng):
    x = rng.normal(size=(100, 6))
    with pytest.warns(MethodWarning, match="uninformative"):
        cca = fitted(x, x @ rng.normal(size=(6, 6)))
    assert cca.correlations_.max() <= 1.0


def test_extreme_scales_change_nothing(rng):
    x, y = correlated_views(rng)
    plain, scaled = fitted(x, y), fitted(x * 1e150, y * 1e-150)
    np.testing.assert_allclose(plain.correlations_, scaled.correlations_, atol=1e-10)


def test_uncorrelated_views_are_refused():
    x = np.array([[1.0], [-1.0], [0.0], [0.0]])
    y = np.array([[0.0], [0.0], [1.0], [-1.0]])
    with pytest.raises(MethodError, match="uncorrelated"):
        fitted(x, y)


def test_the_largest_image_weight_of_each_component_is_positive(rng):
    weights = fitted(*correlated_views(rng)).image_map_.weights
    assert (weights[np.abs(weights).argmax(axis=0), np.arange(5)] > 0).all()


def test_corr_power_weights_each_component_by_its_correlation(rng):
    x, y = correlated_views(rng)
    plain, weighted = fitted(x, y), fitted(x, y, corr_power=2.0)
    expected = plain.transform_texts(y) * plain.correlations_**2
    np.testing.assert_allclose(weighted.transform_texts(y), expected, atol=1e-12)


def test_the_first_components_are_the_same_whatever_their_number(rng):
    x, y = correlated_views(rng)
    np.testing.assert_array_equal(
        fitted(x, y, n_components=2).transform_images(x), fitted(x, y, n_components=2).transform_images(x)
    )
    np.testing.assert_allclose(
        fitted(x, y, n_components=2).transform_images(x), fitted(x, y).transform_images(x)[:, :2], atol=1e-13
    )


def test_training_labels_are_not_used(rng):
    x, y = correlated_views(rng)
    validation = pairs(x, y)
    fits = [CCA().fit(pairs(x, y, labels), validation) for labels in (np.arange(200) % 3, np.zeros(200, int))]
    np.testing.assert_array_equal(fits[0].transform_images(x), fits[1].transform_images(x))


def noisy_categories(rng, n):
    """Ten categories in a shared latent space under strong noise: few samples, many features."""
    labels = np.arange(n) % 5
    latent = np.random.default_rng(1).normal(size=(5, 4))[labels]
    mixing = [np.random.default_rng(2 + d).normal(size=(4, d)) for d in (30, 25)]
    return pairs(*(latent @ m + 3 * rng.normal(size=(n, m.shape[1])) for m in mixing), labels)


def test_the_ridge_of_rcca_is_the_best_on_validation(rng):
    train, validation = noisy_categories(rng, 80), noisy_categories(rng, 60)
    rcca = RCCA(n_components=4).fit(train, validation)
    scores = {}
    for ridge in RIDGES:
        cca = CCA(n_components=4, ridge=ridge).fit(train, validation)
        images, texts = cca.transform_images(validation.images), cca.transform_texts(validation.texts)
        scores[ridge] = bimodal_map(images, texts, validation.labels)
    assert rcca.ridge_ == max(scores, key=scores.get)
    assert rcca.validation_map_ == pytest.approx(max(scores.values()), abs=1e-9)


def test_rcca_is_cca_with_another_default_and_can_be_cloned():
    assert RCCA.name == "rcca"
    assert CCA(ridge="validation").get_params() == clone(RCCA()).get_params()


@pytest.mark.parametrize("solver", SOLVERS)
def test_constant_columns_have_no_influence_in_training_or_later(rng, solver):
    x, y = correlated_views(rng)
    padded = np.hstack([x, np.full((200, 2), 3.0)])
    cca = fitted(padded, y, ridge=1e-6, solver=solver)
    assert cca.solver_ == solver
    later = np.hstack([x, rng.normal(size=(200, 2))])
    np.testing.assert_array_equal(cca.transform_images(later), cca.transform_images(padded))


def test_rank_tolerance_is_relative(rng):
    x, y = correlated_views(rng)
    tiny = np.hstack([y, (y[:, :1] + 1e-13 * rng.normal(size=(200, 1)))])
    assert fitted(x, tiny).rank_ == 5
