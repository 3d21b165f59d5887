"""Leaderboards in the layout of the paper, one for each dataset and protocol: as Markdown, LaTeX or CSV."""

import csv
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from io import StringIO
from itertools import chain
from typing import Any, Literal, TypeAlias
from unicodedata import normalize

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from tabulate import tabulate

from cmbench.errors import ReportError
from cmbench.report.footer import footer
from cmbench.report.layout import (
    ALLMODAL,
    BIMODAL,
    COLUMNS,
    PUBLISHED,
    Column,
    Mark,
    Row,
    Section,
    Table,
    View,
    column_groups,
    printed,
    rows_by_setting,
    shown_values,
    subtitle,
)
from cmbench.report.published import Published, published_maps
from cmbench.report.records import (
    Group,
    Record,
    Score,
    Setting,
    failures_text,
    groups,
    only_group,
    settings,
)
from cmbench.report.scripts import needs_of, turned
from cmbench.report.significance import Arrays, best_groups, marks_of, significance_note

Format: TypeAlias = Literal["markdown", "latex", "csv"]
DEFAULT_VIEW = View()


def render(
    records: Iterable[Record],
    *,
    format: Format = "markdown",
    arrays: Arrays | None = None,
    view: View = DEFAULT_VIEW,
) -> str:
    """Return the tables of these records as text, one for each dataset fingerprint and protocol.

    In each column the best number is bold, and with it all that cannot be told apart from it by a test over
    the stored AP of each query. ``arrays`` gives them: ``Store(folder).arrays``. Without them the best
    number is bold alone, and the footer says so. Several seeds of a setting are shown as their mean ±
    sample standard deviation, or as ``view`` says. Where cells failed, the row says how in place
    of numbers. CSV holds the numbers at full precision. Raises ``ReportError`` if there
    are no records, and for CSV, which is one table, if they belong to several; a frame from
    ``cmbench.report.cells.records_frame`` holds any records.
    """
    records = list(records)
    if format == "csv" or not records:
        return csv_text(only_group(records), arrays=arrays, view=view)
    tables = [table(group.records, arrays=arrays, view=view) for group in groups(records)]
    return written(tables, format)


def table(records: Iterable[Record], *, arrays: Arrays | None = None, view: View = DEFAULT_VIEW) -> Table:
    """Return the leaderboard of these records; several datasets or protocols raise ``ReportError``.

    Methods that cannot run on the dataset have no row; the footer names them. ``arrays`` and ``view`` are
    as for ``render``.
    """
    group = only_group(records)
    measured = settings(group.records, spread=view.spread)
    published = published_maps(group)
    columns = column_groups(group, view.measures)
    flat = [column for part in columns for column in part.columns]
    standings = best_groups(measured, flat, arrays)
    rows = chain.from_iterable(rows_by_setting(measured, published or {}, flat, marks_of(standings)))
    sections = (Section("", tuple(rows)),)
    shown = PUBLISHED if published is not None and ALLMODAL in columns else None
    lines = footer(
        group,
        measured,
        shown_values(sections, shown),
        notes=[significance_note(standings, measured)],
        measures=[each.measure for each in flat],
    )
    return Table(group.title, subtitle(group.dataset), columns, shown, sections, lines, view)


def written(tables: Iterable[Table], format: Format) -> str:
    """Return tables as Markdown or LaTeX, one after the other; other formats raise ``ReportError``."""
    writers = {"markdown": markdown, "latex": latex}
    if format not in writers:
        raise ReportError(f"unknown table format {format!r}; use markdown, latex or csv")
    return "\n".join(writers[format](table) for table in tables)


def markdown(table: Table) -> str:
    """Return the table as Markdown: heading, description, pipe tables, and the footer as a list."""
    grids = "\n\n".join(_grid(section, table) for section in table.sections)
    notes = "\n".join(f"- {_escaped(line)}" for line in table.footer)
    return f"### {_escaped(table.title)}\n\n{_escaped(table.subtitle)}\n\n{grids}\n\n{notes}\n"


def latex(table: Table) -> str:
    """Return a ``table*`` environment, no wider than a line; it needs the packages booktabs and graphicx.

    Text outside ASCII passes through as UTF-8, which LaTeX reads by itself since 2018. A comment names the
    engine and packages for scripts other than Latin.
    """
    groups = [*table.groups, *([table.published] if table.published else ())]
    sections = [
        (section.heading, [_latex_cells(row, table) for row in section.rows]) for section in table.sections
    ]
    text = _template().render(table=table, groups=groups, sections=sections)
    comment = "".join(f"% {line}\n" for line in needs_of(text))
    plain = "\\providecommand{\\RLE}[1]{#1} % without bidi\n" if "\\RLE{" in text else ""
    return comment + plain + text


def csv_text(group: Group, *, arrays: Arrays | None = None, view: View = DEFAULT_VIEW) -> str:
    """Return the table of a group as CSV with a header row, settings in the order of tables.

    Each row names its dataset, fingerprint and protocol. ``status`` is ``ok`` or what failed; ``seeds``
    counts the finished records the means are over; ``<column>_std`` is the sample standard deviation,
    empty for one seed, or with the spread ``queries`` the standard error over queries; ``<column>_best``
    says what tables print in bold, and settings that share a letter in ``<column>_group`` cannot be told
    apart; it is empty where this was not tested. ``published_*`` columns, with source and confidence, are
    there where dataset and features are the paper's.
    """
    published = published_maps(group)
    columns = _csv_columns(group, view.measures)
    rows = settings(group.records, spread=view.spread)
    marks = marks_of(best_groups(rows, columns, arrays))
    return csv_of(
        [
            csv_row(group, setting, published, columns, {key: of[at] for key, of in marks.items()})
            for at, setting in enumerate(rows)
        ]
    )


