"""What may go from a store: what cannot be read, failed cells, those of replaced code, and unused code."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cmbench.current import code_of, newest_version
from cmbench.disk import replacing, writing_to
from cmbench.errors import StoreError
from cmbench.ownership import has_ended, sweep
from cmbench.records import Record, cell_name, parameters_of
from cmbench.schema import OK, has_failed
from cmbench.store import Store


@dataclass(frozen=True)
class Removal:
    """A record that may go, and why."""

    record: Record
    reason: str

    def __str__(self) -> str:
        return f"{cell_name(self.record)}: {self.reason}"


def set_aside(store: Store) -> list[tuple[Path, Path]]:
    """Move what cannot be read to the folder ``damaged`` of the store, and return from where to where.

    Of a records file the lines that can be read stay where they are. Raises ``StoreError`` where the store
    cannot be written to.
    """
    moved = []
    lines: dict[Path, set[int]] = {}
    for problem in store.read().problems:
        if problem.line is None:
            with writing_to(problem.path, raising=StoreError):
                aside = _aside(store, problem.path)
                problem.path.rename(aside)
            moved.append((problem.path, aside))
        else:
            lines.setdefault(problem.path, set()).add(problem.line)
    return [*moved, *((path, _set_lines_aside(store, path, numbers)) for path, numbers in lines.items())]


def _set_lines_aside(store: Store, path: Path, numbers: set[int]) -> Path:
    with writing_to(path, raising=StoreError):
        content = path.read_bytes().split(b"\n")
        aside = _aside(store, path)
        aside.write_bytes(b"\n".join(content[number - 1] for number in sorted(numbers)) + b"\n")
        with replacing(path) as beside:
            kept = (line for at, line in enumerate(content, 1) if at not in numbers)
            beside.write_bytes(b"\n".join(kept))
    return aside


def _aside(store: Store, path: Path) -> Path:
    """Return a new place for a damaged file, in a folder that exists."""
    place = store.folder / "damaged" / path.relative_to(store.folder)
    place.parent.mkdir(parents=True, exist_ok=True)
    taken = len(list(place.parent.glob(f"{place.name}*")))
    return place.with_name(f"{place.name}.{taken + 1}") if taken else place


def removals(store: Store) -> list[Removal]:
    """Return the records that may go, in the order of the store.

    Failed cells, and cells that newer code of their method has finished with the same parameters, seed,
    dataset and protocol. A cell that is running stays, and so do the lines of records files: those are
    studies that are complete.
    """
    busy = running(store.folder)
    own = [record for record in map(store.own, store.paths()) if isinstance(record, dict)]
    own = [record for record in own if record["key"] not in busy]
    newest = _newest_by_cell(store)
    found = []
    for record in own:
        version = newest.get(_identity(record))
        if has_failed(record):
            found.append(Removal(record, record["status"]))
        elif version is not None and version != code_of(record):
            found.append(Removal(record, f"code {code_of(record)} has been replaced by {version}"))
    return found


def running(folder: Path) -> set[str]:
    """Return the keys of the cells that are running into the store of that folder."""
    work = folder / ".work"
    if not work.is_dir():
        return set()
    sweep(work)
    runs = [run for run in work.glob("run-*") if not _is_over(run)]
    return {place.name for run in runs for place in run.glob("*") if place.is_dir()}


def _is_over(run: Path) -> bool:
    """Return whether a run has ended, as far as can be seen; what it left may be there for ever."""
    try:
        return has_ended(run)
    except OSError:
        return False


def remove(store: Store, removal: Removal) -> bool:
    """Remove a record with its arrays and log, unless its cell is running or has been run meanwhile."""
    key = removal.record["key"]
    now = [store.own(path) for path in _own_files(store, key)]
    if key in running(store.folder) or removal.record not in now:
        return False
    store.remove(removal.record)
    return True


def unused_sources(store: Store, removed: Sequence[Removal]) -> list[Path]:
    """Return the folders of plugins' code that no record is left of when these are removed.

    None while anything is running, which has no record yet.
    """
    if running(store.folder):
        return []
    gone = {removal.record["key"] for removal in removed}
    left = {record["method"].get("source") for record in store.records() if record["key"] not in gone}
    folders = (path for path in (store.folder / "sources").glob("*") if path.is_dir())
    return sorted(path for path in folders if store.relative(path) not in left)


def remove_source(folder: Path) -> None:
    """Remove the code of a plugin."""
    shutil.rmtree(folder)


def _own_files(store: Store, key: str) -> list[Path]:
    return [path for path in store.paths() if path.stem.endswith(f"-{key}")]


def _newest_by_cell(store: Store) -> dict[str, str]:
    """Return the newest code that has finished each cell, whatever code it is of."""
    rivals: dict[str, list[Record]] = {}
    for record in store.records():
        if record["status"] == OK:
            rivals.setdefault(_identity(record), []).append(record)
    return {identity: newest_version(store.folder, records) for identity, records in rivals.items()}


def _identity(record: Record) -> str:
    """Return what the records of a cell share under all versions of its method's code."""
    content = [record["dataset"]["fingerprint"], record["method"]["name"]]
    content += [parameters_of(record), record["seed"]]
    return json.dumps([*content, dict(record["protocol"])], sort_keys=True)
