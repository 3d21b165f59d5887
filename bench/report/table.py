"""Leaderboards in the paper's layout, one per dataset and protocol, as Markdown, LaTeX or CSV."""

from collections.abc import Iterable
from typing import Literal, TypeAlias

from cmbench.errors import ReportError
from cmbench.report.delimited import csv_text
from cmbench.report.groups import Record, groups, only_group
from cmbench.report.latex import latex
from cmbench.report.layout import Table, table
from cmbench.report.markdown import markdown
from cmbench.report.settings import Spread

Format: TypeAlias = Literal["markdown", "latex", "csv"]

_TEXTS = {"markdown": markdown, "latex": latex}


def render(records: Iterable[Record], *, format: Format = "markdown", spread: Spread = "seeds") -> str:
    """Return the tables of these records as text: one per dataset fingerprint and protocol, never mixed.

    Per column the best number is bold and the second underlined, where numbers that print the same
    are equal; several seeds of a setting are their mean ± sample standard deviation, or with
    ``spread="queries"`` ± the standard error over queries; cells that failed are spelled out in place
    of their numbers. CSV holds the numbers at full precision, without
    marks. No records at all raise ``ReportError``, and so do records of more than one table as CSV,
    because a CSV is one table; ``cmbench.report.frame.records_frame`` holds any records.
    """
    records = list(records)
    if format == "csv" or not records:
        return csv_text(only_group(records), spread=spread)
    return written([table(group.records, spread=spread) for group in groups(records)], format)


def written(tables: Iterable[Table], format: Format) -> str:
    """Return tables as Markdown or LaTeX, one after the other; other formats raise ``ReportError``."""
    if format not in _TEXTS:
        raise ReportError(f"unknown table format {format!r}; use markdown, latex or csv")
    return "\n".join(_TEXTS[format](each) for each in tables)
