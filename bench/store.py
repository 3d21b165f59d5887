"""A results store: a folder with the record of each finished cell, and per-query results beside it."""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from cmbench.current import damaged_notes, with_card, with_cards
from cmbench.disk import DAMAGE, check_plain, replacing, writing_to
from cmbench.errors import DamagedArraysError, DamagedRecordWarning, StoreError
from cmbench.index import Index, Reading, read_index, write_index
from cmbench.schema import Problem, finished_at, parsed

DEFAULT_STORE, TUNING_STORE = "results/runs", "results/tuning"
_NAME_LENGTH = 50  # characters; file systems allow 255 bytes, and a character may take four
_MOVES = 20  # files may be renamed as often while they are read
_WORTH_AN_INDEX = 100  # files; fewer are read anew faster than anybody notices

P = TypeVar("P")
Record: TypeAlias = Mapping[str, Any]
Arrays: TypeAlias = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Contents:
    """The records that can be read, by the names of dataset and method and then by key, and the problems.

    Those are of records, and of what the store notes of datasets.
    """

    records: list[dict[str, Any]]
    problems: list[Problem]

    @property
    def by_key(self) -> dict[str, dict[str, Any]]:
        """The records by the keys of their cells."""
        return {record["key"]: record for record in self.records}


class Store:
    """The records in a folder, which is made when the first is put.

    A record is in one of two forms:

    * ``cells/DATASET/METHOD-KEY.json``, a file of its own, as a run writes it: a cell that is killed loses
      nothing but itself, and two processes never write to one file;
    * a line of ``DATASET.jsonl``, the records file of a dataset, as ``pack`` writes it for a study that is
      complete. It is text, not compressed, with one record a line, sorted by method and key: version
      control shows which records are new, two people's additions merge line by line, and ``grep METHOD``
      finds what it looks for. Git compresses what it stores anyway.

    Where a cell has both, its own file counts; of several files or lines about one cell, the one that
    finished last does, and among equals the last in the order of the files' names. Copying one store's
    files into another therefore merges them.

    The arrays of a record are in ``cells/DATASET/METHOD-KEY.RESULT.npz`` in either form, where RESULT is a
    digest of what the record says of its result: so a record never finds the arrays of another run of its
    cell. In stores of earlier versions RESULT is missing. ``logs/`` holds what the cells printed,
    ``current/`` and ``sources/`` what ``cmbench.current`` notes of datasets and plugins.

    Everything is right to read while others write: a file is replaced whole, and no record is removed
    before its successor is in place. What cannot be read is left out with a ``DamagedRecordWarning``.
    """

    def __init__(self, folder: Path | str = DEFAULT_STORE) -> None:
        self.folder = Path(folder)
        self._index: Index | None = None

    def put(self, record: Record, arrays: Arrays | None = None) -> Path:
        """Write a record and its arrays to files of their own, in place of the cell's earlier ones.

        The arrays are on the disk before the record, under a name that no earlier record of the cell looks
        for, and what was there before is removed last. At every moment, and wherever a kill falls, the cell
        has a record, the earlier or the new one, and that record has its arrays. A line about the cell in a
        records file stays as it is, and counts again only if the record's own file is deleted.
        Raises ``StoreError`` when the folder cannot be written to.
        """
        path, key = self._path(record), record["key"]
        try:
            text = json.dumps(record, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False)
        except (ValueError, TypeError) as error:
            raise StoreError(f"{path} cannot hold the record, whose values are no JSON ({error})") from error
        with writing_to(path, raising=StoreError):
            earlier = {*self._paths_of(key, record["method"]["name"]), *self._arrays_of(key)} - {path}
            with replacing(path) as beside:
                _write_text(beside, text + "\n")
                if arrays is not None:
                    earlier -= {self._put_arrays(record, arrays)}
            for superseded in earlier:
                superseded.unlink(missing_ok=True)
        return path

    def pack(self) -> list[Path]:
        """Move all records into one records file for each dataset, and return these files.

        For a study that is complete: no run may be writing to the store meanwhile. Arrays stay where they
        are. Raises ``StoreError`` where a record cannot be read.
        """
        contents = self.read()
        for problem in contents.problems:
            raise StoreError(str(problem))
        lines: dict[Path, list[str]] = {}
        for record in contents.records:
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
        """Return the record of a cell by its key, with the newest card of its dataset, or None.

        Raises ``StoreError`` when there is a file about the cell and it cannot be read.
        """
        lines = (each for each in self._packed(f'"{key}"') if _may_be(each, key))
        return (record := self.find_own(key) or _latest([*lines])) and with_card(self.folder, record)

    def find_own(self, key: str, method: str | None = None) -> dict[str, Any] | None:
        """Return the record of a cell from a file of its own, as it stands there, or None.

        With the name of its method it is found without looking through all files.
        """
        return _latest(_all_read(self.own, lambda: self._paths_of(key, method)))

    def records(self) -> list[dict[str, Any]]:
        """Return all records with the newest cards, by the names of dataset and method, then by key.

        For each that cannot be read there is a ``DamagedRecordWarning`` that names it.
        """
        return warned(self.read())

    def summaries(self) -> list[dict[str, Any]]:
        """Return what ``records`` does without the fields ``cmbench.index.BULKY``, and quickly."""
        return warned(self.read_summaries())

    def read(self) -> Contents:
        """Return all records, and what cannot be read."""
        return self._contents(self._own, self._packed)

    def read_summaries(self) -> Contents:
        """Return all records without their ``BULKY`` fields, and what cannot be read.

        Files that are known from an earlier call, by this process or another, are not opened again.
        """
        place = self.folder / ".work" / "index.json"
        reading = Reading(self._index if self._index is not None else read_index(place))
        cells = os.fspath(self._cells())

        def summary(name: str) -> dict[str, Any] | Problem | None:
            try:
                return reading.one(name, f"{cells}/{name}", lambda: self._own(name))
            except FileNotFoundError:
                return None
            except OSError as error:
                return Problem(self._cells() / name, error.strerror or str(error))

        def packed() -> Iterator[dict[str, Any] | Problem]:
            for path in self._records_files():
                try:
                    yield from reading.several(path.name, os.fspath(path), partial(lines_of, path))
                except OSError as error:
                    yield Problem(path, error.strerror or str(error))

        contents = self._contents(summary, packed)
        self._index = reading.present
        if reading.anew > max(_WORTH_AN_INDEX, len(reading.known) // 10):
            write_index(place, reading.present)
        return contents

    def paths(self) -> list[Path]:
        """Return the files of the records that have one of their own, sorted."""
        return [self._cells() / name for name in self._names()]

    def folders(self) -> list[Path]:
        """Return the folders that files of records are written to, as far as they exist."""
        places = [self.folder, *self._cells().glob("*"), self.folder / "current", self.folder / ".work"]
        return [place for place in places if os.path.isdir(place)]

    def arrays(self, record: Record) -> dict[str, NDArray[Any]]:
        """Return the per-query arrays of a record; raises ``StoreError`` when their file is gone."""
        return self.arrays_without(record, ())

    def arrays_without(self, record: Record, beginnings: tuple[str, ...]) -> dict[str, NDArray[Any]]:
        """Return the arrays of a record, but for those whose names begin so, which are not read."""
        own = self.arrays_path(record)
        path = own if own.is_file() else self._arrays_elsewhere(record["key"], own)
        try:
            if record["status"] != "ok":
                raise FileNotFoundError("the cell failed, so it has none")
            check_plain(path)
            with np.load(path, allow_pickle=False) as file:
                held = {name: file[name] for name in file.files if not name.startswith(beginnings)}
            _check_values(held, record)
            return held
        except DAMAGE as error:
            kind = StoreError if isinstance(error, FileNotFoundError) else DamagedArraysError
            raise kind(
                f"{own}: cannot be read ({error}); copy it from where the record came from, or run the cell "
                "again with --force"
            ) from error

    def _arrays_elsewhere(self, key: str, own: Path) -> Path:
        """Return the arrays' file where the dataset has another name by now, or the store is an old one."""
        there = self._arrays_of(key)
        found = [path for path in there if path.name.endswith(own.name[-13:])]
        earlier = [path for path in there if path.name.count(".") == 1]
        return next(iter((*found, *earlier)), own)

    def has_arrays(self, record: Record) -> bool:
        """Return whether there are arrays of a record, whole or not."""
        return self.arrays_path(record).is_file() or bool(self._arrays_of(record["key"]))

    def remove(self, record: Record) -> None:
        """Remove a record that has a file of its own, with its arrays and its log."""
        with writing_to(self.folder, raising=StoreError):
            for path in (*self._paths_of(record["key"]), *self._arrays_of(record["key"])):
                path.unlink(missing_ok=True)
            if record.get("log"):
                (self.folder / record["log"]).unlink(missing_ok=True)

    def arrays_path(self, record: Record) -> Path:
        """Return the file of the record's arrays, whether or not there is one."""
        return self._path(record).with_suffix(f".{result_digest(record)}.npz")

    def log_path(self, dataset: str, method: str, key: str) -> Path:
        """Return where the cell's output goes; its folder exists."""
        path = self.folder / "logs" / _file_name(dataset) / f"{_file_name(method)}-{key}.log"
        with writing_to(path, raising=StoreError):
            path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def relative(self, path: Path) -> str:
        """Return a path within the store as records keep it, so that stores can be moved and merged."""
        return path.relative_to(self.folder).as_posix()

    def _put_arrays(self, record: Record, arrays: Arrays) -> Path:
        path = self.arrays_path(record)
        with replacing(path) as beside, beside.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)
        return path

    def _contents(
        self,
        own: Callable[[str], dict[str, Any] | Problem | None],
        lines: Callable[[], Iterator[dict[str, Any] | Problem]],
    ) -> Contents:
        """Return what is in the store: files of one record as ``own`` reads them, and records files."""
        read = _all_read(own, self._names)
        packed = list(lines())  # after the names of the others: ``pack`` writes these first
        placed: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {}
        for rank, each in (*((0, each) for each in packed), *((1, each) for each in read)):
            if isinstance(each, dict):
                counted = placed.get(each["key"])
                if counted is None or (rank, finished_at(each)) >= counted[0]:
                    placed[each["key"]] = (rank, finished_at(each)), each
        records = with_cards(self.folder, [record for _, record in placed.values()])
        problems = [each for each in (*read, *packed) if isinstance(each, Problem)]
        return Contents(sorted(records, key=_order), [*problems, *damaged_notes(self.folder)])

    def _own(self, name: str) -> dict[str, Any] | Problem | None:
        """Return what ``own`` does of the file of that name, ``DATASET/FILE.json``."""
        return self.own(self._cells() / name)

    def own(self, path: Path) -> dict[str, Any] | Problem | None:
        """Return the record in a file of its own, what is wrong with it, or None: it is there no more."""
        try:
            record = _read(path)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            return Problem(path, str(error))
        if not f"-{path.stem}".endswith(f"-{record['key']}"):
            return Problem(path, f"its name does not end in its key {record['key']}, as if it were a copy")
        return record

    def _packed(self, containing: str = "") -> Iterator[dict[str, Any] | Problem]:
        """Yield the records in records files whose lines have this text, in the order of files and lines."""
        for path in self._records_files():
            yield from lines_of(path, containing)

    def _records_files(self) -> list[Path]:
        return sorted(path for path in self.folder.glob("*.jsonl") if not path.name.startswith("."))

    def _cells(self) -> Path:
        return self.folder / "cells"

    def _names(self) -> list[str]:
        """Return the names ``DATASET/FILE.json`` of records.

        A record of a dataset that was renamed moves from one folder to another. Who looks into these two in
        the wrong order misses it; who looks into all of them twice does not.
        """
        found = {*_listed(self._cells(), ".json"), *_listed(self._cells(), ".json")}
        return sorted(found, key=lambda name: name.split("/"))

    def _paths_of(self, key: str, method: str | None = None) -> list[Path]:
        """Return the files about a cell; with the name of its method, without listing the others.

        Only the folder may not be known, because a dataset may have had other names.
        """
        if method is None:
            return [self._cells() / name for name in self._names() if name.endswith(f"-{key}.json")]
        name = f"{_file_name(method)}-{key}.json"
        folders = sorted(entry.name for entry in _entries(self._cells()) if entry.name[0] != ".")
        places = [self._cells() / folder / name for folder in folders]
        return sorted({place for place in (*places, *places) if os.path.lexists(place)})  # see _names

    def _arrays_of(self, key: str) -> list[Path]:
        pattern = re.compile(rf".*-{re.escape(key)}(\.[0-9a-f]+)?\.npz")
        names = _listed(self._cells(), ".npz", containing=key)
        return [self._cells() / name for name in names if pattern.fullmatch(name)]

    def _path(self, record: Record) -> Path:
        stem = f"{_file_name(record['method']['name'])}-{record['key']}"
        return self._cells() / _file_name(record["dataset"]["name"]) / f"{stem}.json"


