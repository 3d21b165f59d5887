"""Methods on pairs of several categories, and of none: the generalisation against a convex solver."""

import cvxpy
import numpy as np
import pytest

from cmbench.datasets.draft import Split
from cmbench.errors import MethodError
from cmbench.evaluation.evaluator import evaluate
from cmbench.methods.registry import load_method, registry
from cmbench.methods.views.inputs import label_codes, one_hot
from cmbench.methods.views.maps import sizes_to_try


def tagged_split(seed, pairs, tags=5, labels=True):
    """Two noisy linear views of the tags of each pair."""
    to_image, to_text = np.random.default_rng(0).standard_normal((2, tags, 9))
    random = np.random.default_rng(seed)
    held = (random.random((pairs, tags)) < 0.35).astype(np.int64)
    held[np.arange(pairs), np.arange(pairs) % tags] = 1
    images = held @ to_image + 0.3 * random.standard_normal((pairs, 9))
    texts = held @ to_text[:, :7] + 0.3 * random.standard_normal((pairs, 7))
    ids = np.array([f"{seed}-{row}" for row in range(pairs)])
    matrix = held if labels else np.zeros((pairs, 0), dtype=np.int64)
    return Split(images.astype(np.float32), texts.astype(np.float32), matrix, ids)


TRAIN, VALIDATION, TEST = (tagged_split(seed, pairs) for seed, pairs in ((1, 120), (2, 40), (3, 60)))
UNSUPERVISED = ("cca", "rcca", "cfa", "kcca")


@pytest.mark.parametrize("name", ["jrl", "lgcfl", *UNSUPERVISED])
def test_methods_that_can_read_several_labels_are_far_better_than_chance(name):
    method = load_method(name).fit(TRAIN, VALIDATION)
    found = evaluate(method.transform_images(TEST.images), method.transform_texts(TEST.texts), TEST.labels)
    assert found.map["bimodal_average"] > found.chance["map"]["bimodal_average"] + 0.1


def test_only_methods_without_labels_or_with_several_say_that_they_can():
    able = {
        name
        for name, entry in registry().entries.items()
        if not entry.load().uses_labels or entry.load().multi_label
    }
    assert {"jrl", "lgcfl", "cca", "rcca", "cfa", "kcca", "dcca", "corr-ae"} <= able
    assert not able & {"ccl", "cmdn", "cmgans", "deep-sm", "jrl-release"}


@pytest.mark.parametrize("name", ["deep-sm", "ccl-coarse", "cmdn", "cmgans"])
def test_methods_of_one_category_an_item_refuse_a_matrix(name):
    with pytest.raises(MethodError, match="shape"):
        load_method(name).fit(TRAIN, VALIDATION)


def test_lgcfl_minimises_its_objective_on_the_label_matrix():
    rho, block = 0.1, 3
    method = load_method("lgcfl", rho=rho, image_block=block, text_block=7, tol=1e-10, max_iterations=20000)
    method.fit(TRAIN, VALIDATION)
    rows = TRAIN.images.astype(np.float64)
    rows = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    targets = TRAIN.labels - TRAIN.labels.mean(axis=0)
    groups = [slice(start, start + block) for start in range(0, rows.shape[1], block)]
    norms = [np.linalg.norm((rows.T @ targets)[group]) / len(rows) / np.sqrt(block) for group in groups]
    weights = cvxpy.Variable((rows.shape[1], targets.shape[1]))
    penalty = sum(cvxpy.norm(weights[group], "fro") for group in groups)
    loss = cvxpy.sum_squares(rows @ weights - targets) / (2 * len(rows))
    cvxpy.Problem(cvxpy.Minimize(loss + rho * max(norms) * np.sqrt(block) * penalty)).solve(
        solver=cvxpy.CLARABEL
    )
    np.testing.assert_allclose(method.transform_images(TRAIN.images), rows @ weights.value, atol=2e-3)


def test_codes_of_a_matrix_leave_out_categories_that_no_pair_has():
    matrix = np.array([[1, 0, 1], [0, 0, 1]])
    np.testing.assert_array_equal(label_codes(matrix, 2), [[1, 1], [0, 1]])
    numbers = np.array([4, 2, 4])
    np.testing.assert_array_equal(label_codes(numbers, 3), one_hot(numbers, np.array([2, 4])))
    for broken in (np.array([[1, 2], [0, 1]]), matrix[:1], np.array([[1, 0], [1, 0]])):
        with pytest.raises(MethodError):
            label_codes(broken, 2)


@pytest.mark.parametrize("name", UNSUPERVISED)
def test_without_categories_parameters_are_chosen_by_the_pair_itself(name):
    splits = [tagged_split(seed, pairs, labels=False) for seed, pairs in ((1, 120), (2, 40))]
    numbered = [Split(split.images, split.texts, np.arange(len(split)), split.ids) for split in splits]
    alone, paired = load_method(name), load_method(name)
    if "n_components" in alone.get_params():
        alone.set_params(n_components=4), paired.set_params(n_components=4)
    alone.fit(*splits), paired.fit(*numbered)
    if hasattr(paired, "validation_map_"):
        assert alone.validation_map_ == paired.validation_map_
    np.testing.assert_array_equal(alone.transform_texts(TEST.texts), paired.transform_texts(TEST.texts))


def test_without_categories_sizes_are_those_that_need_none():
    split = tagged_split(2, 40, labels=False)
    assert sizes_to_try("validation", 80, split) == (50, 80)
    assert sizes_to_try("validation", 80, VALIDATION) == (5, 10, 50, 80)
