"""Relevance by any shared label, against brute force over orders of ties and a loop over the definition."""

from itertools import pairwise, permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cmbench.errors import EvaluationError
from cmbench.evaluation import arrays, codes, ranking
from cmbench.evaluation.average_precision import expected_average_precision
from cmbench.evaluation.evaluator import average_precision, bimodal_map, evaluate
from cmbench.evaluation.protocol import Protocol
from cmbench.evaluation.tasks import Retrieval


def literal_average_precision(scores, relevant):
    """AP of one strict ranking, item by item."""
    hits, total = 0, 0.0
    for rank, item in enumerate(np.argsort(-scores, kind="stable"), start=1):
        if relevant[item]:
            hits += 1
            total += hits / rank
    return total / hits if hits else np.nan


def shares_a_tag(one, other):
    return any(a and b for a, b in zip(one, other, strict=True))


def tags_of(seed, items, tags, density=0.15):
    return (np.random.default_rng(seed).random((items, tags)) < density).astype(np.int64)


CASES = st.integers(1, 7).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(0, 2), min_size=n, max_size=n),
        st.lists(st.lists(st.integers(0, 1), min_size=3, max_size=3), min_size=n, max_size=n),
        st.lists(st.integers(0, 1), min_size=3, max_size=3).filter(any),
    )
)


@settings(max_examples=200, deadline=None)
@given(CASES)
def test_ap_by_shared_tags_is_the_mean_over_every_order_of_tied_items(case):
    levels, tags, query = np.array(case[0]), np.array(case[1]), np.array([case[2]])
    relevant = [shares_a_tag(query[0], item) for item in tags]
    # three directions at known angles from the query, so that equal levels are exact ties
    gallery = np.array([[0.0, 1.0], [1.0, 1.0], [1.0, 0.0]])[levels]
    orders = [
        order
        for order in permutations(range(len(levels)))
        if all(levels[a] >= levels[b] for a, b in pairwise(order))
    ]
    each = [literal_average_precision(-np.arange(len(tags)), np.array(relevant)[list(o)]) for o in orders]
    found = average_precision([[1.0, 0.0]], gallery, query, tags)
    np.testing.assert_allclose(found[0], np.mean(each), atol=1e-12)


def test_two_thousand_items_of_24_tags_equal_a_literal_loop():
    random = np.random.default_rng(0)
    images, texts = (random.standard_normal((2000, 32)) for _ in range(2))
    tags = tags_of(1, 2000, 24)
    scores = (images / np.linalg.norm(images, axis=1)[:, None]) @ (
        texts / np.linalg.norm(texts, axis=1)[:, None]
    ).T
    expected = np.empty(2000)
    for q in range(2000):
        relevant = (tags[:, tags[q] == 1] == 1).any(axis=1)
        expected[q] = literal_average_precision(scores[q], relevant)
    assert np.isnan(expected).any()  # an item without a tag has nothing relevant
    np.testing.assert_allclose(average_precision(images, texts, tags, tags), expected, atol=1e-12)


@pytest.mark.parametrize("keep_query", [True, False])
def test_one_tag_an_item_gives_what_single_labels_give(keep_query):
    random = np.random.default_rng(2)
    images, texts = (random.standard_normal((150, 6)).round(1) for _ in range(2))
    images[40:60] = images[0]
    labels = random.integers(0, 5, 150)
    protocol = Protocol("mine", keep_query=keep_query, cutoff=40, denominator="min")
    by_label, by_tag = (
        evaluate(images, texts, each, protocol=protocol, measures=["p@5", "r@20", "ndcg@20", "medr"])
        for each in (labels, np.eye(5, dtype=np.int64)[labels])
    )
    for task, values in by_label.per_query.items():
        np.testing.assert_array_equal(by_tag.per_query[task], values)
        assert by_tag.per_category[task] == pytest.approx(by_label.per_category[task])
        np.testing.assert_array_equal(by_tag.relevant[task], by_label.relevant[task])
        np.testing.assert_allclose(by_tag.curves[task].precision, by_label.curves[task].precision)
    assert by_tag.measures == by_label.measures
    for measure, by_task in by_label.chance.items():
        assert by_tag.chance[measure] == pytest.approx(by_task)


def test_a_query_of_two_tags_counts_in_the_map_of_both():
    random = np.random.default_rng(3)
    images, texts = (random.standard_normal((60, 5)) for _ in range(2))
    tags = tags_of(4, 60, 4, 0.3)
    result = evaluate(images, texts, tags)
    for tag in range(4):
        values = result.per_query["image_to_text"][tags[:, tag] == 1]
        assert result.per_category["image_to_text"][tag] == pytest.approx(np.nanmean(values))


