"""CFA against Procrustes, PLS and the definition of its objective."""

import numpy as np
import pytest
from scipy.linalg import orthogonal_procrustes
from scipy.stats import ortho_group
from sklearn.cross_decomposition import PLSSVD

from cmbench.datasets.draft import Split
from cmbench.errors import MethodError
from cmbench.evaluation.evaluator import bimodal_map
from cmbench.methods.cfa import CFA
from cmbench.methods.views import inputs as input_contract
from cmbench.methods.views.inputs import MethodWarning


def pairs(images, texts):
    n = len(images)
    return Split(images, texts, np.arange(n) % 3, np.arange(n).astype(str))


def views(rng, n=80, widths=(7, 5)):
    latent = rng.normal(size=(n, 4)) * [2.0, 1.5, 1.0, 0.5]
    return [latent @ rng.normal(size=(4, d)) + rng.normal(size=(n, d)) for d in widths]


def centered(matrix):
    return matrix - matrix.mean(axis=0)


def fitted(images, texts, **parameters):
    split = pairs(images, texts)
    return CFA(**{"n_components": "all", "scaling": "center", **parameters}).fit(split, split)


def weights(cfa):
    return cfa.image_map_.weights, cfa.text_map_.weights


def random_frames(rng, d, k, count):
    return [np.linalg.qr(rng.normal(size=(d, k)))[0] for _ in range(count)]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_the_columns_are_orthonormal_and_reach_the_largest_trace(rng, k):
    x, y = views(rng)
    a, b = weights(fitted(x, y, n_components=k))
    np.testing.assert_allclose(a.T @ a, np.eye(k), atol=1e-13)
    np.testing.assert_allclose(b.T @ b, np.eye(k), atol=1e-13)
    cross = centered(x).T @ centered(y)
    best = np.trace(a.T @ cross @ b)
    assert best == pytest.approx(np.linalg.svd(cross, compute_uv=False)[:k].sum(), rel=1e-12)
    rivals = zip(random_frames(rng, 7, k, 500), random_frames(rng, 5, k, 500), strict=True)
    assert max(np.trace(p.T @ cross @ q) for p, q in rivals) < best


def test_with_equal_widths_it_is_orthogonal_procrustes(rng):
    x, y = (centered(view) for view in views(rng, widths=(5, 5)))
    a, b = weights(fitted(x, y))
    rotation, nuclear_norm = orthogonal_procrustes(x, y)
    np.testing.assert_allclose(a @ b.T, rotation, atol=1e-12)
    distance = np.sum((x @ a - y @ b) ** 2)
    assert distance == pytest.approx(np.sum((x @ rotation - y) ** 2), rel=1e-11)
    assert nuclear_norm == pytest.approx(np.linalg.norm(x.T @ y, "nuc"))
    assert distance == pytest.approx(np.sum(x**2) + np.sum(y**2) - 2 * nuclear_norm, rel=1e-11)


def test_the_padded_distance_is_never_beaten_by_other_rotations(rng):
    x, y = (centered(view) for view in views(rng))
    padded = np.hstack([y, np.zeros((80, 2))])
    optimum = np.sum(x**2) + np.sum(y**2) - 2 * np.linalg.norm(x.T @ y, "nuc")
    cfa = fitted(x, y)
    a, b = weights(cfa)
    rest = np.linalg.svd(np.hstack([a, np.zeros((7, 2))]))[0][:, 5:]
    full_a = np.hstack([a, rest])
    full_b = np.block([[b, np.zeros((5, 2))], [np.zeros((2, 5)), np.eye(2)]])
    assert np.sum((x @ full_a - padded @ full_b) ** 2) == pytest.approx(optimum, rel=1e-11)
    for p, q in zip(
        ortho_group.rvs(7, 200, random_state=1), ortho_group.rvs(7, 200, random_state=2), strict=True
    ):
        assert np.sum((x @ p - padded @ q) ** 2) > optimum


def test_the_weights_are_those_of_plssvd_up_to_sign(rng):
    x, y = views(rng)
    a, b = weights(fitted(x, y))
    pls = PLSSVD(n_components=5, scale=False).fit(x, y)
    signs = np.sign(np.sum(a * pls.x_weights_, axis=0))
    np.testing.assert_allclose(a, pls.x_weights_ * signs, atol=1e-12)
    np.testing.assert_allclose(b, pls.y_weights_ * signs, atol=1e-12)


