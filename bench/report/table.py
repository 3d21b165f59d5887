"""Leaderboards in the layout of the paper, one for each dataset and protocol, in any format."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain

from cmbench.errors import ReportError
from cmbench.records import Record
from cmbench.report.delimited import csv_text
from cmbench.report.facts import Fact, added_measures, columns_of, fact_notes, in_order
from cmbench.report.footer import brief, footer
from cmbench.report.formats import WRITERS, Format
from cmbench.report.layout import (
    ALLMODAL,
    DEFAULT_VIEW,
    PUBLISHED,
    Row,
    Section,
    Table,
    View,
    column_groups,
    rows_by_setting,
    shown_values,
    subtitle,
)
from cmbench.report.published import published_maps
from cmbench.report.records import groups, only_group
from cmbench.report.settings import Setting, settings
from cmbench.report.significance import Arrays, best_groups, marks_of, significance_note
from cmbench.report.signs import sign_notes, signs_of


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
    return written(tables(records, arrays=arrays, view=view), format)


def tables(
    records: Iterable[Record], *, arrays: Arrays | None = None, view: View = DEFAULT_VIEW
) -> list[Table]:
    """Return the leaderboards of these records, one for each dataset and protocol; as ``render``."""
    return [table(group.records, arrays=arrays, view=view) for group in groups(records)]


def table(records: Iterable[Record], *, arrays: Arrays | None = None, view: View = DEFAULT_VIEW) -> Table:
    """Return the leaderboard of these records; several datasets or protocols raise ``ReportError``.

    Methods that cannot run on the dataset have no row; the footer names them. ``arrays`` and ``view`` are
    as for ``render``.
    """
    group = only_group(records)
    measures, facts = columns_of(view)
    columns = column_groups(
        group, measures, added=added_measures(view), averages=view.averages, digits=view.digits
    )
    flat = [column for part in columns for column in part.columns]
    measured = in_order(settings(group.records, spread=view.spread), view, flat)
    published = published_maps(group)
    standings = best_groups(measured, flat, arrays)
    by_setting = rows_by_setting(measured, published or {}, flat, marks_of(standings))
    sections = (Section("", tuple(chain.from_iterable(rows_with_facts(measured, by_setting, facts)))),)
    has_allmodal = ALLMODAL.heading in [each.heading for each in columns]
    beside = PUBLISHED if published is not None and has_allmodal else None
    notes = [significance_note(standings, measured, letters=view.letters), *sign_notes(measured)]
    of_columns = [each.measure for each in flat]
    lines = footer(
        group,
        measured,
        shown_values(sections, beside),
        notes=[*notes, *fact_notes(facts, measured)],
        measures=of_columns,
    )
    return Table(
        group.title,
        subtitle(group.dataset),
        columns,
        beside,
        sections,
        lines,
        view,
        tuple(fact.heading for fact in facts),
        (*brief(group, measured, measures=of_columns), *notes),
    )


def rows_with_facts(
    measured: Sequence[Setting], by_setting: Iterable[Sequence[Row]], facts: Sequence[Fact]
) -> list[list[Row]]:
    """Return the rows of each setting with what stands beside the scores and behind the label."""
    found, finished = [], [each for each in measured if each.finished]
    for setting, rows in zip(measured, by_setting, strict=True):
        told = {fact.heading: fact.printed(setting) for fact in facts}
        signs = signs_of(setting, finished)
        found.append([row if row.failure else replace(row, facts=told, signs=signs) for row in rows])
    return found


def written(made: Sequence[Table], format: Format) -> str:
    """Return tables in a format, one after the other; unknown formats raise ``ReportError``."""
    if format not in WRITERS:
        raise ReportError(f"unknown table format {format!r}; use {', '.join(WRITERS)} or csv")
    if len(made) > 1 and any(each.view.label for each in made):
        raise ReportError(
            f"a label is for one table, and there are {len(made)}; choose one by dataset and protocol"
        )
    return WRITERS[format](made)
