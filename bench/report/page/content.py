"""What stands on the page, before it is HTML: a board for each dataset and protocol, and one over all."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cmbench.command import command
from cmbench.current import code_of
from cmbench.records import Record, commit_text, split_of
from cmbench.report.delimited import csv_text
from cmbench.report.description import changes_text, durations_text, packages_text, tuning_text, values_text
from cmbench.report.facts import duration, largest
from cmbench.report.formats import latex, markdown
from cmbench.report.layout import Column, Mark, Row, Section, Table
from cmbench.report.overview import render as csv_over_datasets
from cmbench.report.overview import tables as tables_over_datasets
from cmbench.report.records import Group, groups, measured, over_datasets, run_name
from cmbench.report.searches import changed, searches_of
from cmbench.report.settings import Setting, knows_test_labels, settings
from cmbench.report.significance import Arrays
from cmbench.report.table import table
from cmbench.schema import OK

Facts = list[tuple[str, str]]
_MISSING = "\u2013"  # an en dash
_FAILURE_TEXT = 2_000  # characters of a traceback, from its end


@dataclass(frozen=True)
class Number:
    """A number of a table: its column, its full value, what is printed of it and its deviation, its mark."""

    column: Column
    value: float
    text: str
    spread: str
    mark: Mark


@dataclass(frozen=True, eq=False)
class Run:
    """One record of a setting, what it is called beside the others, its values by column, and how it went.

    Values are None where it failed.
    """

    record: Record
    name: str
    values: tuple[float | None, ...]
    facts: Facts

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the method warned of, and what its result and a second fit give reason to doubt."""
        return tuple(self.record.get("warnings") or ())


@dataclass(frozen=True, eq=False)
class Entry:
    """A setting on the page: its anchor, its numbers in the order of columns, its runs, and its facts.

    ``failure`` says how the seeds that failed did, ``signs`` stand behind the label in tables; both may be
    empty.
    """

    anchor: str
    setting: Setting
    numbers: tuple[Number | None, ...]
    failure: str
    signs: str
    facts: Facts
    runs: tuple[Run, ...]

    @property
    def label(self) -> str:
        """The label in tables."""
        return self.setting.label

    @property
    def family(self) -> str:
        """Traditional or deep, or what a plugin says it is."""
        return str(self.setting.method.get("family") or "other")

    @property
    def costs(self) -> tuple[tuple[str, float | None, str], ...]:
        """Of each cost its name, the mean over runs or the most, and what is printed."""
        return tuple(
            (name, None if value is None else float(value), _MISSING if value is None else printed(value))
            for name, printed, value in _costs(self.setting)
        )


