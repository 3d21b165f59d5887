"""Measures beside AP, each in expectation over all orders of tied items, and each at chance.

Every measure of a query is a function of where its relevant items stand (``Ranks``). With N items in
the gallery, R of them relevant, and k the cut-off:

* ``map@k``: AP within the first k ranks, divided as the protocol says;
* ``p@k``: relevant items among the first k, over k;
* ``r@k``: relevant items among the first k, over R; where the pair itself is relevant, 1 if one of
  them is among the first k and 0 if not, as Flickr30K and MS-COCO are reported;
* ``ndcg@k``: the sum of 1 / log2(1 + rank) over the relevant items among the first k, over the
  largest such sum that R relevant items can have (Järvelin & Kekäläinen, ACM TOIS 2002, with gains 0 and 1);
* ``medr``: the rank of the first relevant item.

A set of queries has the mean of its queries' values, for ``medr`` their median; queries without a
relevant item count in neither.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cmbench.errors import EvaluationError
from cmbench.evaluation.average_precision import (
    Floats,
    Integers,
    Ranks,
    average_precision_of_one_group,
    expected_average_precision,
    tie_groups,
)
from cmbench.evaluation.protocol import Protocol

Kind = Literal["map", "p", "r", "ndcg", "medr"]

_HEADINGS: Mapping[Kind, str] = {"map": "MAP", "p": "P", "r": "R", "ndcg": "nDCG", "medr": "MedR"}
_KINDS: Mapping[str, Kind] = {
    **{kind: kind for kind in _HEADINGS},
    "precision": "p",
    "recall": "r",
    "medianrank": "medr",
    "median_rank": "medr",
    "median-rank": "medr",
}
_NEEDS_CUTOFF = ("p", "r")


@dataclass(frozen=True)
class Measure:
    """A measure: its kind, and the number of ranks it looks at, None for all of them."""

    kind: Kind
    cutoff: int | None = None

    @property
    def name(self) -> str:
        """The name on the command line and in records: ``r@10``."""
        return self.kind if self.cutoff is None else f"{self.kind}@{self.cutoff}"

    @property
    def heading(self) -> str:
        """The name in tables: ``R@10``."""
        return _HEADINGS[self.kind] if self.cutoff is None else f"{_HEADINGS[self.kind]}@{self.cutoff}"

    @property
    def lower_is_better(self) -> bool:
        """Whether small values are good ones."""
        return self.kind == "medr"

    @property
    def is_mean(self) -> bool:
        """Whether the value of a set of queries is the mean of its queries' values."""
        return self.kind != "medr"

    def summary(self, per_query: Floats) -> float:
        """Return the value of a set of queries from those of its queries (q,); NaN counts for nothing."""
        valid = per_query[~np.isnan(per_query)]
        if not len(valid):
            raise EvaluationError("no query has a relevant item in the gallery; do the labels fit?")
        return float(valid.mean() if self.is_mean else np.median(valid))

    def definition(self, protocol: Protocol) -> str:
        """Return in a sentence what the number is."""
        within = f"among the first {self.cutoff}" if self.cutoff else "in the ranking"
        by_pair = protocol.by_pair
        texts = {
            "map": f"mean AP over the first {self.cutoff} ranks" if self.cutoff else "mean AP",
            "p": f"relevant items {within}, over {self.cutoff}",
            "r": f"share of queries with a relevant item {within}"
            if by_pair
            else f"relevant items {within}, over all relevant items of the gallery",
            "ndcg": f"sum of 1/log2(1 + rank) over the relevant items {within}, over the largest possible",
            "medr": "median over the queries of the rank of their first relevant item (lower is better)",
        }
        return f"{self.heading}: {texts[self.kind]}"


MAP = Measure("map")
"""The measure that every evaluation holds."""


def get_measure(name: str | Measure) -> Measure:
    """Return the measure of that name; raises ``EvaluationError`` for one that there is not.

    >>> get_measure("R@10").name, get_measure("precision@5").heading
    ('r@10', 'P@5')
    """
    if isinstance(name, Measure):
        return name
    word, at, number = name.strip().lower().partition("@")
    kind = _KINDS.get(word)
    if kind is None or (at and not re.fullmatch("[1-9][0-9]*", number)):
        raise EvaluationError(
            f"unknown measure {name!r}; write map, map@K, p@K, r@K, ndcg, ndcg@K or medr, with K a "
            "whole number from 1: map@50,p@10,r@1,ndcg@10,medr"
        )
    if kind == "medr" and at:
        raise EvaluationError(f"measure {name!r}: a median rank has no cut-off; write medr")
    if kind in _NEEDS_CUTOFF and not at:
        raise EvaluationError(f"measure {name!r} needs a cut-off; write {name}@10, say")
    return Measure(kind, int(number) if at else None)


def get_measures(names: str | Measure | Iterable[str | Measure]) -> tuple[Measure, ...]:
    """Return the measures of these names, each once; MAP itself is always there and left out."""
    measures = dict.fromkeys(map(get_measure, (names,) if isinstance(names, str | Measure) else names))
    return tuple(measure for measure in measures if measure != MAP)


def expected(measure: Measure, ranks: Ranks, protocol: Protocol) -> Floats:
    """Return the measure of each query (q,) in expectation over orders of ties; NaN with nothing relevant."""
    if measure.kind == "map":
        return expected_average_precision(
            ranks, cutoff=measure.cutoff or protocol.cutoff, denominator=protocol.denominator
        )
    limit = min(measure.cutoff or ranks.gallery, ranks.gallery)
    if measure.kind == "medr" or (measure.kind == "r" and protocol.by_pair):
        values = _of_first_group(measure, ranks, limit)
    else:
        values = _of_all_entries(measure, ranks, limit)
    return np.where(ranks.counts > 0, values, np.nan)


