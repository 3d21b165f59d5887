"""Records as a tidy data frame, one row per cell."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pandas as pd

from cmbench.report.columns import COLUMNS
from cmbench.report.groups import Record

_FIELDS: Mapping[str, Callable[[Record], Any]] = {
    "dataset": lambda record: record["dataset"]["name"],
    "fingerprint": lambda record: record["dataset"]["fingerprint"],
    "method": lambda record: record["method"]["name"],
    "paper_name": lambda record: record["method"]["paper_name"],
    "family": lambda record: record["method"]["family"],
    "seed": lambda record: record["seed"],
    "parameters": lambda record: json.dumps(record["method"]["parameters"], sort_keys=True),
    "protocol": lambda record: record["protocol"]["name"],
    "protocol_version": lambda record: record["protocol"]["version"],
    "status": lambda record: record["status"],
}
_MAPS = tuple(column.key for column in COLUMNS)
_DURATIONS = ("fit", "transform", "evaluate", "total")
_SECONDS = tuple(f"{name}_seconds" for name in _DURATIONS)

_TYPES = {"seed": "Int64", "peak_memory_bytes": "Int64", **dict.fromkeys((*_MAPS, *_SECONDS), "float64")}


def records_frame(records: Iterable[Record]) -> pd.DataFrame:
    """Return one row per cell, in the order of the records; a failed cell has no MAP.

    Columns: ``dataset``, ``fingerprint``, ``method``, ``paper_name``, ``family``, ``seed`` (missing for
    a deterministic method), ``parameters`` (JSON, keys sorted), ``protocol``, ``protocol_version``,
    ``status``, the six MAPs, ``fit_seconds``, ``transform_seconds``, ``evaluate_seconds``,
    ``total_seconds``, ``peak_memory_bytes``, ``error`` (type and message) and ``key``.
    """
    columns = [*_FIELDS, *_MAPS, *_SECONDS, "peak_memory_bytes", "error", "key"]
    return pd.DataFrame([_row(record) for record in records], columns=columns).astype(_TYPES)


def _row(record: Record) -> dict[str, Any]:
    maps, durations = record["map"] or {}, record["durations"] or {}
    return {
        **{name: read(record) for name, read in _FIELDS.items()},
        **{name: maps.get(name) for name in _MAPS},
        **{column: durations.get(name) for column, name in zip(_SECONDS, _DURATIONS, strict=True)},
        "peak_memory_bytes": record["peak_memory_bytes"],
        "error": _error(record),
        "key": record["key"],
    }


def _error(record: Record) -> str | None:
    error = record["error"]
    return f"{error['type']}: {error['message']}" if error else None
