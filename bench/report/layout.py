"""A leaderboard before it has a format: title, rows, marks and footer."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cmbench.report.columns import COLUMNS, PUBLISHED
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
class Table:
    """One leaderboard. ``has_published``: dataset and features are the paper's, so its values are shown."""

    title: str
    subtitle: str
    rows: tuple[Row, ...]
    footer: tuple[str, ...]
    has_published: bool


def table(records: Iterable[Record], *, spread: Spread = "seeds") -> Table:
    """Return the one table of these records; several datasets or protocols raise ``ReportError``."""
    group = only_group(records)
    found = settings(group.records, spread=spread)
    published = published_maps(group)
    rows = _rows(found, published or {})
    shown = [
        row.published[column.key]
        for row in rows
        for column in PUBLISHED.columns
        if column.key in row.published
    ]
    lines = footer(group, found, shown)
    return Table(group.title, _subtitle(group.dataset), rows, lines, published is not None)


def _subtitle(dataset: Mapping[str, Any]) -> str:
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


def _rows(found: Sequence[Setting], published: Published) -> tuple[Row, ...]:
    by_column = {column.key: marks([setting.score(column.key) for setting in found]) for column in COLUMNS}
    rows = []
    for at, setting in enumerate(found):
        name = setting.method["paper_name"]
        known = {
            column.key: published[name, column.key] for column in COLUMNS if (name, column.key) in published
        }
        own_marks = {key: marks_of_column[at] for key, marks_of_column in by_column.items()}
        rows += _rows_of(setting, own_marks, known)
    return tuple(rows)


def _rows_of(setting: Setting, own_marks: Mapping[str, Mark], known: Mapping[str, PublishedMap]) -> list[Row]:
    """Return a row for the finished seeds of a setting and one for the failed ones."""
    rows = []
    if setting.finished:
        scores = {column.key: setting.score(column.key) for column in COLUMNS}
        rows.append(Row(setting.label, scores, own_marks, None, known))
    if setting.failed:
        rows.append(Row(setting.label, {}, {}, failures_text(setting), known))
    return rows
