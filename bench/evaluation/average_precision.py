"""Average precision from ranks, in expectation over all orders of tied items."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from cmbench.evaluation.protocol import Denominator

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Ranks:
    """Where the relevant items of some queries stand in their rankings.

    One entry per (query, relevant item), the queries one after the other, each query's items
    from the least to the most similar.

    Parameters
    ----------
    above : int64 (m,), gallery items strictly more similar to the query than this item
    tied : int64 (m,), gallery items exactly as similar as this item, itself included
    counts : int64 (q,), relevant items of each query; they add up to m
    gallery : items ranked for each query
    first : int64 (q, k), rows of the gallery that are most similar to each query, from the most
        similar; equals in the order of their rows. None unless asked for.
    """

    above: Integers
    tied: Integers
    counts: Integers
    gallery: int
    first: Integers | None = None

    @property
    def has_ties(self) -> bool:
        return bool((self.tied > 1).any())


def expected_average_precision(
    ranks: Ranks, *, cutoff: int | None = None, denominator: Denominator = "relevant"
) -> Floats:
    """Return the expected AP of each query (q,), NaN where a query has no relevant item.

    AP is the sum of the precision at each relevant item within the cut-off, divided by the
    ``denominator``: ``relevant`` R, ``min`` min(R, cutoff), or ``retrieved``, the relevant items
    within the cut-off (AP is 0 when there is none). The expectation is over all orders of tied
    items, all equally likely (McSherry & Najork, "Computing information retrieval performance
    measures efficiently in the presence of tied scores", ECIR 2008).
    """
    limit = ranks.gallery if cutoff is None else min(cutoff, ranks.gallery)
    query = np.repeat(np.arange(len(ranks.counts)), ranks.counts)
    if cutoff is not None and denominator == "retrieved":
        return _over_retrieved(ranks, query, limit)
    sums = np.bincount(query, _expected_precision(ranks, query, limit), len(ranks.counts))
    divisor = ranks.counts if denominator == "relevant" else np.minimum(ranks.counts, limit)
    with np.errstate(invalid="ignore"):  # 0 / 0 is the NaN promised for a query without relevant items
        return sums / divisor


def average_precision_of_one_group(
    relevant: Integers,
    tied: int,
    *,
    hits: int = 0,
    limit: int,
    cutoff: int | None = None,
    denominator: Denominator = "relevant",
) -> Floats:
    """Return E[AP] for each number of ``relevant`` items (m,) among ``tied`` ones in random order.

    They follow ``hits`` items that are all relevant; ``limit`` is the last rank that counts.
    """
    if limit <= hits:
        return limit / (relevant + hits) if denominator == "relevant" else np.ones(len(relevant))
    if cutoff is not None and denominator == "retrieved":
        groups = ((float(hits), limit, hits, tied, hits, each) for each in relevant.tolist())
        return np.array([_over_retrieved_with_straddling(*group) for group in groups])
    within = np.full(len(relevant), min(max(limit - hits, 0), tied))
    above, before = np.full(len(relevant), hits), np.full(len(relevant), hits)
    sums = hits + relevant / max(tied, 1) * _shared_precision(
        above, np.full(len(relevant), tied), before, relevant, within
    )
    total = relevant + hits
    return np.asarray(sums / (total if denominator == "relevant" else np.minimum(total, limit)))


@lru_cache(maxsize=8)
def harmonic_numbers(count: int) -> Floats:
    """Return H_0 … H_count, float64 (count + 1,)."""
    return np.concatenate(([0.0], np.cumsum(1.0 / np.arange(1, count + 1))))


def tie_groups(ranks: Ranks, query: Integers) -> tuple[Integers, Integers]:
    """Return, per entry, the relevant items strictly above it and those tied with it (itself included)."""
    hits = np.cumsum(ranks.counts)[query] - np.arange(1, len(query) + 1)
    relevant = np.ones_like(hits)
    tied = np.flatnonzero(ranks.tied > 1)
    if len(tied):
        above, owner = ranks.above[tied], query[tied]
        first = np.append(True, (above[1:] != above[:-1]) | (owner[1:] != owner[:-1]))
        starts = np.flatnonzero(first)
        stops = np.append(starts[1:], len(tied))
        group = np.cumsum(first) - 1
        hits[tied] = hits[tied[stops - 1]][group]  # the last of a group has only strictly better ones above
        relevant[tied] = (stops - starts)[group]
    return hits, relevant


def _expected_precision(ranks: Ranks, query: Integers, limit: int) -> Floats:
    """Return each relevant item's expected precision at its own rank, 0 beyond ``limit``.

    A group of n tied items, m of them relevant, follows t items, r of them relevant. Its place i
    holds a relevant item with probability m/n, and then (i-1)(m-1)/(n-1) of the places before are
    expected relevant. Summing (r + 1 + (i-1)(m-1)/(n-1)) / (t + i) over the places u within the
    limit gives (m/n) ((r+1) h + (m-1)/(n-1) (u - (t+1) h)) with h = H_{t+u} - H_t; each of the m
    items gets an equal share.
    """
    hits, relevant = tie_groups(ranks, query)
    precision = np.where(ranks.above < limit, (hits + 1) / (ranks.above + 1), 0.0)
    tied = np.flatnonzero(ranks.tied > 1)
    above, size = ranks.above[tied], ranks.tied[tied]
    within = np.clip(limit - above, 0, size)
    precision[tied] = _shared_precision(above, size, hits[tied], relevant[tied], within) / size
    return precision


def _shared_precision(
    above: Integers, tied: Integers, hits: Integers, relevant: Integers, within: Integers
) -> Floats:
    """Return the sum over the first ``within`` places of a tie group of precision given relevance."""
    harmonic = harmonic_numbers(int((above + within).max(initial=0)))
    span = harmonic[above + within] - harmonic[above]
    density = (relevant - 1) / np.maximum(tied - 1, 1)
    total: Floats = (hits + 1) * span + density * (within - (above + 1) * span)
    return total


def _over_retrieved(ranks: Ranks, query: Integers, limit: int) -> Floats:
    """AP divided by the relevant items within the cut-off, itself random when a tie straddles it.

    Of the straddling group's m relevant items, x fall within the cut-off with hypergeometric
    probability; given x they are in random order there, so the expectation is a finite sum.
    """
    hits, relevant = tie_groups(ranks, query)
    straddling = (ranks.above < limit) & (ranks.above + ranks.tied > limit)
    inside = np.where(straddling, 0.0, _expected_precision(ranks, query, limit))
    sums = np.bincount(query, inside, len(ranks.counts))
    certain = np.bincount(query, (ranks.above < limit) & ~straddling, len(ranks.counts))
    average = np.divide(sums, certain, out=np.zeros_like(sums), where=certain > 0)
    entries = np.flatnonzero(straddling)
    for entry in entries[np.unique(query[entries], return_index=True)[1]]:
        q = query[entry]
        group = (ranks.above[entry], ranks.tied[entry], hits[entry], relevant[entry])
        average[q] = _over_retrieved_with_straddling(sums[q], limit, *map(int, group))
    return np.where(ranks.counts > 0, average, np.nan)


def _over_retrieved_with_straddling(
    certain_sum: float, limit: int, above: int, tied: int, hits: int, relevant: int
) -> float:
    from scipy.stats import hypergeom  # takes most of a second to import, and is rarely needed

    places = limit - above
    found = np.arange(max(0, relevant - (tied - places)), min(relevant, places) + 1)
    probability = hypergeom(tied, relevant, places).pmf(found)
    full = np.full_like(found, places)
    group_sum = _shared_precision(np.full_like(found, above), full, np.full_like(found, hits), found, full)
    precision = certain_sum + group_sum * found / places
    retrieved = hits + found
    return float(probability @ np.divide(precision, retrieved, out=np.zeros(len(found)), where=retrieved > 0))


@dataclass(frozen=True, eq=False)
class PrecisionRecall:
    """A precision-recall curve: entry k - 1 belongs to the k most similar items.

    ``precision`` and ``recall`` are float64 (n_gallery,), each the mean over the queries that have
    a relevant item, in expectation over all orders of tied items.
    """

    precision: Floats
    recall: Floats


def hits_per_rank(ranks: Ranks) -> Floats:
    """Return (2, n_gallery): expected relevant items at each rank, and the same over R, summed over queries.

    A tied item is at each of its group's ranks with equal probability.
    """
    share = 1.0 / ranks.tied
    recall_share = share / np.repeat(ranks.counts, ranks.counts)
    return np.stack([_spread(ranks, share), _spread(ranks, recall_share)])


def _spread(ranks: Ranks, share: Floats) -> Floats:
    if not ranks.has_ties:
        return np.asarray(np.bincount(ranks.above, share, ranks.gallery), dtype=np.float64)
    size = ranks.gallery + 1
    steps = np.bincount(ranks.above, share, size) - np.bincount(ranks.above + ranks.tied, share, size)
    return np.cumsum(steps)[:-1]


def curve_from_hits(hits: Floats, queries: int) -> PrecisionRecall:
    """Return the curve from summed ``hits_per_rank`` of ``queries`` queries with a relevant item."""
    found, recalled = np.cumsum(hits, axis=1) / max(queries, 1)
    return PrecisionRecall(found / np.arange(1, hits.shape[1] + 1), recalled)


RECALL_STEPS = 100
"""Into how many equal parts recall is divided for a curve of precision."""


def precision_by_recall(ranks: Ranks) -> Floats:
    """Return the mean precision of each hundredth of recall (100,), summed over queries.

    The j-th of the R relevant items of a query stands for recall from (j - 1)/R to j/R, and precision there
    is that at its rank, in expectation over orders of tied items. So the mean of a query's hundredths is
    its AP over the full ranking. Queries without a relevant item add nothing.
    """
    relevant = ranks.counts[ranks.counts > 0]
    query = np.repeat(np.arange(len(ranks.counts)), ranks.counts)
    precision = np.append(_expected_precision(ranks, query, ranks.gallery), 0.0)
    below = np.concatenate(([0.0], np.cumsum(precision[:-1])))  # summed from the least similar item
    ends = np.cumsum(relevant)[:, None]
    # Up to recall s/100, j whole items and a part of the next: j + part = s R / 100.
    items, part = np.divmod(np.arange(RECALL_STEPS + 1) * relevant[:, None], RECALL_STEPS)
    whole = below[ends] - below[ends - items]
    integral = (whole + part / RECALL_STEPS * precision[ends - items - 1]) / relevant[:, None]
    return np.asarray(np.diff(integral, axis=1).sum(axis=0) * RECALL_STEPS)
