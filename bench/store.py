"""A results store: a folder with the record of each finished cell, and per-query results beside it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmbench.current import with_card
from cmbench.disk import DAMAGE, replacing, writing_to
from cmbench.errors import StoreError

SCHEMA = 1
DEFAULT_STORE = "results/runs"
_NAME_LENGTH = 50  # characters; file systems allow 255 bytes, and a character may take four

Record = Mapping[str, Any]
Arrays = Mapping[str, NDArray[Any]]


class Store:
    """The records in a folder, which is made when the first is put.

    A record is in one of two forms:

    * ``cells/DATASET/METHOD-KEY.json``, a file of its own, as a run writes it: a cell that is killed loses
      nothing but itself, and two processes never write to one file;
    * a line of ``DATASET.jsonl``, the records file of a dataset, as ``pack`` writes it for a study that is
      complete. It is text, not compressed, with one record a line, sorted by method and key: version
      control shows which records are new, two people's additions merge line by line, and ``grep METHOD``
      finds what it looks for. Git compresses what it stores anyway.

    Where a cell has both, its own file counts; of several lines about one cell, the last does, in the order
    of the files' names. Copying one store's files into another therefore merges them.

    The arrays of a record are in ``cells/DATASET/METHOD-KEY.npz`` in either form; ``logs/`` holds what the
    cells printed, ``current/`` and ``sources/`` what ``cmbench.current`` notes of datasets and plugins.
    """

    def __init__(self, folder: Path | str = DEFAULT_STORE) -> None:
        self.folder = Path(folder)

    def put(self, record: Record, arrays: Arrays | None = None) -> Path:
        """Write a record and its arrays to files of their own, in place of the cell's earlier ones.

        Both are on the disk before an earlier record is removed, and the record takes its place last, so
        that a record that is found has its arrays beside it, wherever a kill falls. A line about the cell in
        a records file stays as it is, and counts again only if the record's own file is deleted.
        Raises ``StoreError`` when the folder cannot be written to.
        """
        path = self._path(record)
        text = json.dumps(record, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False)
        with writing_to(path, raising=StoreError), replacing(path) as beside:
            _write_text(beside, text + "\n")
            self._put_arrays(record, arrays)
        return path

    def pack(self) -> list[Path]:
        """Move all records into one records file for each dataset, and return these files.

        For a study that is complete: no run may be writing to the store meanwhile. Arrays stay where they
        are.
        """
        lines: dict[Path, list[str]] = {}
        for record in self.records():
            line = json.dumps(record, sort_keys=True, allow_nan=False, ensure_ascii=False)
            path = self.folder / f"{_file_name(record['dataset']['name'])}.jsonl"
            lines.setdefault(path, []).append(line + "\n")
        superseded = [*self.paths(), *(path for path in self._records_files() if path not in lines)]
        for path, content in lines.items():
            with writing_to(path, raising=StoreError), replacing(path) as beside:
                _write_text(beside, "".join(content))
        for path in superseded:
            path.unlink()
        return sorted(lines)

    def find(self, key: str) -> dict[str, Any] | None:
        """Return the record of a cell by its key, with the newest card of its dataset, or None."""
        paths = self._paths_of(key)
        if paths:
            return with_card(self.folder, read_record(paths[0]))
        records = [record for record in self._packed(containing=f'"{key}"') if record["key"] == key]
        return with_card(self.folder, records[-1]) if records else None

    def records(self) -> list[dict[str, Any]]:
        """Return all records with the newest cards, by the names of dataset and method, then by key."""
        placed = {record["key"]: (self._path(record), record) for record in self._packed()}
        in_files = ((path, read_record(path)) for path in self.paths())
        placed |= {record["key"]: (path, record) for path, record in in_files}
        ordered = sorted(placed.values(), key=lambda pair: pair[0])
        return [with_card(self.folder, record) for _, record in ordered]

    def paths(self) -> list[Path]:
        """Return the files of the records that have one of their own, sorted."""
        return sorted(path for path in self._cells().glob("*/*.json") if not path.name.startswith("."))

    def arrays(self, record: Record) -> dict[str, NDArray[Any]]:
        """Return the per-query arrays of a record; raises ``StoreError`` when their file is gone."""
        by_key = self._paths_of(record["key"], ".npz")  # the dataset may have another name by now
        path = by_key[0] if by_key else self._path(record).with_suffix(".npz")
        try:
            with np.load(path, allow_pickle=False) as file:
                return {name: file[name] for name in file.files}
        except DAMAGE as error:
            raise StoreError(
                f"{path}: cannot be read ({error}); copy it from where the record came from, or run the cell "
                "again with --force"
            ) from error

    def remove(self, record: Record) -> None:
        """Remove a record that has a file of its own, with its arrays and its log."""
        with writing_to(self.folder, raising=StoreError):
            self._remove(record["key"])
            if record.get("log"):
                (self.folder / record["log"]).unlink(missing_ok=True)

    def log_path(self, dataset: str, method: str, key: str) -> Path:
        """Return where the cell's output goes; its folder exists."""
        path = self.folder / "logs" / _file_name(dataset) / f"{_file_name(method)}-{key}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def relative(self, path: Path) -> str:
        """Return a path within the store as records keep it, so that stores can be moved and merged."""
        return path.relative_to(self.folder).as_posix()

    def _put_arrays(self, record: Record, arrays: Arrays | None) -> None:
        if arrays is None:
            self._remove(record["key"])
            return
        with replacing(self._path(record).with_suffix(".npz")) as beside:
            with beside.open("wb") as file:
                np.savez_compressed(file, allow_pickle=False, **arrays)
            self._remove(record["key"])

    def _remove(self, key: str) -> None:
        """Remove the cell's own record first and then its arrays, also those of a dataset's earlier name."""
        for path in (*self._paths_of(key), *self._paths_of(key, ".npz")):
            path.unlink(missing_ok=True)

    def _packed(self, containing: str = "") -> Iterator[dict[str, Any]]:
        """Yield the records in records files whose lines have this text, in the order of files and lines."""
        for path in self._records_files():
            for number, line in enumerate(
                _text_of(path).split("\n"), 1
            ):  # other ends of lines may be in texts
                if line and containing in line:
                    yield _parsed(line, f"{path}, line {number}")

    def _records_files(self) -> list[Path]:
        return sorted(path for path in self.folder.glob("*.jsonl") if not path.name.startswith("."))

    def _cells(self) -> Path:
        return self.folder / "cells"

    def _paths_of(self, key: str, suffix: str = ".json") -> list[Path]:
        return sorted(self._cells().glob(f"*/*-{key}{suffix}"))

    def _path(self, record: Record) -> Path:
        stem = f"{_file_name(record['method']['name'])}-{record['key']}"
        return self._cells() / _file_name(record["dataset"]["name"]) / f"{stem}.json"


