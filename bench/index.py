"""What a store remembers of the records that it has read, so that reading ten thousand of them stays quick.

The index is made from the files and is never more true than they: what it says of a file counts only while
the file has the size, the times and the number that it had when it was read. It can be deleted at any time,
and it holds nothing that the files do not.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from cmbench.disk import DAMAGE, replacing

T = TypeVar("T")
VERSION = 6
BULKY = ("category_map", "fitted", "looks", "provenance")
"""Fields of a record that only a figure or ``cmbench show`` needs.

A summary of a record has none of them, but of ``provenance`` what is ``PROVENANCE``.
"""
PROVENANCE = ("finished", "processor", "preloaded")
"""When a record came to be, and what its times depend on."""
SETTLED_NS = 2_000_000_000
"""A file that changed less than two seconds before it was read may change again without another time."""

Stamp: TypeAlias = tuple[int, int, int, int]
"""Size, time of the content, time of the file's own data, and number of a file."""


def stamp_of(status: os.stat_result) -> Stamp:
    """Return what tells a file from what it was before."""
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


@dataclass(frozen=True)
class Index:
    """The records of files, as summaries, by the names of the files.

    ``entries`` are files of one record each, ``DATASET/FILE.json``, ``lists`` records files with all their
    records. Records share what is the same in them, so nobody may change one.
    """

    entries: dict[str, tuple[Stamp, dict[str, Any]]] = field(default_factory=dict)
    lists: dict[str, tuple[Stamp, list[dict[str, Any]]]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.entries) + sum(len(records) for _, records in self.lists.values())

    def record(self, name: str, stamp: Stamp) -> dict[str, Any] | None:
        """Return the record of a file, or None where the file is not known in its present state."""
        known = self.entries.get(name)
        return known[1] if known is not None and known[0] == stamp else None

    def records(self, name: str, stamp: Stamp) -> list[dict[str, Any]] | None:
        """Return all records of a records file, or None where it is not known in its present state."""
        known = self.lists.get(name)
        return known[1] if known is not None and known[0] == stamp else None


@dataclass
class Reading:
    """Reads files by way of what was ``known`` of them, and notes for the next time what is ``present``.

    ``anew`` counts the records that had to be read. What a reader returns that is no record passes through.
    """

    known: Index
    present: Index = field(default_factory=Index)
    anew: int = 0

    def one(self, name: str, path: str, read: Callable[[], dict[str, Any] | T]) -> dict[str, Any] | T:
        """Return the summary of the record in a file; raises ``OSError`` where there is no such file."""
        stamp = stamp_of(os.stat(path))
        record = self.known.record(name, stamp)
        if record is None:
            self.anew += 1
            found = read()
            if not isinstance(found, dict):
                return found
            record = summary_of(found)
        if _is_settled(stamp):
            self.present.entries[name] = stamp, record
        return record

    def several(
        self, name: str, path: str, read: Callable[[], Iterable[dict[str, Any] | T]]
    ) -> Sequence[dict[str, Any] | T]:
        """Return the summaries of the records in a file; one with anything else in it is read each time."""
        stamp = stamp_of(os.stat(path))
        records = self.known.records(name, stamp)
        if records is None:
            found = [summary_of(each) if isinstance(each, dict) else each for each in read()]
            self.anew += len(found)
            records = [each for each in found if isinstance(each, dict)]
            if len(records) < len(found):
                return found
        if _is_settled(stamp):
            self.present.lists[name] = stamp, records
        return records


def _is_settled(stamp: Stamp) -> bool:
    return time.time_ns() - max(stamp[1], stamp[2]) > SETTLED_NS


def summary_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record without what is ``BULKY``, but for what tables need of ``provenance``."""
    provenance = record.get("provenance") or {}
    summary = {name: value for name, value in record.items() if name not in BULKY}
    return {**summary, "provenance": {name: provenance.get(name) for name in PROVENANCE}}


def read_index(path: Path) -> Index:
    """Return the index in a file; an empty one where there is none, or none that can be read."""
    try:
        content = json.loads(path.read_bytes())
        return _unpacked(content) if content["version"] == VERSION else Index()
    except DAMAGE:  # it is made again from the files
        return Index()


def write_index(path: Path, index: Index) -> None:
    """Write the index; where the place cannot be written to there will be none, and reading takes longer."""
    with suppress(OSError), replacing(path, durable=False) as beside:
        beside.write_text(json.dumps(_packed(index), separators=(",", ":")), encoding="ascii")


def _packed(index: Index) -> dict[str, Any]:
    """Return the index as JSON values in which each value of a field stands once.

    A record becomes a row of numbers: first that of its fields' names, then one for each field's value.
    Fields of fields count as fields, because the parameters of a method differ where its citation does not.
    """
    places: dict[Any, int] = {}
    values: list[Any] = []

    def place(value: Any) -> int:
        same = json.dumps(value) if isinstance(value, list | dict) else (type(value), value)
        if same not in places:
            places[same] = len(values)
            values.append(value)
        return places[same]

    def row(record: Mapping[str, Any]) -> list[int]:
        flat = _flat(record)
        return [place(list(flat)), *map(place, flat.values())]

    rows = {name: [*stamp, *row(record)] for name, (stamp, record) in index.entries.items()}
    lists = {name: [stamp, [row(record) for record in held]] for name, (stamp, held) in index.lists.items()}
    return {"version": VERSION, "values": values, "rows": rows, "lists": lists}


def _unpacked(content: Mapping[str, Any]) -> Index:
    values = content["values"]
    outlines: dict[int, list[_Part]] = {}
    shared: dict[Any, Any] = {}

    def record(row: list[int]) -> dict[str, Any]:
        if row[0] not in outlines:
            outlines[row[0]] = _outline(values[row[0]])
        record = {}
        for field_, inner, start, end in outlines[row[0]]:
            if inner is None:
                record[field_] = values[row[start]]
                continue
            same = (inner, *row[start:end])
            if same not in shared:
                shared[same] = dict(zip(inner, [values[number] for number in same[1:]], strict=True))
            record[field_] = shared[same]
        return record

    return Index(
        {name: (_stamp(row[:4]), record(row[4:])) for name, row in content["rows"].items()},
        {name: (_stamp(stamp), [*map(record, held)]) for name, (stamp, held) in content["lists"].items()},
    )


def _stamp(numbers: list[int]) -> Stamp:
    size, changed, state, file = numbers
    return size, changed, state, file


_Part: TypeAlias = tuple[str, tuple[str, ...] | None, int, int]
"""A field of a record, the names of its own fields (None: it has none), and where their values stand."""


def _outline(fields: list[list[str]]) -> list[_Part]:
    """Return the parts of records with these fields, and fields of fields."""
    parts: list[_Part] = []
    for at, names in enumerate(fields, 1):
        if len(names) == 1:
            parts.append((names[0], None, at, at + 1))
        elif parts and parts[-1][0] == names[0]:
            _, inner, start, _ = parts[-1]
            parts[-1] = (names[0], (*(inner or ()), names[1]), start, at + 1)
        else:
            parts.append((names[0], (names[1],), at, at + 1))
    return parts


def _flat(record: Mapping[str, Any]) -> dict[tuple[str, ...], Any]:
    flat: dict[tuple[str, ...], Any] = {}
    for name, value in record.items():
        if isinstance(value, dict) and value:
            flat |= {(name, inner): held for inner, held in value.items()}
        else:
            flat[(name,)] = value
    return flat
