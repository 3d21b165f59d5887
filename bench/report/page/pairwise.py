"""Every two methods of a dataset side by side, query by query, from the APs that are stored."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmbench.errors import EvaluationError, StoreError
from cmbench.evaluation.protocol import AVERAGES
from cmbench.evaluation.statistics import LEVEL, Comparison, compare_all, intervals
from cmbench.report.layout import BIMODAL, COLUMNS, Column
from cmbench.report.page.content import Board, Entry
from cmbench.report.significance import Arrays

Floats = NDArray[np.float64]
STEPS = 65_534
"""APs are sent to the browser as whole numbers up to this one, which errs by less than .00001."""
NO_AP = 65_535
DECIDING = 5  # queries for and against, where the page shows them without JavaScript


@dataclass(frozen=True, eq=False)
class Compared:
    """A column: of each entry the APs (runs, queries), the tests, and the intervals of all differences."""

    column: Column
    values: tuple[Floats, ...]
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
        average = BIMODAL.columns[-1]
        return next((each for each in self.columns if each.column == average), self.columns[0])


@dataclass(frozen=True)
class Deciding:
    """A query on which two methods differ much: its id and category, and the AP of each."""

    query: str
    category: str
    first: float
    second: float


def pairwise(board: Board, arrays: Arrays) -> Pairwise:
    """Return the comparison of every two methods of a board; fewer than two with APs give no columns."""
    held = {entry: _stored(entry, arrays) for entry in board.finished}
    entries = [entry for entry in held if held[entry] is not None]
    read = [runs for runs in held.values() if runs is not None]
    lacking = tuple(entry for entry in held if held[entry] is None)
    if len(entries) < 2:
        return Pairwise(board, tuple(entries), (), (), (), lacking)
    made, reasons = [], []
    for column in _comparable(board):
        try:
            made.append(_compared(column, read))
        except EvaluationError as error:
            reasons.append(f"{column.alone}: {error}")
    ids, categories = _queries(board, read[0][0])
    return Pairwise(board, tuple(entries), tuple(made), ids, categories, lacking, tuple(reasons))


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


def _comparable(board: Board) -> Sequence[Column]:
    """Return the columns whose numbers are means over queries of the same pairs."""
    by_pair = board.group.protocol.get("relevance") == "pair"
    return BIMODAL.columns[:2] if by_pair else COLUMNS


def _stored(entry: Entry, arrays: Arrays) -> list[dict[str, NDArray[Any]]] | None:
    """Return the arrays of each run that the comparison needs, or None if one of them is not stored."""
    try:
        runs = [arrays(record) for record in entry.setting.finished]
    except StoreError:
        return None
    kept = [
        {name: run[name] for name in run if name.startswith("ap_") or name in ("ids", "labels")}
        for run in runs
    ]
    return kept if all(any(name.startswith("ap_") for name in run) for run in kept) else None


def _compared(column: Column, read: Sequence[Sequence[Mapping[str, NDArray[Any]]]]) -> Compared:
    """Return the comparison in a column; ``EvaluationError`` where none can be made."""
    names = [f"ap_{task}" for task in AVERAGES.get(column.key, (column.key,))]
    if not all(name in run for runs in read for run in runs for name in names):
        raise EvaluationError("some runs have no AP of this task")
    values = tuple(
        np.stack([np.mean([run[name] for name in names], axis=0, dtype=np.float64) for run in runs])
        for runs in read
    )
    low, high = intervals(values)
    return Compared(column, values, compare_all(values), low, high)


def _queries(board: Board, run: Mapping[str, NDArray[Any]]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the id of each query and the names of its categories."""
    count = len(next(values for name, values in run.items() if name.startswith("ap_")))
    ids = [str(each) for each in run["ids"]] if "ids" in run else []
    ids = ids if len(ids) == count else [str(at) for at in range(count)]
    names = board.group.dataset["class_names"]
    labels = run.get("labels")
    if labels is None or len(labels) != count:
        return tuple(ids), ("",) * count
    return tuple(ids), tuple(_categories(label, names) for label in labels)


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