def read_record(path: Path) -> dict[str, Any]:
    """Return the record in a file of its own; raises ``StoreError`` if it is damaged or of another schema."""
    return _parsed(_text_of(path), str(path))


def matching(records: list[dict[str, Any]], text: str) -> Iterator[dict[str, Any]]:
    """Yield the records whose method or dataset/method is ``text``, else those whose key starts with it.

    Names come first because some, ``cca`` for one, are the first digits of a key as well.
    """
    named = [record for record in records if text in _names(record)]
    yield from named or (record for record in records if record["key"].startswith(text))


_REMEDY = "restore it from a copy, or delete it to run the cell again"


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: not a readable record ({error}); {_REMEDY}") from error


def _parsed(text: str, where: str) -> dict[str, Any]:
    try:
        record = json.loads(text)
    except ValueError as error:
        raise StoreError(f"{where}: not a readable record ({error}); {_REMEDY}") from error
    if not isinstance(record, dict) or record.get("schema") != SCHEMA:
        schema = record.get("schema") if isinstance(record, dict) else None
        raise StoreError(f"{where}: has schema {schema!r}, this cmbench reads {SCHEMA}; {_REMEDY}")
    return record


def _write_text(path: Path, text: str) -> None:
    # a lone surrogate, of a file name that is not UTF-8 for example, becomes its JSON escape
    path.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")


def _names(record: Record) -> tuple[str, str]:
    dataset, method = record["dataset"]["name"], record["method"]["name"]
    return method, f"{dataset}/{method}"


def _file_name(name: str) -> str:
    """Return what may stand in a file name: no separators, not hidden, short enough in any script."""
    return re.sub(r"[^\w.-]+", "_", name).lstrip(".")[:_NAME_LENGTH] or "_"
