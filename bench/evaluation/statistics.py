"""Whether methods differ by more than chance: paired tests over pairs, groups of equals, ranks over datasets.

The unit is the test pair, since its image and its text are not independent queries, or what several pairs
belong to that are not independent either (``cmbench.evaluation.nesting.Nested.in_units``); runs of a method
with several seeds are repeated measurements of every unit. A difference counts two sources of chance: other
test pairs could have been drawn, and other seeds. A method that was run once says nothing about the second.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_lowercase

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmbench.errors import EvaluationError

Floats = NDArray[np.float64]

RESAMPLES = 9_999
"""Draws of a permutation test or a bootstrap: with 9,999 the smallest p is .0001."""
MOST_RESAMPLES = 99_999
MOST_METHODS = 100
"""Of which every two are compared: of more, no difference could be found after correction."""
LEVEL = 0.05
_BLOCK = 2**24  # numbers drawn at a time


@dataclass(frozen=True)
class Difference:
    """How much better one method is than another, in MAP.

    ``mean`` is the difference of the two means; ``standard_error`` covers pairs and seeds; ``low`` and
    ``high`` bound the 95 % bootstrap interval; ``p`` is two-sided, of the hypothesis that the methods are
    alike.
    """

    mean: float
    standard_error: float
    low: float
    high: float
    p: float


def difference(
    first: ArrayLike, second: ArrayLike, *, resamples: int = RESAMPLES, seed: int = 0
) -> Difference:
    """Return how two methods differ on the same test pairs.

    Let d_i be the difference of the two methods' APs at pair i, each the mean over its runs.

    * The permutation test changes the sign of each d_i at random: if the methods are alike, which of the
      two gave which AP is a matter of names. The means of runs, drawn anew about their own mean, are added,
      so that the null distribution holds the chance of seeds too.
    * The bootstrap draws pairs, and runs, with replacement and takes the percentiles 2.5 and 97.5.

    Two or three runs tell little of the chance of seeds. Where the means of runs spread three times as much
    as the pairs let the difference err, p was at most .05 in 14 % of 400 simulations of methods that are
    alike with two runs each, in 11 % with three and in 5 % with five. Where both chances are of a size, it
    was in 4 % with three.

    Parameters
    ----------
    first, second : real (runs, pairs) or (pairs,)
        AP of each pair in each run (for the bi-modal average the mean of its two queries). NaN, for a query
        without a relevant item, leaves the pair out. The numbers of runs may differ.
    resamples : int
        Draws of the test and of the bootstrap.
    seed : int
        Of the draws; the same input gives the same output.

    Raises
    ------
    EvaluationError
        If the numbers of pairs differ, or fewer than two pairs are left.

    References
    ----------
    B. Efron, R. Tibshirani, An Introduction to the Bootstrap, 1993, chapters 13 and 15.

    Examples
    --------
    >>> better = np.linspace(0, 1, 50)
    >>> result = difference(better, better - 0.1 * np.cos(np.arange(50)) ** 2)
    >>> round(result.mean, 3), result.p < 0.001, result.low < result.mean < result.high
    (0.05, True, True)
    """
    left, right = compared_pairs([first, second])
    differences = left.mean(axis=0) - right.mean(axis=0)
    mean = float(differences.mean())
    random = np.random.default_rng(seed)
    alike = _sign_flips(differences[None], resamples, random)[:, 0] + _seeds(left, right, resamples, random)
    drawn = _resampled(differences, resamples, random) + _seeds(left, right, resamples, random)
    low, high = np.quantile(drawn, [LEVEL / 2, 1 - LEVEL / 2])
    variance = differences.var(ddof=1) / len(differences) + _seed_variance(left) + _seed_variance(right)
    return Difference(mean, math.sqrt(variance), float(low), float(high), _p_value(mean, alike))


def _p_value(mean: float, alike: Floats) -> float:
    """Return the share of the null distribution that lies as far from 0, the observed mean included."""
    # the tolerance is for rounding: the same signs, summed in another order, are no smaller difference
    as_far = int(np.count_nonzero(np.abs(alike) >= abs(mean) * (1 - 1e-12) - 1e-15))
    return (as_far + 1) / (len(alike) + 1)


def _sign_flips(differences: Floats, resamples: int, random: np.random.Generator) -> Floats:
    """Return the means of the rows (rows, pairs) under random signs, (resamples, rows).

    All rows get the same signs.
    """
    n = differences.shape[1]
    flipped = [
        (2.0 * random.integers(0, 2, (count, n), dtype=np.int8) - 1.0) @ differences.T
        for count in _counts(resamples, n)
    ]
    means: Floats = np.concatenate(flipped) / n
    return means


def _counts(resamples: int, n: int) -> list[int]:
    """Return how many draws of n numbers to make at a time."""
    rows = max(1, _BLOCK // n)
    return [min(rows, resamples - start) for start in range(0, resamples, rows)]


def _resampled(differences: Floats, resamples: int, random: np.random.Generator) -> Floats:
    """Return the mean of as many differences drawn with replacement, ``resamples`` times."""
    n = len(differences)
    drawn = [differences[random.integers(0, n, (count, n))].mean(axis=1) for count in _counts(resamples, n)]
    return np.concatenate(drawn)


def _seeds(left: Floats, right: Floats, resamples: int, random: np.random.Generator) -> Floats:
    """Return what the draw of seeds adds to a difference, ``resamples`` times; 0 for single runs."""
    return _run_means(left, resamples, random) - _run_means(right, resamples, random)


def _run_means(runs: Floats, resamples: int, random: np.random.Generator) -> Floats:
    """Return means of as many runs drawn with replacement, about 0.

    Deviations are widened by sqrt(s / (s - 1)) for s runs, without which their variance would be too small.
    """
    count = len(runs)
    if count < 2:
        return np.zeros(resamples)
    means = runs.mean(axis=1)
    centred = (means - means.mean()) * math.sqrt(count / (count - 1))
    drawn: Floats = centred[random.integers(0, count, (resamples, count))].mean(axis=1)
    return drawn


def _seed_variance(runs: Floats) -> float:
    """Return the variance of the mean over runs that comes from their seeds; 0 for a single run."""
    return float(runs.mean(axis=1).var(ddof=1)) / len(runs) if len(runs) > 1 else 0.0


def holm(p_values: ArrayLike) -> Floats:
    """Return p-values (m,) corrected for m tests by Holm's method: the chance of any false finding.

    S. Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6,
    1979.

    >>> holm([0.01, 0.04, 0.03]).round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    stepped = values[order] * np.arange(len(values), 0, -1)
    corrected = np.empty_like(values)
    corrected[order] = np.minimum(np.maximum.accumulate(stepped), 1.0)
    return corrected


