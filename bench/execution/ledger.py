"""What a run writes down of its cells: who has them, how they ended, and what is told of that."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from cmbench.agenda import is_wanted
from cmbench.disk import MAKE_ROOM, writing_to
from cmbench.errors import StoreError
from cmbench.execution.claims import claims_in
from cmbench.execution.evaluating import evaluated, status_of
from cmbench.execution.following import Follower, Step
from cmbench.execution.job import DISK_FULL, HandedOut
from cmbench.execution.outcome import described
from cmbench.execution.progress import Progress
from cmbench.execution.record import Outcome, Worker, cell_record, stored_arrays
from cmbench.limits import Limits
from cmbench.plan import Cell
from cmbench.store import Store, result_digest


class Ledger:
    """The store as a run writes to it, with the claims that share its cells among several runs.

    ``earlier`` holds, by key, the records that cells had when the run was planned: a cell that has another
    one by its turn was finished by another run, if it is what is wanted: ``twice`` asks for one that tells of
    two fits. Whoever calls ``started`` and ``keep`` from several threads holds ``turn`` meanwhile.
    """

    def __init__(
        self,
        store: Store,
        progress: Progress,
        earlier: Mapping[str, Mapping[str, Any]],
        *,
        twice: bool = False,
    ) -> None:
        self._store = store
        self._twice = twice
        self._progress = progress
        self._earlier = earlier
        self._work = store.folder.resolve() / ".work"
        with writing_to(self._work, raising=StoreError):
            self._claims = claims_in(self._work)
        self.turn = threading.RLock()
        self._elsewhere: list[Cell] = []
        self._without_room: list[Cell] = []

    @contextmanager
    def turn_of(self, cell: Cell) -> Iterator[bool]:
        """Claim a cell for the block; yield whether it is to be run now.

        It is not where another run has it (see ``elsewhere``), or has finished it since this one was planned.
        """
        with self._claims.on(cell.key) as is_ours:
            if not is_ours:
                self._elsewhere.append(cell)
            yield is_ours and not self._is_finished_elsewhere(cell)

    def elsewhere(self) -> list[Cell]:
        """Return the cells that other runs had when it was their turn, once."""
        cells, self._elsewhere = self._elsewhere, []
        return cells

    def log_of(self, cell: Cell) -> Path:
        """Return where what the cell prints goes; its folder exists."""
        return self._store.log_path(cell.dataset.name, cell.method.name, cell.key)

    def started(self, cell: Cell) -> None:
        """Tell that a cell has begun."""
        self._progress.started(cell)

    def advanced(self, cell: Cell, follower: Follower) -> None:
        """Tell how far a cell has come; while it runs, not if that would mean to wait for its turn."""
        if self.turn.acquire(blocking=follower.ended):
            try:
                step = follower.step()
                if step is not None:
                    self._progress.advanced(cell, step)
            finally:
                self.turn.release()

    def came(self, cell: Cell, step: Step) -> None:
        """Tell how far a cell has come on another machine."""
        with self.turn:
            self._progress.advanced(cell, step)

    def keep(self, cell: Cell, outcome: Outcome, *, limits: Limits, worker: Worker | None = None) -> None:
        """Write the record of a cell that was run, and tell of it.

        That there was no room on a disk is nothing that a method did, and becomes no record.
        """
        if outcome.status == DISK_FULL:
            self._without_room.append(cell)
            return
        log = self.log_of(cell)
        record = cell_record(cell, outcome, limits=limits, log=self._store.relative(log), worker=worker)
        evaluation = outcome.evaluation
        arrays = None if evaluation is None else stored_arrays(cell, evaluation, outcome.training_curves)
        self._store.put(record, arrays)
        self._progress.finished(cell, record, log)

    def close(self) -> None:
        """Raise ``StoreError`` if cells have no record because there was no room for what they wrote."""
        if self._without_room:
            labels = ", ".join(cell.label for cell in self._without_room)
            raise StoreError(f"there was no room on a disk for {labels}; {MAKE_ROOM}")

    def _is_finished_elsewhere(self, cell: Cell) -> bool:
        try:
            record = self._store.find_own(cell.key, cell.method.name)
        except StoreError:  # damaged; the cell is run all the same only if that was asked for
            return False
        earlier = self._earlier.get(cell.key)
        if record is None or (earlier is not None and result_digest(record) == result_digest(earlier)):
            return False
        if is_wanted(cell, record, twice=self._twice):
            return False
        with self.turn:
            self._progress.started(cell)
            self._progress.finished(cell, record, self._store.folder / record["log"])
        return True


def judged(cell: Cell, outcome: Outcome, features: HandedOut, limits: Limits) -> Outcome:
    """Return an outcome with the evaluation of its representations, or the reason why there is none."""
    if outcome.status != "ok":
        return outcome
    start = time.perf_counter()
    try:
        evaluation = evaluated(
            cell, features, outcome.representations, limits.time_left(outcome.ended.seconds)
        )
    except Exception as error:  # what a method returned may be anything; it must not end the run
        return Outcome(
            status_of(error), outcome.ended, outcome.child, described(error, outcome.ended.exit_status)
        )
    seconds = time.perf_counter() - start
    return replace(outcome, evaluation=evaluation, evaluate_seconds=seconds, representations={})
