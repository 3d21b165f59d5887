"""Measures beside MAP, against brute force over orders of ties, trec_eval, and loops."""

from itertools import pairwise, permutations
from math import log2

import numpy as np
import pytest
import pytrec_eval
from counted_ranks import ranks_of
from hypothesis import given, settings
from hypothesis import strategies as st
from made_records import PROTOCOL

from cmbench.errors import EvaluationError
from cmbench.evaluation.average_precision import Ranks
from cmbench.evaluation.evaluator import average_precision, evaluate
from cmbench.evaluation.measures import chance, expected, get_measure, get_measures
from cmbench.evaluation.protocol import HAMMING, PAIRS, PAPER, PROTOCOLS, Protocol
from cmbench.evaluation.tasks import Retrieval


def literal(measure, relevant, *, by_pair=False):
    """The measure of one strict ranking (a list of booleans), written out from its definition."""
    kind, _, number = measure.partition("@")
    k = int(number) if number else len(relevant)
    ranks = [rank for rank, hit in enumerate(relevant, start=1) if hit]
    within = [rank for rank in ranks if rank <= k]
    if kind == "p":
        return len(within) / k
    if kind == "r":
        return float(bool(within)) if by_pair else len(within) / len(ranks)
    if kind == "ndcg":
        ideal = sum(1 / log2(1 + rank) for rank in range(1, min(len(ranks), k) + 1))
        return sum(1 / log2(1 + rank) for rank in within) / ideal
    if kind == "medr":
        return ranks[0]
    return sum(hits / rank for hits, rank in enumerate(within, start=1)) / len(ranks)


NAMES = ["map", "map@2", "map@5", "p@1", "p@3", "p@9", "r@1", "r@2", "r@4", "ndcg", "ndcg@3", "medr"]
CASES = st.integers(1, 7).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(0, 2), min_size=n, max_size=n),
        st.lists(st.booleans(), min_size=n, max_size=n).filter(any),
    )
)


@pytest.mark.parametrize("protocol", [PAPER, PAIRS], ids=lambda protocol: protocol.name)
@settings(max_examples=150, deadline=None)
@given(CASES)
def test_every_measure_is_its_mean_over_every_order_of_tied_items(protocol, case):
    scores, relevant = np.array(case[0]), np.array(case[1])
    orders = [
        order
        for order in permutations(range(len(scores)))
        if all(scores[a] >= scores[b] for a, b in pairwise(order))
    ]
    for name in NAMES:
        each = [literal(name, relevant[list(order)], by_pair=protocol is PAIRS) for order in orders]
        found = expected(get_measure(name), ranks_of(scores, relevant), protocol)
        np.testing.assert_allclose(found[0], np.mean(each), atol=1e-12, err_msg=name)


@pytest.mark.parametrize("protocol", [PAPER, PAIRS], ids=lambda protocol: protocol.name)
@pytest.mark.parametrize("query_first", [False, True])
@pytest.mark.parametrize("relevant", [1, 2, 4])
def test_chance_is_the_mean_over_every_ranking(protocol, query_first, relevant):
    flags = np.arange(6) < relevant
    orders = [flags[list(order)] for order in permutations(range(6))]
    if query_first:
        orders = [order for order in orders if order[0]]
    for name in NAMES:
        each = [literal(name, order, by_pair=protocol is PAIRS) for order in orders]
        value = np.median(each) if name == "medr" else np.mean(each)
        found = chance(get_measure(name), np.array([relevant, 0]), 6, protocol, query_first=query_first)
        assert found == pytest.approx(value, abs=1e-12), name


@pytest.mark.parametrize("denominator", ["relevant", "min", "retrieved"])
@pytest.mark.parametrize("keep_query", [True, False])
def test_chance_is_what_representations_that_are_all_the_same_get(denominator, keep_query):
    labels = np.repeat([0, 1, 2], [3, 5, 9])
    protocol = Protocol("mine", cutoff=4, denominator=denominator, keep_query=keep_query)
    result = evaluate(
        np.ones((17, 2)), np.ones((17, 2)), labels, protocol=protocol, measures=["p@3", "ndcg@5"]
    )
    for measure in ("map", "p@3", "ndcg@5"):
        values = result.map if measure == "map" else result.measures[measure]
        assert result.chance[measure]["image_to_text"] == pytest.approx(values["image_to_text"])
        if not keep_query:
            assert result.chance[measure]["text_to_all"] == pytest.approx(values["text_to_all"])


