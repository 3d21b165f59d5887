"""Precision and recall after each number of retrieved items, averaged over queries."""

from dataclasses import dataclass

import numpy as np

from cmbench.average_precision import Floats, Ranks


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
