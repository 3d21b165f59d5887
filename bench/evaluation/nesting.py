"""Values per query of several runs, nested in test pairs: the form in which statistics compare methods.

Pairs that belong together, such as captions of one picture, are no independent evidence: how well a method
does on one says how well it does on the others. A test has one *unit* for all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cmbench.errors import EvaluationError
from cmbench.evaluation.statistics import compared_pairs, judged_by_all

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Run:
    """One run of a method.

    Parameters
    ----------
    seed : of the run, None for a method without randomness
    split : 0 for the dataset's own, or the seed of a split drawn anew
    ids : str (n,), the names of the test pairs
    values : real (n,), AP or another measure of each; their mean is what a table shows
    units : int (n,), for each pair the row of the first one that it belongs with; None where each pair
        stands alone, or nothing is known of it
    """

    seed: int | None
    split: int
    ids: NDArray[np.str_]
    values: Floats
    units: Integers | None = None


@dataclass(frozen=True, eq=False)
class Nested:
    """Values of each method as real (seeds, pairs), and the number of the unit of each pair, or None."""

    values: list[Floats]
    units: Integers | None

    @cached_property
    def judged(self) -> NDArray[np.bool_]:
        """Whether each pair has a value in every run of all methods; ``EvaluationError`` if sizes differ."""
        return judged_by_all(self.values)

    def in_units(self) -> list[Floats]:
        """Return the values of each method as real (seeds, units), with the means over pairs that it has.

        A unit has the sum of its pairs, times what makes the mean over units that over pairs. Pairs that lack
        a value in a run of any method are left out. Raises ``EvaluationError`` as ``compared_pairs`` does.

        Examples
        --------
        >>> Nested([np.array([[0.1, 0.3, 0.8]])], np.array([0, 0, 2])).in_units()[0].round(3).tolist()
        [[0.267, 0.533]]
        """
        values = compared_pairs(self.values)
        if self.units is None:
            return values
        units = self.units[self.judged]
        sums = [summed(each, units) for each in values]
        return [each * (each.shape[1] / len(units)) for each in sums]


def summed(values: Floats, units: Integers) -> Floats:
    """Return the sums (rows, units) of values (rows, n) over what has the same number in ``units`` (n,)."""
    _, unit = np.unique(units, return_inverse=True)
    return np.stack([np.bincount(unit, row) for row in values])


def nested_in_pairs(methods: Sequence[Sequence[Run]]) -> Nested:
    """Return the values of each method as (seeds, pairs), columns of all methods being the same pairs.

    Only splits that all methods have count, since the value of a pair depends on the gallery of its split.
    A pair that stands in the test parts of several splits has the mean over these, since its values there
    are not independent. With one split the values are as they are. A pair of which a
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
    >>> nested_in_pairs([[one, other]]).values[0].round(2).tolist()
    [[0.5, 0.2, 0.9]]
    """
    methods = of_common_splits(methods)
    runs = [run for method in methods for run in method]
    if len({run.split for run in runs}) == 1:
        return Nested([np.stack([run.values for run in method]) for method in methods], _units(runs))
    for run in runs:
        if len(run.ids) != len(run.values):
            raise EvaluationError(
                f"{len(run.values)} queries of {len(run.ids)} pairs: queries that are not one of each pair "
                "cannot be followed through several splits; compare runs of one split"
            )
    pairs = np.unique(np.concatenate([run.ids for run in runs]))
    return Nested([_means(method, pairs) for method in methods], _units_of(pairs, runs))


def _units(runs: Sequence[Run]) -> Integers | None:
    """Return the units of runs of the same pairs, which one of them at least knows; else None."""
    return next(
        (run.units for run in runs if run.units is not None and len(run.units) == len(run.values)), None
    )


def _units_of(pairs: NDArray[np.str_], runs: Sequence[Run]) -> Integers | None:
    """Return the units of pairs in several splits, as each split that a pair is first in knows them."""
    first: dict[str, str] = {}
    for split in {run.split: None for run in runs}:
        of_split = [run for run in runs if run.split == split]
        known = _units(of_split)
        if known is not None:
            ids = of_split[0].ids
            for pair, unit in zip(ids.tolist(), ids[known].tolist(), strict=True):
                first.setdefault(pair, first.get(unit, unit))
    if not first:
        return None
    names = [first.get(pair, pair) for pair in pairs.tolist()]
    units: Integers = np.unique(names, return_inverse=True)[1]
    return units


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