def test_zscoring_is_the_default_and_plssvd_agrees_there_too(rng):
    x, y = views(rng)
    split = pairs(x * [1, 2, 3, 4, 5, 6, 7], y)
    a = CFA(n_components="all").fit(split, split).image_map_.weights
    pls = PLSSVD(n_components=5, scale=True).fit(split.images, split.texts)
    np.testing.assert_allclose(np.abs(a), np.abs(pls.x_weights_), atol=1e-12)


def test_rotating_or_scaling_a_view_leaves_the_ranking_unchanged(rng):
    x, y = views(rng)
    rotation = ortho_group.rvs(7, random_state=1)
    plain, rotated = fitted(x, y), fitted(x @ rotation, y)
    images, turned = plain.transform_images(x), rotated.transform_images(x @ rotation)
    signs = np.sign(np.sum(images * turned, axis=0))
    np.testing.assert_allclose(images, turned * signs, atol=1e-11)
    labels = np.arange(80) % 3
    expected = bimodal_map(images, plain.transform_texts(y), labels)
    assert bimodal_map(turned, rotated.transform_texts(y), labels) == pytest.approx(expected, abs=1e-12)
    scaled = fitted(x * 100, y)
    found = bimodal_map(scaled.transform_images(x * 100), scaled.transform_texts(y), labels)
    assert found == pytest.approx(expected, abs=1e-12)


def test_a_rotated_copy_falls_on_its_original_and_retrieves_it(rng):
    x = rng.normal(size=(50, 6))
    y = x @ ortho_group.rvs(6, random_state=1)
    cfa = fitted(x, y)
    images, texts = cfa.transform_images(x), cfa.transform_texts(y)
    np.testing.assert_allclose(images, texts, atol=1e-12)
    cosine = (images @ texts.T) / np.outer(*(np.linalg.norm(z, axis=1) for z in (images, texts)))
    assert (cosine.argmax(axis=1) == np.arange(50)).all()


def test_sv_power_weights_components_by_relative_singular_values(rng):
    x, y = views(rng)
    plain, weighted = fitted(x, y), fitted(x, y, sv_power=0.5)
    share = plain.singular_values_ / plain.singular_values_[0]
    np.testing.assert_allclose(
        weighted.transform_images(x), plain.transform_images(x) * share**0.5, atol=1e-12
    )


def test_components_beyond_the_rank_are_cut(rng):
    x, y = rng.normal(size=(20, 50)), rng.normal(size=(20, 40))
    assert fitted(x, y).rank_ == 19
    assert fitted(x.astype(np.float32), y.astype(np.float32), scaling="zscore").rank_ == 19
    with pytest.warns(MethodWarning, match="n_components is 40, but the data support only 19"):
        assert fitted(x, y, n_components=40).n_components_ == 19


def test_constant_and_repeated_columns_add_no_components(rng):
    x, y = views(rng)
    cfa = fitted(x, np.hstack([y, y, np.full((80, 1), 7.0)]))
    assert cfa.rank_ == 5
    assert (cfa.text_map_.weights[-1] == 0).all()


def test_views_without_common_variation_are_refused():
    x = np.array([[1.0], [-1.0], [0.0], [0.0]])
    y = np.array([[0.0], [0.0], [1.0], [-1.0]])
    with pytest.raises(MethodError, match="no common variation"):
        fitted(x, y)


def test_the_block_size_does_not_matter(rng, monkeypatch):
    x, y = views(rng)
    whole = weights(fitted(x, y))
    monkeypatch.setattr(input_contract, "BLOCK_VALUES", 9 * 4)
    for expected, found in zip(whole, weights(fitted(x, y)), strict=True):
        np.testing.assert_allclose(expected, found, atol=1e-12)


def test_uncentered_cfa_is_the_plain_cross_product(rng):
    x, y = views(rng)
    values = np.linalg.svd((x + 2).T @ (y + 1), compute_uv=False)
    np.testing.assert_allclose(fitted(x + 2, y + 1, scaling="none").singular_values_, values, rtol=1e-10)


def test_rows_can_be_normalised_first(rng):
    x, y = views(rng)
    unit = [view / np.linalg.norm(view, axis=1, keepdims=True) for view in (x, y)]
    np.testing.assert_allclose(
        fitted(x, y, normalise_rows=True).transform_images(3 * x),
        fitted(*unit).transform_images(unit[0]),
        atol=1e-12,
    )
