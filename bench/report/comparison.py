"""Two methods, or two stores, side by side: differences over the same test pairs, with their chance."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tabulate import tabulate

from cmbench.current import code_of, divided_by_code, tell_of_older
from cmbench.errors import EvaluationError, ReportError, StoreError, did_you_mean
from cmbench.evaluation.nesting import Run, nested_in_pairs
from cmbench.evaluation.statistics import LEVEL, Difference, difference, holm
from cmbench.records import Record, split_of
from cmbench.report.layout import AVERAGE, Column, columns_of_queries
from cmbench.report.records import STAND_INS, Group, groups, select
from cmbench.report.settings import Setting, settings
from cmbench.report.significance import runs_of
from cmbench.store import Store

Floats = NDArray[np.float64]
_SAME_RUNS = ("the same runs", *("",) * 4)
HEADINGS = ("", "first", "second", "difference", "± error", "95 % interval", "p", "p corrected")


class Row(NamedTuple):
    """Values of both sides nested in units, and whether they are of the very same runs."""

    name: str
    first: Floats
    second: Floats
    same_runs: bool


@dataclass(frozen=True)
class Side:
    """What is compared: runs of one method under one setting, and the store that has their APs."""

    store: Store
    setting: Setting

    def runs(self, column: Column) -> list[Run]:
        """Return what ``runs_of`` does: AP of each run."""
        return runs_of(self.setting, column, self.store.arrays)

    def keys(self, splits: Collection[int]) -> set[str]:
        """Return the keys of the finished cells of these splits."""
        return {record["key"] for record in self.setting.finished if split_of(record) in splits}


def compare_methods(store: Store, records: Sequence[Record], first: str, second: str) -> str:
    """Return how two methods of a store differ, a table for each dataset and protocol.

    A method that was run in several settings, or with older code, is named by the first digits of the key of
    one of its cells. Other cells of older code are left out, with a ``CmbenchWarning``.
    The p-values of a table are corrected for its rows by Holm's method. What cannot be compared is named
    under the tables. ``ReportError`` where no dataset has both or can be compared, or a name is that of
    several settings.
    """
    sections, lacking = [], []
    records, older = _in_question(store, records, (first, second))
    for group in groups(records):
        sides = [_side(store, group, name, older) for name in (first, second)]
        if sides[0] is not None and sides[1] is not None:
            try:
                sections.append(_section(group.title, sides[0], sides[1]))
            except (EvaluationError, StoreError) as error:
                lacking.append(f"{group.title} is left out: {error}")
    if not sections:
        raise ReportError("; ".join(lacking) or _why_not(store, records, first, second))
    return "\n\n".join([*sections, *lacking, _FOOTER]) + "\n"


def compare_stores(
    first: Store, second: Store, *, datasets: Sequence[str] = (), protocol: str | None = None
) -> str:
    """Return how the methods that two stores have in common differ, a table for each dataset and protocol.

    They are those of ``datasets`` and ``protocol``, as ``select`` has them. Settings are the same if all
    parameters and the version of the code are. Those that cannot be compared are named under the table, with
    the reason. Raises ``ReportError`` if the stores have nothing in common, or nothing can be compared.
    """
    sections, lacking = [], []
    stores = [
        groups(select(store.records(), datasets=datasets, protocol=protocol)) for store in (first, second)
    ]
    for before, after in product(*stores):
        if (before.dataset["fingerprint"], before.protocol) == (after.dataset["fingerprint"], after.protocol):
            rows, left_out = _store_rows((first, second), _common(before, after))
            if rows:
                sections.append(_store_section(before, (first, second), rows))
            lacking += [f"{before.title}: {reason}" for reason in left_out]
    if not sections:
        raise ReportError("; ".join(lacking) or _nothing_in_common((first, second), stores))
    return "\n\n".join([*sections, *lacking, _FOOTER]) + "\n"


_FOOTER = (
    "Differences are first minus second, in MAP; errors and intervals cover test pairs and seeds. p is that "
    "of a paired permutation test over test pairs, with runs of several seeds and splits nested in them: a "
    "pair counts once, however many splits test it, pairs that belong together, such as captions of one "
    "picture, change signs together, and only splits that both have count, so that means may "
    "differ from those of a table; corrected by Holm's method for the rows of its table, * marks "
    f"{LEVEL:g} or less. A leaderboard corrects for all pairs of its methods, so that two may both be bold "
    "there and have a * here; of a pair picked for its numbers, the leaderboard's is the fair answer. "
    "A method with one run says nothing of other seeds. The same runs, by key and values, are not compared."
)


def _in_question(
    store: Store, records: Sequence[Record], names: Sequence[str]
) -> tuple[list[Record], set[str]]:
    """Return the records of the newest code with those of older code that a key names, and keys of these.

    A ``CmbenchWarning`` tells of the others.
    """
    newest, older = divided_by_code(store.folder, records)
    keys = [name for name in names if not any(_is_called(record["method"], name) for record in newest)]
    wanted = {_code(record) for record in older if record["key"].startswith(tuple(keys))}
    kept = [record for record in older if _code(record) in wanted]
    left_out = [record for record in older if _code(record) not in wanted]
    tell_of_older(left_out, remedy="to compare one, name it by the first digits of its key")
    return [*newest, *kept], {record["key"] for record in kept}


def _code(record: Record) -> tuple[str, str]:
    return record["method"]["name"], code_of(record)


def _why_not(store: Store, records: Sequence[Record], first: str, second: str) -> str:
    """Return why two methods have no table: one is not in the store, or they are on different datasets."""
    finished = [setting for group in groups(records) for setting in settings(group.finished)]
    names = list(dict.fromkeys(setting.method["name"] for setting in finished))
    for name in (first, second):
        if not any(_answers_to(each, name) for each in finished):
            dataset, slash, method = name.rpartition("/")
            meant = (
                f", and there is no folder of that name; for {method} on {dataset} alone give {method} and "
                f"--dataset {dataset}"
                if slash
                else ""
            )
            return (
                f"{store.folder} has no finished cell of {name!r}{did_you_mean(name, names)}{meant}; "
                f"it has {', '.join(names) or 'none'}"
            )
    return f"no dataset in {store.folder} has finished cells of both {first!r} and {second!r}"


def _nothing_in_common(stores: tuple[Store, Store], sides: Sequence[Sequence[Group]]) -> str:
    """Return that two stores have no table, and what each of them holds."""
    held = "; ".join(f"{store.folder} has {_held(side)}" for store, side in zip(stores, sides, strict=True))
    return (
        f"{stores[0].folder} and {stores[1].folder} have no finished cell in common, which is one of the "
        f"same arrays, protocol, method, version and parameters: {held}"
    )


def _held(side: Sequence[Group]) -> str:
    """Return which methods finished on which datasets, in words."""
    told = [
        f"{', '.join(dict.fromkeys(record['method']['name'] for record in group.finished))} on {group.title}"
        for group in side
        if group.finished
    ]
    return "; ".join(told) or "none"


def _side(store: Store, group: Group, name: str, older: Collection[str]) -> Side | None:
    """Return the one setting of a group that has this name; None where none has a finished cell.

    A name is that of a method, or the first digits of the key of a cell; that of a method does not mean its
    cells of ``older`` code, which are given by their keys. What runs in the place of a method where items
    have no parts answers to its name, where it has no cell itself.
    """
    finished = settings(group.finished)
    newest = [setting for setting in finished if setting.finished[0]["key"] not in older]
    named = [setting for setting in newest if _is_called(setting.method, name)]
    stand_ins = [setting for setting in newest if _stands_for(setting.method, name)]
    chosen = named or stand_ins or [setting for setting in finished if _has_key(setting, name)]
    if len(chosen) > 1:
        listed = "; ".join(f"{each.finished[0]['key'][:8]} is {each.label}" for each in chosen)
        raise ReportError(
            f"{group.title} has several settings of {name}; in its place give the first digits of the key of "
            f"a cell: {listed}"
        )
    return Side(store, chosen[0]) if chosen else None


def _is_called(method: Mapping[str, Any], name: str) -> bool:
    """Return whether a method has this name, or this name in papers."""
    return name.casefold() in (method["name"].casefold(), method["paper_name"].casefold())


def _stands_for(method: Mapping[str, Any], name: str) -> bool:
    """Return whether a method runs in the place of that of this name where items have no parts."""
    return bool(method["name"] == STAND_INS.get(name.casefold()))


def _has_key(setting: Setting, digits: str) -> bool:
    return any(record["key"].startswith(digits) for record in setting.finished)


def _answers_to(setting: Setting, name: str) -> bool:
    method = setting.method
    return _is_called(method, name) or _stands_for(method, name) or _has_key(setting, name)


def _common(before: Group, after: Group) -> Iterable[tuple[Setting, Setting]]:
    """Yield the settings with finished cells that both groups have, in the order of tables."""
    others = settings(after.finished)
    for setting in settings(before.finished):
        for other in others:
            if _identity(setting) == _identity(other):
                yield setting, other


def _identity(setting: Setting) -> tuple[str, Mapping[str, Any], Mapping[str, Any]]:
    """Return what settings of two stores share: method, version, parameters, and who chose them on splits."""
    return setting.method["name"], setting.traits, setting.parameters


def _section(title: str, first: Side, second: Side) -> str:
    names = f"first: {_named(first.setting)}, second: {_named(second.setting)}"
    columns = [_row(column.alone, (first, second), column) for column in _columns(first.setting)]
    return f"**{title}**; {names}\n\n{_table(columns)}"


def _row(name: str, sides: tuple[Side, Side], column: Column) -> Row:
    """Return the values of both sides nested in units, of the pairs that have one in every run."""
    first, second = nested_in_pairs([side.runs(column) for side in sides]).in_units()
    common = set(sides[0].setting.splits) & set(sides[1].setting.splits)
    same_cells = sides[0].keys(common) == sides[1].keys(common)
    return Row(name, first, second, same_cells and np.array_equal(first, second))


def _columns(setting: Setting) -> Sequence[Column]:
    """Return what can be compared query by query."""
    return columns_of_queries(setting.finished[0]["protocol"])


def _store_rows(
    stores: tuple[Store, Store], pairs: Iterable[tuple[Setting, Setting]]
) -> tuple[list[Row], list[str]]:
    """Return the rows of a table of two stores, and why other settings have none."""
    rows, lacking = [], []
    for setting, other in pairs:
        try:
            sides = Side(stores[0], setting), Side(stores[1], other)
            rows.append(_row(setting.label, sides, _store_column(setting)))
        except (EvaluationError, StoreError) as error:
            lacking.append(f"{setting.label} is left out: {error}")
    return rows, lacking


def _store_column(setting: Setting) -> Column:
    columns = _columns(setting)
    return AVERAGE if AVERAGE in columns else columns[0]


def _store_section(group: Group, stores: tuple[Store, Store], rows: Sequence[Row]) -> str:
    column = _store_column(settings(group.finished)[0])
    head = f"**{group.title}**; {column.alone}, first: {stores[0].folder}, second: {stores[1].folder}"
    return f"{head}\n\n{_table(rows)}"


def _named(setting: Setting) -> str:
    runs = len(setting.finished)
    return f"{setting.label} ({runs} run{'s' if runs > 1 else ''})"


def _table(rows: Sequence[Row]) -> str:
    measured = [difference(row.first, row.second) for row in rows if not row.same_runs]
    compared = zip(measured, holm([each.p for each in measured]), strict=True)
    lines = [
        [
            row.name,
            f"{np.mean(row.first):.4f}",
            f"{np.mean(row.second):.4f}",
            *(_SAME_RUNS if row.same_runs else _cells(*next(compared))),
        ]
        for row in rows
    ]
    alignment = ("left", *("right",) * (len(HEADINGS) - 1))
    return tabulate(lines, HEADINGS, tablefmt="pipe", disable_numparse=True, colalign=alignment)


def _cells(measured: Difference, corrected: float) -> list[str]:
    return [
        f"{measured.mean:+.4f}",
        f"{measured.standard_error:.4f}",
        f"{measured.low:+.4f} to {measured.high:+.4f}",
        f"{measured.p:.4f}",
        f"{corrected:.4f}{'*' if corrected <= LEVEL else ' '}",
    ]