@dataclass(frozen=True, eq=False)
class Board:
    """All that the page says of one dataset under one protocol; ``downloads`` holds text by file name."""

    anchor: str
    group: Group
    table: Table
    entries: tuple[Entry, ...]
    downloads: Mapping[str, str]

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns of numbers."""
        return self.table.columns

    @property
    def finished(self) -> tuple[Entry, ...]:
        """The entries that have numbers."""
        return tuple(entry for entry in self.entries if entry.setting.finished)

    @property
    def contenders(self) -> tuple[Entry, ...]:
        """The finished entries that are methods, without bounds, beside which no other is seen."""
        return tuple(entry for entry in self.finished if not knows_test_labels(entry.setting))

    @property
    def known_costs(self) -> tuple[int, ...]:
        """The places of the costs that are known of some entry."""
        costs = [entry.costs for entry in self.finished]
        places = range(len(costs[0])) if costs else ()
        return tuple(at for at in places if any(each[at][1] is not None for each in costs))


@dataclass(frozen=True, eq=False)
class Overall:
    """A table over the datasets of one protocol, with the boards that its columns are of."""

    anchor: str
    table: Table
    boards: tuple[Board, ...]
    downloads: Mapping[str, str]

    def entry(self, label: str, at: int) -> Entry | None:
        """Return the entry of a label on one of the boards."""
        entries = self.boards[at].finished
        return next((each for each in entries if label in (each.label, each.setting.full_label)), None)

    def column(self, section: Section) -> Column:
        """Return the column of the boards that a section is about."""
        return next(column for column in self.boards[0].columns if column.alone == section.heading)


def boards(records: Iterable[Record], arrays: Arrays) -> list[Board]:
    """Return the boards of records, ordered by dataset and protocol, whatever the order of the records.

    ``arrays`` gives the arrays of a record, of which the marks of tables are made.
    """
    return [_board(f"dataset-{at}", group, arrays) for at, group in enumerate(groups(records), 1)]


def _board(anchor: str, group: Group, arrays: Arrays) -> Board:
    shown = table(group.records, arrays=arrays)
    rows = iter(shown.rows)
    entries = []
    for at, setting in enumerate(settings(group.records), 1):
        finished = next(rows) if setting.finished else None  # a table has a row for each of the two
        failed = next(rows) if setting.unfinished else None
        failure = (failed.failure if failed else None) or setting.left_out
        entries.append(_entry(f"{anchor}-record-{at}", setting, finished, failure, shown.columns))
    return Board(anchor, group, shown, tuple(entries), _downloads(group, shown, arrays))


def overalls(all_boards: Sequence[Board], arrays: Arrays) -> list[Overall]:
    """Return a table over datasets for each protocol that two datasets or more have results under."""
    several = over_datasets(all_boards, lambda board: board.group)
    return [
        _overall(f"over-datasets-{at}", chosen, all_boards, arrays) for at, chosen in enumerate(several, 1)
    ]


def _overall(anchor: str, chosen: tuple[Board, ...], all_boards: Sequence[Board], arrays: Arrays) -> Overall:
    protocol = chosen[0].group.protocol
    alike = [board.group for board in all_boards if board.group.protocol == protocol]
    records = [record for group in alike for record in group.records]  # the table says what it leaves out
    (made,) = tables_over_datasets(records, arrays=arrays)
    stem = f"datasets-{_file_stem(chosen[0].group.protocol['name'])}"
    texts = {
        f"{stem}.csv": csv_over_datasets(records, format="csv", arrays=arrays),
        f"{stem}.tex": latex(made),
        f"{stem}.md": markdown(made),
    }
    return Overall(anchor, made, chosen, texts)


def _entry(anchor: str, setting: Setting, row: Row | None, failure: str, columns: Sequence[Column]) -> Entry:
    numbers = tuple(None if row is None else number_of(row, column) for column in columns)
    runs = tuple(_run(record, setting, columns) for record in setting.records)
    signs = "" if row is None else row.signs
    return Entry(anchor, setting, numbers, failure, signs, _facts(setting), runs)


def number_of(row: Row, column: Column) -> Number | None:
    """Return what a table holds in a row and column, None where there is no number."""
    score = row.scores[column.key]
    if score is None:
        return None
    spread = "" if score.deviation is None else column.printed(score.deviation)
    return Number(column, score.mean, column.printed(score.mean), spread, row.marks[column.key])


def _run(record: Record, setting: Setting, columns: Sequence[Column]) -> Run:
    is_alone = not setting.is_random and len(setting.records) == 1 and not split_of(record)
    finished = record["status"] == OK
    values = tuple(measured(record, column.key) if finished else None for column in columns)
    return Run(record, "one run" if is_alone else run_name(record), values, _facts_of_run(record))


def _facts(setting: Setting) -> Facts:
    """Return what all runs of a setting have in common, a name and a text each, without what is not known."""
    method = setting.method
    known = [
        ("method", f"{method['name']}, code version {code_of(setting.records[0])}"),
        ("family", method.get("family")),
        ("uses labels", "yes" if method.get("uses_labels") else "no"),
        ("source", method.get("citation")),
        ("origin", method.get("origin")),
        ("preset", method.get("preset")),
        ("tuned", _tuned(setting)),
        ("not at defaults", _changed(setting)),
        ("parameters", values_text(setting.parameters)),
        ("run again by", command(setting.records)),
    ]
    return [(name, str(value)) for name, value in known if value]


def _tuned(setting: Setting) -> str:
    """Return by which search the parameters were chosen, or by which where each split had its own."""
    return "; ".join(dict.fromkeys(tuning_text(search) for search in searches_of(setting)))


def _changed(setting: Setting) -> str:
    """Return the parameters that are not at their defaults, with these."""
    defaults = setting.defaults or {}
    return changes_text(changed(setting) or {}, defaults)


def _facts_of_run(record: Record) -> Facts:
    """Return how one run went, a name and a text each, without what is not known."""
    provenance = record.get("provenance") or {}
    accelerator = provenance.get("accelerator")
    known = [
        ("key", record["key"]),
        ("time", durations_text(record)),
        ("memory", f"{_megabytes(record['peak_memory_bytes'])} at most, {record.get('threads')} thread(s)"),
        ("fitted", values_text(record.get("fitted") or {})),
        ("finished", provenance.get("finished")),
        ("processor", provenance.get("processor")),
        ("LD_PRELOAD", provenance.get("preloaded")),
        ("accelerator", accelerator and accelerator.get("name")),
        ("commit", commit_text(provenance)),
        ("packages", packages_text(provenance)),
        ("warnings", "; ".join(record.get("warnings") or ())),
        ("error", _error(record)),
    ]
    return [(name, str(value)) for name, value in known if value]


def _error(record: Record) -> str:
    error = record["error"]
    if not error:
        return ""
    trace = str(error.get("traceback") or "").rstrip()[-_FAILURE_TEXT:]
    return "\n".join(filter(None, [f"{error.get('type')}: {error.get('message')}", trace]))


def _costs(setting: Setting) -> list[tuple[str, Any, float | None]]:
    """Return of each cost its name, how it is printed, and its value, a mean or the most."""
    return [
        ("training", _seconds, duration(setting, "fit")),
        ("representations", _seconds, duration(setting, "transform")),
        ("whole cell", _seconds, duration(setting, "total")),
        ("memory", _megabytes, largest(setting, "peak_memory_bytes")),
        ("weights", _whole, largest(setting, "weights")),
        ("dimensions", _range_of(setting, "dimension"), largest(setting, "dimension")),
    ]


def _range_of(setting: Setting, field: str) -> Callable[[float], str]:
    """Return what prints the largest value of a field, after the smallest where runs differ."""
    values = {record[field] for record in setting.finished if record.get(field) is not None}
    return lambda most: f"{min(values):,} to {_whole(most)}" if len(values) > 1 else _whole(most)


def _seconds(value: float) -> str:
    if value < 1:
        return f"{value:.2g} s"
    return f"{value:.1f} s" if value < 100 else f"{value:,.0f} s"


def _whole(value: float) -> str:
    return f"{value:,.0f}"


def _megabytes(value: float) -> str:
    return f"{value / 1e6:,.0f} MB"


def _downloads(group: Group, shown: Table, arrays: Arrays) -> dict[str, str]:
    stem = f"{_file_stem(group.name)}-{_file_stem(group.protocol['name'])}"
    return {
        f"{stem}.csv": csv_text(group, arrays=arrays),
        f"{stem}.tex": latex(shown),
        f"{stem}.md": markdown(shown),
    }


def _file_stem(name: str) -> str:
    return re.sub(r"\W+", "-", name).strip("-")
