"""Tables as Markdown, LaTeX, HTML and plain text."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, TypeAlias
from unicodedata import normalize

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from tabulate import tabulate

from cmbench.report.layout import Column, ColumnGroup, Mark, Row, Section, Table, View, printed
from cmbench.report.scripts import needs_of, turned
from cmbench.report.settings import Score
from cmbench.report.signs import KEYS

Format: TypeAlias = Literal["markdown", "latex", "csv", "html", "text"]


def markdown(table: Table) -> str:
    """Return the table as Markdown: heading, description, pipe tables, and the footer as a list."""
    grids = "\n\n".join(_grid(section, table) for section in table.sections)
    notes = "\n".join(f"- {_escaped(line)}" for line in table.footer)
    title, *described = (table.title, table.subtitle) if table.view.caption is None else (table.view.caption,)
    above = "".join(f"{_escaped(text)}\n\n" for text in described)
    return f"### {_escaped(title)}\n\n{above}{grids}\n\n{notes}\n"


def latex(table: Table) -> str:
    """Return a ``table*`` environment, no wider than a line; it needs the packages booktabs and graphicx.

    The footer comes after it as text, which goes on over pages where it is long.
    Text outside ASCII passes through as UTF-8, which LaTeX reads by itself since 2018. A comment names the
    engine and packages for scripts other than Latin.
    """
    sections = [
        (section.heading, [_latex_cells(row, table) for row in section.rows]) for section in table.sections
    ]
    label = f"tab:{_label(table.title)}" if table.view.label is None else table.view.label
    text = _template().render(
        table=table, groups=_headed(table), sections=sections, label=label, key=_key(table)
    )
    comment = "".join(f"% {line}\n" for line in needs_of(text))
    plain = "\\providecommand{\\RLE}[1]{#1} % without bidi\n" if "\\RLE{" in text else ""
    return comment + plain + text


def _key(table: Table) -> list[str]:
    """Return in a few words what bold and the signs of a table stand for."""
    bold = any(mark.best for row in table.rows for mark in row.marks.values())
    signs = "".join(row.signs for row in table.rows)
    words = [f"{sign} {meaning}" for sign, meaning in KEYS.items() if sign in signs]
    return [*(["Bold: the best of a column"] if bold else []), *words]


@dataclass(frozen=True)
class Headed:
    """Headings of columns that stand under one heading, which may be empty; ``side`` is where they align."""

    heading: str
    columns: tuple[str, ...]
    side: Literal["l", "r"] = "l"

    @property
    def width(self) -> int:
        """The number of columns."""
        return len(self.columns)


def _headed(table: Table) -> list[Headed]:
    groups: Sequence[ColumnGroup] = [*table.groups, *([table.published] if table.published else ())]
    headed = [Headed(group.heading, tuple(each.heading for each in group.columns)) for group in groups]
    return [*headed, Headed("", table.facts, "r")] if table.facts else headed


def html(tables: Sequence[Table]) -> str:
    """Return a document with the tables, readable without anything else; all that is data is escaped."""
    parts = [(each, _headed(each), [_html_section(part, each) for part in each.sections]) for each in tables]
    return _html_template().render(tables=parts)


def _html_section(section: Section, table: Table) -> dict[str, Any]:
    return {"heading": section.heading, "rows": [_html_row(row, table) for row in section.rows]}


def _html_row(row: Row, table: Table) -> dict[str, Any]:
    """Return what the template shows of a row: of each number its text, spread, mark and letters."""
    cells = [
        _number(column, row.scores.get(column.key), row.marks.get(column.key, Mark()), table.view)
        for column in table.columns
    ]
    return {
        "label": row.label,
        "signs": row.signs,
        "failure": row.failure,
        "cells": cells,
        "beside": [*_published(row, table), *_facts(row, table)],
    }


@dataclass(frozen=True)
class Printed:
    """A number as it is printed, in parts."""

    text: str
    spread: str = ""
    best: bool = False
    letters: str = ""


def _number(column: Column, score: Score | None, mark: Mark, view: View) -> Printed:
    if score is None:
        return Printed(_MISSING)
    spread = "" if score.deviation is None else column.printed(score.deviation)
    return Printed(column.printed(score.mean), spread, mark.best, mark.letters if view.letters else "")


def escaped(text: str) -> str:
    r"""Return text that LaTeX prints as it stands.

    >>> print(escaped("50% of n_components"))
    50\% of n\_components
    >>> print(escaped("cmbench run --methods cca"))
    cmbench run -{}-methods cca
    """
    composed = normalize("NFC", text)  # LaTeX reads an accented letter, not the accent alone
    shown = "".join(_SPECIAL.get(character, character) for character in composed)
    return turned(re.sub("-(?=-)", "-{}", shown))  # two hyphens in a row would become a dash


def _breakable(text: str) -> str:
    r"""Return text for a paragraph of LaTeX in which a long word may go on in the next line.

    >>> print(_breakable("0123456789abcdef01234 n_components"))
    0123456789\allowbreak{}abcdef0123\allowbreak{}4 n\_components
    """
    words = re.split(rf"([!-~]{{{_LONG},}})", text)
    return "".join(
        r"\allowbreak{}".join(map(escaped, re.findall(".{1,10}", word))) if at % 2 else escaped(word)
        for at, word in enumerate(words)
    )


_LONG = 20  # characters from which on a word is broken
_MISSING = "\u2013"  # an en dash


def _grid(section: Section, table: Table) -> str:
    columns = [*table.columns, *table.published_columns]
    grid = tabulate(
        [_markdown_cells(row, table) for row in section.rows],
        headers=["Method", *(column.alone for column in columns), *table.facts],
        tablefmt="pipe",
        colalign=["left"] * (len(columns) + 1) + ["right"] * len(table.facts),
        disable_numparse=True,
    )
    return f"#### {_escaped(section.heading)}\n\n{grid}" if section.heading else grid


def _markdown_cells(row: Row, table: Table) -> list[str]:
    label = _escaped(f"{row.label} {row.signs}".rstrip())
    facts = map(_escaped, _facts(row, table))
    return [label, *_measured(row, table), *_published(row, table), *facts]


def _measured(row: Row, table: Table) -> list[str]:
    if row.failure:
        return [_failure(row.failure, at) for at in range(len(table.columns))]
    return [
        _score(column, row.scores[column.key], row.marks[column.key], table.view) for column in table.columns
    ]


def _failure(text: str, at: int) -> str:
    """Say how the cell failed in the first column; the others stay empty, as a pipe table has no spans."""
    return f"*{_escaped(text)}*" if at == 0 else ""


def _score(column: Column, score: Score | None, mark: Mark, view: View) -> str:
    shown = _number(column, score, mark, view)
    number = f"**{shown.text}**" if shown.best else shown.text
    spread = f" ± {shown.spread}" if shown.spread else ""
    return number + spread + (f"<sup>{shown.letters}</sup>" if shown.letters else "")


def _facts(row: Row, table: Table) -> list[str]:
    return [row.facts.get(heading, _MISSING) for heading in table.facts]


def _published(row: Row, table: Table) -> list[str]:
    values = [row.published.get(column.key) for column in table.published_columns]
    return [_MISSING if value is None else printed(value.map) for value in values]


def _escaped(text: str) -> str:
    r"""Return text whose special characters Markdown shows as they are; n_components needs no escape.

    >>> print(_escaped("a|b *c* n_components _d"))
    a\|b \*c\* n_components \_d
    """
    return re.sub(r"([\\`*<>|\[\]]|(?<!\w)_|_(?!\w))", r"\\\1", text)


_LATEX_MISSING = "--"
_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"''",
    **{character: f"\\{character}" for character in "&%$#_"},
    "→": r"$\to$",
    "±": r"$\pm$",
    "\u00d7": r"$\times$",
    "\u2013": r"\textendash{}",
    "†": r"\textdagger{}",
    "‡": r"\textdaggerdbl{}",
    "§": r"\S{}",
    "…": r"\ldots{}",
}


@cache
def _html_template() -> Template:
    environment = Environment(
        loader=PackageLoader("cmbench.report", "."),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
        autoescape=True,
    )
    return environment.get_template("table.html.j2")


@cache
def _template() -> Template:
    """Return the template; its marks are << >> and <% %>, because braces belong to LaTeX."""
    environment = Environment(
        loader=PackageLoader("cmbench.report", "."),
        block_start_string="<%",
        block_end_string="%>",
        variable_start_string="<<",
        variable_end_string=">>",
        comment_start_string="<#",
        comment_end_string="#>",
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
        autoescape=False,
    )
    environment.filters.update(tex=escaped, notes=_breakable)
    return environment.get_template("table.tex.j2")


def _latex_cells(row: Row, table: Table) -> list[str]:
    values = [row.published.get(column.key) for column in table.published_columns]
    published = [_LATEX_MISSING if value is None else printed(value.map) for value in values]
    signs = rf"\textsuperscript{{{escaped(row.signs)}}}" if row.signs else ""
    facts = map(escaped, _facts(row, table))
    return [escaped(row.label) + signs, *_latex_measured(row, table), *published, *facts]


def _latex_measured(row: Row, table: Table) -> list[str]:
    if row.failure:
        return [rf"\multicolumn{{{len(table.columns)}}}{{l}}{{\emph{{{escaped(row.failure)}}}}}"]
    return [
        _latex_score(column, row.scores[column.key], row.marks[column.key], table.view)
        for column in table.columns
    ]


def _latex_score(column: Column, score: Score | None, mark: Mark, view: View) -> str:
    if score is None:
        return _LATEX_MISSING
    shown = _number(column, score, mark, view)
    number = rf"\textbf{{{shown.text}}}" if shown.best else shown.text
    spread = rf"{{\tiny\,$\pm$\,{shown.spread}}}" if shown.spread else ""
    return number + spread + (rf"\textsuperscript{{{shown.letters}}}" if shown.letters else "")


def _label(title: str) -> str:
    """Return a title as a LaTeX label.

    >>> _label("wikipedia (0c1d2e3f), protocol paper 1")
    'wikipedia-0c1d2e3f-protocol-paper-1'
    """
    return re.sub(r"[^A-Za-z0-9]+", "-", title).strip("-")


def _each(write: Callable[[Table], str]) -> Callable[[Sequence[Table]], str]:
    return lambda tables: "\n".join(map(write, tables))


def _text(tables: Sequence[Table]) -> str:
    from cmbench.report.screen import text  # with what draws on terminals, which other formats do without

    return text(tables, verbose=True)


WRITERS: Mapping[str, Callable[[Sequence[Table]], str]] = {
    "markdown": _each(markdown),
    "latex": _each(latex),
    "html": html,
    "text": _text,
}
"""What writes tables in each format but CSV."""
