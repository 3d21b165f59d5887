"""A table as CSV: the numbers at full precision, one row per setting."""

import csv
import json
from collections.abc import Mapping, Sequence
from io import StringIO
from typing import Any

from cmbench.report.columns import COLUMNS
from cmbench.report.failures import failures_text
from cmbench.report.groups import Group
from cmbench.report.published import Published, published_maps
from cmbench.report.settings import Setting, Spread, settings


def csv_text(group: Group, *, spread: Spread = "seeds") -> str:
    """Return the table of a group as CSV with a header row, settings in the order of tables.

    Each row names its dataset, fingerprint and protocol. ``status`` is ``ok`` or what failed; ``seeds``
    counts the finished records the means are over; ``<column>_std`` is the sample standard deviation,
    empty for one seed, or with ``spread="queries"`` the standard error over queries. ``published_*``
    columns, with source and confidence, are there where dataset and features are the paper's.
    """
    published = published_maps(group)
    return csv_of([csv_row(group, setting, published) for setting in settings(group.records, spread=spread)])


def csv_of(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as CSV with a header; the longest row has all the columns, in their order."""
    text = StringIO()
    writer = csv.DictWriter(text, fieldnames=max(map(list, rows), key=len), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def csv_row(group: Group, setting: Setting, published: Published | None) -> dict[str, Any]:
    """Return the row of a setting, by column; None where there is no number."""
    method = setting.method
    row = {
        **_origin(group),
        "method": method["name"],
        "paper_name": method["paper_name"],
        "label": setting.label,
        "family": method["family"],
        "version": method["version"],
        "parameters": json.dumps(setting.parameters, sort_keys=True),
        "status": failures_text(setting) if setting.failed else "ok",
        "seeds": len(setting.finished),
    }
    for column in COLUMNS:
        score = setting.score(column.key)
        row[column.key] = None if score is None else score.mean
        row[f"{column.key}_std"] = None if score is None else score.deviation
    return {**row, **_published(method["paper_name"], published)}


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
    return {**row, **_published(paper_name, published)}


def _origin(group: Group) -> dict[str, Any]:
    return {
        "dataset": group.name,
        "fingerprint": group.dataset["fingerprint"],
        "protocol": group.protocol["name"],
        "protocol_version": group.protocol["version"],
    }


def _published(name: str, published: Published | None) -> dict[str, Any]:
    if published is None:
        return {}
    values = {column.key: published.get((name, column.key)) for column in COLUMNS}
    known = [value for value in values.values() if value is not None]
    return {
        **{f"published_{key}": None if value is None else value.map for key, value in values.items()},
        "published_source": "; ".join(dict.fromkeys(value.source for value in known)),
        "published_confidence": "; ".join(dict.fromkeys(value.confidence for value in known)),
    }
