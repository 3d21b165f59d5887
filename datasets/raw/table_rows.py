"""Rows of a CSV or Parquet table, as texts by column."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cmbench.datasets.raw.pair_files import read_text
from cmbench.datasets.raw.problems import Problems
from cmbench.errors import DatasetError

ENDINGS = (".csv", ".parquet")
COLUMNS = ("image", "text", "text_file", "category", "id", "split")
"""The columns that are looked at; others are left alone."""
SEPARATORS = {";": "semicolons", "\t": "tabs"}


@dataclass(frozen=True)
class TableRow:
    """The cells of a row by column, and the file and line (or row) to name in errors."""

    place: str
    cells: Mapping[str, str]


def table_rows(path: Path, problems: Problems) -> Iterator[TableRow]:
    """Return the rows of a table; what is wrong with single ones is noted in ``problems``.

    A cell of a Parquet table may be a text, a whole number, nothing, or, in the column ``text``, a list of
    texts, which become its lines.

    Raises
    ------
    DatasetError
        For a file that is no such table, and for missing, ambiguous and repeated columns.
    """
    readers = dict(zip(ENDINGS, (_csv_rows, _parquet_rows), strict=True))
    if path.suffix.lower() not in readers:
        raise DatasetError(f"{path} is neither a .csv nor a .parquet file nor a folder; give one of them")
    return readers[path.suffix.lower()](path, problems)


def _csv_rows(path: Path, problems: Problems) -> Iterator[TableRow]:
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    try:
        columns = [name.strip() for name in next(reader, [])]
        _check_separator(columns, path)
        _check_columns(columns, path)
        first = reader.line_num + 1  # of the row: a quoted text may have several
        for values in reader:
            place, first = f"{path}, line {first}", reader.line_num + 1
            if len(values) == len(columns):
                cells = zip(columns, values, strict=True)
                yield TableRow(place, {name: value for name, value in cells if name in COLUMNS})
            elif values:
                problems.add(
                    f"{place}: {len(values)} fields and {len(columns)} columns; quote texts that hold a comma"
                )
    except csv.Error as error:
        problems.add(
            f"{path}, line {reader.line_num}: not CSV ({error}); correct it, or put long texts "
            "into files and name them in a column text_file"
        )


def _parquet_rows(path: Path, problems: Problems) -> Iterator[TableRow]:
    if find_spec("pyarrow") is None:
        raise DatasetError(f"{path}: Parquet needs pyarrow; pip install pyarrow, or save the table as CSV")
    columns = _parquet_columns(path)
    for number, values in enumerate(zip(*columns.values(), strict=True), start=1):
        place = f"{path}, row {number}"
        with problems.noted():
            cells = zip(columns, values, strict=True)
            yield TableRow(place, {name: _cell(value, name, place) for name, value in cells})


def _parquet_columns(path: Path) -> dict[str, list[Any]]:
    pyarrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    try:
        with parquet.ParquetFile(path) as file:
            names, ranges = file.schema_arrow.names, _ranges(file.schema_arrow.pandas_metadata)
            _check_columns([*names, *ranges], path)
            found = file.read([name for name in names if name in COLUMNS])
            return {name: found[name].to_pylist() for name in found.column_names} | ranges
    except (OSError, pyarrow.ArrowException) as error:
        raise DatasetError(f"{path} cannot be read ({error}); write it again") from error


def _ranges(metadata: dict[str, Any] | None) -> dict[str, list[Any]]:
    """Return what pandas does not write as a column: an index of numbers at equal distances."""
    indices = (metadata or {}).get("index_columns", [])
    ranges = [index for index in indices if isinstance(index, dict) and index["name"] in COLUMNS]
    return {each["name"]: list(range(each["start"], each["stop"], each["step"])) for each in ranges}


def _cell(value: object, column: str, place: str) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if column == "text" and isinstance(value, list) and all(isinstance(line, str) for line in value):
        return "\n".join(value)
    raise DatasetError(
        f"{place}: {column} is {value!r:.60}, a {type(value).__name__}; write texts or whole numbers there"
    )


def _check_separator(columns: Sequence[str], path: Path) -> None:
    for mark, marks in SEPARATORS.items():
        if len(columns) == 1 and mark in columns[0]:
            raise DatasetError(f"{path}: its columns are separated by {marks}; save it with commas")


def _check_columns(columns: Sequence[str], path: Path) -> None:
    known = ", ".join(name for name in columns if name) or "none"
    missing = [name for name in ("image", "category") if name not in columns]
    if missing:
        raise DatasetError(f"{path} has no column {missing[0]!r}; its columns are {known}; add it")
    if ("text" in columns) == ("text_file" in columns):
        raise DatasetError(f"{path} must have one of the columns text and text_file; its are {known}")
    twice = [name for name in COLUMNS if columns.count(name) > 1]
    if twice:
        raise DatasetError(f"{path} has the column {twice[0]!r} twice; keep one")
