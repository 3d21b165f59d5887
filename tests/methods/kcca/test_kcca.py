"""KCCA against ridge CCA, the dual eigenproblem and its own invariances."""

import warnings

import numpy as np
import pytest
from scipy.stats import ortho_group

from cmbench.datasets.draft import Split
from cmbench.errors import MethodError
from cmbench.methods.cca import CCA
from cmbench.methods.kcca.kernels import GaussianKernel, factorise, median_sigma
from cmbench.methods.kcca.method import KCCA
from cmbench.methods.views import inputs as input_contract
from cmbench.methods.views.canonical_correlation import SvdProblem
from cmbench.methods.views.inputs import MethodWarning
from cmbench.methods.views.scaling import scaled_view


def pairs(images, texts):
    n = len(images)
    return Split(images, texts, np.arange(n) % 3, np.arange(n).astype(str))


def views(rng, n=80, widths=(5, 4)):
    latent = rng.normal(size=(n, 3))
    return [latent @ rng.normal(size=(3, d)) + 0.5 * rng.normal(size=(n, d)) for d in widths]


def zscored(matrix):
    return (matrix - matrix.mean(axis=0)) / matrix.std(axis=0)


def whitened(matrix):
    """Centered with identity covariance: z-scoring any rotation of it changes nothing."""
    u = np.linalg.svd(matrix - matrix.mean(axis=0), full_matrices=False)[0]
    return u * np.sqrt(len(matrix))


def fitted(images, texts, **parameters):
    split = pairs(images, texts)
    return KCCA(**{"n_components": "all", "tol": 0.0, **parameters}).fit(split, split)


def kappa_for(penalty):
    return penalty / (1 + penalty)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_with_a_linear_kernel_it_is_ridge_cca(rng):
    x, y = views(rng)
    kcca = fitted(x, y, kernel="linear", kappa=kappa_for(8.0))
    n = len(x)  # the mean variance of z-scored columns is n / (n - 1)
    split = pairs(x, y)
    cca = CCA(n_components="all", ridge=8.0 / n).fit(split, split)
    np.testing.assert_allclose(kcca.correlations_, cca.correlations_, atol=1e-12)
    for ours, theirs in (
        (kcca.transform_images(x), cca.transform_images(x)),
        (kcca.transform_texts(y), cca.transform_texts(y)),
    ):
        signs = np.sign(np.sum(ours * theirs, axis=0))
        np.testing.assert_allclose(ours, theirs * signs, atol=1e-11)


def test_with_a_linear_kernel_and_hardly_any_penalty_it_is_plain_cca(rng):
    x, y = views(rng)
    split = pairs(x, y)
    expected = CCA(n_components="all", ridge=0.0).fit(split, split).correlations_
    np.testing.assert_allclose(fitted(x, y, kernel="linear", kappa=1e-12).correlations_, expected, atol=1e-10)


@pytest.mark.parametrize("kappa", [0.1, 0.5, 0.9])
def test_correlations_are_those_of_the_dual_problem(rng, kappa):
    x, y = views(rng)
    kcca = fitted(x, y, kappa=kappa)
    penalty = kappa / (1 - kappa)
    bases = []
    for view, sigma in ((x, kcca.image_sigma_), (y, kcca.text_sigma_)):
        scaled = zscored(view)
        distances = np.sum((scaled[:, None] - scaled[None]) ** 2, axis=2)
        centering = np.eye(80) - 1 / 80
        values, vectors = np.linalg.eigh(centering @ np.exp(-distances / (2 * sigma**2)) @ centering)
        values = np.clip(values, 0, None)
        bases.append(vectors * np.sqrt(values / (values + penalty)))
    expected = np.linalg.svd(bases[0].T @ bases[1], compute_uv=False)
    found = kcca.correlations_
    np.testing.assert_allclose(found, expected[: len(found)], atol=1e-8)
    np.testing.assert_allclose(found[:20], expected[:20], atol=1e-12)


