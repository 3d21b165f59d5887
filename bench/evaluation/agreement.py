"""How far two rankings of methods agree: Kendall's tau, with an interval where one was measured here."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmbench.evaluation.statistics import LEVEL, means_drawn_anew

Floats = NDArray[np.float64]


def kendall_tau(scores: ArrayLike, others: ArrayLike) -> Floats:
    """Return Kendall's tau-b between each row of scores and other scores of the same methods.

    Of all two methods, those that both order alike less those that they order differently, over the geometric
    mean of the numbers that each does order: 1 for the same order, -1 for the reverse, NaN where one of them
    ties all.

    M. G. Kendall, The treatment of ties in ranking problems, Biometrika 33, 1945.

    Parameters
    ----------
    scores : real (rows, methods) or (methods,)
    others : real (methods,)

    Examples
    --------
    >>> kendall_tau([[1, 2, 3, 4], [4, 3, 2, 1], [1, 3, 2, 4]], [0.1, 0.2, 0.3, 0.4]).round(3).tolist()
    [1.0, -1.0, 0.667]
    """
    rows, fixed = np.atleast_2d(np.asarray(scores, dtype=np.float64)), np.asarray(others, dtype=np.float64)
    first, second = np.triu_indices(len(fixed), 1)
    ours = np.sign(rows[:, first] - rows[:, second])
    theirs = np.sign(fixed[first] - fixed[second])
    ordered = np.sqrt(np.count_nonzero(ours, axis=1) * np.count_nonzero(theirs))
    tau: Floats = np.divide(ours @ theirs, ordered, out=np.full(len(rows), np.nan), where=ordered > 0)
    return tau


def chance_of_tau(scores: ArrayLike, others: ArrayLike) -> float:
    """Return the two-sided p of a Kendall's tau-b that is as far from 0, if all orders were as likely.

    It takes both orders as they are: of few methods, an order tells little however surely it was measured.

    M. G. Kendall, A new measure of rank correlation, Biometrika 30, 1938.

    Parameters
    ----------
    scores, others : real (methods,)

    Examples
    --------
    >>> chance_of_tau([1, 2, 3, 4], [1, 2, 3, 4]) == 2 / 24
    True
    """
    from scipy.stats import kendalltau  # takes most of a second to import, and is rarely needed

    ours, theirs = (np.asarray(each, dtype=np.float64) for each in (scores, others))
    return float(kendalltau(ours, theirs).pvalue)


def tau_interval(methods: Sequence[ArrayLike], others: ArrayLike) -> tuple[float, float]:
    """Return the bounds of the 95 % bootstrap interval of Kendall's tau between measured and other scores.

    Pairs are drawn with replacement, the same for all methods, and the runs of each method too; the other
    scores stay. Methods that lie close together change places in such draws, so that the interval lies
    lower than around the tau that was measured where this is high.

    Parameters
    ----------
    methods : of each, AP as real (runs, pairs) or (pairs,), of the same pairs
    others : real (methods,)

    Raises
    ------
    EvaluationError
        If the numbers of pairs differ, or fewer than two pairs are left.

    Examples
    --------
    >>> pairs = np.linspace(0, 1, 50)
    >>> tau_interval([pairs, pairs + 0.1, pairs + 0.2], [1, 2, 3])
    (1.0, 1.0)
    """
    drawn = kendall_tau(means_drawn_anew(methods), others)
    low, high = np.nanquantile(drawn, [LEVEL / 2, 1 - LEVEL / 2])
    return float(low), float(high)
