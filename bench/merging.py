"""Bringing the records of one store into another: what is new, what differs, and what replaces what."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np

from cmbench.choices import says_more, with_choice
from cmbench.current import bring_notes, code_of
from cmbench.disk import DAMAGE, replacing, replacing_folder, writing_to
from cmbench.errors import StoreError
from cmbench.evaluation.protocol import BIMODAL_AVERAGE
from cmbench.execution.claims import claims_in
from cmbench.records import Record, base_dataset, cell_name
from cmbench.schema import OK, Problem, finished_at
from cmbench.store import Arrays, Store

Fate = Literal["new", "equal", "extended", "replaced", "kept", "running", "unreadable"]

REPLACED = "replaced"
"""The folder of a store for records that others have replaced: stores of their own, numbered by merge."""
_NUMBERS = ("status", "map", "standard_error", "category_map", "queries", "gallery")
_BY_MEASURE = ("measures", "measure_errors", "chance")


@dataclass(frozen=True)
class Meeting:
    """What becomes of a record that is brought to a store, where there may be one of the same cell.

    It is ``new``, ``equal`` to the one there, ``extended`` where it has the same numbers and adds measures,
    arrays or the choice of the parameters to the one there, ``replaced`` where it takes the place of other
    numbers, ``kept`` where these stay, ``running`` where a run has the cell just now, or ``unreadable`` where
    a file about the cell is, for the ``reason``.
    """

    fate: Fate
    theirs: Record
    ours: Record | None = None
    reason: str = ""

    def __str__(self) -> str:
        name = cell_name(self.theirs)
        if self.fate == "running":
            return f"{name}: a run has this cell now, and it is left alone"
        if self.fate == "unreadable":
            return f"{name} is left alone: {self.reason}"
        if self.ours is None:
            return f"{name}: {self.fate}"
        return f"{name}: {_said(self.ours)} here, {_said(self.theirs)} there; {self._winner()}"

    def _winner(self) -> str:
        winner = "that of here" if self.fate == "kept" else "that of there"
        statuses = {record["status"] for record in (self.ours, self.theirs) if record is not None}
        failed_once = OK in statuses and len(statuses) > 1
        return f"{winner} {'did not fail' if failed_once else 'was run later'}, and stays"


@dataclass(frozen=True)
class Comparison:
    """What merging a store into another does, record by record, and what cannot be read there.

    ``aside`` is the store that replaced records were put into, if there were any, and ``other_code`` says of
    which methods new records are of another code than those here of the same dataset.
    """

    meetings: list[Meeting]
    problems: list[Problem]
    aside: Path | None = None
    other_code: tuple[str, ...] = ()

    def count(self, *fates: Fate) -> int:
        """Return how many records have one of these fates."""
        return sum(meeting.fate in fates for meeting in self.meetings)

    @property
    def is_peaceful(self) -> bool:
        """Whether no numbers differ, no cell is running, and everything can be read."""
        return not self.problems and not self.count("replaced", "kept", "running", "unreadable")


def compared(source: Store, into: Store) -> Comparison:
    """Return what merging would do with each record of ``source``; nothing is changed.

    Raises ``StoreError`` where both are the same folder, or ``source`` has no records.
    """
    if source.folder.resolve() == into.folder.resolve():
        raise StoreError(f"{source.folder} cannot be merged into itself; name another --store")
    theirs, ours = source.read(), into.read()
    if not theirs.records and not theirs.problems:
        raise StoreError(f"{source.folder} has no records; give the folder of a store")
    known = ours.by_key
    faults = {each.path.stem.rpartition("-")[2]: str(each) for each in ours.problems if each.line is None}
    meetings = [
        Meeting("unreadable", record, reason=faults[record["key"]])
        if record["key"] in faults and record["key"] not in known
        else _meeting(record, known.get(record["key"]), source, into)
        for record in theirs.records
    ]
    return Comparison(meetings, theirs.problems, other_code=_of_other_code(meetings, ours.records))


def foreseen(source: Store, into: Store) -> Comparison:
    """Return what ``merge_into`` would do with each record; nothing is changed.

    The arrays of records that it would bring or replace are read, which ``compared`` does not do.
    """
    comparison = compared(source, into)
    return replace(comparison, meetings=[_foreseen(each, source, into) for each in comparison.meetings])


def _foreseen(meeting: Meeting, source: Store, into: Store) -> Meeting:
    if meeting.fate in ("equal", "unreadable"):
        return meeting
    try:
        _arrays_of_both(meeting.theirs, meeting.ours, source, into)
    except StoreError as error:
        return replace(meeting, fate="unreadable", reason=str(error))
    return meeting


def merge_into(source: Store, into: Store) -> Comparison:
    """Bring the records of ``source`` into a store, with arrays, logs, cards and plugins' code.

    Of two records of a cell whose numbers differ, one that did not fail stays, else the one that was run
    later; the other goes to a store of its own in ``replaced/``, so that nothing is lost. Where the
    numbers are the same, the record here gets what only the other has; if it told of another choice of its
    parameters, it is put in ``replaced/`` too as it was. ``source`` stays as it is. A cell that a run has
    just now is left alone, and so is one whose record or arrays cannot be read.
    Raises ``StoreError`` as ``compared`` does, and where ``into`` cannot be written to.
    """
    comparison = compared(source, into)
    work = into.folder.resolve() / ".work"
    with writing_to(work, raising=StoreError):
        claims = claims_in(work)
    aside = _next_aside(into)
    done = []
    for meeting in comparison.meetings:
        if meeting.fate == "equal" and meeting.ours is not None:
            _bring_files(meeting.ours, source, into)  # a merge that was killed left them behind
        elif meeting.fate != "unreadable":
            with claims.on(meeting.theirs["key"]) as is_free:
                meeting = (
                    _merged(meeting, source, into, aside) if is_free else replace(meeting, fate="running")
                )
        done.append(meeting)
    bring_notes(source.folder, into.folder, into.summaries())
    return replace(comparison, meetings=done, aside=aside.folder if aside.folder.exists() else None)


def report(comparison: Comparison, source: str, into: str, *, dry_run: bool) -> Iterator[str]:
    """Yield a line for each record whose numbers differ or that is left alone, and one with the counts."""
    for meeting in comparison.meetings:
        if meeting.fate in ("replaced", "kept", "running", "unreadable"):
            yield str(meeting)
    counts = {
        "new": comparison.count("new"),
        "equal": comparison.count("equal"),
        "with more values": comparison.count("extended"),
        "different": comparison.count("replaced", "kept"),
        "running": comparison.count("running"),
        "unreadable": len(comparison.problems) + comparison.count("unreadable"),
    }
    always = ("new", "equal", "different")
    said = ", ".join(f"{count} {word}" for word, count in counts.items() if count or word in always)
    yield f"{source} into {into}{' (nothing is changed)' if dry_run else ''}: {said}"
    if counts["different"]:
        replaced = comparison.count("replaced")
        where = f"; the other numbers are in {comparison.aside}" if comparison.aside else ""
        verb = "would replace" if dry_run else "replaced"
        yield f"of those that differ {replaced} {verb} what was here{where}"
    if comparison.other_code:
        yield (
            f"of other code than here: {'; '.join(comparison.other_code)}; tables show the newest code of a "
            "method on a dataset, --all-versions every one"
        )


def _of_other_code(meetings: Iterable[Meeting], ours: Iterable[Record]) -> tuple[str, ...]:
    """Return the methods of which what is new has another code than all records here of its dataset."""
    here: dict[tuple[str, str], set[str]] = {}
    for record in ours:
        here.setdefault(_method_on_dataset(record), set()).add(code_of(record))
    new = [meeting.theirs for meeting in meetings if meeting.fate == "new"]
    other: dict[str, tuple[set[str], set[str]]] = {}
    for record in new:
        known = here.get(_method_on_dataset(record), {code_of(record)})
        if code_of(record) not in known:
            there, known_there = other.setdefault(record["method"]["name"], (set(), set()))
            there.add(code_of(record))
            known_there.update(known)
    return tuple(
        f"{name} ({', '.join(sorted(there))} there, {', '.join(sorted(known))} here)"
        for name, (there, known) in sorted(other.items())
    )


def _method_on_dataset(record: Record) -> tuple[str, str]:
    return record["method"]["name"], base_dataset(record)["fingerprint"]


def _meeting(theirs: Record, ours: Record | None, source: Store, into: Store) -> Meeting:
    if ours is None:
        return Meeting("new", theirs)
    if _numbers(theirs) != _numbers(ours) or _common_measures(theirs, ours) != _common_measures(ours, theirs):
        return Meeting("replaced" if _precedence(theirs) > _precedence(ours) else "kept", theirs, ours)
    adds = (
        _measures(theirs).keys() - _measures(ours).keys()
        or _tells_more(theirs, ours)
        or _array_names(theirs, source) - _array_names(ours, into)
    )
    return Meeting("extended" if adds else "equal", theirs, ours)


def _tells_more(record: Record, other: Record) -> bool:
    """Return whether a record says more than another of how the same parameters were chosen."""
    tuning = record["method"].get("tuning")
    return tuning is not None and says_more(tuning, other["method"].get("tuning"))


def _united(ours: Record, theirs: Record) -> dict[str, Any]:
    """Return our record with the measures of both, and with the choice of parameters that says more."""
    by_measure = {name: {**(theirs.get(name) or {}), **(ours.get(name) or {})} for name in _BY_MEASURE}
    united = {**ours, **{name: values for name, values in by_measure.items() if values}}
    if ours.get("configuration"):
        asked = ((each.get("configuration") or {}).get("measures", ()) for each in (ours, theirs))
        united["configuration"] = {**ours["configuration"], "measures": list(dict.fromkeys(chain(*asked)))}
    return with_choice(united, theirs["method"]["tuning"]) if _tells_more(theirs, ours) else united


def _numbers(record: Record) -> tuple[Any, ...]:
    """Return what two runs of a cell share if they came to the same."""
    error = record.get("error") or {}
    return (*(record.get(name) for name in _NUMBERS), error.get("type"))


def _measures(record: Record) -> Mapping[str, Any]:
    return record.get("measures") or {}


def _common_measures(record: Record, other: Record) -> dict[str, Any]:
    return {name: values for name, values in _measures(record).items() if name in _measures(other)}


def _precedence(record: Record) -> tuple[bool, str]:
    return record["status"] == OK, finished_at(record)


def _said(record: Record) -> str:
    if record["status"] != OK:
        return str(record["status"])
    return f"MAP {record['map'][BIMODAL_AVERAGE]:.6f}"


def _next_aside(into: Store) -> Store:
    """Return a store, not yet made, for what a merge replaces."""
    folder = into.folder / REPLACED
    numbers = [int(path.name) for path in folder.glob("*") if path.name.isdigit()]
    return Store(folder / str(max(numbers, default=0) + 1))


def _merged(planned: Meeting, source: Store, into: Store, aside: Store) -> Meeting:
    """Merge a record, and return what became of it: unreadable where its arrays or those here are."""
    theirs = planned.theirs
    try:  # before anything is written; a run may have finished the cell meanwhile
        ours = into.find_own(theirs["key"], theirs["method"]["name"]) or planned.ours
        brought, held = _arrays_of_both(theirs, ours, source, into)
    except StoreError as error:
        return replace(planned, fate="unreadable", reason=str(error))
    meeting = _meeting(theirs, ours, source, into)
    match meeting.fate:
        case "kept":
            _copy(theirs, brought, source, aside)
        case "extended" if ours is not None:
            if ours["method"].get("tuning") and _tells_more(theirs, ours):
                _copy(ours, held, into, aside)
            _bring_files(ours, source, into)
            into.put(_united(ours, theirs), {**brought, **held} or None)
        case "new" | "replaced":
            if ours is not None:
                _copy(ours, held, into, aside)
            _copy(theirs, brought, source, into)
        case _ if ours is not None:
            _bring_files(ours, source, into)
    return meeting


def _copy(record: Record, arrays: Arrays, source: Store, into: Store) -> None:
    """Copy a record with its arrays, as far as there are any, its log, and the code of its plugin."""
    log = record["log"]
    if log and (source.folder / log).is_file():
        with writing_to(into.folder / log, raising=StoreError):
            (into.folder / log).unlink(missing_ok=True)
    _bring_files(record, source, into)  # before the record, which says that they are there
    into.put(record, arrays or None)


def _bring_files(record: Record, source: Store, into: Store) -> None:
    """Copy the log and the code that a record names where a store has none."""
    for name in filter(None, (record["log"], record["method"].get("source"))):
        place, target = source.folder / name, into.folder / name
        if target.exists():
            continue
        with writing_to(target, raising=StoreError):
            target.parent.mkdir(parents=True, exist_ok=True)
            if place.is_file():
                with replacing(target) as beside:
                    shutil.copyfile(place, beside)
            elif place.is_dir():
                with replacing_folder(target) as beside:
                    shutil.copytree(place, beside)


def _arrays(record: Record, store: Store) -> Arrays:
    """Return the arrays of a record, none where they are gone; ``StoreError`` where they cannot be read."""
    return store.arrays(record) if record["status"] == OK and store.has_arrays(record) else {}


def _arrays_of_both(theirs: Record, ours: Record | None, source: Store, into: Store) -> tuple[Arrays, Arrays]:
    """Return the arrays of two records of a cell as ``_arrays`` does; none of ours where there is no such."""
    return _arrays(theirs, source), _arrays(ours, into) if ours else {}


def _array_names(record: Record, store: Store) -> set[str]:
    """Return the names of a record's arrays, none where they are gone or cannot be read."""
    path = store.arrays_path(record)
    with suppress(StoreError, *DAMAGE):
        if record["status"] != OK or not path.is_file():
            return set(_arrays(record, store))
        with np.load(path, allow_pickle=False) as file:  # which reads none of them
            return set(file.files)
    return set()