@dataclass(frozen=True, eq=False)
class Comparison:
    """All methods of a table against one another, on ``pairs`` test pairs.

    ``means`` is (m,); ``p`` (m, m) holds Holm-corrected p-values, with 1 on the diagonal; ``groups`` has
    for each method the letters of the groups it belongs to: two methods that share a letter cannot be
    told apart, and ``a`` is the group of the best.
    """

    means: Floats
    p: Floats
    groups: tuple[str, ...]
    pairs: int

    @property
    def best(self) -> tuple[bool, ...]:
        """Whether each method cannot be told apart from the best."""
        top = int(np.argmax(self.means))
        return tuple(bool(value > LEVEL) for value in self.p[top])


def compare_all(methods: Sequence[ArrayLike], *, resamples: int | None = None) -> Comparison:
    """Return the comparison of every two of the methods, corrected for the number of comparisons.

    Parameters
    ----------
    methods : of each, AP as real (runs, pairs) or (pairs,), of the same pairs; see ``difference``
    resamples : draws of the test; by default as many as let a p-value of .05 after correction rest on 25
        of them, from ``RESAMPLES`` to ``MOST_RESAMPLES``

    Raises
    ------
    EvaluationError
        As ``difference``, and for more than ``MOST_METHODS`` methods.

    Examples
    --------
    >>> random = np.random.default_rng(0)
    >>> pairs = random.uniform(size=300)
    >>> result = compare_all([pairs - 0.2, pairs + 0.01 * random.normal(size=300), pairs])
    >>> result.groups, result.best
    (('b', 'a', 'a'), (False, True, True))
    """
    if len(methods) > MOST_METHODS:
        raise EvaluationError(
            f"{len(methods)} methods are too many to find a difference after correction; compare up to "
            f"{MOST_METHODS}"
        )
    runs = compared_pairs(methods)
    means = np.array([values.mean() for values in runs])
    twos = [(i, j) for i in range(len(runs)) for j in range(i)]
    p = np.ones((len(runs), len(runs)))
    if twos:
        random = np.random.default_rng(0)
        # the draws of seeds go by what methods are, so that the order of a table changes nothing
        order = sorted(range(len(runs)), key=lambda at: runs[at].tobytes())
        drawn = _alike([runs[at] for at in order], resamples or _draws_for(len(twos)), random)
        alike = dict(zip(order, drawn, strict=True))
        found = [_p_value(float(means[i] - means[j]), alike[i] - alike[j]) for i, j in twos]
        for (i, j), value in zip(twos, holm(found), strict=True):
            p[i, j] = p[j, i] = value
    return Comparison(means, p, _letters(means, p <= LEVEL), runs[0].shape[1])