def result_digest(record: Record) -> str:
    """Return what tells a result from that of another run of the cell: of its numbers, durations and end."""
    said = [record.get(name) for name in ("status", "map", "standard_error", "durations")]
    return sha256(json.dumps([*said, finished_at(record)], sort_keys=True).encode()).hexdigest()[:8]


def _check_values(held: Arrays, record: Record) -> None:
    """Raise ``ValueError`` for a measure that has not one number for each query of its task."""
    for task, queries in record["queries"].items():
        for measure in ("ap", *(record.get("measures") or ())):
            values = held.get(f"{measure}_{task}")
            if values is not None and (values.shape != (queries,) or values.dtype.kind not in "fiu"):
                raise ValueError(
                    f"{measure}_{task} is {values.dtype} {values.shape}, not a number for each of the "
                    f"{queries} queries"
                )


def warned(contents: Contents) -> list[dict[str, Any]]:
    """Return the records, after a warning for each thing that cannot be read."""
    for problem in contents.problems:
        warnings.warn(str(problem), DamagedRecordWarning, stacklevel=4)
    return contents.records


def matching(records: list[dict[str, Any]], text: str) -> Iterator[dict[str, Any]]:
    """Yield the records whose method or dataset/method is ``text``, else those whose key starts with it.

    Names come first because some, ``cca`` for one, are the first digits of a key as well.
    """
    named = [record for record in records if text in _method_names(record)]
    yield from named or (record for record in records if record["key"].startswith(text))


