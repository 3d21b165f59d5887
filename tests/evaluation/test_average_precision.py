"""The closed form of AP under ties, against brute force over every order and independent libraries."""

from itertools import pairwise, permutations

import numpy as np
import pytest
from counted_ranks import chance_average_precision, ranks_of
from hypothesis import given, settings
from hypothesis import strategies as st

from cmbench.evaluation.average_precision import (
    Ranks,
    curve_from_hits,
    expected_average_precision,
    hits_per_rank,
)


def plain_average_precision(
    relevant: np.ndarray, cutoff: int | None = None, denominator: str = "relevant"
) -> float:
    """AP of one strict ranking, written out from its definition."""
    limit = len(relevant) if cutoff is None else cutoff
    hits, total = 0, 0.0
    for rank, is_relevant in enumerate(relevant[:limit], start=1):
        if is_relevant:
            hits += 1
            total += hits / rank
    divisors = {"relevant": relevant.sum(), "min": min(relevant.sum(), limit), "retrieved": hits}
    return total / divisors[denominator] if divisors[denominator] else 0.0


def orders_of(scores: np.ndarray) -> list[tuple[int, ...]]:
    return [
        order
        for order in permutations(range(len(scores)))
        if all(scores[a] >= scores[b] for a, b in pairwise(order))
    ]


CASES = st.integers(1, 7).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(0, 2), min_size=n, max_size=n),
        st.lists(st.booleans(), min_size=n, max_size=n).filter(any),
        st.one_of(st.none(), st.integers(1, n)),
        st.sampled_from(["relevant", "min", "retrieved"]),
    )
)


@settings(max_examples=300, deadline=None)
@given(CASES)
def test_ap_is_the_mean_over_every_order_of_tied_items(case):
    scores, relevant, cutoff, denominator = np.array(case[0]), np.array(case[1]), case[2], case[3]
    each = [
        plain_average_precision(relevant[list(order)], cutoff, denominator) for order in orders_of(scores)
    ]
    found = expected_average_precision(ranks_of(scores, relevant), cutoff=cutoff, denominator=denominator)
    assert found[0] == pytest.approx(np.mean(each), abs=1e-12)


@pytest.mark.parametrize("scores", [[1] * 8, [2, 2, 2, 2, 1, 1, 1, 1], [3, 2, 2, 2, 2, 2, 2, 1]])
@pytest.mark.parametrize("relevant_items", [1, 3, 5])
def test_ap_of_eight_items_with_long_ties_is_the_mean_over_every_order(scores, relevant_items):
    scores = np.array(scores)
    relevant = np.random.default_rng(relevant_items).permutation(8) < relevant_items
    each = [plain_average_precision(relevant[list(order)]) for order in orders_of(scores)]
    assert expected_average_precision(ranks_of(scores, relevant))[0] == pytest.approx(
        np.mean(each), abs=1e-12
    )


@given(CASES)
@settings(max_examples=200, deadline=None)
def test_precision_and_recall_are_means_over_every_order_of_tied_items(case):
    scores, relevant = np.array(case[0]), np.array(case[1])
    ranks = ranks_of(scores, relevant)
    hits = np.mean([np.cumsum(relevant[list(order)]) for order in orders_of(scores)], axis=0)
    curve = curve_from_hits(hits_per_rank(ranks), queries=1)
    np.testing.assert_allclose(curve.precision, hits / np.arange(1, len(scores) + 1), atol=1e-12)
    np.testing.assert_allclose(curve.recall, hits / relevant.sum(), atol=1e-12)


@pytest.mark.parametrize(
    ("hits", "cutoff", "denominator", "expected"),
    [
        ([2, 3], None, "relevant", 0.5833),
        ([1, 3, 4], None, "relevant", 0.8056),
        ([1, 4, 60], None, "relevant", 0.5167),
        ([1, 4, 60], 50, "retrieved", 0.75),
        ([1, 4, 60], 50, "relevant", 0.50),
    ],
)
def test_ap_of_known_rankings(hits, cutoff, denominator, expected):
    scores = -np.arange(100)
    relevant = np.isin(np.arange(1, 101), hits)
    found = expected_average_precision(ranks_of(scores, relevant), cutoff=cutoff, denominator=denominator)
    assert found[0] == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize(("relevant", "gallery"), [(1, 1), (1, 9), (5, 100), (46, 462), (20, 4000)])
def test_chance_is_the_ap_when_all_items_are_tied(relevant, gallery):
    ranks = Ranks(np.zeros(relevant, np.int64), np.full(relevant, gallery), np.array([relevant]), gallery)
    assert expected_average_precision(ranks)[0] == pytest.approx(
        chance_average_precision(relevant, gallery), abs=1e-13
    )


@pytest.mark.parametrize(
    ("relevant", "gallery", "chance"), [(5, 100, 0.090), (46, 462, 0.111), (20, 4000, 0.0070)]
)
def test_chance_is_what_random_rankings_give(relevant, gallery, chance):
    assert chance_average_precision(relevant, gallery) == pytest.approx(chance, abs=5e-4)
    random = np.random.default_rng(0)
    flags = np.arange(gallery) < relevant
    mean = np.mean([plain_average_precision(random.permutation(flags)) for _ in range(300)])
    assert chance_average_precision(relevant, gallery) == pytest.approx(mean, rel=0.1)


def test_a_query_without_relevant_items_has_no_ap():
    ranks = Ranks(np.array([0]), np.array([1]), np.array([0, 1, 0]), 5)
    np.testing.assert_array_equal(expected_average_precision(ranks), [np.nan, 1.0, np.nan])
    np.testing.assert_array_equal(
        expected_average_precision(ranks, cutoff=2, denominator="retrieved"), [np.nan, 1.0, np.nan]
    )
