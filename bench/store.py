"""A results store: a folder with one JSON file per finished cell, and per-query results beside it.

``cells/DATASET/METHOD-KEY.json`` is the record, ``.npz`` of the same name holds the arrays, and
``logs/`` what the cells printed. Copying one store's files into another merges them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmbench.disk import DAMAGE, replacing, writing_to
from cmbench.errors import StoreError

SCHEMA = 1
DEFAULT_STORE = "results/runs"
_NAME_LENGTH = 50  # characters; file systems allow 255 bytes, and a character may take four

Record = Mapping[str, Any]
Arrays = Mapping[str, NDArray[Any]]


class Store:
    """The records in a folder, which is made when the first is put."""

    def __init__(self, folder: Path | str = DEFAULT_STORE) -> None:
        self.folder = Path(folder)

    def put(self, record: Record, arrays: Arrays | None = None) -> Path:
        """Write a record and its arrays, atomically, in place of an earlier record of the cell.

        Both are on the disk before an earlier record goes, and the record takes its place last:
        whoever finds a record finds the arrays that belong to it, wherever a kill may fall.
        Raises ``StoreError`` when the folder cannot be written to.
        """
        path = self._path(record)
        text = json.dumps(record, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False)
        with writing_to(path, raising=StoreError), replacing(path) as beside:
            # a lone surrogate, of a file name that is no UTF-8 say, becomes its JSON escape
            beside.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")
            self._put_arrays(record, arrays)
        return path

    def _put_arrays(self, record: Record, arrays: Arrays | None) -> None:
        if arrays is None:
            self._remove(record["key"])
            return
        with replacing(self._path(record).with_suffix(".npz")) as beside:
            with beside.open("wb") as file:
                np.savez_compressed(file, allow_pickle=False, **arrays)
            self._remove(record["key"])

    def _remove(self, key: str) -> None:
        """Remove the cell's record first and then its arrays, also those of a dataset's earlier name."""
        for path in self._paths_of(key):
            path.unlink(missing_ok=True)
            path.with_suffix(".npz").unlink(missing_ok=True)

    def find(self, key: str) -> dict[str, Any] | None:
        """Return the record of a cell by its key, or None."""
        found = self._paths_of(key)
        return read_record(found[0]) if found else None

    def records(self) -> list[dict[str, Any]]:
        """Return all records, in the order of their file names."""
        return [read_record(path) for path in self.paths()]

    def paths(self) -> list[Path]:
        """Return the files of all records, sorted."""
        return sorted(path for path in self._cells().glob("*/*.json") if not path.name.startswith("."))

    def arrays(self, record: Record) -> dict[str, NDArray[Any]]:
        """Return the per-query arrays of a record; raises ``StoreError`` when their file is gone."""
        path = self._path(record).with_suffix(".npz")
        try:
            with np.load(path, allow_pickle=False) as file:
                return {name: file[name] for name in file.files}
        except DAMAGE as error:
            raise StoreError(
                f"{path}: cannot be read ({error}); copy it from where the record came, or run with --force"
            ) from error

    def log_path(self, dataset: str, method: str, key: str) -> Path:
        """Return where the cell's output goes; its folder exists."""
        path = self.folder / "logs" / _file_name(dataset) / f"{_file_name(method)}-{key}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def relative(self, path: Path) -> str:
        """Return a path within the store as records keep it, so that stores can be moved and merged."""
        return path.relative_to(self.folder).as_posix()

    def _cells(self) -> Path:
        return self.folder / "cells"

    def _paths_of(self, key: str) -> list[Path]:
        return sorted(self._cells().glob(f"*/*-{key}.json"))

    def _path(self, record: Record) -> Path:
        stem = f"{_file_name(record['method']['name'])}-{record['key']}"
        return self._cells() / _file_name(record["dataset"]["name"]) / f"{stem}.json"


def read_record(path: Path) -> dict[str, Any]:
    """Return the record in a file; raises ``StoreError`` if it is damaged or of another schema."""
    remedy = "restore it from a copy, or delete it to run the cell again"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: not a readable record ({error}); {remedy}") from error
    if not isinstance(record, dict) or record.get("schema") != SCHEMA:
        schema = record.get("schema") if isinstance(record, dict) else None
        raise StoreError(f"{path}: has schema {schema!r}, this cmbench reads {SCHEMA}; {remedy}")
    return record


def matching(records: list[dict[str, Any]], text: str) -> Iterator[dict[str, Any]]:
    """Yield the records whose method or dataset/method is ``text``, else those whose key starts with it.

    Names come first because some, ``cca`` for one, are the first digits of a key as well.
    """
    named = [record for record in records if text in _names(record)]
    yield from named or (record for record in records if record["key"].startswith(text))


def _names(record: Record) -> tuple[str, str]:
    dataset, method = record["dataset"]["name"], record["method"]["name"]
    return method, f"{dataset}/{method}"


def _file_name(name: str) -> str:
    """Return what may stand in a file name: no separators, not hidden, short enough in any script."""
    return re.sub(r"[^\w.-]+", "_", name).lstrip(".")[:_NAME_LENGTH] or "_"
