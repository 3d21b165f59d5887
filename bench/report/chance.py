"""The MAP of a random ranking: what a method must beat to have learnt anything."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cmbench.evaluation.average_precision import Ranks, expected_average_precision


def chance_map(counts: Sequence[int], protocol: Mapping[str, Any]) -> tuple[float, float]:
    """Return the expected (bi-modal, all-modal) MAP when the gallery is ranked at random.

    ``counts`` holds the test pairs of each category. A random ranking is one where all items are
    tied. A kept query stands first in its own all-modal ranking, whatever the method, so there only
    the items after it are.

    >>> protocol = {"cutoff": None, "denominator": "relevant", "keep_query": True}
    >>> bimodal, allmodal = chance_map([5] * 20, protocol)
    >>> round(bimodal, 3), round(allmodal, 3)
    (0.09, 0.179)
    """
    pairs, kept = sum(counts), bool(protocol["keep_query"])
    left_out = 0 if kept else 1
    bimodal = allmodal = 0.0
    for count in filter(None, counts):
        weight = count / pairs
        bimodal += weight * _chance_ap(count, pairs, False, protocol)
        allmodal += weight * _chance_ap(2 * count - left_out, 2 * pairs - left_out, kept, protocol)
    return bimodal, allmodal


def _chance_ap(relevant: int, gallery: int, first: bool, protocol: Mapping[str, Any]) -> float:
    """Return E[AP]; ``first``: one relevant item surely stands at rank 1."""
    above = np.full(relevant, int(first), dtype=np.int64)
    tied = gallery - above
    if first:
        above[-1], tied[-1] = 0, 1
    ranks = Ranks(above, tied, np.array([relevant], dtype=np.int64), gallery)
    found = expected_average_precision(ranks, cutoff=protocol["cutoff"], denominator=protocol["denominator"])
    return float(found[0])