def _csv_columns(group: Group, measures: Sequence[str] | None) -> list[Column]:
    """Return MAP of all tasks evaluated, and the columns of the measures shown."""
    maps = BIMODAL.columns if group.protocol.get("relevance") == "pair" else COLUMNS
    shown = (column for columns in column_groups(group, measures) for column in columns.columns)
    return list({column.key: column for column in (*maps, *shown)}.values())


def csv_of(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as CSV with a header; the longest row has all the columns, in their order."""
    text = StringIO()
    writer = csv.DictWriter(text, fieldnames=max(map(list, rows), key=len), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def csv_row(
    group: Group,
    setting: Setting,
    published: Published | None,
    columns: Sequence[Column],
    marks: Mapping[str, Mark],
) -> dict[str, Any]:
    """Return the row of a setting, by column; None where there is no number, or nothing to say."""
    method = setting.method
    row = {
        **_origin(group),
        "method": method["name"],
        "paper_name": method["paper_name"],
        "label": setting.label,
        "family": method["family"],
        "version": method["version"],
        "parameters": json.dumps(setting.parameters, sort_keys=True),
        "status": _status(setting),
        "seeds": len(setting.finished),
    }
    for column in columns:
        score = setting.score(column.key)
        row[column.key] = None if score is None else score.mean
        row[f"{column.key}_std"] = None if score is None else score.deviation
        row[f"{column.key}_best"] = None if score is None else marks[column.key].best
        row[f"{column.key}_group"] = marks[column.key].letters or None
    return {**row, **_csv_published(method["paper_name"], published)}


def _status(setting: Setting) -> str:
    if setting.failed:
        return failures_text(setting)
    return f"left out: {setting.left_out}" if setting.left_out else "ok"


def empty_row(group: Group, name: str, paper_name: str, published: Published | None) -> dict[str, Any]:
    """Return the row of a method that has no record, with the columns that have a value."""
    row = {
        **_origin(group),
        "method": name,
        "paper_name": paper_name,
        "label": paper_name,
        "status": "not run",
        "seeds": 0,
    }
    return {**row, **_csv_published(paper_name, published)}


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


_MISSING = "\u2013"  # an en dash


def _grid(section: Section, table: Table) -> str:
    columns = [*table.columns, *table.published_columns]
    grid = tabulate(
        [_markdown_cells(row, table) for row in section.rows],
        headers=["Method", *(column.alone for column in columns)],
        tablefmt="pipe",
        colalign=["left"] * (len(columns) + 1),
        disable_numparse=True,
    )
    return f"#### {_escaped(section.heading)}\n\n{grid}" if section.heading else grid


def _markdown_cells(row: Row, table: Table) -> list[str]:
    return [_escaped(row.label), *_measured(row, table), *_published(row, table)]


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
    if score is None:
        return _MISSING
    number = column.printed(score.mean)
    spread = "" if score.deviation is None else f" ± {column.printed(score.deviation)}"
    letters = f"<sup>{mark.letters}</sup>" if view.letters and mark.letters else ""
    return (f"**{number}**" if mark.best else number) + spread + letters


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
    "…": r"\ldots{}",
}


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


def _latex_cells(row: Row, table: Table) -> list[str]:
    values = [row.published.get(column.key) for column in table.published_columns]
    published = [_LATEX_MISSING if value is None else printed(value.map) for value in values]
    return [escaped(row.label), *_latex_measured(row, table), *published]


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
    number = column.printed(score.mean)
    spread = "" if score.deviation is None else rf"{{\tiny\,$\pm$\,{column.printed(score.deviation)}}}"
    letters = rf"\textsuperscript{{{mark.letters}}}" if view.letters and mark.letters else ""
    return (rf"\textbf{{{number}}}" if mark.best else number) + spread + letters


def _label(title: str) -> str:
    """Return a title as a LaTeX label.

    >>> _label("wikipedia (0c1d2e3f), protocol paper 1")
    'wikipedia-0c1d2e3f-protocol-paper-1'
    """
    return re.sub(r"[^A-Za-z0-9]+", "-", title).strip("-")


def _origin(group: Group) -> dict[str, Any]:
    return {
        "dataset": group.name,
        "fingerprint": group.dataset["fingerprint"],
        "protocol": group.protocol["name"],
        "protocol_version": group.protocol["version"],
    }


def _csv_published(name: str, published: Published | None) -> dict[str, Any]:
    if published is None:
        return {}
    values = {column.key: published.get((name, column.key)) for column in COLUMNS}
    in_paper = [value for value in values.values() if value is not None]
    return {
        **{f"published_{key}": None if value is None else value.map for key, value in values.items()},
        "published_source": "; ".join(dict.fromkeys(value.source for value in in_paper)),
        "published_confidence": "; ".join(dict.fromkeys(value.confidence for value in in_paper)),
    }
