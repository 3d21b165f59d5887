"""The common space as it is kept, against scikit-learn's principal components."""

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.preprocessing import normalize

from cmbench.evaluation.components import components


@pytest.mark.parametrize(("pairs", "columns"), [(40, 7), (12, 90)])
def test_components_are_those_of_scikit_learn(pairs, columns):
    random = np.random.default_rng(0)
    images, texts = random.standard_normal((2, pairs, columns)) * np.linspace(0.1, 3, columns)
    found = components(images, texts, axes=5)
    theirs = PCA(5).fit(normalize(np.vstack([images, texts])))
    values = theirs.transform(normalize(np.vstack([images, texts])))
    np.testing.assert_allclose(np.abs(found.values), np.abs(values), atol=1e-9)
    np.testing.assert_allclose(found.share, theirs.explained_variance_ratio_, atol=1e-9)
    assert (found.values[np.abs(found.values).argmax(axis=0), np.arange(5)] > 0).all()


def test_of_many_pairs_some_at_even_distances_are_kept():
    images, texts = np.random.default_rng(1).standard_normal((2, 901, 4)).astype(np.float32)
    found = components(images, texts, pairs=10)
    assert found.rows.tolist() == list(range(0, 901, 100))
    assert found.values.shape == (20, 4)
    np.testing.assert_allclose(found.values, components(images[::100], texts[::100]).values, atol=1e-12)


def test_a_space_without_extent_or_with_zero_rows_has_finite_components():
    flat = components(np.ones((5, 3)), np.ones((5, 3)))
    assert not flat.values.any()
    assert not flat.share.any()
    rows = np.zeros((5, 3))
    rows[0, 0] = 1e-300
    found = components(rows, np.full((5, 3), 1e300))
    assert np.isfinite(found.values).all()
    assert found.share.sum() == pytest.approx(1)
