"""Principal components in place of a backbone's features."""

import numpy as np
import pytest
from sklearn.decomposition import PCA
from threadpoolctl import threadpool_info, threadpool_limits

from cmbench.datasets.draft import Parts
from cmbench.datasets.features.recipe import ImageRecipe
from cmbench.datasets.features.sides import Made, reduced
from cmbench.errors import DatasetError

ROWS = np.random.default_rng(0).normal(size=(30, 6)).astype(np.float32) @ np.diag([5, 4, 3, 2, 1, 0.5])


def test_they_are_those_of_the_training_rows_and_map_all_rows_and_parts():
    parts = Parts(ROWS[:10], np.array([0, 4, 10]))
    made, words = reduced(Made(ROWS, parts), 20, 3)
    expected = PCA(3).fit(ROWS[:20])
    mapped = expected.transform(ROWS)
    signs = np.sign(np.sum(mapped * made.rows, axis=0))
    np.testing.assert_allclose(made.rows, mapped * signs, atol=1e-5)
    np.testing.assert_allclose(made.parts.values, made.rows[:10])
    assert made.rows.dtype == np.float32
    share = expected.explained_variance_ratio_.sum()
    assert words == f", 3 principal components of the training pictures ({share:.1%} of their variance)"


def test_one_thread_computes_them_whatever_the_caller_has(monkeypatch):
    threads, decomposed = set(), np.linalg.svd

    def watched(matrix, **options):
        threads.update(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")
        return decomposed(matrix, **options)

    monkeypatch.setattr("numpy.linalg.svd", watched)
    with threadpool_limits(2, "blas"):
        reduced(Made(ROWS, None), 20, 3)
    assert threads == {1}


def test_without_a_number_features_stay_as_they_are():
    made = Made(ROWS, None)
    assert reduced(made, 20, None) == (made, "")


def test_more_than_there_are_is_refused():
    with pytest.raises(DatasetError, match=r"20 training pictures with 6 features have 6 at most"):
        reduced(Made(ROWS, None), 20, 7)
    with pytest.raises(DatasetError, match=r"components is 0"):
        ImageRecipe(components=0)
