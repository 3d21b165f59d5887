"""A leaderboard as Markdown."""

import re

from tabulate import tabulate

from cmbench.report.columns import COLUMNS, PUBLISHED
from cmbench.report.layout import Row, Table
from cmbench.report.marks import Mark, printed
from cmbench.report.settings import Score

_MISSING = "\u2013"  # an en dash
_MARKED = {"best": "**{}**", "second": "<u>{}</u>", "": "{}"}


def markdown(table: Table) -> str:
    """Return the table as Markdown: heading, description, pipe table, and the footer as a list."""
    columns = [*COLUMNS, *(PUBLISHED.columns if table.has_published else ())]
    grid = tabulate(
        [_cells(row, table.has_published) for row in table.rows],
        headers=["Method", *(column.alone for column in columns)],
        tablefmt="pipe",
        colalign=["left"] * (len(columns) + 1),
        disable_numparse=True,
    )
    notes = "\n".join(f"- {_escaped(line)}" for line in table.footer)
    return f"### {_escaped(table.title)}\n\n{_escaped(table.subtitle)}\n\n{grid}\n\n{notes}\n"


def _cells(row: Row, has_published: bool) -> list[str]:
    scores = [_failure(row.failure, at) for at in range(len(COLUMNS))] if row.failure else _scores(row)
    return [_escaped(row.label), *scores, *(_published(row) if has_published else ())]


def _failure(text: str, at: int) -> str:
    """Spell the failure out in the first column and leave the others empty: a pipe table has no spans."""
    return f"*{_escaped(text)}*" if at == 0 else ""


def _scores(row: Row) -> list[str]:
    return [_score(row.scores[column.key], row.marks[column.key]) for column in COLUMNS]


def _score(score: Score | None, mark: Mark) -> str:
    if score is None:
        return _MISSING
    spread = "" if score.deviation is None else f" ± {printed(score.deviation)}"
    return _MARKED[mark].format(printed(score.mean)) + spread


def _published(row: Row) -> list[str]:
    values = [row.published.get(column.key) for column in PUBLISHED.columns]
    return [_MISSING if value is None else printed(value.map) for value in values]


def _escaped(text: str) -> str:
    r"""Return text whose special characters Markdown shows as they are; n_components needs no escape.

    >>> print(_escaped("a|b *c* n_components _d"))
    a\|b \*c\* n_components \_d
    """
    return re.sub(r"([\\`*<>|\[\]]|(?<!\w)_|_(?!\w))", r"\\\1", text)
