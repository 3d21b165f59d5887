"""Every two methods of a dataset side by side, query by query, from the APs that are stored."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmbench.errors import EvaluationError, StoreError
from cmbench.evaluation.nesting import Run, of_common_splits
from cmbench.evaluation.statistics import LEVEL, Comparison, intervals
from cmbench.report.layout import AVERAGE, Column, columns_of_queries
from cmbench.report.page.content import Board, Entry
from cmbench.report.significance import Arrays, pairs_text, reading, runs_of

Floats = NDArray[np.float64]
STEPS = 65_534
"""APs are sent to the browser as whole numbers up to this one, which errs by less than .00001."""
NO_AP = 65_535
DECIDING = 5  # queries for and against, where the page shows them without JavaScript


@dataclass(frozen=True, eq=False)
class Compared:
    """A column: of each entry the APs (runs, queries), the tests, and the intervals of all differences.

    ``pairs`` says in words what was compared.
    """

    column: Column
    values: tuple[Floats, ...]
    pairs: str
    tests: Comparison
    low: Floats
    high: Floats

    def mean_ap(self, at: int) -> Floats:
        """Return the AP of each query (n,), the mean over the runs of an entry."""
        mean: Floats = self.values[at].mean(axis=0)
        return mean


@dataclass(frozen=True, eq=False)
class Pairwise:
    """The comparisons of a board by column, the queries they are over, and which entries lack their APs.

    ``reasons`` say why columns could not be compared.
    """

    board: Board
    entries: tuple[Entry, ...]
    columns: tuple[Compared, ...]
    ids: tuple[str, ...]
    categories: tuple[str, ...]
    lacking: tuple[Entry, ...]
    reasons: tuple[str, ...] = ()

    @property
    def main(self) -> Compared:
        """The column that is shown first: the bi-modal average where there is one."""
        return next((each for each in self.columns if each.column == AVERAGE), self.columns[0])


@dataclass(frozen=True)
class Deciding:
    """A query on which two methods differ much: its id and category, and the AP of each."""

    query: str
    category: str
    first: float
    second: float


def pairwise(board: Board, arrays: Arrays) -> Pairwise:
    """Return the comparison of every two methods of a board; fewer than two with APs give no columns.

    The unit is the test pair, or what several belong to, with the runs of several seeds and splits nested in
    it.
    """
    columns = columns_of_queries(board.group.protocol)
    held = {entry: _runs(entry, columns[0], arrays) for entry in board.contenders}
    entries = tuple(entry for entry in held if held[entry])
    lacking = tuple(entry for entry in held if not held[entry])
    if len(entries) < 2:
        return Pairwise(board, entries, (), (), (), lacking)
    made, reasons = [], []
    for column in columns:
        try:
            made.append(_compared(column, entries, arrays))
        except (EvaluationError, StoreError) as error:
            reasons.append(f"{column.alone}: {error}")
    if not made:
        return Pairwise(board, entries, (), (), (), lacking, tuple(reasons))
    shared = chain.from_iterable(of_common_splits([held[entry] for entry in entries]))
    ids, categories = _queries(board, entries, list(shared), arrays)
    return Pairwise(board, entries, tuple(made), ids, categories, lacking, tuple(reasons))


def deciding(compared: Pairwise, first: int, second: int, *, count: int = DECIDING) -> list[Deciding]:
    """Return the queries on which two entries differ most, those for the first before the others."""
    left, right = compared.main.mean_ap(first), compared.main.mean_ap(second)
    differences = np.nan_to_num(left - right)
    order = np.argsort(-differences, kind="stable")
    most = [at for at in order[:count] if differences[at] > 0]
    least = [at for at in order[::-1][:count] if differences[at] < 0]
    return [
        Deciding(compared.ids[at], compared.categories[at], float(left[at]), float(right[at]))
        for at in (*most, *least)
    ]


def as_data(compared: Pairwise) -> dict[str, Any]:
    """Return what the browser needs to compare any two methods, as values of JSON."""
    return {
        "methods": [entry.label for entry in compared.entries],
        "ids": list(compared.ids),
        "categories": list(compared.categories),
        "level": LEVEL,
        "columns": [
            {
                "name": each.column.alone,
                "means": each.tests.means.tolist(),
                "p": _rounded(each.tests.p),
                "low": _rounded(each.low),
                "high": _rounded(each.high),
                "ap": [_packed(each.mean_ap(at)) for at in range(len(each.values))],
            }
            for each in compared.columns
        ],
        "main": compared.columns.index(compared.main) if compared.columns else 0,
    }


def _runs(entry: Entry, column: Column, arrays: Arrays) -> list[Run]:
    """Return the APs of each run of an entry; none where they are not stored of all."""
    try:
        return runs_of(entry.setting, column, arrays)
    except StoreError:
        return []


def _compared(column: Column, entries: Sequence[Entry], arrays: Arrays) -> Compared:
    """Return the comparison in a column; ``EvaluationError`` where none can be made."""
    nested, tests = reading(arrays).compared([entry.setting for entry in entries], column)
    low, high = intervals(nested.in_units())
    pairs = pairs_text([(int(np.count_nonzero(nested.judged)), tests.pairs)])
    return Compared(column, tuple(nested.values), pairs, tests, low, high)


def _queries(
    board: Board, entries: Sequence[Entry], runs: Sequence[Run], arrays: Arrays
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the id of each pair, in the order of the values, and the names of its categories."""
    count = len(runs[0].values)
    ids = runs[0].ids.tolist() if len(runs[0].ids) == count else [str(at) for at in range(count)]
    if len({run.split for run in runs}) > 1:
        ids = np.unique(np.concatenate([run.ids for run in runs])).tolist()
    names = board.group.dataset["class_names"]
    known: dict[str, str] = {}
    for record in entries[0].setting.finished:
        held = arrays(record)
        if "labels" in held and "ids" in held:
            labels = (_categories(label, names) for label in held["labels"])
            known |= dict(zip(held["ids"].tolist(), labels, strict=False))
    return tuple(map(str, ids)), tuple(known.get(each, "") for each in ids)


def _categories(label: Any, names: Sequence[str]) -> str:
    """Return the name of a label, or of all that a row of 0 and 1 marks."""
    chosen = [int(label)] if np.ndim(label) == 0 else np.flatnonzero(label).tolist()
    return ", ".join(str(names[at]) if 0 <= at < len(names) else str(at) for at in chosen)


def _packed(values: Floats) -> str:
    """Return numbers from 0 to 1 as base64 of 16-bit whole numbers, the lower byte first."""
    steps = np.where(np.isnan(values), NO_AP, np.rint(np.clip(values, 0, 1) * STEPS))
    return base64.b64encode(steps.astype("<u2").tobytes()).decode("ascii")


def _rounded(values: Floats) -> list[list[float]]:
    rounded: list[list[float]] = values.round(6).tolist()
    return rounded
