"""Stored cells for users: those that they name, as a data frame with a row for each, or as text."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmbench.current import newest_code
from cmbench.errors import ReportError, StoreError, did_you_mean, listed
from cmbench.records import Record, base_dataset, split_of
from cmbench.report.layout import COLUMNS
from cmbench.store import DEFAULT_STORE, Store, matching

if TYPE_CHECKING:
    import pandas as pd


MOST_NAMED = 30
"""Cells that a message names."""


def stored_records(folder: str | Path, *, all_versions: bool = False) -> list[Record]:
    """Return the records of the store in ``folder``, in its order; none raise ``ReportError``.

    They are those of the newest code of each method, unless ``all_versions``.
    """
    return _of_newest_code(folder, Store(folder).records(), all_versions)


def stored_summaries(folder: str | Path, *, all_versions: bool = False) -> list[Record]:
    """Return what ``stored_records`` does without what only figures need, quickly for a large store."""
    return _of_newest_code(folder, Store(folder).summaries(), all_versions)


def _of_newest_code(folder: str | Path, records: Sequence[Record], all_versions: bool) -> list[Record]:
    if not records:
        raise ReportError(
            f"no records in {folder}; run 'cmbench run' first, or name another folder with --store"
        )
    return list(records) if all_versions else newest_code(Path(folder), records)


def stored_cells(folder: str | Path, names: Sequence[str]) -> list[Record]:
    """Return the records of cells named by method, dataset/method, or the first digits of a key.

    Raises ``StoreError`` for a name that no cell has.
    """
    records = Store(folder).records()
    named: dict[str, Record] = {}
    for name in names:
        cells = {record["key"]: record for record in matching(records, name)}
        if not cells:
            raise StoreError(_no_cell(name, folder, records))
        named |= cells
    return list(named.values())


def _no_cell(name: str, folder: str | Path, records: Sequence[Record]) -> str:
    """Return that no cell has this name, and what cells there are: of its dataset alone if it names one."""
    cells = {(record["dataset"]["name"], record["method"]["name"]) for record in records}
    of_dataset = {cell for cell in cells if cell[0] == name.rpartition("/")[0]}
    available = sorted("/".join(cell) for cell in of_dataset or cells)
    known = available if "/" in name else sorted({method for _, method in cells})
    has = listed(available, MOST_NAMED) or "none"
    return f"no cell {name!r} in {folder}{did_you_mean(name, known)}; it has {has}"


_FIELDS: Mapping[str, Callable[[Record], Any]] = {
    "dataset": lambda record: base_dataset(record)["name"],
    "split": split_of,
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
_ORIGIN = ("preset", "profile", "trials")
_TYPES = {
    "split": "int64",
    "seed": "Int64",
    "peak_memory_bytes": "Int64",
    "weights": "Int64",
    "trials": "int64",
    **dict.fromkeys((*_MAPS, *_SECONDS), "float64"),
}


def records_frame(records: Iterable[Record]) -> pd.DataFrame:
    """Return one row per cell, in the order of the records; a failed cell has no MAP.

    Columns: ``dataset``, ``split`` (0 for the dataset's own, else the seed of one drawn anew),
    ``fingerprint``, ``method``, ``paper_name``, ``family``, ``seed`` (missing for a deterministic method),
    ``parameters`` (JSON, keys sorted), ``protocol``, ``protocol_version``, ``status``, the six MAPs, other
    measures if there are any (``r@1_image_to_text``), ``fit_seconds``, ``transform_seconds``,
    ``evaluate_seconds``, ``total_seconds``, ``peak_memory_bytes``, ``weights`` (how many), ``error`` (type
    and message), ``key``, ``preset``, and the ``profile`` from which parameters come with its number of
    ``trials``, 0 where no search has chosen them.
    """
    import pandas as pd  # takes longer to import than a table to make

    listed = list(records)
    measures = list(dict.fromkeys(name for record in listed for name in measures_of(record)))
    columns = [*_FIELDS, *_MAPS, *measures, *_SECONDS, "peak_memory_bytes", "weights", "error", "key"]
    columns += _ORIGIN
    types = {**_TYPES, **dict.fromkeys(measures, "float64")}
    return pd.DataFrame([_encodable(_row(record)) for record in listed], columns=columns).astype(types)


def measures_of(record: Record) -> dict[str, float]:
    """Return the measures beside MAP by measure and task: ``r@1_image_to_text``."""
    measures = record.get("measures") or {}
    return {f"{name}_{task}": value for name, by_task in measures.items() for task, value in by_task.items()}


def _row(record: Record) -> dict[str, Any]:
    maps, durations = record["map"] or {}, record["durations"] or {}
    tuning = record["method"].get("tuning") or {}
    return {
        **{name: read(record) for name, read in _FIELDS.items()},
        **{name: maps.get(name) for name in _MAPS},
        **measures_of(record),
        **{column: durations.get(name) for column, name in zip(_SECONDS, _DURATIONS, strict=True)},
        "peak_memory_bytes": record["peak_memory_bytes"],
        "error": error_of(record),
        "weights": record.get("weights"),
        "key": record["key"],
        "preset": record["method"].get("preset"),
        "profile": tuning.get("profile"),
        "trials": tuning.get("trials", 0),
    }


def _encodable(row: Mapping[str, Any]) -> dict[str, Any]:
    """Write out lone surrogates (of file names that are no UTF-8), which the strings of pandas refuse."""
    return {
        name: value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
        for name, value in row.items()
    }


def error_of(record: Record) -> str | None:
    """Return type and message of the error of a cell, None where it has none."""
    error = record["error"]
    return f"{error['type']}: {error['message']}" if error else None


def load_results(store: str | Path = DEFAULT_STORE, *, all_versions: bool = False) -> pd.DataFrame:
    """Return the results in a store as a data frame with one row per cell, whose columns ``run`` has too.

    They are those of the newest code of each method, unless ``all_versions``. For the mean and deviation of
    every method over seeds and splits::

        frame = cmbench.load_results("results/runs")
        frame.groupby(["dataset", "method", "parameters"])["bimodal_average"].agg(["mean", "std"])

    Raises ``ReportError`` where there are none. What cannot be read is left out with a warning.
    """
    return records_frame(stored_summaries(store, all_versions=all_versions))
