"""What changed between two stores: rows that are new, rows that are gone, and numbers that differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cmbench.current import code_of
from cmbench.errors import EvaluationError, StoreError
from cmbench.evaluation.measures import Measure
from cmbench.evaluation.nesting import nested_in_pairs
from cmbench.evaluation.statistics import LEVEL, difference
from cmbench.report.layout import Column
from cmbench.report.page.content import Board, Entry
from cmbench.report.records import run_name, run_names
from cmbench.report.significance import Arrays, runs_of


@dataclass(frozen=True)
class Step:
    """A number before and after: None where there is none.

    ``p`` is that of the paired test over the same test pairs, None where it was not made, as of a median.
    """

    column: Column
    before: float | None
    after: float | None
    p: float | None

    @property
    def by(self) -> float:
        """How much the number grew; 0 where one of the two is missing."""
        return 0.0 if self.before is None or self.after is None else self.after - self.before

    @property
    def is_gain(self) -> bool:
        """Whether the number became better."""
        return self.by < 0 if self.column.measure.lower_is_better else self.by > 0

    @property
    def is_beyond_chance(self) -> bool:
        """Whether the test says that the two differ."""
        return self.p is not None and self.p <= LEVEL


@dataclass(frozen=True, eq=False)
class Change:
    """A row of one store or both: what became of it, in a word and in detail, and its numbers."""

    board: str
    label: str
    kind: str
    detail: str
    steps: tuple[Step, ...]


@dataclass(frozen=True, eq=False)
class Changes:
    """What changed from one store to another, board by board, and how many rows did not."""

    before: tuple[str, ...]
    after: tuple[str, ...]
    rows: tuple[Change, ...]
    alike: int

    @property
    def measures(self) -> tuple[Measure, ...]:
        """What the numbers are, each measure once."""
        return tuple(dict.fromkeys(step.column.measure for row in self.rows for step in row.steps))


def changes(
    before: Sequence[Board],
    after: Sequence[Board],
    *,
    names: tuple[tuple[str, ...], tuple[str, ...]],
    arrays: tuple[Arrays, Arrays],
) -> Changes:
    """Return what changed from the boards of one store to those of another.

    Boards are the same if the data and the protocol are; rows are if method, parameters and code are, or
    else if there is only one way to pair those of a method. Numbers are compared at full precision.
    """
    compared = [
        _change(board, pair, arrays) for board, pairs in _paired_boards(before, after) for pair in pairs
    ]
    rows = tuple(each for each in compared if each.kind != "alike")
    return Changes(*names, rows, len(compared) - len(rows))


Pair = tuple[Entry | None, Entry | None]


def _paired_boards(before: Sequence[Board], after: Sequence[Board]) -> Iterator[tuple[Board, list[Pair]]]:
    """Yield each board of either store with its rows, those of one store paired with those of the other."""
    earlier = {_identity(board): board for board in before}
    for board in after:
        other = earlier.pop(_identity(board), None)
        yield board, _paired(() if other is None else other.entries, board.entries)
    for board in earlier.values():
        yield board, [(entry, None) for entry in board.entries]


def _identity(board: Board) -> tuple[str, tuple[tuple[str, Any], ...]]:
    return board.group.dataset["fingerprint"], tuple(sorted(board.group.protocol.items()))


def _paired(before: Sequence[Entry], after: Sequence[Entry]) -> list[Pair]:
    """Return the rows in pairs: by all traits, then by parameters, then the only ones left of a method."""
    pairs: list[Pair] = []
    old, new = list(before), list(after)
    for alike in (_same_traits, _same_parameters, _same_method):
        for entry in list(new):
            matches = [other for other in old if alike(other, entry)]
            rivals = [other for other in new if alike(other, entry)]
            if len(matches) == len(rivals) == 1:
                pairs.append((matches[0], entry))
                old.remove(matches[0])
                new.remove(entry)
    order = {id(entry): at for at, entry in enumerate(after)}
    pairs.sort(key=lambda pair: order[id(pair[1])])
    return [*pairs, *((None, entry) for entry in new), *((entry, None) for entry in old)]


def _same_traits(first: Entry, second: Entry) -> bool:
    return _same_method(first, second) and first.setting.traits == second.setting.traits


def _same_parameters(first: Entry, second: Entry) -> bool:
    return _same_method(first, second) and first.setting.parameters == second.setting.parameters


def _same_method(first: Entry, second: Entry) -> bool:
    return bool(first.setting.method["name"] == second.setting.method["name"])


def _change(board: Board, pair: Pair, arrays: tuple[Arrays, Arrays]) -> Change:
    before, after = pair
    entry = after or before
    assert entry is not None  # a pair has one of the two
    if before is None or after is None:
        steps = tuple(
            Step(column, _mean(before, column), _mean(after, column), None) for column in board.columns
        )
        kind = "new" if before is None else "gone"
        return Change(board.group.title, entry.label, kind, entry.failure, steps)
    detail = "; ".join(_differences(before, after))
    steps = tuple(_step(column, before, after, arrays) for column in board.columns)
    differ = detail or any(step.before != step.after for step in steps)
    return Change(board.group.title, entry.label, "changed" if differ else "alike", detail, steps)


def _differences(before: Entry, after: Entry) -> Iterator[str]:
    """Yield how two rows of a method differ other than in their numbers."""
    first, second = before.setting, after.setting
    for name in dict.fromkeys((*first.parameters, *second.parameters)):
        old, new = first.parameters.get(name, "none"), second.parameters.get(name, "none")
        if old != new:
            yield f"{name} from {old} to {new}"
    codes = code_of(first.records[0]), code_of(second.records[0])
    if codes[0] != codes[1]:
        yield f"code from {codes[0]} to {codes[1]}"
    runs = [run_names([run_name(each) for each in setting.finished]) for setting in (first, second)]
    if runs[0] != runs[1]:
        yield f"finished runs from {runs[0] or 'none'} to {runs[1] or 'none'}"
    if before.failure != after.failure:
        yield f"failures from {before.failure or 'none'} to {after.failure or 'none'}"


def _mean(entry: Entry | None, column: Column) -> float | None:
    score = entry and entry.setting.score(column.key)
    return score.mean if score else None


def _step(column: Column, before: Entry, after: Entry, arrays: tuple[Arrays, Arrays]) -> Step:
    values = _mean(before, column), _mean(after, column)
    if None in values or values[0] == values[1] or not column.measure.is_mean:
        return Step(column, *values, None)
    sides = zip((before, after), arrays, strict=True)
    try:
        runs = [runs_of(entry.setting, column, read) for entry, read in sides]
        earlier, later = nested_in_pairs(runs).in_units()
        return Step(column, *values, difference(later, earlier).p)
    except (StoreError, EvaluationError):  # the numbers differ; whether by chance, nobody can say
        return Step(column, *values, None)
