"""The evaluator, against brute force, scikit-learn and trec_eval, and the properties a ranking must have."""

import numpy as np
import pytest
import pytrec_eval
import torch
from counted_ranks import chance_average_precision
from hypothesis import given, settings
from hypothesis import strategies as st
from made_records import PROTOCOL
from representations import cosine
from scipy.stats import sem
from sklearn.metrics import average_precision_score

from cmbench.errors import EvaluationError
from cmbench.evaluation import arrays, ranking
from cmbench.evaluation.average_precision import expected_average_precision
from cmbench.evaluation.evaluator import average_precision, bimodal_map, evaluate
from cmbench.evaluation.protocol import PAPER, Protocol


def random_sides(seed, *, queries=60, gallery=90, k=7, classes=5, dtype=np.float64):
    random = np.random.default_rng(seed)
    x, y = random.standard_normal((queries, k)), random.standard_normal((gallery, k))
    return (
        x.astype(dtype),
        y.astype(dtype),
        random.integers(0, classes, queries),
        random.integers(0, classes, gallery),
    )


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-6), (np.float32, 1e-4)])
def test_ap_agrees_with_scikit_learn(dtype, tolerance):
    x, y, x_labels, y_labels = random_sides(0, dtype=dtype)
    scores = cosine(x.astype(np.float64), y.astype(np.float64))
    theirs = [
        average_precision_score(y_labels == label, row) for label, row in zip(x_labels, scores, strict=True)
    ]
    np.testing.assert_allclose(average_precision(x, y, x_labels, y_labels), theirs, atol=tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-6), (np.float32, 1e-4)])
@pytest.mark.parametrize("cutoff", [None, 10])
def test_ap_agrees_with_trec_eval(dtype, tolerance, cutoff):
    x, y, x_labels, y_labels = random_sides(1, dtype=dtype)
    scores = cosine(x.astype(np.float64), y.astype(np.float64))
    qrel = {str(q): {str(g): int(y_labels[g] == x_labels[q]) for g in range(len(y))} for q in range(len(x))}
    run = {str(q): {str(g): float(scores[q, g]) for g in range(len(y))} for q in range(len(x))}
    name = "map" if cutoff is None else f"map_cut_{cutoff}"
    results = pytrec_eval.RelevanceEvaluator(
        qrel, {"map" if cutoff is None else f"map_cut.{cutoff}"}
    ).evaluate(run)
    theirs = [results[str(q)][name] for q in range(len(x))]
    ours = average_precision(x, y, x_labels, y_labels, protocol=Protocol("cut", cutoff=cutoff))
    np.testing.assert_allclose(ours, theirs, atol=tolerance)


def test_the_four_tasks_rank_what_their_names_say():
    x, y, labels, _ = random_sides(2, queries=40, gallery=40)
    result = evaluate(x, y, labels)
    both, both_labels = np.vstack([x, y]), np.concatenate([labels, labels])
    expected = {
        "image_to_text": average_precision(x, y, labels, labels),
        "text_to_image": average_precision(y, x, labels, labels),
        "image_to_all": average_precision(x, both, labels, both_labels),
        "text_to_all": average_precision(y, both, labels, both_labels),
    }
    for task, values in expected.items():
        np.testing.assert_allclose(result.per_query[task], values)
        assert result.map[task] == pytest.approx(values.mean())
        for label, mean in result.per_category[task].items():
            assert mean == pytest.approx(values[labels == label].mean())
        assert result.queries[task] == 40
        assert result.gallery[task] == (80 if task.endswith("all") else 40)
    assert result.map["bimodal_average"] == pytest.approx(
        (result.map["image_to_text"] + result.map["text_to_image"]) / 2
    )
    assert result.map["allmodal_average"] == pytest.approx(
        (result.map["image_to_all"] + result.map["text_to_all"]) / 2
    )
    assert bimodal_map(x, y, labels) == pytest.approx(result.map["bimodal_average"])


def test_standard_errors_are_those_of_a_mean_over_queries():
    x, y, labels, _ = random_sides(13, queries=200, gallery=200)
    result = evaluate(x, y, labels)
    for task, values in result.per_query.items():
        assert result.standard_error[task] == pytest.approx(sem(values))
    both = (result.per_query["image_to_all"] + result.per_query["text_to_all"]) / 2
    assert result.standard_error["allmodal_average"] == pytest.approx(sem(both))
    apart = evaluate(x, y[:150], labels, text_labels=labels[:150])
    parts = apart.standard_error["image_to_text"], apart.standard_error["text_to_image"]
    assert apart.standard_error["bimodal_average"] == pytest.approx(np.hypot(*parts) / 2)


