"""Ranks of one query, counted from their definition, and the AP of a random ranking."""

import numpy as np

from cmbench.evaluation.average_precision import Ranks


def ranks_of(scores: np.ndarray, relevant: np.ndarray) -> Ranks:
    """Count, item by item, what stands above and level with each relevant item."""
    own = np.sort(scores[relevant])
    above = np.array([(scores > score).sum() for score in own], dtype=np.int64)
    tied = np.array([(scores == score).sum() for score in own], dtype=np.int64)
    return Ranks(above, tied, np.array([relevant.sum()]), len(scores))


def chance_average_precision(relevant: int, gallery: int) -> float:
    """Return the expected AP of a random ranking of N = ``gallery`` items, R = ``relevant`` of them relevant.

    With H_N the harmonic number, E[AP] = ((R - 1) / (N - 1) (N - H_N) + H_N) / N.
    """
    harmonic = sum(1 / rank for rank in range(1, gallery + 1))
    slope = (relevant - 1) / (gallery - 1) if gallery > 1 else 0.0
    return (slope * (gallery - harmonic) + harmonic) / gallery