def _read(path: Path) -> dict[str, Any]:
    check_plain(path)
    return parsed(path.read_text(encoding="utf-8"))


def lines_of(path: Path, containing: str = "") -> Iterator[dict[str, Any] | Problem]:
    """Yield what the lines of a records file hold that have this text, or what is wrong with the file."""
    try:
        check_plain(path)
        with path.open(encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            text = file.read()
    except (OSError, ValueError) as error:
        yield Problem(path, getattr(error, "strerror", None) or str(error))
        return
    for number, line in enumerate(text.split("\n"), 1):  # other ends of lines may be in texts
        if line.strip() and containing in line:
            yield _of_line(line, path, number)


def _of_line(line: str, path: Path, number: int) -> dict[str, Any] | Problem:
    try:
        line.encode()
        return parsed(line)
    except ValueError as error:
        return Problem(path, str(error), number)


def _all_read(
    own: Callable[[P], dict[str, Any] | Problem | None], places: Callable[[], list[P]]
) -> list[dict[str, Any] | Problem]:
    """Return what is in the files; where one is there no more by then, look again where it went."""
    for _ in range(_MOVES):
        read = [own(place) for place in places()]
        if None not in read:
            break
    return [each for each in read if each is not None]


def _latest(read: list[dict[str, Any] | Problem]) -> dict[str, Any] | None:
    records = [each for each in read if isinstance(each, dict)]
    for problem in read if not records else ():
        raise StoreError(str(problem))
    return sorted(records, key=finished_at)[-1] if records else None


def _may_be(each: dict[str, Any] | Problem, key: str) -> bool:
    return isinstance(each, Problem) or each["key"] == key


def _order(record: Record) -> tuple[str, str]:
    return _file_name(record["dataset"]["name"]), f"{_file_name(record['method']['name'])}-{record['key']}"


def _listed(folder: Path, suffix: str, *, containing: str = "") -> list[str]:
    """Return the names ``FOLDER/FILE`` two levels down that end so; none that are hidden."""
    found = []
    for inner in _entries(folder):
        if not inner.name.startswith(".") and inner.is_dir():
            names = [name for name in _names_in(inner.path) if containing in name]
            found += [f"{inner.name}/{name}" for name in names if name.endswith(suffix) and name[0] != "."]
    return found


def _names_in(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _write_text(path: Path, text: str) -> None:
    # a lone surrogate, of a file name that is not UTF-8 for example, becomes its JSON escape
    path.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")


def _method_names(record: Record) -> tuple[str, str]:
    dataset, method = record["dataset"]["name"], record["method"]["name"]
    return method, f"{dataset}/{method}"


@lru_cache(maxsize=1000)
def _file_name(name: str) -> str:
    """Return what may stand in a file name: no separators, not hidden, short enough in any script."""
    return re.sub(r"[^\w.-]+", "_", name).lstrip(".")[:_NAME_LENGTH] or "_"