def test_the_constraint_normalisation_is_kept(rng):
    x, y = views(rng)
    kcca = fitted(x, y, kappa=0.3)
    scores = kcca.transform_images(x)
    penalty = 0.3 / 0.7 / 79
    weights = kcca.image_map_.weights
    constraint = scores.T @ scores / 79 + penalty * weights.T @ weights
    np.testing.assert_allclose(constraint, np.eye(len(constraint)), atol=1e-9)
    np.testing.assert_allclose(
        np.diag(scores.T @ kcca.transform_texts(y)) / 79, kcca.correlations_, atol=1e-9
    )


def test_training_rows_keep_their_training_scores(rng):
    x, y = views(rng, n=300)
    kcca = fitted(x, y, rank=60)
    for view, sigma, fitted_map in (
        (scaled_view(x, "images"), kcca.image_sigma_, kcca.image_map_),
        (scaled_view(y, "texts"), kcca.text_sigma_, kcca.text_map_),
    ):
        factor = factorise(view, GaussianKernel(sigma), rank=60, tolerance=0.0).factor
        scores = (factor - factor.mean(axis=0)) @ fitted_map.weights
        np.testing.assert_allclose(fitted_map(view.features), scores, atol=1e-10)


def test_rotating_and_shifting_a_white_view_changes_nothing(rng):
    x, y = (whitened(view) for view in views(rng))
    moved = x @ ortho_group.rvs(5, random_state=1) + 3
    plain, turned = fitted(x, y), fitted(moved, y)
    np.testing.assert_allclose(plain.correlations_[:40], turned.correlations_[:40], atol=1e-10)
    one, other = plain.transform_images(x)[:, :10], turned.transform_images(moved)[:, :10]
    signs = np.sign(np.sum(one * other, axis=0))
    np.testing.assert_allclose(one, other * signs, atol=1e-7)


def test_for_a_wide_kernel_it_tends_to_ridge_cca(rng):
    x, y = views(rng)
    images, texts = scaled_view(x, "images"), scaled_view(y, "texts")
    medians = [median_sigma(view, "view", random_state=0) for view in (images, texts)]
    errors = []
    for scale in (10.0, 100.0, 1000.0):
        # exp(-|u - v|^2 / (2 sigma^2)), centered, tends to the inner product over sigma^2
        penalty = 5.0 / (scale * medians[0]) ** 2
        ridges = [penalty * (scale * median) ** 2 / 79 for median in medians]
        expected = SvdProblem.from_views(images, texts).solve(*ridges).correlations
        found = fitted(x, y, sigma_scale=scale, kappa=kappa_for(penalty)).correlations_[:4]
        errors.append(np.abs(found - expected).max())
    assert errors[0] < 3e-2
    assert errors[1] < errors[0] / 50
    assert errors[2] < errors[1] / 50


def test_a_non_linear_relation_is_found_and_holds_on_new_pairs(rng):
    def sample(n):
        t = rng.normal(size=n)
        return (t + 0.1 * rng.normal(size=n))[:, None], (t**2 + 0.1 * rng.normal(size=n))[:, None]

    (x, y), (new_x, new_y) = sample(600), sample(600)
    kcca = fitted(x, y, n_components=1)
    held_out = np.corrcoef(kcca.transform_images(new_x)[:, 0], kcca.transform_texts(new_y)[:, 0])[0, 1]
    assert held_out > 0.8
    split = pairs(x, y)
    assert CCA(n_components=1).fit(split, split).correlations_[0] < 0.2


def test_the_width_is_the_median_rule_times_its_scale(rng):
    x, y = views(rng)
    scaled = zscored(x)
    distances = np.sum((scaled[:, None] - scaled[None]) ** 2, axis=2)
    expected = np.sqrt(np.median(distances[np.triu_indices(80, 1)]))
    assert fitted(x, y, sigma_scale=2.0).image_sigma_ == pytest.approx(2 * expected, rel=1e-10)


def test_zero_distances_do_not_count_for_the_width(rng):
    x = rng.normal(size=(20, 3))
    one = median_sigma(scaled_view(x, "images"), "images", random_state=0)
    repeated = median_sigma(scaled_view(np.tile(x, (5, 1)), "images"), "images", random_state=0)
    assert one == pytest.approx(repeated, rel=1e-10)


