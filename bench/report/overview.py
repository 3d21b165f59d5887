"""One table over several datasets: a column for each, average ranks and wins, as Demšar (2006) has it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from cmbench.errors import ReportError
from cmbench.evaluation.statistics import LEVEL, AverageRanks, ranks
from cmbench.records import Record
from cmbench.report.delimited import csv_of
from cmbench.report.formats import Format
from cmbench.report.layout import (
    DEFAULT_VIEW,
    Column,
    ColumnGroup,
    Mark,
    Row,
    Section,
    Table,
    View,
    column_groups,
    subtitle,
)
from cmbench.report.records import Group, groups, limited_note, over_datasets
from cmbench.report.settings import Setting, competes, rank_in_paper, settings
from cmbench.report.shape import shape_notes
from cmbench.report.significance import Arrays, Standing, best_groups, significance_note
from cmbench.report.signs import ORDER, signs_of
from cmbench.report.table import written

RANK, WINS = "average rank", "wins"


@dataclass(frozen=True)
class Overview:
    """The settings of several datasets under one protocol, by label, and how they rank in one column.

    ``by_label`` holds for each dataset its settings with a number in ``column``, in the order of ``groups``.
    ``note`` names datasets that were left out.
    """

    groups: tuple[Group, ...]
    column: Column
    by_label: tuple[Mapping[str, Setting], ...]
    note: str

    @cached_property
    def labels(self) -> list[str]:
        """The labels of rows: those on all datasets by average rank, then the others as in the paper."""
        found = {label: setting for held in self.by_label for label, setting in held.items()}
        in_paper = sorted(found, key=lambda label: (*rank_in_paper(found[label]), label))
        return sorted(in_paper, key=lambda label: self.average.get(label, float("inf")))

    @cached_property
    def shared(self) -> list[str]:
        """The labels that all datasets have; only these are ranked, but for bounds and controls."""
        first, *others = self.by_label
        methods = (label for label, setting in first.items() if competes(setting))
        return sorted(label for label in methods if all(label in held for held in others))

    @cached_property
    def unranked(self) -> list[str]:
        """The labels of methods that some dataset lacks."""
        found = {label: setting for held in self.by_label for label, setting in held.items()}
        return [label for label in self.labels if label not in self.shared and competes(found[label])]

    @cached_property
    def ranks(self) -> AverageRanks | None:
        """How the shared settings rank; None for fewer than two."""
        if len(self.shared) < 2:
            return None
        sign = -1 if self.column.measure.lower_is_better else 1
        return ranks([[sign * self.mean(held, label) for label in self.shared] for held in self.by_label])

    @cached_property
    def average(self) -> dict[str, float]:
        """The average rank of each ranked label."""
        placed = self.ranks
        return {} if placed is None else dict(zip(self.shared, placed.average.tolist(), strict=True))

    @cached_property
    def wins(self) -> dict[str, int]:
        """On how many datasets each ranked label is best, alone or with others."""
        placed = self.ranks
        return {} if placed is None else dict(zip(self.shared, placed.wins.tolist(), strict=True))

    def mean(self, held: Mapping[str, Setting], label: str) -> float:
        """Return the number of a setting in the column."""
        score = held[label].score(self.column.key)
        return float("nan") if score is None else score.mean


def render(
    records: Iterable[Record],
    *,
    format: Format = "markdown",
    arrays: Arrays | None = None,
    view: View = DEFAULT_VIEW,
) -> str:
    """Return a table over the datasets of these records for each protocol, as text.

    It has a part for each average (bi-modal, all-modal). Rows are ordered by average rank; a setting that
    some dataset lacks is not ranked. Marks are those of each dataset's own table. Raises ``ReportError`` if
    no protocol has two datasets. CSV is one table with a column ``average``.
    """
    if format == "csv":
        return csv_of([row for parts in _overviews(records, view) for part in parts for row in _csv(part)])
    return written(tables(records, arrays=arrays, view=view), format)


def tables(
    records: Iterable[Record], *, arrays: Arrays | None = None, view: View = DEFAULT_VIEW
) -> list[Table]:
    """Return the tables that ``render`` writes."""
    return [_table(parts, arrays, view) for parts in _overviews(records, view)]


def _overviews(records: Iterable[Record], view: View) -> list[list[Overview]]:
    """Return for each protocol with several datasets its averages."""
    every = groups(records)
    several = over_datasets(every, lambda group: group)
    if not several:
        raise ReportError(
            "no protocol has finished cells on two datasets; run some on another dataset, or leave out what "
            "chooses datasets"
        )
    return [
        [
            _overview(found, column, view, limited_note(_alike(found[0], every), found))
            for column in _averages(found[0], view)
        ]
        for found in several
    ]


def _alike(group: Group, every: Iterable[Group]) -> list[Group]:
    """Return the groups with finished cells under the protocol of a group."""
    return [each for each in every if each.finished and each.protocol == group.protocol]


def _averages(group: Group, view: View) -> list[Column]:
    """Return the averages of tasks, or where pairs are relevant the first measure of each task."""
    found = column_groups(group, view.measures, digits=view.digits)
    averages = [each for part in found for each in part.columns if each.key.endswith("_average")]
    return averages or [part.columns[0] for part in found]


def _overview(found: tuple[Group, ...], column: Column, view: View, note: str) -> Overview:
    shown = [
        [each for each in settings(group.records, spread=view.spread) if each.score(column.key) is not None]
        for group in found
    ]
    labels = {setting.full_label: setting.label for held in shown for setting in held}
    short = list(labels.values())
    # Settings whose labels leave parameters out may differ in these between datasets; they get full labels.
    named = {full: label if short.count(label) == 1 else full for full, label in labels.items()}
    by_label = tuple({named[setting.full_label]: setting for setting in held} for held in shown)
    return Overview(found, column, by_label, note)


def _table(parts: Sequence[Overview], arrays: Arrays | None, view: View) -> Table:
    found = parts[0].groups
    columns = _dataset_columns(found, parts[0].column)
    standings = {
        (part.column.key, column.key): _standing(part, at, arrays)
        for part in parts
        for at, column in enumerate(columns)
    }
    sections = tuple(Section(part.column.alone, _rows(part, columns, standings)) for part in parts)
    of_all = [setting for held in parts[0].by_label for setting in held.values()]
    notes = [
        significance_note(standings, of_all, letters=view.letters),
        *(note for part in parts for note in _rank_notes(part)),
        _WINS if any(part.wins for part in parts) else "",
        parts[0].note,
        *shape_notes(found, arrays),
        "Parameters, seeds and splits may differ between datasets; 'cmbench table' tells of each, and what "
        "signs behind names stand for.",
    ]
    protocol = found[0].protocol
    lines = (*filter(None, notes), *(f"{group.title}: {subtitle(group.dataset)}" for group in found))
    return Table(
        f"{len(found)} datasets, protocol {protocol['name']} {protocol['version']}",
        "A column for each dataset; rows by average rank.",
        (ColumnGroup(parts[0].column.measure.heading, columns),),
        None,
        sections,
        lines,
        view,
        (RANK, WINS),
        tuple(filter(None, notes)),
    )


def _dataset_columns(found: Sequence[Group], like: Column) -> tuple[Column, ...]:
    """Return a column for each dataset; two versions of one are told apart by their fingerprints."""
    names = [group.name for group in found]
    titles = [
        name if names.count(name) == 1 else f"{name} ({group.dataset['fingerprint'][:8]})"
        for name, group in zip(names, found, strict=True)
    ]
    return tuple(
        Column(f"dataset-{at}", title, title, like.measure, like.digits) for at, title in enumerate(titles)
    )


def _standing(part: Overview, at: int, arrays: Arrays | None) -> Standing:
    """Return where the settings of a dataset stand, in the order of its labels."""
    held = list(part.by_label[at].values())
    return best_groups(held, [part.column], arrays)[part.column.key]


def _rows(
    part: Overview, columns: Sequence[Column], standings: Mapping[tuple[str, str], Standing]
) -> tuple[Row, ...]:
    marks = {
        column.key: dict(zip(held, standings[part.column.key, column.key].marks, strict=True))
        for column, held in zip(columns, part.by_label, strict=True)
    }
    return tuple(_row(part, label, columns, marks) for label in part.labels)


def _row(
    part: Overview, label: str, columns: Sequence[Column], marks: Mapping[str, Mapping[str, Mark]]
) -> Row:
    here = {column.key: held.get(label) for column, held in zip(columns, part.by_label, strict=True)}
    scores = {
        key: None if setting is None else setting.score(part.column.key) for key, setting in here.items()
    }
    own_marks = {key: marks[key].get(label, Mark()) for key in here}
    signs = {
        sign for held in part.by_label if label in held for sign in signs_of(held[label], list(held.values()))
    }
    facts = {}
    if label in part.average:
        facts = {RANK: f"{part.average[label]:.2f}", WINS: str(part.wins[label])}
    return Row(label, scores, own_marks, None, {}, facts, "".join(sorted(signs, key=ORDER.index)))


def _rank_notes(part: Overview) -> list[str]:
    """Return what ranks say of the methods, and which are not ranked."""
    placed, name = part.ranks, part.column.alone
    left = f" Not ranked, since not on all datasets: {', '.join(part.unranked)}." if part.unranked else ""
    if placed is None:
        return [f"{name}: fewer than two methods are on all datasets, so nothing is ranked.{left}"]
    return [f"{name}: {_friedman(part, placed)}{left}"]


_WINS = (
    "Wins: on how many datasets a ranked method has the best number of all that are ranked, alone or with "
    "others; one that is not ranked may have a better number there, and has no wins."
)


def _friedman(part: Overview, placed: AverageRanks) -> str:
    count = f"{len(part.shared)} methods on {len(part.groups)} datasets"
    if placed.p is None or placed.critical_difference is None:
        return f"{count} are too few for Friedman's test."
    test = f"Friedman's test that all {count} rank alike has p = {placed.p:.3g}"
    if placed.p > LEVEL:
        return f"{test}, so that ranks tell nothing apart."
    near = placed.average - placed.average.min() <= placed.critical_difference
    names = [label for label in part.labels if label in np.array(part.shared)[near].tolist()]
    return (
        f"{test}; average ranks that lie more than {placed.critical_difference:.2f} apart differ (Nemenyi, "
        f"{LEVEL:.0%}). Not told apart from the best rank: {', '.join(names)}."
    )


def _csv(part: Overview) -> list[dict[str, Any]]:
    protocol = part.groups[0].protocol
    columns = _dataset_columns(part.groups, part.column)
    rows = []
    for label in part.labels:
        means = {
            column.heading: part.mean(held, label) if label in held else None
            for column, held in zip(columns, part.by_label, strict=True)
        }
        named = {"protocol": protocol["name"], "protocol_version": protocol["version"]}
        placed = {"average_rank": part.average.get(label), "wins": part.wins.get(label)}
        rows.append({**named, "average": part.column.key, "label": label, **means, **placed})
    return rows
