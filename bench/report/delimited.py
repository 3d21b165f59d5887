"""Tables as CSV: numbers at full precision, and everything that is known of a row as columns."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from io import StringIO
from typing import Any

from cmbench.records import is_by_pair
from cmbench.report.facts import added_measures, columns_of, duration, in_order, largest
from cmbench.report.layout import BIMODAL, COLUMNS, DEFAULT_VIEW, Column, Mark, View, column_groups
from cmbench.report.published import Published, published_maps
from cmbench.report.records import Group
from cmbench.report.searches import budget_text, changed, trials_of, tuning_of
from cmbench.report.settings import Setting, failures_text, settings
from cmbench.report.significance import Arrays, best_groups, marks_of
from cmbench.report.warned import said_once


def csv_text(group: Group, *, arrays: Arrays | None = None, view: View = DEFAULT_VIEW) -> str:
    """Return the table of a group as CSV with a header row, settings in the order of tables.

    Each row names its dataset, fingerprint and protocol. ``status`` is ``ok`` or what failed; ``seeds``
    counts those that the means are over, 1 for a method without randomness, and ``splits`` the ways in which
    the pairs were divided, 1 for the dataset's own alone; ``<column>_std`` is the sample standard deviation
    over both, empty for one record, or with the spread ``queries`` the standard error over queries,
    which stands in ``<column>_standard_error`` in any case; ``<column>_best`` says what tables print in bold,
    and settings that share a letter in ``<column>_group`` cannot be told apart; it is empty where this was
    not tested. ``trials`` were made before the parameters were chosen, within the ``budget`` that every
    method of the ``profile`` had; they are ``exhausted`` where they were all settings of the method.
    ``published_*`` columns, with source and confidence, are there where dataset and features are the paper's.
    """
    published = published_maps(group)
    columns = _csv_columns(group, view)
    rows = in_order(settings(group.records, spread=view.spread), view, columns)
    marks = marks_of(best_groups(rows, columns, arrays))
    return csv_of(
        [
            csv_row(group, setting, published, columns, {key: of[at] for key, of in marks.items()})
            for at, setting in enumerate(rows)
        ]
    )


def _csv_columns(group: Group, view: View) -> list[Column]:
    """Return MAP of all tasks evaluated, and the columns of the measures shown; of averages those alone."""
    maps = () if view.averages else BIMODAL.columns if is_by_pair(group.protocol) else COLUMNS
    measures, _ = columns_of(view)
    groups = column_groups(group, measures, added=added_measures(view), averages=view.averages)
    asked = (column for columns in groups for column in columns.columns)
    return list({column.key: column for column in (*maps, *asked)}.values())


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
        "seeds": setting.seeds,
        "splits": len(setting.splits),
    }
    for column in columns:
        score = setting.score(column.key)
        row[column.key] = None if score is None else score.mean
        row[f"{column.key}_std"] = None if score is None else score.deviation
        row[f"{column.key}_standard_error"] = setting.standard_error(column.key)
        row[f"{column.key}_best"] = None if score is None else marks[column.key].best
        row[f"{column.key}_group"] = marks[column.key].letters or None
    in_paper = _csv_published(method["paper_name"], published)
    return {**row, **_costs(setting), **_origin_of_parameters(setting), **in_paper}


def _costs(setting: Setting) -> dict[str, Any]:
    """Return the mean durations over the finished records, the most memory, and the number of weights."""
    names = ("fit", "transform", "evaluate", "total", "processor")
    return {
        **{f"{name}_seconds": duration(setting, name) for name in names},
        "peak_memory_bytes": largest(setting, "peak_memory_bytes"),
        "weights": largest(setting, "weights"),
    }


def _origin_of_parameters(setting: Setting) -> dict[str, Any]:
    given, tuning = changed(setting), tuning_of(setting)
    warnings = said_once(("", record.get("warnings") or ()) for record in setting.finished)
    return {
        "changed": None if given is None else json.dumps(given, sort_keys=True),
        "preset": setting.method.get("preset"),
        "profile": tuning.get("profile"),
        "trials": trials_of(setting),
        "exhausted": bool(tuning.get("exhausted")) if tuning else None,
        "budget": budget_text(tuning.get("budget", {})) or None,
        "warnings": "; ".join(text for text, _ in warnings) or None,
    }


def _status(setting: Setting) -> str:
    if setting.unfinished:
        return failures_text(setting)
    return f"left out: {setting.left_out}" if setting.left_out else "ok"


def empty_row(
    group: Group, name: str, paper_name: str, published: Published | None, status: str = "not run"
) -> dict[str, Any]:
    """Return the row of a method that has no record, with the columns that have a value."""
    row = {
        **_origin(group),
        "method": name,
        "paper_name": paper_name,
        "label": paper_name,
        "status": status,
        "seeds": 0,
        "splits": 0,
    }
    return {**row, **_csv_published(paper_name, published)}


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