def test_queries_that_belong_together_are_one_observation_of_a_standard_error():
    x, y, labels, _ = random_sides(13, queries=60, gallery=60)
    thrice, units = np.tile(np.arange(60), 3), np.tile(np.arange(60), 3) + 7
    result = evaluate(x[thrice], y[thrice], labels[thrice], units=units)
    for task, values in result.per_query.items():
        assert values.reshape(3, 60).std(axis=0).max() < 1e-12
        assert result.standard_error[task] == pytest.approx(sem(values[:60]))
    alone = evaluate(x, y, labels, units=np.arange(60))
    assert alone.standard_error == pytest.approx(evaluate(x, y, labels).standard_error)


def test_without_the_query_its_own_row_is_ranked_by_nobody():
    x, y, labels, _ = random_sides(3, queries=30, gallery=30)
    result = evaluate(x, y, labels, protocol=Protocol("others", keep_query=False))
    both, both_labels = np.vstack([x, y]), np.concatenate([labels, labels])
    for task, queries, shift in (("image_to_all", x, 0), ("text_to_all", y, 30)):
        for q in range(30):
            rest = np.arange(60) != q + shift
            alone = average_precision(queries[q : q + 1], both[rest], labels[q : q + 1], both_labels[rest])
            assert result.per_query[task][q] == pytest.approx(alone[0])
        assert result.gallery[task] == 59


def test_the_kept_query_stands_first_in_its_ranking():
    x, y, labels, _ = random_sides(4, queries=30, gallery=30)
    kept = evaluate(x, y, labels)
    assert kept.curves["image_to_all"].precision[0] == 1.0
    assert (
        kept.map["image_to_all"]
        > evaluate(x, y, labels, protocol=Protocol("o", keep_query=False)).map["image_to_all"]
    )


def test_the_release_standardises_the_query_side_and_for_all_both():
    x, y, labels, _ = random_sides(5, queries=50, gallery=50)
    x, y = x * 3 + 1, y * np.arange(1, 8) - 2
    result = evaluate(x, y, labels, protocol="release")
    zx, zy = ((side - side.mean(0)) / side.std(0, ddof=1) for side in (x, y))
    np.testing.assert_allclose(result.per_query["image_to_text"], average_precision(zx, y, labels, labels))
    np.testing.assert_allclose(result.per_query["text_to_image"], average_precision(zy, x, labels, labels))
    both = np.vstack([zx, zy])
    np.testing.assert_allclose(
        result.per_query["text_to_all"], average_precision(zy, both, labels, np.tile(labels, 2))
    )


def test_unpaired_texts_have_labels_of_their_own():
    x, y, x_labels, y_labels = random_sides(6)
    result = evaluate(x, y, x_labels, text_labels=y_labels)
    np.testing.assert_allclose(result.per_query["text_to_image"], average_precision(y, x, y_labels, x_labels))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([np.float32, np.float64]))