def _draws_for(comparisons: int) -> int:
    return min(max(RESAMPLES, 500 * comparisons - 1), MOST_RESAMPLES)


def _alike(runs: Sequence[Floats], resamples: int, random: np.random.Generator) -> Floats:
    """Return means of methods (methods, resamples), of which every two differ as if they were alike.

    The difference of two means under random signs is that of their pairs' differences, for all comparisons
    have the same signs. What all methods have in common is taken off first, so that rounding is of the
    size of the differences.
    """
    pairs = np.stack([values.mean(axis=0) for values in runs])
    flipped = _sign_flips(pairs - pairs.mean(axis=0), resamples, random)
    seeds = [_run_means(values, resamples, random) for values in runs]
    return np.ascontiguousarray(flipped.T) + np.stack(seeds)


def compared_pairs(methods: Sequence[ArrayLike]) -> list[Floats]:
    """Return the AP of each method as (runs, pairs), of the pairs that have one in every run of all.

    Raises ``EvaluationError`` if the numbers of pairs differ, or fewer than two are left.
    """
    runs = [np.atleast_2d(np.asarray(values, dtype=np.float64)) for values in methods]
    judged = judged_by_all(runs)
    if np.count_nonzero(judged) < 2:
        raise EvaluationError("fewer than two pairs have an AP of every method; nothing can be compared")
    return [values[:, judged] for values in runs]


def judged_by_all(methods: Sequence[Floats]) -> NDArray[np.bool_]:
    """Return whether each pair has an AP in every run of all methods, real (runs, pairs) each.

    Raises ``EvaluationError`` if the numbers of pairs differ.
    """
    sizes = {values.shape[1] for values in methods}
    if len(sizes) != 1:
        raise EvaluationError(
            f"APs of {' and '.join(map(str, sorted(sizes)))} pairs; compare methods on the same test pairs"
        )
    lacking: NDArray[np.bool_] = np.any([np.isnan(values).any(axis=0) for values in methods], axis=0)
    return ~lacking


def _letters(means: Floats, differs: NDArray[np.bool_]) -> tuple[str, ...]:
    """Return letters such that two methods share one exactly if they do not differ.

    H.-P. Piepho, An algorithm for a letter-based representation of all-pairwise comparisons, Journal of
    Computational and Graphical Statistics 13, 2004: begin with one group of all; split every group that
    holds two methods that differ; drop groups within others.
    """
    groups = [frozenset(range(len(means)))]
    for i, j in np.argwhere(np.triu(differs)):
        split = [part for group in groups for part in _without_both(group, int(i), int(j))]
        groups = [group for group in dict.fromkeys(split) if not any(group < other for other in split)]
    ordered = sorted(groups, key=lambda group: sorted((-means[list(group)]).tolist()))
    return tuple(
        "".join(_letter(at) for at, group in enumerate(ordered) if i in group) for i in range(len(means))
    )


def _without_both(group: frozenset[int], i: int, j: int) -> tuple[frozenset[int], ...]:
    return (group - {i}, group - {j}) if {i, j} <= group else (group,)


def _letter(place: int) -> str:
    """Return a, b, ..., z, a1, b1, ..."""
    turn, letter = divmod(place, len(ascii_lowercase))
    return ascii_lowercase[letter] + (str(turn) if turn else "")


