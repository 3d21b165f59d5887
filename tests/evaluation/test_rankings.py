"""What is kept of rankings: the most similar items of each query, and precision by recall."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from representations import cosine
from sklearn.metrics import average_precision_score, precision_recall_curve

from cmbench.evaluation.evaluator import evaluate
from cmbench.evaluation.protocol import Protocol
from cmbench.evaluation.tasks import Retrieval


def sides(seed, count=40, k=6, classes=4):
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, count)
    return random.standard_normal((count, k)), random.standard_normal((count, k)), labels


def test_the_first_items_are_those_a_sorted_list_begins_with():
    x, y, labels = sides(0)
    result = evaluate(x, y, labels, first=7)
    both = np.vstack([x, y])
    for task, similarity in {
        "image_to_text": cosine(x, y),
        "text_to_image": cosine(y, x),
        "image_to_all": cosine(x, both),
        "text_to_all": cosine(y, both),
    }.items():
        np.testing.assert_array_equal(result.first[task], np.argsort(-similarity, axis=1)[:, :7])
    assert not evaluate(x, y, labels).first


def test_a_query_left_out_of_its_gallery_is_not_among_the_first():
    x, y, labels = sides(1, count=9)
    result = evaluate(x, y, labels, protocol=Protocol("others", keep_query=False), first=50)
    assert result.first["image_to_all"].shape == (9, 17)
    for query, first in enumerate(result.first["text_to_all"]):
        assert sorted(first) == sorted(set(range(18)) - {9 + query})


def test_without_a_difference_the_order_is_that_of_the_rows():
    labels = np.array([2, 0, 1, 0, 2, 1])
    result = evaluate(np.ones((6, 3)), np.ones((6, 3)), labels, first=4)
    np.testing.assert_array_equal(result.first["image_to_text"], np.tile(np.arange(4), (6, 1)))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 12))
def test_equals_stand_in_the_order_of_their_rows(seed, first):
    random = np.random.default_rng(seed)
    texts = random.standard_normal((4, 5))[random.integers(0, 4, 12)]
    images, labels = random.standard_normal((12, 5)), random.integers(0, 3, 12)
    result = evaluate(images, texts, labels, first=first)
    expected = np.argsort(-cosine(images, texts).round(9), axis=1, kind="stable")[:, :first]
    np.testing.assert_array_equal(result.first["image_to_text"], expected)


def test_the_first_items_do_not_depend_on_how_queries_are_cut_into_chunks(monkeypatch):
    from cmbench.evaluation.arrays import CpuArrays

    x, y, labels = sides(2)
    whole = evaluate(x, y, labels, first=5).first["text_to_all"]
    monkeypatch.setattr(CpuArrays, "chunk_pairs", 160)
    monkeypatch.setattr(CpuArrays, "product_pairs", 400)
    np.testing.assert_array_equal(evaluate(x, y, labels, first=5).first["text_to_all"], whole)


def test_where_captions_share_pictures_rows_are_those_of_the_pairs():
    x, y, _ = sides(3, count=6)
    pictures = np.array([0, 0, 1, 1, 2, 2])
    x = x[pictures]
    result = evaluate(x, y, protocol="pairs", pictures=pictures, first=2)
    assert result.query_rows["image_to_text"].tolist() == [0, 2, 4]
    assert result.query_rows["text_to_image"].tolist() == [0, 1, 2, 3, 4, 5]
    order = np.argsort(-cosine(y, x[::2]), axis=1)[:, :2]
    np.testing.assert_array_equal(result.first["text_to_image"], 2 * order)
    np.testing.assert_array_equal(
        result.first["image_to_text"], np.argsort(-cosine(x[::2], y), axis=1)[:, :2]
    )


def test_where_there_is_a_retrieval_set_rows_are_its_own():
    x, y, labels = sides(4, count=10)
    others = sides(5, count=30)
    result = evaluate(x, y, labels, retrieval=Retrieval(*others), first=3)
    np.testing.assert_array_equal(
        result.first["image_to_text"], np.argsort(-cosine(x, others[1]), axis=1)[:, :3]
    )
    np.testing.assert_array_equal(
        result.first["image_to_all"], np.argsort(-cosine(x, np.vstack(others[:2])), axis=1)[:, :3]
    )


@pytest.mark.parametrize(("count", "classes"), [(60, 3), (150, 40), (600, 2)])
def test_the_area_under_precision_by_recall_is_that_of_scikit_learn(count, classes):
    x, y, labels = sides(6, count=count, classes=classes)
    result = evaluate(x, y, labels)
    scores = {"image_to_text": cosine(x, y), "text_to_image": cosine(y, x)}
    for task, similarity in scores.items():
        areas = [
            average_precision_score(labels == label, row)
            for label, row in zip(labels, similarity, strict=True)
        ]
        curve = result.precision_by_recall[task]
        assert curve.shape == (100,)
        assert curve.mean() == pytest.approx(np.mean(areas), abs=1e-9)


def test_precision_by_recall_is_the_mean_of_the_curves_of_scikit_learn():
    x, y, labels = sides(7, count=50, classes=3)
    similarity = cosine(x, y)
    fine = (np.arange(100_000) + 0.5) / 100_000  # recall, in steps that no number of relevant items meets
    curves = np.zeros(100_000)
    for label, row in zip(labels, similarity, strict=True):
        precision, recall, _ = precision_recall_curve(labels == label, row)
        first = np.array([precision[recall >= each - 1e-12].size for each in np.unique(recall)])
        # of the thresholds of one recall, the highest, where the last relevant item is the last retrieved
        by_recall = {each: precision[count - 1] for each, count in zip(np.unique(recall), first, strict=True)}
        levels = np.array(sorted(by_recall))[1:]
        curves += np.array([by_recall[level] for level in levels])[np.searchsorted(levels, fine)]
    expected = (curves / len(labels)).reshape(100, 1000).mean(axis=1)
    np.testing.assert_allclose(
        evaluate(x, y, labels).precision_by_recall["image_to_text"], expected, atol=2e-3
    )


def test_precision_by_recall_expects_ties_and_leaves_out_queries_without_an_answer():
    x, y = np.ones((4, 2)), np.ones((4, 2))
    result = evaluate(x, y, [0, 0, 1, 2], text_labels=[0, 0, 0, 1])
    assert result.precision_by_recall["image_to_text"].mean() == pytest.approx(result.map["image_to_text"])
