"""A table before it has a format: title, columns, rows, marks and footer."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from cmbench.report.columns import COLUMNS, GROUPS, PUBLISHED, Column, ColumnGroup
from cmbench.report.failures import failures_text
from cmbench.report.footer import footer
from cmbench.report.groups import Record, only_group
from cmbench.report.marks import Mark, marks
from cmbench.report.published import Published, PublishedMap, published_maps
from cmbench.report.settings import Score, Setting, Spread, settings


@dataclass(frozen=True)
class Row:
    """A row: a label and either its scores, by column key, or the reason why it has none.

    ``published`` holds what the paper gives for the method, by column key, as far as it is known.
    """

    label: str
    scores: Mapping[str, Score | None]
    marks: Mapping[str, Mark]
    failure: str | None
    published: Mapping[str, PublishedMap]


@dataclass(frozen=True)
class Section:
    """Rows whose numbers are marked among themselves, under a heading, which may be empty."""

    heading: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Table:
    """One table. ``groups``: the columns measured; ``published``: that of the paper's values, if shown."""

    title: str
    subtitle: str
    groups: tuple[ColumnGroup, ...]
    published: ColumnGroup | None
    sections: tuple[Section, ...]
    footer: tuple[str, ...]

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns measured."""
        return tuple(column for group in self.groups for column in group.columns)

    @property
    def published_columns(self) -> tuple[Column, ...]:
        """The columns of published values; none where they may not be shown."""
        return self.published.columns if self.published else ()

    @property
    def rows(self) -> tuple[Row, ...]:
        """The rows of all sections."""
        return tuple(chain.from_iterable(section.rows for section in self.sections))


def table(records: Iterable[Record], *, spread: Spread = "seeds") -> Table:
    """Return the leaderboard of these records; several datasets or protocols raise ``ReportError``."""
    group = only_group(records)
    found = settings(group.records, spread=spread)
    published = published_maps(group)
    rows = chain.from_iterable(rows_by_setting(found, published or {}))
    sections = (Section("", tuple(rows)),)
    shown = None if published is None else PUBLISHED
    lines = footer(group, found, shown_values(sections, shown))
    return Table(group.title, subtitle(group.dataset), GROUPS, shown, sections, lines)


def shown_values(sections: Iterable[Section], published: ColumnGroup | None) -> list[PublishedMap]:
    """Return the published values that stand in these columns, row by row."""
    columns = published.columns if published else ()
    return [
        row.published[column.key]
        for section in sections
        for row in section.rows
        for column in columns
        if column.key in row.published
    ]


def subtitle(dataset: Mapping[str, Any]) -> str:
    """Return features, sizes and number of categories of a dataset, as one sentence."""
    sizes = dataset["sizes"]
    return (
        f"Images: {_feature(dataset, 'image')}; texts: {_feature(dataset, 'text')}; "
        f"{sizes['train']}/{sizes['validation']}/{sizes['test']} training/validation/test pairs; "
        f"{len(dataset['class_names'])} categories."
    )


def _feature(dataset: Mapping[str, Any], side: str) -> str:
    """Return a feature's description, with its dimension unless the description has it."""
    feature, dimension = str(dataset[f"{side}_feature"]), f"{dataset[f'{side}_dimension']}-d"
    return feature if re.search(rf"\b{dimension}\b", feature) else f"{dimension} {feature}"


def rows_by_setting(found: Sequence[Setting], published: Published) -> list[list[Row]]:
    """Return the rows of each setting, one or two, with the marks of numbers among all of them."""
    by_column = {column.key: marks([setting.score(column.key) for setting in found]) for column in COLUMNS}
    rows = []
    for at, setting in enumerate(found):
        own_marks = {key: marks_of_column[at] for key, marks_of_column in by_column.items()}
        known = published_of(setting.method["paper_name"], published)
        rows.append(_rows_of(setting, own_marks, known))
    return rows


def published_of(name: str, published: Published) -> dict[str, PublishedMap]:
    """Return what is published of the method of that paper name, by column key."""
    return {column.key: published[name, column.key] for column in COLUMNS if (name, column.key) in published}


def _rows_of(setting: Setting, own_marks: Mapping[str, Mark], known: Mapping[str, PublishedMap]) -> list[Row]:
    """Return a row for the finished seeds of a setting and one for the failed ones."""
    rows = []
    if setting.finished:
        scores = {column.key: setting.score(column.key) for column in COLUMNS}
        rows.append(Row(setting.label, scores, own_marks, None, known))
    if setting.failed:
        rows.append(Row(setting.label, {}, {}, failures_text(setting), known))
    return rows
