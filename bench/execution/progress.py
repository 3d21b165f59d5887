"""What a run tells while it goes on: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

from cmbench.execution.following import Step
from cmbench.execution.outcome import shortened
from cmbench.limits import AskedLimits, Limits, duration_text
from cmbench.output import plural, printable
from cmbench.plan import Cell

_LONGEST_NOTE = 100
_LEAST = 0.05  # seconds; less is written as 0.0 s


class Progress:
    """Told of every step of a run, from one thread at a time; says nothing of any."""

    def expects(self, seconds: Mapping[str, float], jobs: int) -> None:
        """Be told, before ``planned``, the seconds of cells by key, and how many run at the same time."""

    def omits(self, cells: int) -> None:
        """Be told, before ``planned``, how many cells are left out, since their methods cannot run there."""

    def planned(self, pending: Sequence[Cell], stored: int, limits: Limits | AskedLimits) -> None: ...
    def started(self, cell: Cell) -> None: ...
    def advanced(self, cell: Cell, step: Step) -> None: ...
    def finished(self, cell: Cell, record: Mapping[str, Any], log: Path) -> None: ...
    def closed(self) -> None: ...


class Display(Progress):
    """What shows the time of a run: it has a clock, and knows how many cells are left out.

    ``verbose`` shows every line that methods print.
    """

    def __init__(self, *, verbose: bool = False) -> None:
        self._verbose = verbose
        self._clock = Clock()
        self._left_out = 0

    def expects(self, seconds: Mapping[str, float], jobs: int) -> None:
        self._clock.expect(seconds, jobs)

    def omits(self, cells: int) -> None:
        self._left_out = cells


class PlainLines(Display):
    """A line when a cell starts and one when it ends, with the time gone and the time left."""

    def __init__(self, console: Console, *, verbose: bool = False) -> None:
        super().__init__(verbose=verbose)
        self._console = console

    def planned(self, pending: Sequence[Cell], stored: int, limits: Limits | AskedLimits) -> None:
        self._clock.start(pending)
        self._line(planned_text(len(pending), stored, limits, self._left_out))

    def started(self, cell: Cell) -> None:
        self._clock.begin(cell)
        self._line(f"started  {cell.label}")

    def advanced(self, cell: Cell, step: Step) -> None:
        for line in step.lines if self._verbose else ():
            self._line(f"{cell.label} | {line}")

    def finished(self, cell: Cell, record: Mapping[str, Any], log: Path) -> None:
        self._clock.count(cell)
        self._line(f"finished {cell.label}: {result_text(record, log)}   [{self._clock.text()}]")

    def _line(self, text: str) -> None:
        self._console.print(printable(text), markup=False, emoji=False, highlight=False, soft_wrap=True)


class LiveDisplay(Display):
    """A bar over all cells, one for each running one, and a line for each finished one.

    The bar of a running cell shows the epochs of its training, and the last line that its method printed.
    """

    def __init__(self, console: Console, *, verbose: bool = False) -> None:
        super().__init__(verbose=verbose)
        self._display = RichProgress(
            SpinnerColumn("dots" if console.encoding.startswith("utf") else "line"),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=console,
            transient=True,
        )
        self._all: TaskID | None = None
        self._running: dict[str, TaskID] = {}

    def planned(self, pending: Sequence[Cell], stored: int, limits: Limits | AskedLimits) -> None:
        self._clock.start(pending)
        self._print(planned_text(len(pending), stored, limits, self._left_out))
        if pending:
            self._display.start()
            self._all = self._display.add_task("all cells", total=len(pending), note="")

    def started(self, cell: Cell) -> None:
        self._clock.begin(cell)
        self._running[cell.key] = self._display.add_task(printable(cell.label), total=1, note="")

    def advanced(self, cell: Cell, step: Step) -> None:
        for line in step.lines if self._verbose else ():
            self._print(f"{cell.label} | {line}")
        task = self._running[cell.key]
        if step.epochs:
            stage = f"{step.stage}, validation {step.score:.3f}"
            self._display.update(task, total=step.epochs, completed=int(step.epoch), note=printable(stage))
        if step.lines:
            self._display.update(task, note=printable(shortened(step.lines[-1], _LONGEST_NOTE)))

    def finished(self, cell: Cell, record: Mapping[str, Any], log: Path) -> None:
        self._clock.count(cell)
        self._display.remove_task(self._running.pop(cell.key))
        if self._all is not None:
            self._display.update(self._all, advance=1, note=self._clock.text())
        self._print(f"{cell.label}: {result_text(record, log)}")

    def closed(self) -> None:
        self._display.stop()

    def _print(self, text: str) -> None:
        self._display.console.print(printable(text), markup=False, emoji=False, highlight=False)


class Clock:
    """Time gone since the start, and an estimate of the time left.

    Where earlier records tell how long cells take, that is what counts, multiplied by how much longer or
    shorter those took that have ended by now; a cell of which nothing is known counts as the mean of
    the others. Where they tell nothing, each cell left takes as long as those that have ended.
    """

    def __init__(self) -> None:
        self._cells = self._done = 0
        self._start = time.monotonic()
        self._expected: dict[str, float] = {}
        self._jobs = 1
        self._mean = self._waiting = 0.0  # of all cells, and together of those that have not begun
        self._running: dict[str, tuple[float, float]] = {}  # when they began, and what they are to take
        self._taken = self._foreseen = 0.0  # by the cells that have ended and had been estimated

    def expect(self, seconds: Mapping[str, float], jobs: int) -> None:
        self._expected, self._jobs = dict(seconds), jobs

    def start(self, cells: Sequence[Cell]) -> None:
        self._cells, self._done, self._start = len(cells), 0, time.monotonic()
        known = [self._expected[cell.key] for cell in cells if cell.key in self._expected]
        self._mean = sum(known) / len(known) if known else 0.0
        self._waiting = self._mean * len(cells)

    def begin(self, cell: Cell) -> None:
        seconds = self._expected.get(cell.key, self._mean)
        self._waiting -= seconds
        self._running[cell.key] = time.monotonic(), seconds

    def count(self, cell: Cell) -> None:
        self._done += 1
        began, seconds = self._running.pop(cell.key, (time.monotonic(), 0.0))
        if cell.key in self._expected:
            self._taken += time.monotonic() - began
            self._foreseen += seconds

    def text(self) -> str:
        gone = time.monotonic() - self._start
        told = f"{self._done} of {self._cells}, {duration_text(gone)} gone"
        left = self.left()
        if left < _LEAST or self._done == self._cells:  # the rest takes longer than expected, or is nothing
            return told
        return f"{told}, about {duration_text(left)} left"

    def left(self) -> float:
        """Return the seconds that are left, as far as one can tell."""
        now = time.monotonic()
        if not self._mean:
            return (now - self._start) / self._done * (self._cells - self._done) if self._done else 0.0
        slower = self._taken / self._foreseen if self._foreseen else 1.0
        running = [max(0.0, slower * seconds - (now - began)) for began, seconds in self._running.values()]
        together = (slower * max(0.0, self._waiting) + sum(running)) / self._jobs
        return max(together, max(running, default=0.0))


def progress_for(console: Console, *, verbose: bool = False) -> Progress:
    """Return a live display on a terminal that can move its cursor, plain lines elsewhere.

    ``verbose`` shows every line that methods print.
    """
    if console.is_interactive:
        return LiveDisplay(console, verbose=verbose)
    return PlainLines(console, verbose=verbose)


def planned_text(pending: int, stored: int, limits: Limits | AskedLimits, left_out: int = 0) -> str:
    """Return what is about to happen, and under which limits."""
    count = stored + pending + left_out
    if not count:
        return "0 cells to run"
    there = "all are" if stored == count else str(stored)
    told = f"{count} {plural('cell', count)}: {there} in the store, {pending} to run"
    omitted = f", {left_out} left out" if left_out else ""
    return f"{told}{omitted}{f'; each with {limits}' if pending else ''}"


def result_text(record: Mapping[str, Any], log: Path) -> str:
    """Return the bi-modal MAP of a cell, or how it failed."""
    seconds = duration_text(record["durations"]["total"])
    if record["status"] == "ok":
        warnings = "".join(f"; warning: {text}" for text in record.get("warnings", ()))
        return f"MAP {record['map']['bimodal_average']:.3f} in {seconds}{warnings}"
    error = record["error"]
    return f"{record['status'].upper()} after {seconds}: {error['type']}: {error['message']} (log: {log})"
