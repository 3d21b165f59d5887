"""A table as Markdown."""

import re

from tabulate import tabulate

from cmbench.report.layout import Row, Section, Table
from cmbench.report.marks import Mark, printed
from cmbench.report.settings import Score

_MISSING = "\u2013"  # an en dash
_MARKED = {"best": "**{}**", "second": "<u>{}</u>", "": "{}"}


def markdown(table: Table) -> str:
    """Return the table as Markdown: heading, description, pipe tables, and the footer as a list."""
    grids = "\n\n".join(_grid(section, table) for section in table.sections)
    notes = "\n".join(f"- {_escaped(line)}" for line in table.footer)
    return f"### {_escaped(table.title)}\n\n{_escaped(table.subtitle)}\n\n{grids}\n\n{notes}\n"


def _grid(section: Section, table: Table) -> str:
    columns = [*table.columns, *table.published_columns]
    grid = tabulate(
        [_cells(row, table) for row in section.rows],
        headers=["Method", *(column.alone for column in columns)],
        tablefmt="pipe",
        colalign=["left"] * (len(columns) + 1),
        disable_numparse=True,
    )
    return f"#### {_escaped(section.heading)}\n\n{grid}" if section.heading else grid


def _cells(row: Row, table: Table) -> list[str]:
    return [_escaped(row.label), *_measured(row, table), *_published(row, table)]


def _measured(row: Row, table: Table) -> list[str]:
    if row.failure:
        return [_failure(row.failure, at) for at in range(len(table.columns))]
    return [_score(row.scores[column.key], row.marks[column.key]) for column in table.columns]


def _failure(text: str, at: int) -> str:
    """Spell the failure out in the first column and leave the others empty: a pipe table has no spans."""
    return f"*{_escaped(text)}*" if at == 0 else ""


def _score(score: Score | None, mark: Mark) -> str:
    if score is None:
        return _MISSING
    spread = "" if score.deviation is None else f" ± {printed(score.deviation)}"
    return _MARKED[mark].format(printed(score.mean)) + spread


def _published(row: Row, table: Table) -> list[str]:
    values = [row.published.get(column.key) for column in table.published_columns]
    return [_MISSING if value is None else printed(value.map) for value in values]


def _escaped(text: str) -> str:
    r"""Return text whose special characters Markdown shows as they are; n_components needs no escape.

    >>> print(_escaped("a|b *c* n_components _d"))
    a\|b \*c\* n_components \_d
    """
    return re.sub(r"([\\`*<>|\[\]]|(?<!\w)_|_(?!\w))", r"\\\1", text)
