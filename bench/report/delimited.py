"""A leaderboard as CSV: the numbers at full precision, one row per setting."""

import csv
import json
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
    rows = [_row(group, setting, published) for setting in settings(group.records, spread=spread)]
    text = StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _row(group: Group, setting: Setting, published: Published | None) -> dict[str, Any]:
    method = setting.method
    row = {
        "dataset": group.name,
        "fingerprint": group.dataset["fingerprint"],
        "protocol": group.protocol["name"],
        "protocol_version": group.protocol["version"],
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
    return row if published is None else {**row, **_published(method["paper_name"], published)}


def _published(name: str, published: Published) -> dict[str, Any]:
    values = {column.key: published.get((name, column.key)) for column in COLUMNS}
    known = [value for value in values.values() if value is not None]
    return {
        **{f"published_{key}": None if value is None else value.map for key, value in values.items()},
        "published_source": "; ".join(dict.fromkeys(value.source for value in known)),
        "published_confidence": "; ".join(dict.fromkeys(value.confidence for value in known)),
    }