def test_the_seed_draws_the_rows_of_the_median_rule(rng):
    view = scaled_view(rng.normal(size=(3000, 2)), "images")
    first, again, other = (median_sigma(view, "images", random_state=seed) for seed in (0, 0, 1))
    assert first == again != other


def test_rank_and_tolerance_bound_the_factor(rng):
    x, y = views(rng)
    assert fitted(x, y, rank=12).image_rank_ == 12
    loose = fitted(x, y, tol=0.2)
    assert loose.image_rank_ < 80
    assert loose.image_residual_ <= 0.2


def test_unit_normalisation_gives_unit_projections_sorted_by_plain_correlation(rng):
    x, y = views(rng)
    kcca = fitted(x, y, normalise="unit", kappa=0.1, n_components=10)
    images, texts = kcca.transform_images(x), kcca.transform_texts(y)
    np.testing.assert_allclose(np.linalg.norm(images, axis=0), 1.0, atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(texts, axis=0), 1.0, atol=1e-9)
    plain = [np.corrcoef(images[:, i], texts[:, i])[0, 1] for i in range(10)]
    np.testing.assert_allclose(kcca.correlations_[:10], plain, atol=1e-9)
    assert (np.diff(kcca.correlations_) <= 0).all()


def test_both_normalisations_span_the_same_components(rng):
    x, y = views(rng)
    constraint, unit = (
        fitted(x, y, normalise=mode, rank=20).transform_images(x) for mode in ("constraint", "unit")
    )
    directions = [scores / np.linalg.norm(scores, axis=0) for scores in (constraint, unit)]
    overlap = np.abs(directions[0].T @ directions[1])
    np.testing.assert_allclose(np.sort(overlap.max(axis=1)), 1.0, atol=1e-8)


def test_corr_power_weights_each_component_by_its_correlation(rng):
    x, y = views(rng)
    plain, weighted = fitted(x, y, rank=20), fitted(x, y, rank=20, corr_power=1.0)
    np.testing.assert_allclose(
        weighted.transform_images(x), plain.transform_images(x) * plain.correlations_, atol=1e-12
    )


def test_repeated_rows_are_left_out_of_the_factor(rng):
    x, y = views(rng, n=50)
    kcca = fitted(np.tile(x, (4, 1)), np.tile(y, (4, 1)))
    assert 45 <= kcca.image_rank_ <= 50
    assert np.isfinite(kcca.transform_images(x)).all()


def test_rows_identical_among_those_looked_at_are_refused(monkeypatch, rng):
    monkeypatch.setattr("cmbench.methods.kcca.kernels.MEDIAN_ROWS", 3)
    x = np.zeros((2000, 1))
    x[0] = 1.0
    with pytest.raises(MethodError, match="texts: all training rows looked at are identical"):
        fitted(rng.normal(size=(2000, 2)), x)


def test_a_far_too_narrow_kernel_is_warned_about(rng):
    x, y = views(rng, n=200)
    with pytest.warns(MethodWarning, match="columns leave .* unexplained"):
        fitted(x, y, sigma_scale=0.01, rank=20)


def test_ordinary_data_raise_no_warning(rng):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted(*views(rng), n_components="validation")


def test_the_block_size_does_not_matter(rng, monkeypatch):
    x, y = views(rng)
    whole = fitted(x, y, rank=20).transform_images(x)
    monkeypatch.setattr(input_contract, "BLOCK_VALUES", 9 * 4)
    np.testing.assert_allclose(fitted(x, y, rank=20).transform_images(x), whole, atol=1e-9)


def test_wide_views_with_few_samples_work(rng):
    x, y = rng.normal(size=(30, 200)), rng.normal(size=(30, 100))
    kcca = fitted(x, y)
    assert kcca.rank_ <= 29
    assert (kcca.correlations_ < 1).all()


def test_distances_that_cancel_are_not_negative():
    rows = np.full((3, 4), 1e8) + np.random.default_rng(0).normal(size=(3, 4)) * 1e-8
    kernel = GaussianKernel(1e-3).between(rows, rows)
    assert kernel.max() <= 1.0