def test_ap_does_not_depend_on_the_order_of_a_gallery_with_ties(seed, dtype):
    random = np.random.default_rng(seed)
    distinct = random.standard_normal((6, 33)).astype(dtype)
    gallery, labels = distinct[random.integers(0, 6, 40)], random.integers(0, 3, 40)
    queries, query_labels = random.standard_normal((9, 33)).astype(dtype), labels[:9]
    order = random.permutation(40)
    before = average_precision(queries, gallery, query_labels, labels)
    after = average_precision(queries, gallery[order], query_labels, labels[order])
    np.testing.assert_allclose(before, after, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ties_give_the_expectation_over_their_orders(dtype):
    random = np.random.default_rng(1)
    gallery = np.eye(4, dtype=dtype)[random.integers(0, 4, 50)]
    labels, query_labels = random.integers(0, 3, 50), random.integers(0, 3, 20)
    queries = random.standard_normal((20, 4)).astype(dtype)
    found = average_precision(queries, gallery, query_labels, labels)
    orders = [random.permutation(50) for _ in range(400)]
    each = []
    for order in orders:  # strict rankings: the tied items one after the other in a random order
        ranked = np.argsort(-(queries @ gallery[order].T), axis=1, kind="stable")
        relevant = labels[order][ranked] == query_labels[:, None]
        precision = np.cumsum(relevant, axis=1) / np.arange(1, 51)
        each.append((precision * relevant).sum(1) / relevant.sum(1))
    np.testing.assert_allclose(found, np.mean(each, axis=0), atol=4 * np.std(each, axis=0).max() / 20)


@pytest.mark.parametrize("protocol", ["paper", "release"])
def test_a_constant_scorer_gets_chance_whatever_the_order_of_the_gallery(protocol):
    labels = np.repeat([0, 1, 2], [5, 20, 75])
    constant = np.tile(np.random.default_rng(0).standard_normal(37).astype(np.float32), (100, 1))
    chance = np.array([chance_average_precision(int((labels == label).sum()), 100) for label in labels])
    for order in (np.arange(100), np.arange(100)[::-1], np.random.default_rng(1).permutation(100)):
        result = evaluate(constant, constant, labels[order], protocol=protocol)
        np.testing.assert_allclose(result.per_query["image_to_text"], chance[order], atol=1e-12)


def test_a_zero_vector_is_level_with_everything():
    labels = np.array([0, 1, 1, 0, 1])
    images = np.random.default_rng(0).standard_normal((5, 3))
    images[2] = 0
    result = average_precision(images, np.random.default_rng(1).standard_normal((5, 3)), labels, labels)
    assert result[2] == pytest.approx(chance_average_precision(3, 5))


def test_negative_zero_is_zero():
    gallery = np.array([[0.0, 1.0], [-0.0, 1.0], [1.0, 0.0]])
    assert average_precision([[0.0, 1.0]], gallery, [0], [0, 1, 1])[0] == pytest.approx((1 + 1 / 2) / 2)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.floats(1e-30, 1e30))
def test_ap_does_not_depend_on_the_scale_of_representations(seed, scale):
    x, y, x_labels, y_labels = random_sides(seed, queries=5, gallery=20)
    np.testing.assert_allclose(
        average_precision(x * scale, y, x_labels, y_labels), average_precision(x, y, x_labels, y_labels)
    )


