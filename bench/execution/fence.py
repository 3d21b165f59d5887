"""A fence around test labels: what the process of a method may read and change, by Landlock on Linux.

It sees all that its user may see, so that plugins find their own files, but for

* the results store (other cells' records hold the AP of every test query), but for its own checkpoints,
* the files of the datasets of the run and of the built-in ones,
* disks past their file systems, and in ``/proc`` whatever is not its own,

and may change all but these, the Python installation, the code of cmbench and of plugins, and the
features that it shares with other cells. No new file can be made in a folder that holds one of
these somewhere beneath it, since a right on a folder is one on all that is in it.

Rules are made by the run and handed over as a descriptor: the method's process is told no path.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from cmbench.datasets.contract import Dataset
from cmbench.execution import linux
from cmbench.execution.job import mapped_files

CLOSED = 0

_MOST_ENTRIES = (
    5000  # of a folder whose entries are allowed one by one; of a larger one, what is marked alone
)

Rule = tuple[str, int]


@dataclass(frozen=True)
class Fence:
    """What all methods of a run may read and change: rules for Landlock, of the version the kernel has.

    ``marks`` are the files and folders with fewer rights, which the rules follow from.
    """

    version: int
    rules: tuple[Rule, ...]
    marks: Mapping[str, int]

    @classmethod
    def around(cls, store: Path, hidden: Iterable[Path], code: Iterable[Path]) -> Fence | None:
        """Return the fence of a run; None where the kernel has no Landlock.

        ``hidden`` are files and folders of datasets, ``code`` all files of plugins:
        they stay readable wherever they lie, beside a dataset or in the store.
        """
        if sys.platform != "linux":
            return None
        try:
            version = linux.landlock_version()
        except OSError:
            return None
        marks = {
            **_system_marks(),
            **_marked(_installation(), linux.READ),
            **_marked(hidden, CLOSED),
            **_marked([store], CLOSED),
            **_marked(code, linux.READ),
        }
        return cls(version, (("/", linux.READ_DIR), *rules_of(marks)), marks)

    def closes(self, path: Path) -> bool:
        """Return whether a path is, or lies in, what methods may not read."""
        place = Path(os.path.realpath(path))
        above = [mark for mark in self.marks if place.is_relative_to(mark)]
        return bool(above) and self.marks[max(above, key=len)] == CLOSED

    def protects(self, folder: Path) -> bool:
        """Return whether a folder is, holds or lies in anything that methods may not read or change."""
        place = Path(os.path.realpath(folder))
        return any(place.is_relative_to(mark) or Path(mark).is_relative_to(place) for mark in self.marks)

    @contextmanager
    def ruleset(self, readable: Collection[Path], writable: Collection[Path]) -> Iterator[int]:
        """Yield the descriptor of the rules of a cell, to whom some of what is hidden is open."""
        descriptor = linux.new_ruleset(self.version)
        try:
            of_cell = [(str(path), linux.READ) for path in readable]
            of_cell += [(str(path), linux.ALL) for path in writable]
            for path, rights in (*self.rules, *of_cell):
                # What has vanished, or may not even be looked at, needs no rule: it stays closed.
                with suppress(OSError):
                    linux.allow(descriptor, path, rights, self.version)
            yield descriptor
        finally:
            os.close(descriptor)


def rules_of(marks: Mapping[str, int], path: str = "/", rights: int = linux.ALL) -> Iterator[Rule]:
    """Yield the rules by which each path has the rights of the nearest marked folder above it.

    Landlock adds up the rights of all folders above a path and cannot take any away. So a folder
    with less beneath it gets no rule, and its entries are allowed one by one.
    """
    below = {inner: mark for inner, mark in marks.items() if inner.startswith(f"{path.rstrip('/')}/")}
    if all(rights & ~mark == 0 for mark in below.values()):
        if rights:
            yield path, rights if os.path.isdir(path) else rights & linux.FILE_RIGHTS
        for inner in _topmost(below):
            yield from rules_of(below, inner, below[inner])
        return
    for entry in _entries(path) or _topmost(below):
        yield from rules_of(below, entry, below.get(entry, rights))


def _topmost(paths: Collection[str]) -> Iterator[str]:
    last = None
    for path in sorted(paths, key=lambda path: path.split("/")):
        if last is None or not path.startswith(f"{last}/"):
            yield path
            last = path


def _entries(folder: str) -> list[str]:
    """Return the paths in a folder but for links, whose targets have rules of their own."""
    try:
        with os.scandir(folder) as entries:
            paths = [entry.path for entry in entries if not entry.is_symlink()]
    except OSError:  # nobody reads there anyway
        return []
    return paths if len(paths) <= _MOST_ENTRIES else []


def _marked(paths: Iterable[Path], rights: int) -> dict[str, int]:
    return {os.path.realpath(path): rights for path in paths}


def _system_marks() -> dict[str, int]:
    """Return marks for processes, disks and memory; a method's own ``/proc`` is the keeper's to allow."""
    marks = {"/proc": CLOSED, "/sys": linux.READ}
    plain = (entry for entry in _entries("/proc") if not os.path.basename(entry).isdigit())
    marks |= {entry: linux.READ for entry in plain if not entry.startswith(("/proc/k", "/proc/sysrq"))}
    for entry in _entries("/dev"):
        with suppress(OSError):
            if stat.S_ISBLK(os.stat(entry).st_mode) or entry in ("/dev/mem", "/dev/kmem", "/dev/port"):
                marks[entry] = CLOSED
    return marks


def _installation() -> list[Path]:
    """Return where Python and all packages lie, cmbench among them."""
    import cmbench.datasets
    import cmbench.methods

    packages = (path for package in (cmbench, cmbench.methods, cmbench.datasets) for path in package.__path__)
    folders = (sys.prefix, sys.base_prefix, *packages, *sys.path)
    return [Path(folder) for folder in folders if folder and os.path.isdir(folder)]


def built_in_files() -> list[Path]:
    """Return the feature files of the datasets that come with cmbench."""
    import cmbench.datasets

    return [file for folder in cmbench.datasets.__path__ for file in Path(folder).rglob("*.npz")]


def files_of(dataset: Dataset) -> list[Path]:
    """Return the file or folder that a dataset was read from, and the files that arrays are mapped from.

    Of mapped files the folder comes along if the labels lie there.
    """
    mapped = set(mapped_files(dataset))
    folders = {path.parent for path in mapped if list(path.parent.glob("labels_test.*"))}
    read = {dataset.card.loaded_from} if dataset.card.loaded_from else set()
    return sorted(mapped | folders | read)
