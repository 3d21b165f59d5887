"""Values per query of several runs, nested in test pairs: the form in which statistics compare methods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cmbench.errors import EvaluationError

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Run:
    """One run of a method.

    Parameters
    ----------
    seed : of the run, None for a method without randomness
    split : 0 for the dataset's own, or the seed of a split drawn anew
    ids : str (n,), the names of the test pairs
    values : real (n,), AP or another measure of each; their mean is what a table shows
    """

    seed: int | None
    split: int
    ids: NDArray[np.str_]
    values: Floats


def nested_in_pairs(methods: Sequence[Sequence[Run]]) -> list[Floats]:
    """Return the values of each method as (seeds, pairs), columns of all methods being the same pairs.

    Only splits that all methods have count, since the value of a pair depends on the gallery of its split.
    The pair is the unit: one that stands in the test parts of several splits has the mean over these,
    since its values there are not independent. With one split the values are as they are. A pair of which a
    seed has no value is NaN.

    Raises
    ------
    EvaluationError
        If the methods have no split in common, or several and values are not of pairs, as those of distinct
        pictures.

    Examples
    --------
    >>> one = Run(0, 0, np.array(["a", "b"]), np.array([0.5, 0.1]))
    >>> other = Run(0, 1, np.array(["b", "c"]), np.array([0.3, 0.9]))
    >>> nested_in_pairs([[one, other]])[0].round(2).tolist()
    [[0.5, 0.2, 0.9]]
    """
    methods = of_common_splits(methods)
    runs = [run for method in methods for run in method]
    if len({run.split for run in runs}) == 1:
        return [np.stack([run.values for run in method]) for method in methods]
    for run in runs:
        if len(run.ids) != len(run.values):
            raise EvaluationError(
                f"{len(run.values)} queries of {len(run.ids)} pairs: queries that are not one of each pair "
                "cannot be followed through several splits; compare runs of one split"
            )
    pairs = np.unique(np.concatenate([run.ids for run in runs]))
    return [_means(method, pairs) for method in methods]


def of_common_splits(methods: Sequence[Sequence[Run]]) -> list[list[Run]]:
    """Return the runs of the splits that all methods have; ``EvaluationError`` where there is none."""
    common = set.intersection(*({run.split for run in method} for method in methods))
    if not common:
        raise EvaluationError("no split was run with every method; compare runs of the same splits")
    return [[run for run in method if run.split in common] for method in methods]


def _means(method: Sequence[Run], pairs: NDArray[np.str_]) -> Floats:
    seeds = list(dict.fromkeys(run.seed for run in method))
    sums, counts = np.zeros((2, len(seeds), len(pairs)))
    for run in method:
        columns = np.searchsorted(pairs, run.ids)
        sums[seeds.index(run.seed), columns] += run.values
        counts[seeds.index(run.seed), columns] += 1
    means: Floats = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
    return means