def test_the_median_rank_of_chance_is_that_of_random_rankings():
    random = np.random.default_rng(0)
    relevant = random.integers(1, 6, 400)
    firsts = [
        random.choice(100, size=count, replace=False).min() + 1 for count in relevant for _ in range(50)
    ]
    assert chance(get_measure("medr"), relevant, 100, PAPER) == pytest.approx(np.median(firsts), abs=1)


def test_precision_recall_and_ndcg_agree_with_trec_eval():
    random = np.random.default_rng(1)
    x, y = random.standard_normal((40, 6)), random.standard_normal((70, 6))
    x_labels, y_labels = random.integers(0, 4, 40), random.integers(0, 4, 70)
    scores = (x / np.linalg.norm(x, axis=1)[:, None]) @ (y / np.linalg.norm(y, axis=1)[:, None]).T
    qrel = {str(q): {str(g): int(y_labels[g] == x_labels[q]) for g in range(70)} for q in range(40)}
    run = {str(q): {str(g): float(scores[q, g]) for g in range(70)} for q in range(40)}
    theirs = {"p@10": "P_10", "r@20": "recall_20", "ndcg@10": "ndcg_cut_10", "ndcg": "ndcg"}
    names = {"P.10", "recall.20", "ndcg_cut.10", "ndcg"}
    results = pytrec_eval.RelevanceEvaluator(qrel, names).evaluate(run)
    ours = evaluate(x, x, x_labels, measures=theirs, retrieval=Retrieval(y, y, y_labels))
    for name, other in theirs.items():
        values = [results[str(q)][other] for q in range(40)]
        np.testing.assert_allclose(ours.measures_per_query[name]["image_to_text"], values, atol=1e-6)


def five_captions(seed, pictures=30, dimensions=8):
    """Representations of pictures with five texts each, in mixed order, with some exact ties."""
    random = np.random.default_rng(seed)
    names = random.permutation(np.repeat([f"p{number}.jpg" for number in range(pictures)], 5))
    centres = {name: random.standard_normal(dimensions).round(1) for name in names}
    images = np.array([centres[name] for name in names])
    texts = images + random.standard_normal(images.shape).round(1)
    texts[7] = texts[3]
    return images, texts, names


def test_recall_and_median_rank_with_five_captions_a_picture_equal_a_loop_over_pictures():
    images, texts, names = five_captions(2)
    result = evaluate(images, texts, pictures=names, protocol="pairs")
    distinct = list(dict.fromkeys(names))
    unit = [rows / np.linalg.norm(rows, axis=1)[:, None] for rows in (images, texts)]
    first_ranks = {"image_to_text": [], "text_to_image": []}
    picture_rows = [unit[0][list(names).index(name)] for name in distinct]
    for name, row in zip(distinct, picture_rows, strict=True):
        scores = [float(row @ text) for text in unit[1]]
        order = sorted(range(len(names)), key=lambda item: -scores[item])
        first_ranks["image_to_text"].append(
            1 + next(rank for rank, item in enumerate(order) if names[item] == name)
        )
    for text, name in zip(unit[1], names, strict=True):
        scores = [float(text @ row) for row in picture_rows]
        order = sorted(range(len(distinct)), key=lambda item: -scores[item])
        first_ranks["text_to_image"].append(
            1 + next(rank for rank, item in enumerate(order) if distinct[item] == name)
        )
    assert result.queries == {"image_to_text": 30, "text_to_image": 150}
    assert result.gallery == {"image_to_text": 150, "text_to_image": 30}
    for task, ranks in first_ranks.items():
        for k in (1, 5, 10):
            share = np.mean([rank <= k for rank in ranks])
            assert result.measures[f"r@{k}"][task] == pytest.approx(share)
        assert result.measures["medr"][task] == np.median(ranks)
    assert set(result.map) == {"image_to_text", "text_to_image", "bimodal_average"}
    assert result.chance["r@1"]["text_to_image"] == pytest.approx(1 / 30)
    assert result.chance["medr"]["text_to_image"] == 15.5


