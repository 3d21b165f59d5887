"""A table as LaTeX with booktabs."""

import re
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from cmbench.report.layout import Row, Table
from cmbench.report.marks import Mark, printed
from cmbench.report.settings import Score

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
    "…": r"\ldots{}",
}
_MARKED = {"best": r"\textbf{%s}", "second": r"\underline{%s}", "": "%s"}
_MISSING = "--"


def latex(table: Table) -> str:
    """Return a ``table*`` environment, shrunk to the line where it is wider; needs booktabs and graphicx.

    Text outside ASCII passes through as UTF-8, which LaTeX reads by itself since 2018.
    """
    groups = [*table.groups, *([table.published] if table.published else ())]
    sections = [(section.heading, [_cells(row, table) for row in section.rows]) for section in table.sections]
    return _template().render(table=table, groups=groups, sections=sections)


def escaped(text: str) -> str:
    r"""Return text that LaTeX prints as it stands.

    >>> print(escaped("50% of n_components"))
    50\% of n\_components
    >>> print(escaped("cmbench run --methods cca"))
    cmbench run -{}-methods cca
    """
    shown = "".join(_SPECIAL.get(character, character) for character in text)
    return re.sub("-(?=-)", "-{}", shown)  # two hyphens in a row would become a dash


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
    environment.filters.update(tex=escaped, label=_label)
    return environment.get_template("table.tex.j2")


def _cells(row: Row, table: Table) -> list[str]:
    values = [row.published.get(column.key) for column in table.published_columns]
    published = [_MISSING if value is None else printed(value.map) for value in values]
    return [escaped(row.label), *_measured(row, table), *published]


def _measured(row: Row, table: Table) -> list[str]:
    if row.failure:
        return [rf"\multicolumn{{{len(table.columns)}}}{{l}}{{\emph{{{escaped(row.failure)}}}}}"]
    return [_score(row.scores[column.key], row.marks[column.key]) for column in table.columns]


def _score(score: Score | None, mark: Mark) -> str:
    if score is None:
        return _MISSING
    spread = "" if score.deviation is None else rf"{{\tiny\,$\pm$\,{printed(score.deviation)}}}"
    return _MARKED[mark] % printed(score.mean) + spread


def _label(title: str) -> str:
    """Return a title as a LaTeX label.

    >>> _label("wikipedia (0c1d2e3f), protocol paper 1")
    'wikipedia-0c1d2e3f-protocol-paper-1'
    """
    return re.sub(r"[^A-Za-z0-9]+", "-", title).strip("-")
