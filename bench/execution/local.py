"""Runs cells on this machine, each in a child process of its own, and stores their records."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

from cmbench.datasets.contract import Dataset
from cmbench.disk import is_full, remove_folder, writing_to
from cmbench.errors import MethodError, StoreError
from cmbench.execution.child_process import Ended, Surroundings, run_child
from cmbench.execution.claims import claims_in
from cmbench.execution.evaluating import evaluated, status_of
from cmbench.execution.fence import Fence, built_in_files, files_of
from cmbench.execution.job import CHECKPOINT, DISK_FULL, HandedOut, Job, hand_out
from cmbench.execution.outcome import LeftBehindError, log_tail, read_curves, read_outcome
from cmbench.execution.progress import Progress
from cmbench.execution.record import Outcome, cell_record, described, failure_of, stored_arrays
from cmbench.limits import Limits
from cmbench.plan import Cell
from cmbench.store import Store, result_digest

SHARED_MEMORY = "/dev/shm"
_LOOK_AGAIN_SECONDS = 0.5  # at cells that other runs have
_MAKE_ROOM = "make room, and run the same command again: what is finished is kept"


class LocalExecutor:
    """Runs cells on this machine, ``jobs`` at a time, with ``work`` for temporary files.

    ``earlier`` holds, by key, the records that cells had when the run was planned: a cell that has another
    one by its turn was finished by another run. Methods can read neither the store nor ``hidden``, the files
    and folders of datasets. ``twice`` has every method fitted a second time, to be compared.
    """

    def __init__(
        self,
        store: Store,
        limits: Limits,
        *,
        jobs: int,
        progress: Progress,
        work: Path,
        earlier: Mapping[str, Mapping[str, Any]],
        hidden: Iterable[Path] = (),
        twice: bool = False,
    ) -> None:
        self._store = store
        self._limits = limits
        self._jobs = jobs
        self._progress = progress
        self._work = work
        self._earlier = earlier
        self._checkpoints = store.folder.resolve() / ".work" / "checkpoints"
        with writing_to(work, raising=StoreError):
            self._claims = claims_in(store.folder.resolve() / ".work")
        self._elsewhere: list[Cell] = []
        self._without_room: list[Cell] = []
        self._stop = threading.Event()
        self._turn = threading.Lock()  # one thread at a time evaluates, tells, or hands out features
        self._handed_out: dict[str, HandedOut] = {}
        self._hidden = tuple(hidden)
        self._twice = twice
        self._fence: Fence | None = None
        self._numbers = count()

    def run(self, cells: Sequence[Cell]) -> None:
        """Run the cells, and wait for those that other runs have. A failure becomes a record.

        An interrupt ends the running children, whose cells leave nothing, and is raised again. Raises
        ``StoreError`` where the store cannot be written to, or the disk is full.
        """
        self._fence = self._fence_around(cells)
        for cell in cells:  # all at once, so that files which change later change nothing
            self._features_for(cell.dataset)
        with ThreadPoolExecutor(self._jobs) as pool:
            try:
                while cells:
                    for future in as_completed([pool.submit(self._run_unclaimed, cell) for cell in cells]):
                        future.result()
                    cells, self._elsewhere = self._elsewhere, []
                    self._stop.wait(_LOOK_AGAIN_SECONDS if cells else 0)
            except BaseException:
                self._stop.set()
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        if self._without_room:
            labels = ", ".join(cell.label for cell in self._without_room)
            raise StoreError(f"there was no room on a disk for {labels}; {_MAKE_ROOM}")

    def _run_unclaimed(self, cell: Cell) -> None:
        """Run a cell unless another run has it, or has finished it since this one was planned."""
        if self._stop.is_set():
            return
        try:
            with writing_to(self._work, raising=StoreError), self._claims.on(cell.key) as is_ours:
                if not is_ours:
                    self._elsewhere.append(cell)
                elif not self._is_finished_elsewhere(cell):
                    self._run_cell(cell)
        except BaseException:
            self._stop.set()  # what goes wrong next in another thread would be of no interest
            raise

    def _is_finished_elsewhere(self, cell: Cell) -> bool:
        try:
            record = self._store.find_own(cell.key)
        except StoreError:  # damaged; the cell is run all the same only if that was asked for
            return False
        earlier = self._earlier.get(cell.key)
        if record is None or (earlier is not None and result_digest(record) == result_digest(earlier)):
            return False
        if record["status"] == "ok" and not set(cell.measures) <= set(record.get("measures", ())):
            return False
        with self._turn:
            self._progress.started(cell)
            self._progress.finished(cell, record, self._store.folder / record["log"])
        return True

    def _run_cell(self, cell: Cell) -> None:
        """Run a cell from start to end: hand out features, run the child, evaluate, store the record."""
        with self._turn:
            if self._stop.is_set():
                return
            self._progress.started(cell)
            features = self._features_for(cell.dataset)
        folder = self._work / cell.key
        folder.mkdir()
        job = self._job(cell, features)
        job.write(folder)
        log = self._store.log_path(cell.dataset.name, cell.method.name, cell.key)
        with self._fenced(cell, job, folder, log) as surroundings:
            ended = run_child(surroundings, self._limits, self._stop)
        if ended.ending == "stopped":
            return
        with self._turn:
            outcome = _outcome(cell, ended, features, folder, limits=self._limits, log=log)
            if outcome.status != "ok" and not self._is_its_own(cell, outcome, features):
                return
            record = cell_record(cell, outcome, limits=self._limits, log=self._store.relative(log))
            evaluation = outcome.evaluation
            arrays = None if evaluation is None else stored_arrays(cell, evaluation, outcome.training_curves)
            self._store.put(record, arrays)
            self._progress.finished(cell, record, log)
        for used in (folder, surroundings.temporary):
            remove_folder(used)  # the run's own folder goes at its end anyway

    def _is_its_own(self, cell: Cell, outcome: Outcome, features: HandedOut) -> bool:
        """Return whether a failure is the method's own, and not that of a disk.

        Raises ``StoreError`` where no further cell could be run either.
        """
        if not features.folder.is_dir():
            raise StoreError(
                f"{self._work} was removed while the run was going on; leave '.work' of a store alone, and "
                "run the same command again"
            )
        if is_full(self._work):
            raise StoreError(f"{self._work}: the disk is full; {_MAKE_ROOM}")
        if outcome.status == DISK_FULL:
            self._without_room.append(cell)
        return outcome.status != DISK_FULL

    def _fence_around(self, cells: Sequence[Cell]) -> Fence | None:
        mapped = [file for cell in cells for file in files_of(cell.dataset)]
        code = {Path(cell.entry.location.rpartition(":")[0]) for cell in cells if cell.entry.origin == "file"}
        return Fence.around(self._store.folder, {*self._hidden, *mapped, *built_in_files()}, code)

    @contextmanager
    def _fenced(self, cell: Cell, job: Job, folder: Path, log: Path) -> Iterator[Surroundings]:
        """Yield the surroundings of a cell's process, with the rules of what it may read and change."""
        temporary = self._work / f"t{next(self._numbers)}"  # short, because the paths of sockets are
        temporary.mkdir()
        writable = [folder, temporary]
        if CHECKPOINT in cell.method.practical:
            writable.append(Path(job.parameters[CHECKPOINT]))
            writable[-1].mkdir(parents=True, exist_ok=True)
        private = _nothing_in_shared_memory(job, folder)
        surroundings = Surroundings(folder, temporary, log, own_shared_memory=private)
        if self._fence is None:
            yield surroundings
            return
        with self._fence.ruleset([job.features], writable) as ruleset:
            yield replace(surroundings, ruleset=ruleset, landlock=self._fence.version)

    def _job(self, cell: Cell, features: HandedOut) -> Job:
        import_path = [os.path.abspath(entry) for entry in sys.path if os.path.exists(entry or ".")]
        parameters = dict(cell.parameters)
        if CHECKPOINT in cell.method.practical and parameters[CHECKPOINT] is None:
            parameters[CHECKPOINT] = str(self._checkpoints)
        return Job(features.folder, cell.entry, cell.code_version, parameters, import_path, self._twice)

    def _features_for(self, dataset: Dataset) -> HandedOut:
        """Return the features of a dataset; without a fence, again after a cell has damaged them."""
        earlier = self._handed_out.get(dataset.fingerprint)
        if earlier is not None and (self._fence is not None or earlier.is_unchanged()):
            return earlier
        folder = self._work / f"features-{dataset.fingerprint[:16]}-{next(self._numbers)}"
        folder.mkdir()
        self._handed_out[dataset.fingerprint] = hand_out(dataset, folder)
        return self._handed_out[dataset.fingerprint]