def test_pairs_without_names_of_pictures_are_each_their_own():
    random = np.random.default_rng(3)
    images, texts = random.standard_normal((2, 50, 6))
    result = evaluate(images, texts, protocol="pairs", measures=["r@1", "p@1"])
    own = average_precision(images, texts, np.arange(50), np.arange(50))
    np.testing.assert_allclose(result.per_query["image_to_text"], own)
    assert result.measures["r@1"] == result.measures["p@1"]


def test_codes_are_ranked_by_their_hamming_distance():
    random = np.random.default_rng(4)
    images, texts = random.integers(0, 2, (2, 80, 12))
    labels = random.integers(0, 4, 80)
    result = evaluate(images, texts, labels, protocol="hamming", measures=["p@5"])
    for q in range(80):
        distance = (images[q] != texts).sum(axis=1)
        ranks = ranks_of(-distance, labels == labels[q])
        for name, values in (("map", result.per_query), ("p@5", result.measures_per_query["p@5"])):
            alone = expected(get_measure(name), ranks, PAPER)[0]
            assert values["image_to_text"][q] == pytest.approx(alone, abs=1e-12)
    signs = evaluate(2 * images - 1, 2 * texts - 1, labels, protocol="hamming")
    assert signs.map == result.map
    alone = average_precision(images, texts, labels, labels, protocol=HAMMING)
    np.testing.assert_array_equal(alone, result.per_query["image_to_text"])


@pytest.mark.parametrize("bits", [7, 24, 100, 1000])
def test_codes_at_one_distance_are_exactly_tied(bits):
    random = np.random.default_rng(bits)
    query = random.integers(0, 2, bits)
    gallery = np.array([query ^ random.permutation(np.arange(bits) < 3) for _ in range(40)])
    labels = np.arange(40) % 2
    found = average_precision(query[None], gallery, [0], labels, protocol="hamming")
    level = Ranks(np.zeros(20, np.int64), np.full(20, 40), np.array([20]), 40)
    assert found[0] == expected(get_measure("map"), level, PAPER)[0]


def test_representations_that_make_one_code_are_refused():
    softmax = np.random.default_rng(5).dirichlet(np.ones(4), 10)
    with pytest.raises(EvaluationError, match="above 0"):
        evaluate(softmax, softmax, np.arange(10) % 2, protocol="hamming")


def test_measures_have_one_name_each():
    asked = get_measures(["MAP@50", "precision@10", "Recall@1", "nDCG@10", "median_rank", "p@10", "map"])
    assert [measure.name for measure in asked] == ["map@50", "p@10", "r@1", "ndcg@10", "medr"]


@pytest.mark.parametrize("name", ["f1", "p", "r", "r@0", "r@x", "p@-1", "p@", "medr@5", ""])
def test_a_measure_that_there_is_not_raises(name):
    with pytest.raises(EvaluationError, match="measure"):
        get_measure(name)


def test_records_of_earlier_protocols_keep_their_fields():
    assert PROTOCOLS["paper"].as_dict() == PROTOCOL
    assert PROTOCOLS["pairs"].as_dict()["relevance"] == "pair"
    for protocol in PROTOCOLS.values():
        assert Protocol(**protocol.as_dict()) == protocol


def test_a_pair_has_no_retrieval_set():
    with pytest.raises(EvaluationError, match="retrieval"):
        evaluate(np.eye(3), np.eye(3), protocol="pairs", retrieval=Retrieval(np.eye(3), np.eye(3), [0, 1, 2]))


def test_categories_are_needed_unless_pairs_are_relevant():
    with pytest.raises(EvaluationError, match="pairs"):
        evaluate(np.eye(3), np.eye(3))


def test_measures_do_not_depend_on_the_order_of_pairs():
    images, texts, names = five_captions(6)
    result = evaluate(images, texts, pictures=names, protocol="pairs")
    order = np.random.default_rng(7).permutation(len(names))
    shuffled = evaluate(images[order], texts[order], pictures=names[order], protocol="pairs")
    for measure, values in result.measures.items():
        assert shuffled.measures[measure] == pytest.approx(values), measure
