"""Ranks of one query, counted from their definition."""

import numpy as np

from cmbench.evaluation.average_precision import Ranks


def ranks_of(scores: np.ndarray, relevant: np.ndarray) -> Ranks:
    """Count, item by item, what stands above and level with each relevant item."""
    own = np.sort(scores[relevant])
    above = np.array([(scores > score).sum() for score in own], dtype=np.int64)
    tied = np.array([(scores == score).sum() for score in own], dtype=np.int64)
    return Ranks(above, tied, np.array([relevant.sum()]), len(scores))