class SharedFeaturesError(MethodError):
    """A method wrote to what it was only to read."""


def _nothing_in_shared_memory(job: Job, folder: Path) -> bool:
    """Return whether nothing that a method is told of lies in ``/dev/shm``, so that it may have its own."""
    told = (str(folder), job.entry.location, *job.import_path, *map(str, job.parameters.values()))
    return not any(text.startswith(SHARED_MEMORY) for text in (*told, *map(os.path.realpath, told[:2])))


def _outcome(
    cell: Cell, ended: Ended, features: HandedOut, folder: Path, *, limits: Limits, log: Path
) -> Outcome:
    """Return how the cell ended: what its child left, evaluated, or why there is nothing to evaluate."""
    if ended.ending != "exited":
        return _without_result(ended, limits, log)
    try:
        if ended.fence["files"] is None and not features.is_unchanged():
            raise SharedFeaturesError(
                "the features that all cells of the dataset read were written to while this one ran, by its "
                "method or by another's; run it again with --retry-failed, without the method that does so"
            )
        child = read_outcome(folder)
    except (LeftBehindError, SharedFeaturesError) as error:
        return Outcome("failed", ended, {}, described(error, ended.exit_status))
    if child is None:
        return _without_result(ended, limits, log)
    if child["status"] != "ok":
        return Outcome(child["status"], ended, child, {**child["error"], "exit_status": ended.exit_status})
    start = time.perf_counter()
    try:
        curves = read_curves(folder)
        evaluation = evaluated(cell, features, folder, limits, limits.time_left(ended.seconds))
    except Exception as error:  # what a method returned may be anything; it must not end the run
        return Outcome(status_of(error), ended, child, described(error, ended.exit_status))
    seconds = time.perf_counter() - start
    return Outcome(
        "ok", ended, child, evaluation=evaluation, evaluate_seconds=seconds, training_curves=curves
    )


def _without_result(ended: Ended, limits: Limits, log: Path) -> Outcome:
    status, error = failure_of(ended, limits, log_tail(log))
    return Outcome(status, ended, {}, error)
