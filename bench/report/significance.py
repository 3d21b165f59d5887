"""Which methods of a column cannot be told apart: what tables and figures mark in place of a lone best."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cmbench.errors import DamagedArraysError, EvaluationError, StoreError, either
from cmbench.evaluation.measures import MAP
from cmbench.evaluation.nesting import Nested, Run, nested_in_pairs
from cmbench.evaluation.protocol import AVERAGES
from cmbench.evaluation.statistics import LEVEL, MOST_METHODS, Comparison, compare_all
from cmbench.records import Record, split_of
from cmbench.report.layout import Column, Mark, lone_best
from cmbench.report.settings import Setting, competes

Arrays: TypeAlias = Callable[[Record], Mapping[str, NDArray[Any]]]
"""Gives the arrays of a record, or raises ``StoreError``: ``Store(folder).arrays``."""


@dataclass(frozen=True)
class Standing:
    """The marks of one column, in the order of the settings given.

    ``pairs`` is the number of test pairs that were compared, ``units`` that of what they belong to, and
    ``comparisons`` that of the tests; all are 0 where nothing was tested, for the reason ``untested``, which
    is empty where there is nothing to compare.
    """

    marks: tuple[Mark, ...]
    pairs: int = 0
    units: int = 0
    comparisons: int = 0
    untested: str = ""


def best_groups(
    settings: Sequence[Setting], columns: Sequence[Column], arrays: Arrays | None
) -> dict[str, Standing]:
    """Return by column key which settings are best, or cannot be told apart from the best.

    Every two settings of a column are compared by ``cmbench.evaluation.statistics.compare_all``: a paired
    permutation test over the test pairs with the runs of each setting nested in them, where pairs that belong
    together change signs together, corrected by Holm's
    method for all comparisons of the column. A mark's ``letters`` tell the same of every two settings: those
    that share a letter cannot be told apart. Where no test is possible, the best number is marked alone,
    with those that print the same, and no letters.

    Parameters
    ----------
    settings : those of one table, from ``cmbench.report.settings.settings``; failed ones get no mark, and
        neither do bounds, which know the test labels, and controls that learn nothing
    columns : such as ``cmbench.report.layout.COLUMNS``
    arrays : ``Store(folder).arrays`` of the store the records are from; None where there is none. Each
        record's arrays are read once, and only where there is something to compare; a ``Reading`` of them
        keeps the tests for whoever asks for the same

    Examples
    --------
    The methods of a figure of the bi-modal average that are to be marked::

        from cmbench.report.layout import AVERAGE

        standing = best_groups(settings(records), [AVERAGE], Store(folder).arrays)[AVERAGE.key]
        best = [mark.best for mark in standing.marks]
    """
    once = reading(arrays)
    return {column.key: _standing(settings, column, once) for column in columns}


def marks_of(standings: Mapping[str, Standing]) -> dict[str, tuple[Mark, ...]]:
    """Return the marks of each column."""
    return {key: standing.marks for key, standing in standings.items()}


def runs_of(setting: Setting, column: Column, arrays: Arrays) -> list[Run]:
    """Return the runs of a setting with what the column is the mean of: AP or another measure of each query.

    For an average of two tasks it is the mean of the two queries of a pair. Raises ``StoreError`` where the
    arrays of a record are missing, or lack the measure, and ``EvaluationError`` where the two tasks have
    other queries.
    """
    task = column.key.removeprefix(f"{column.measure.name}_")
    kind = "ap" if column.measure == MAP else column.measure.name
    names = [f"{kind}_{each}" for each in AVERAGES.get(task, (task,))]
    return [_run(record, names, arrays(record)) for record in setting.finished]


def _run(record: Record, names: Sequence[str], held: Mapping[str, NDArray[Any]]) -> Run:
    missing = [name for name in names if name not in held]
    if missing:
        raise StoreError(f"the arrays of cell {record['key']} lack {missing[0]}; run it again with --force")
    counts = sorted({len(held[name]) for name in names})
    if len(counts) > 1:
        raise EvaluationError(f"the two directions have {' and '.join(map(str, counts))} queries")
    values: NDArray[np.float64] = np.mean([held[name] for name in names], axis=0, dtype=np.float64)
    ids = held.get("ids", np.empty(0, dtype=np.str_))
    return Run(record["seed"], split_of(record), ids, values, held.get("units"))


@dataclass(frozen=True)
class Verdict:
    """What the test of a column found: who is best, the letters of each method, how much was compared."""

    best: tuple[bool, ...]
    groups: tuple[str, ...]
    pairs: int
    units: int


class Reading:
    """Arrays of records, each read once, and the comparisons of them, each made once.

    It gives arrays as what it was made from, without those of several dimensions but labels: what is left is
    what a table and a comparison need, a few numbers for each query. Hand it on wherever ``Arrays`` are
    asked for, so that tables, files and comparisons of the same rows share their tests.
    """

    def __init__(self, arrays: Arrays | None) -> None:
        self.arrays = arrays
        self._read: dict[str, Mapping[str, NDArray[Any]]] = {}
        self._compared: dict[object, tuple[Nested, Comparison]] = {}

    def __call__(self, record: Record) -> Mapping[str, NDArray[Any]]:
        """Return the arrays of a record; ``StoreError`` where there are none."""
        if self.arrays is None:
            raise StoreError("there is no store")
        if record["key"] not in self._read:
            held = self.arrays(record)
            self._read[record["key"]] = {
                name: held[name] for name in held if held[name].ndim < 2 or name == "labels"
            }
        return self._read[record["key"]]

    def verdict(self, settings: Sequence[Setting], column: Column) -> Verdict | None:
        """Return the verdict of an earlier test of the same arrays, where one is remembered."""

    def note(self, settings: Sequence[Setting], column: Column, verdict: Verdict) -> None:
        """Take note of the verdict of a test."""

    def compared(self, settings: Sequence[Setting], column: Column) -> tuple[Nested, Comparison]:
        """Return the values of settings nested in pairs, and the tests of every two.

        ``EvaluationError`` where they cannot be compared, ``StoreError`` where values are not stored.
        """
        asked = column.key, tuple(tuple(each["key"] for each in of.finished) for of in settings)
        if asked not in self._compared:
            nested = nested_in_pairs([runs_of(each, column, self) for each in settings])
            self._compared[asked] = nested, compare_all(nested.in_units())
        return self._compared[asked]


def reading(arrays: Arrays | None) -> Reading:
    """Return what reads arrays once, which is ``arrays`` itself if it does so already."""
    return arrays if isinstance(arrays, Reading) else Reading(arrays)


def _standing(settings: Sequence[Setting], column: Column, arrays: Reading) -> Standing:
    scores = [each.score(column.key) if competes(each) else None for each in settings]
    shown = [at for at, score in enumerate(scores) if score is not None]
    alone = tuple(lone_best(scores, column))
    if len(shown) < 2:
        return Standing(alone)
    if not column.measure.is_mean:
        return Standing(alone, untested=f"{column.measure.heading} is a median, which the test is not for")
    if len(shown) > MOST_METHODS:  # before their arrays are read
        return Standing(alone, untested=f"{len(shown)} rows are too many; choose up to {MOST_METHODS}")
    chosen = [settings[at] for at in shown]
    verdict = arrays.verdict(chosen, column)
    if verdict is None:
        untested = _lacking(chosen, column, arrays)
        if untested:
            return Standing(alone, untested=untested)
        try:
            nested, compared = arrays.compared(chosen, column)
        except EvaluationError as error:
            return Standing(alone, untested=str(error))
        pairs = int(np.count_nonzero(nested.judged))
        verdict = Verdict(compared.best, compared.groups, pairs, compared.pairs)
        arrays.note(chosen, column, verdict)
    marks = dict(zip(shown, map(Mark, verdict.best, verdict.groups), strict=True))
    twos = len(shown) * (len(shown) - 1) // 2
    of_all = tuple(marks.get(at, Mark()) for at in range(len(settings)))
    return Standing(of_all, verdict.pairs, verdict.units, twos)


def _lacking(settings: Sequence[Setting], column: Column, arrays: Reading) -> str:
    """Return which settings lack arrays, or why those of one cannot be read; empty where all are there."""
    lacking = []
    for setting in settings:
        try:
            runs_of(setting, column, arrays)
        except DamagedArraysError as error:
            return str(error)
        except StoreError:
            lacking.append(setting.label)
        except EvaluationError:  # of which the test will tell
            continue
    whose = f" of {', '.join(lacking)}" if len(lacking) < len(settings) else ""
    return f"no values per query are stored{whose}" if lacking else ""


def marked_labels(
    settings: Sequence[Setting], standings: Mapping[str, Standing]
) -> dict[str, tuple[str, ...]]:
    """Return by column key the labels of the settings that a figure marks; none where nothing was tested."""
    return {
        key: tuple(each.label for each, mark in zip(settings, standing.marks, strict=True) if mark.best)
        for key, standing in standings.items()
        if standing.pairs
    }


def marked_note(mark: str, standings: Mapping[str, Standing]) -> str:
    """Return the sentence under a figure that says what ``mark`` means; empty where nothing was tested."""
    tested = [standing for standing in standings.values() if standing.pairs]
    if not tested:
        return ""
    return (
        f"{mark}: the best and all that cannot be told apart from it (paired permutation test over "
        f"{compared_text(tested)}, {LEVEL:.0%} after Holm's correction)."
    )


def compared_text(tested: Iterable[Standing]) -> str:
    """Return how many test pairs were compared, and in how many groups where some belong together."""
    return pairs_text((each.pairs, each.units) for each in tested)


def pairs_text(compared: Iterable[tuple[int, int]]) -> str:
    """Return numbers of test pairs in words, with those of their units where some belong together.

    >>> pairs_text([(100, 100), (80, 80)]), pairs_text([(360, 119)])
    ('80 or 100 test pairs', '360 test pairs in 119 groups of what belongs together')
    """
    counts = sorted(set(compared))
    told = f"{either(dict.fromkeys(pairs for pairs, _ in counts))} test pairs"
    if all(pairs == units for pairs, units in counts):
        return told
    return f"{told} in {either(dict.fromkeys(units for _, units in counts))} groups of what belongs together"


def significance_note(
    standings: Mapping[Any, Standing], settings: Sequence[Setting], *, letters: bool
) -> str:
    """Return the sentences under a table that say what its marks mean, and why where they mean less."""
    tested = [standing for standing in standings.values() if standing.pairs]
    reasons = list(dict.fromkeys(each.untested for each in standings.values() if each.untested))
    if not tested and not reasons:
        return ""
    alone = "Bold: the best number of a column alone, or with those that print the same"
    if not tested:
        return f"{alone}; whether others differ from it by chance was not tested ({'; '.join(reasons)})."
    twos = either(sorted({each.comparisons for each in tested}))
    several = {
        "seeds": any(each.seeds > 1 for each in settings),
        "splits": any(len(each.splits) > 1 for each in settings),
    }
    kinds = " and ".join(kind for kind, is_so in several.items() if is_so)
    runs = f", several {kinds} nested in them" if kinds else ""
    note = (
        f"Bold: the best of a column and all that cannot be told apart from it (paired permutation test over "
        f"{compared_text(tested)}{runs}; two-sided, {LEVEL:.0%} after Holm's correction for the {twos} "
        "comparison(s) of a column)."
    )
    of_letters = "Letters: methods that share one in a column cannot be told apart, and others can."
    return " ".join(
        filter(None, [note, of_letters if letters else "", _single_runs(settings), _partly(reasons)])
    )


def _single_runs(settings: Sequence[Setting]) -> str:
    """Return which methods depend on a seed and were run with one, of whose chance the test knows nothing."""
    once = (each.label for each in settings if each.is_random and each.seeds == 1)
    names = list(dict.fromkeys(once))
    return f"Of {', '.join(names)} one seed finished, so that other seeds may differ more." if names else ""


def _partly(reasons: Sequence[str]) -> str:
    return f"In other columns the best number alone is bold: {'; '.join(reasons)}." if reasons else ""
