"""Runs cells on this machine, each in a child process of its own, and stores their records."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import count
from pathlib import Path
from typing import Any

from cmbench.datasets.contract import Dataset
from cmbench.disk import writing_to
from cmbench.errors import StoreError
from cmbench.execution.fence import Fence, built_in_files, files_of
from cmbench.execution.gpus import Queue, visible_gpus
from cmbench.execution.job import HandedOut, hand_out
from cmbench.execution.ledger import Ledger, judged
from cmbench.execution.progress import Progress
from cmbench.execution.record import Outcome
from cmbench.execution.workplace import Assignment, Workplace
from cmbench.limits import Limits
from cmbench.plan import Cell
from cmbench.store import Store

_LOOK_AGAIN_SECONDS = 0.5  # at cells that other runs have


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
        self._folder = store.folder
        self._limits = limits
        self._jobs = jobs
        self._work = work
        self._ledger = Ledger(store, progress, earlier, twice=twice)
        self._stop = threading.Event()
        self._turn = self._ledger.turn  # one thread at a time evaluates, tells, or hands out features
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
        checkpoints = self._folder.resolve() / ".work" / "checkpoints"
        workplace = Workplace(self._work, self._fence, checkpoints=checkpoints)
        queue = Queue(visible_gpus(cells))
        with writing_to(self._work, raising=StoreError):
            for cell in cells:  # all at once, so that files which change later change nothing
                self._features_for(cell.dataset)
        with ThreadPoolExecutor(self._jobs) as pool:
            try:
                while cells:
                    queue.extend(cells)
                    waiting = [pool.submit(self._run_next, queue, workplace) for _ in cells]
                    for future in as_completed(waiting):
                        future.result()
                    cells = self._ledger.elsewhere()
                    self._stop.wait(_LOOK_AGAIN_SECONDS if cells else 0)
            except BaseException:
                self._stop.set()
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        self._ledger.close()

    def _run_next(self, queue: Queue, workplace: Workplace) -> None:
        """Run a cell unless another run has it, or has finished it since this one was planned."""
        try:
            with writing_to(self._work, raising=StoreError), queue.next(self._stop) as found:
                if found is None:
                    return
                cell, environment = found
                with self._ledger.turn_of(cell) as is_wanted:
                    if is_wanted:
                        self._run_cell(cell, workplace, environment)
        except BaseException:
            self._stop.set()  # what goes wrong next in another thread would be of no interest
            raise

    def _run_cell(self, cell: Cell, workplace: Workplace, environment: Mapping[str, str]) -> None:
        """Run a cell from start to end: hand out features, run the child, evaluate, store the record."""
        with self._turn:
            if self._stop.is_set():
                return
            self._ledger.started(cell)
            features = self._features_for(cell.dataset)
        assignment = Assignment.of(cell, twice=self._twice)
        log = self._ledger.log_of(cell)
        outcome = workplace.run(
            assignment,
            features,
            self._limits,
            stop=self._stop,
            log=log,
            environment=environment,
            tell=lambda follower: self._ledger.advanced(cell, follower),
        )
        if outcome.status == "stopped":
            return
        with self._turn:
            outcome = judged(cell, outcome, features, self._limits)
            self._check_disk(outcome, features)
            self._ledger.keep(cell, outcome, limits=self._limits)

    def _check_disk(self, outcome: Outcome, features: HandedOut) -> None:
        """Raise ``StoreError`` after a failure where no further cell could be run either."""
        if outcome.status == "ok":
            return
        if not features.folder.is_dir():
            raise StoreError(
                f"{self._work} was removed while the run was going on; leave '.work' of a store alone, and "
                "run the same command again"
            )

    def _fence_around(self, cells: Sequence[Cell]) -> Fence | None:
        mapped = [file for cell in cells for file in files_of(cell.dataset)]
        code = [file for entry in {cell.entry for cell in cells} for file in entry.files()]
        return Fence.around(self._folder, {*self._hidden, *mapped, *built_in_files()}, code)

    def _features_for(self, dataset: Dataset) -> HandedOut:
        """Return the features of a dataset; without a fence, again after a cell has damaged them."""
        earlier = self._handed_out.get(dataset.fingerprint)
        if earlier is not None and (self._fence is not None or earlier.is_unchanged()):
            return earlier
        folder = self._work / f"features-{dataset.fingerprint[:16]}-{next(self._numbers)}"
        folder.mkdir()
        self._handed_out[dataset.fingerprint] = hand_out(dataset, folder)
        return self._handed_out[dataset.fingerprint]