@pytest.mark.parametrize("magnitude", [1e-150, 1e150, 1e300])
def test_extreme_magnitudes_neither_overflow_nor_vanish(magnitude):
    x, y, x_labels, y_labels = random_sides(7)
    np.testing.assert_allclose(
        average_precision(x * magnitude, y, x_labels, y_labels), average_precision(x, y, x_labels, y_labels)
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("side", [0, 1])
def test_nan_and_infinity_raise_and_name_the_row(bad, side):
    sides = [np.ones((6, 3)), np.ones((6, 3))]
    sides[side][4, 1] = bad
    with pytest.raises(EvaluationError, match="NaN or infinity, first in row 4"):
        evaluate(*sides, np.zeros(6, int))


@pytest.mark.parametrize(
    ("images", "texts", "labels", "message"),
    [
        (np.ones(4), np.ones((4, 2)), [0] * 4, "use \\(n, k\\)"),
        (np.ones((4, 0)), np.ones((4, 0)), [0] * 4, "use \\(n, k\\)"),
        (np.ones((0, 2)), np.ones((0, 2)), np.zeros(0, int), "use \\(n, k\\) with n >= 1"),
        (np.ones((4, 2)), np.ones((4, 3)), [0] * 4, "one common space"),
        (np.ones((4, 2)), np.ones((4, 2)), [0] * 3, "one integer for each of the 4 rows"),
        (np.ones((4, 2)), np.ones((4, 2)), [0.5] * 4, "one integer"),
    ],
)
def test_what_does_not_fit_raises(images, texts, labels, message):
    with pytest.raises(EvaluationError, match=message):
        evaluate(images, texts, labels)


def test_one_measure_may_be_given_by_its_name_alone():
    assert set(evaluate(np.eye(4), np.eye(4), [0, 0, 1, 1], measures="p@2").measures) == {"p@2"}


def test_queries_without_relevant_items_count_in_no_mean():
    result = evaluate(np.eye(3), np.eye(3)[:2], [0, 1, 9], text_labels=[0, 1])
    assert np.isnan(result.per_query["image_to_text"][2])
    assert result.map["image_to_text"] == 1.0
    with pytest.raises(EvaluationError, match="no query has a relevant item"):
        evaluate(np.eye(2), np.eye(2), [0, 0], text_labels=[1, 1])


def test_an_unknown_protocol_is_named_with_the_known_ones():
    with pytest.raises(EvaluationError, match=r"'papr'.*paper, release"):
        evaluate(np.eye(2), np.eye(2), [0, 1], protocol="papr")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_chunks_and_threads_change_nothing(monkeypatch, dtype):
    x, y, x_labels, y_labels = random_sides(8, queries=300, gallery=200, dtype=dtype)
    y[50:60] = y[40:50]
    whole = average_precision(x, y, x_labels, y_labels)
    monkeypatch.setattr(arrays.CpuArrays, "product_pairs", 200 * 37)
    monkeypatch.setattr(arrays.CpuArrays, "chunk_pairs", 200 * 5)
    monkeypatch.setattr(arrays, "_blas_threads", lambda: 3)
    np.testing.assert_allclose(
        average_precision(x, y, x_labels, y_labels), whole, atol=1e-6 if dtype == np.float32 else 1e-12
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_torch_operations_of_a_gpu_give_the_same_ranks(monkeypatch, dtype):
    x, y, x_labels, y_labels = random_sides(9, queries=50, gallery=70)
    y[10:20] = y[0:10]
    own = np.array([int(np.flatnonzero(y_labels == label)[0]) for label in x_labels])
    sides = [
        ranking.Side(torch.tensor(rows, dtype=dtype), labels)
        for rows, labels in ((x, x_labels), (y, y_labels))
    ]
    monkeypatch.setattr(ranking, "arrays_of", lambda rows: arrays.TorchArrays(rows.device))
    monkeypatch.setattr(arrays.TorchArrays, "product_pairs", 70 * 8)
    found = np.full(50, np.nan)
    for rows, values in ranking.map_ranks(*sides, expected_average_precision, own=own):
        found[rows] = values
    monkeypatch.undo()
    np.testing.assert_allclose(found, average_precision(x, y, x_labels, y_labels, own=own), atol=1e-6)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_representations_on_a_gpu_are_evaluated_there():
    x, y, labels, _ = random_sides(10, queries=60, gallery=60)
    on_gpu = evaluate(torch.tensor(x, device="cuda"), torch.tensor(y, device="cuda"), labels)
    np.testing.assert_allclose(
        on_gpu.per_query["image_to_all"], evaluate(x, y, labels).per_query["image_to_all"]
    )


def test_torch_tensors_and_lists_are_taken_as_arrays_are():
    x, y, labels, _ = random_sides(11, queries=20, gallery=20, dtype=np.float32)
    expected = evaluate(x, y, labels).map
    assert evaluate(torch.tensor(x, requires_grad=True), torch.tensor(y), labels).map == expected
    assert evaluate(x.astype(np.float64).tolist(), y.tolist(), labels.tolist()).map == pytest.approx(
        expected, abs=1e-6
    )


@pytest.mark.parametrize("kind", [np.asarray, torch.tensor])
def test_float64_is_compared_in_float64(kind):
    gallery = kind(np.array([[1.0, 1e-10], [1.0, 0.0]]))
    assert average_precision(kind(np.array([[0.0, 1.0]])), gallery, [0], [0, 1])[0] == 1.0
    mixed = kind(np.array([[0.0, 1.0]], dtype=np.float32))
    assert average_precision(mixed, gallery, [0], [0, 1])[0] == 1.0


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=30))
def test_packed_keys_order_as_the_similarities_do(values):
    similarity = np.array([values], dtype=np.float32)
    keys = ranking._packed(arrays.CpuArrays(), similarity.copy())
    assert ((keys[0][:, None] < keys[0]) == (similarity[0][:, None] < similarity[0])).all()


def test_the_paper_protocol_is_the_full_ranking_with_the_query_kept():
    assert PAPER.as_dict() == PROTOCOL


def test_own_rows_must_be_of_the_same_label():
    with pytest.raises(EvaluationError, match="own row"):
        average_precision(np.eye(2), np.eye(2), [0, 1], [0, 1], own=[1, 0])