@dataclass(frozen=True, eq=False)
class AverageRanks:
    """How methods rank over datasets: rank 1 is the best, equal scores share the mean of their ranks.

    ``average`` is (m,); ``wins`` (m,) counts the datasets on which a method is best, alone or with others;
    ``p`` is that of Friedman's test that all rank alike, and two methods differ where their average ranks
    lie further apart than ``critical_difference`` (Nemenyi, 5 %). Both are None with fewer than three
    methods or two datasets.
    """

    average: Floats
    wins: NDArray[np.int64]
    p: float | None
    critical_difference: float | None


def ranks(scores: ArrayLike) -> AverageRanks:
    """Return how methods rank over datasets.

    J. Demšar, Statistical comparisons of classifiers over multiple data sets, JMLR 7, 2006.

    Parameters
    ----------
    scores : real (datasets, methods), higher is better

    Examples
    --------
    >>> result = ranks([[0.5, 0.4, 0.3], [0.6, 0.5, 0.1], [0.4, 0.5, 0.2]])
    >>> result.average.round(2).tolist(), result.wins.tolist(), round(result.critical_difference, 2)
    ([1.33, 1.67, 3.0], [2, 1, 0], 1.91)
    """
    from scipy import stats  # takes half a second, and comparisons need none of it

    values = np.atleast_2d(np.asarray(scores, dtype=np.float64))
    datasets, methods = values.shape
    placed = stats.rankdata(-values, axis=1)
    wins = np.count_nonzero(values == values.max(axis=1, keepdims=True), axis=0)
    if methods < 3 or datasets < 2:
        return AverageRanks(placed.mean(axis=0), wins, None, None)
    quantile = float(stats.studentized_range.ppf(1 - LEVEL, methods, np.inf)) / math.sqrt(2)
    apart = quantile * math.sqrt(methods * (methods + 1) / (6 * datasets))
    with np.errstate(invalid="ignore"):  # where all are equal
        friedman = float(stats.friedmanchisquare(*values.T).pvalue)
    return AverageRanks(placed.mean(axis=0), wins, 1.0 if math.isnan(friedman) else friedman, apart)


def intervals(methods: Sequence[ArrayLike]) -> tuple[Floats, Floats]:
    """Return the bounds (m, m) of 95 % bootstrap intervals of how much each method is better than each other.

    As those of ``difference``, but with the same draws of pairs for all methods, which makes many
    comparisons quick. On the diagonal both are 0.

    Parameters
    ----------
    methods : of each, AP as real (runs, pairs) or (pairs,), of the same pairs; see ``difference``

    Examples
    --------
    >>> better = np.linspace(0, 1, 50)
    >>> low, high = intervals([better, better - 0.1])
    >>> low.round(3).tolist(), high.round(3).tolist()
    ([[0.0, 0.1], [-0.1, 0.0]], [[0.0, 0.1], [-0.1, 0.0]])
    """
    drawn = means_drawn_anew(methods)
    count = drawn.shape[1]
    bounds = np.zeros((2, count, count))
    for i in range(count):
        bounds[:, i] = np.quantile(drawn[:, [i]] - drawn, [LEVEL / 2, 1 - LEVEL / 2], axis=0)
    return bounds[0], bounds[1]


BOOTSTRAPS = 1_999
"""Draws of pairs of which 95 % intervals are made."""


def means_drawn_anew(methods: Sequence[ArrayLike]) -> Floats:
    """Return bootstrap means (BOOTSTRAPS, methods), of which every two differ as means over new pairs would.

    Pairs are drawn with replacement, the same for all methods, and so are the runs of each method. What all
    methods have in common at a pair is taken off, so that the means are near 0.
    """
    runs = compared_pairs(methods)
    random = np.random.default_rng(0)
    means = np.stack([values.mean(axis=0) for values in runs])
    drawn = np.stack([_run_means(values, BOOTSTRAPS, random) for values in runs], axis=1)
    return drawn + _means_of_draws(means - means.mean(axis=0), BOOTSTRAPS, random)


def _means_of_draws(values: Floats, resamples: int, random: np.random.Generator) -> Floats:
    """Return the means of rows (rows, n) over as many columns drawn with replacement, (resamples, rows)."""
    n = values.shape[1]
    means = []
    for count in _counts(resamples, n):
        cells = random.integers(0, n, (count, n)) + n * np.arange(count)[:, None]
        times = np.bincount(cells.ravel(), minlength=count * n).reshape(count, n)
        means.append(times @ values.T / n)
    return np.concatenate(means)
