"""Folders of unfinished trainings: each belongs to one run, and another takes over what an ended one left.

Two runs may have the same cell: on a drive whose locks do not reach both, or of two stores, by way of a
scheduler's workers on one machine or because their user named one place for both. A run that was just killed
may have a process that has not ended yet. Each trains in a folder of its own.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from cmbench.disk import remove_folder
from cmbench.ownership import has_ended, is_of_this_machine, owned_folder
from cmbench.plan import Cell


@contextmanager
def own_checkpoints(place: Path, key: str) -> Iterator[Path]:
    """Yield a folder in ``place`` for the checkpoints of a cell, with those of its latest training in it.

    What a run has left that has ended is moved there. Of another machine's run that is hard to tell, so its
    checkpoints are copied: a training that goes on from a copy ends as it would have anyway. A run that goes
    on on this machine keeps its own to itself. At the end of the block the folder goes if it is empty.
    """
    with owned_folder(place, f"{key}.") as folder:
        to_be_had = [
            left for left in _folders_of(place, key) if has_ended(left) or not is_of_this_machine(left)
        ]
        if to_be_had:
            _take_over(max(to_be_had, key=_latest_change), folder)
        remove_checkpoints(place, {key}, but=folder)
        try:
            yield folder
        finally:
            with suppress(OSError):  # it is gone by now, or holds an unfinished training
                folder.rmdir()


def remove_checkpoints(place: Path, keys: Collection[str], *, but: Path | None = None) -> None:
    """Remove all checkpoints of these cells, but for one folder and for those of runs that go on."""
    for folder in _folders_of(place):
        if folder.name.partition(".")[0] in keys and folder != but and has_ended(folder):
            remove_folder(folder)


def sweep_checkpoints(place: Path, records: Mapping[str, Mapping[str, Any]], wanted: Iterable[Cell]) -> None:
    """Remove the checkpoints of cells that are finished, as their records by key say, and not wanted anew."""
    finished = {key for key, record in records.items() if record["status"] == "ok"}
    remove_checkpoints(place, finished - {cell.key for cell in wanted})


def _folders_of(place: Path, key: str = "") -> list[Path]:
    """Return the folders of checkpoints; in earlier versions they were named after the cell alone.

    Links are none: a method may have left one to what it may not read, in a place of its own.
    """
    return [folder for folder in place.glob(f"{key}*") if folder.is_dir() and not folder.is_symlink()]


def _latest_change(folder: Path) -> float:
    times = [0.0]
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # a run that goes on replaces its files
            times.append(path.lstat().st_mtime)
    return max(times)


def _take_over(left: Path, folder: Path) -> None:
    if has_ended(left):
        for path in left.iterdir():
            path.rename(folder / path.name)
        return
    try:
        shutil.copytree(left, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".*"))
    except OSError:  # the other run has just removed what it was; half of a copy is worse than none
        remove_folder(folder)
        folder.mkdir()