def _of_all_entries(measure: Measure, ranks: Ranks, limit: int) -> Floats:
    """Precision, recall and nDCG: a tied item is at each rank of its group with equal probability."""
    query = np.repeat(np.arange(len(ranks.counts)), ranks.counts)
    gain = discounts(ranks.gallery) if measure.kind == "ndcg" else np.arange(ranks.gallery + 1.0)
    first, last = np.minimum(ranks.above, limit), np.minimum(ranks.above + ranks.tied, limit)
    sums = np.bincount(query, (gain[last] - gain[first]) / ranks.tied, len(ranks.counts))
    divisor = _divisor(measure, ranks.counts, limit, gain)
    quotient: Floats = np.divide(sums, divisor, out=np.full(len(sums), np.nan), where=divisor > 0)
    return quotient


def _divisor(measure: Measure, relevant: Integers, limit: int, gain: Floats) -> Floats:
    if measure.kind == "p":
        return np.full(len(relevant), float(measure.cutoff or 1))
    if measure.kind == "ndcg":
        return gain[np.minimum(relevant, limit)]
    return np.asarray(relevant, dtype=np.float64)


def _of_first_group(measure: Measure, ranks: Ranks, limit: int) -> Floats:
    """What depends on the first relevant item alone, from the tie group it stands in."""
    values = np.full(len(ranks.counts), np.nan)
    asked = np.flatnonzero(ranks.counts)
    best = np.cumsum(ranks.counts)[asked] - 1  # a query's items are sorted from the least similar
    query = np.repeat(np.arange(len(ranks.counts)), ranks.counts)
    _, relevant = tie_groups(ranks, query)
    above, tied, among = ranks.above[best], ranks.tied[best], relevant[best]
    if measure.kind == "medr":
        values[asked] = above + first_place(tied, among)
    else:
        values[asked] = hit_probability(tied, among, limit - above)
    return values


def first_place(items: NDArray[np.integer], relevant: NDArray[np.integer]) -> Floats:
    """Return the expected place, from 1, of the first of ``relevant`` ones among shuffled ``items``."""
    return np.asarray((items + 1) / (relevant + 1), dtype=np.float64)


def hit_probability(
    items: NDArray[np.integer], relevant: NDArray[np.integer], places: NDArray[np.integer]
) -> Floats:
    """Return how likely one of ``relevant`` among ``items`` in random order is at the first ``places``.

    None of them is there with probability C(items - relevant, places) / C(items, places).
    """
    places = np.clip(places, 0, items)
    others = items - relevant
    result = (places > 0).astype(np.float64)
    for at in np.flatnonzero((places > 0) & (places <= others)):
        n, m, w = int(items[at]), int(relevant[at]), int(places[at])
        few, many = min(m, w), max(m, w)  # the quotient is symmetric in the two
        missed = 1.0 - many / (n - np.arange(few))
        result[at] = 1.0 - float(np.prod(missed))
    return result


def discounts(length: int) -> Floats:
    """Return 0 and the sums of 1 / log2(1 + rank) over the first 1 … ``length`` ranks."""
    return np.concatenate(([0.0], np.cumsum(1.0 / np.log2(np.arange(2, length + 2)))))


def chance(
    measure: Measure, relevant: Integers, gallery: int, protocol: Protocol, *, query_first: bool = False
) -> float:
    """Return what a random ranking of the gallery is expected to have.

    ``relevant`` (q,) are the relevant items of each query; queries with none count for nothing. With
    ``query_first`` one relevant item, the query itself, surely stands at rank 1. For ``medr`` it is the
    median of the rank of the first relevant item over queries and random rankings.
    """
    counts, queries = np.unique(relevant[relevant > 0], return_counts=True)
    if measure.kind == "medr":
        return 1.0 if query_first else _chance_median(counts, queries, gallery)
    values = _chance_values(measure, counts, gallery, protocol, int(query_first))
    return float(values @ queries / queries.sum())


def _chance_values(
    measure: Measure, counts: Integers, gallery: int, protocol: Protocol, first: int
) -> Floats:
    """Return the expectation for each number of relevant items, all but the first ``first`` ranks tied."""
    cutoff = measure.cutoff or (protocol.cutoff if measure.kind == "map" else None)
    limit = min(cutoff or gallery, gallery)
    tied, among = gallery - first, counts - first
    if measure.kind == "map":
        return average_precision_of_one_group(
            among, tied, hits=first, limit=limit, cutoff=cutoff, denominator=protocol.denominator
        )
    if measure.kind == "r" and protocol.by_pair:
        places = np.full(len(counts), limit)
        return np.ones(len(counts)) if first else hit_probability(np.full(len(counts), tied), among, places)
    gain = discounts(gallery) if measure.kind == "ndcg" else np.arange(gallery + 1.0)
    sums = gain[first] + among * (gain[limit] - gain[first]) / max(tied, 1)
    return np.asarray(sums / _divisor(measure, counts, limit, gain), dtype=np.float64)


def _chance_median(counts: Integers, queries: Integers, gallery: int) -> float:
    """Return the median rank of the first relevant item, over queries and over random rankings.

    With R of N items relevant, it stands beyond rank r with probability C(N - R, r) / C(N, r).
    """
    ranks = np.arange(gallery)
    beyond = np.zeros(gallery)
    for count, weight in zip(counts.tolist(), queries.tolist(), strict=True):
        beyond += weight * np.cumprod(np.maximum(gallery - count - ranks, 0) / (gallery - ranks))
    reached = 1.0 - beyond / queries.sum()
    lower, upper = (int(np.argmax(reached > 0.5 + margin)) + 1 for margin in (-1e-12, 1e-12))
    return (lower + upper) / 2
