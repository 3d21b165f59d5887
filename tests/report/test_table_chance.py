"""Chance MAP against every order of small galleries, and against published values."""

from itertools import permutations, product
from math import isclose

import pytest
from made_records import TASKS, made_dataset, made_record

from cmbench.report.footer import chance_map
from cmbench.report.layout import View
from cmbench.report.table import render


def ap(hits, *, cutoff, denominator):
    """AP of a ranking given as a sequence of relevances, by its definition."""
    seen = hits[:cutoff]
    divisor = {"relevant": sum(hits), "min": min(sum(hits), len(seen)), "retrieved": sum(seen)}[denominator]
    total = sum(sum(seen[: rank + 1]) / (rank + 1) for rank, hit in enumerate(seen) if hit)
    return total / divisor if divisor else 0.0


def mean_over_orders(relevant, items, *, first, **definition):
    """The mean AP over all distinct orders; ``first`` keeps a relevant item at rank 1."""
    rest = [1] * (relevant - first) + [0] * (items - relevant)
    orders = set(permutations(rest))
    return sum(ap((1,) * first + order, **definition) for order in orders) / len(orders)


@pytest.mark.parametrize(
    ("cutoff", "denominator", "keep"),
    [*product((None, 1, 3, 20), ("relevant", "min", "retrieved"), (True, False))],
)
@pytest.mark.parametrize("counts", [[1, 2], [2, 0, 2], [1, 1, 1], [4], [1]])
def test_chance_is_the_mean_over_all_orders_of_the_gallery(counts, cutoff, denominator, keep):
    protocol = {"cutoff": cutoff, "denominator": denominator, "keep_query": keep}
    pairs = sum(counts)
    bimodal = allmodal = 0.0
    for count in filter(None, counts):
        definition = {"cutoff": cutoff or 2 * pairs, "denominator": denominator}
        bimodal += count / pairs * mean_over_orders(count, pairs, first=False, **definition)
        relevant, items = (2 * count, 2 * pairs) if keep else (2 * count - 1, 2 * pairs - 1)
        allmodal += count / pairs * mean_over_orders(relevant, items, first=keep, **definition)
    found = chance_map(counts, protocol)
    assert isclose(found[0], bimodal, rel_tol=1e-12)
    assert isclose(found[1], allmodal, rel_tol=1e-12)


@pytest.mark.parametrize(("counts", "expected"), [([5] * 20, 0.090), ([20] * 200, 0.0070)])
def test_chance_on_the_papers_test_sets_is_what_the_closed_form_gives_by_hand(counts, expected):
    protocol = {"cutoff": None, "denominator": "relevant", "keep_query": True}
    assert chance_map(counts, protocol)[0] == pytest.approx(expected, abs=0.0005)


def test_no_query_stands_first_where_the_gallery_is_a_retrieval_set():
    averages = {"bimodal_average": 0.25, "allmodal_average": 0.5}
    data = made_dataset(sizes={"train": 80, "validation": 8, "test": 10, "retrieval": 50})
    text = render([made_record(dataset=data, chance={"map": averages})])
    assert "Chance (expected MAP of a random ranking): 0.250 bi-modal, 0.500 all-modal." in text
    assert "Chance" not in render([made_record(dataset=data)])  # of which earlier records do not say enough


def test_of_several_measures_the_chance_of_each_is_told_by_its_name():
    chance = {"map": {"bimodal_average": 0.25}, "p@10": {"bimodal_average": 0.125}}
    measures = {"p@10": dict.fromkeys((*TASKS, "bimodal_average", "allmodal_average"), 0.3)}
    text = render([made_record(chance=chance, measures=measures)], view=View(measures=("p@10", "map")))
    assert "Chance (a random ranking): P@10 0.125 bi-modal; MAP 0.250 bi-modal." in text