def test_without_the_query_its_own_row_is_ranked_by_nobody():
    random = np.random.default_rng(5)
    images, texts = (random.standard_normal((30, 4)) for _ in range(2))
    tags = tags_of(6, 30, 3, 0.3)
    result = evaluate(images, texts, tags, protocol=Protocol("others", keep_query=False))
    both, both_tags = np.vstack([images, texts]), np.vstack([tags, tags])
    for q in range(30):
        rest = np.arange(60) != q + 30
        alone = average_precision(texts[q : q + 1], both[rest], tags[q : q + 1], both_tags[rest])
        np.testing.assert_allclose(result.per_query["text_to_all"][q], alone[0])


def test_chance_is_the_map_of_random_representations():
    random = np.random.default_rng(7)
    tags = tags_of(8, 300, 12)
    found = [
        evaluate(*random.standard_normal((2, 300, 20)), tags, measures=["p@10", "r@10", "ndcg@10"])
        for _ in range(30)
    ]
    for measure, by_task in found[0].chance.items():
        for task, value in by_task.items():
            each = [(one.map if measure == "map" else one.measures[measure])[task] for one in found]
            assert value == pytest.approx(np.mean(each), abs=5 * np.std(each) / np.sqrt(30) + 1e-4)


def test_a_retrieval_set_is_the_gallery_of_every_task():
    random = np.random.default_rng(9)
    queries, gallery = random.standard_normal((2, 20, 4)), random.standard_normal((2, 50, 4))
    tags, gallery_tags = tags_of(10, 20, 5, 0.4), tags_of(11, 50, 5, 0.4)
    result = evaluate(*queries, tags, retrieval=Retrieval(*gallery, gallery_tags))
    expected = {
        "image_to_text": average_precision(queries[0], gallery[1], tags, gallery_tags),
        "text_to_image": average_precision(queries[1], gallery[0], tags, gallery_tags),
        "image_to_all": average_precision(
            queries[0], np.vstack([*gallery]), tags, np.vstack([gallery_tags] * 2)
        ),
    }
    for task, values in expected.items():
        np.testing.assert_allclose(result.per_query[task], values)
    assert result.gallery["image_to_text"] == 50
    assert result.gallery["text_to_all"] == 100
    # nothing of the query stands in the gallery, so that nothing is sure to come first
    alike = evaluate(*np.ones((2, 20, 4)), tags, retrieval=Retrieval(*np.ones((2, 50, 4)), gallery_tags))
    for task in ("image_to_text", "text_to_image", "image_to_all", "text_to_all"):
        assert result.chance["map"][task] == pytest.approx(alike.map[task])


def test_parameters_are_chosen_by_the_same_relevance():
    random = np.random.default_rng(12)
    images, texts = (random.standard_normal((40, 5)) for _ in range(2))
    tags = tags_of(13, 40, 4, 0.3)
    assert bimodal_map(images, texts, tags) == pytest.approx(
        evaluate(images, texts, tags).map["bimodal_average"]
    )


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.full((3, 2), 2), "hold more than 0 and 1"),
        (np.zeros((3, 2)), "float64"),
        (np.zeros((4, 2), dtype=int), "for each of the 3 rows"),
        (np.zeros((3, 0), dtype=int), "pairs"),
        (np.zeros((3, 2), dtype=int), "no query has a relevant item"),
    ],
)
def test_a_matrix_that_says_no_tags_raises(labels, message):
    with pytest.raises(EvaluationError, match=message):
        evaluate(np.eye(3), np.eye(3), labels)


@pytest.mark.parametrize("coded", [False, True])
def test_the_torch_operations_of_a_gpu_give_the_same_ranks(monkeypatch, coded):
    random = np.random.default_rng(14)
    rows = random.standard_normal((2, 60, 7))
    rows[1][20:30] = rows[1][0]
    tags = tags_of(15, 60, 6)
    sides = [ranking.Side(torch.tensor(each), tags) for each in rows]
    for module in (ranking, codes):
        monkeypatch.setattr(module, "arrays_of", lambda rows: arrays.TorchArrays(rows.device))
    monkeypatch.setattr(arrays.TorchArrays, "product_pairs", 60 * 8)
    found = np.full(60, np.nan)
    sides = [codes.as_codes(side) for side in sides] if coded else sides
    for queries, values in ranking.map_ranks(*sides, expected_average_precision, own=np.arange(60)):
        found[queries] = values
    monkeypatch.undo()
    protocol = "hamming" if coded else "paper"
    expected = average_precision(*rows, tags, tags, own=np.arange(60), protocol=protocol)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_labels_of_two_kinds_cannot_be_compared():
    with pytest.raises(EvaluationError, match="kind"):
        average_precision(np.eye(3), np.eye(3), [0, 1, 2], np.eye(3, dtype=int))
