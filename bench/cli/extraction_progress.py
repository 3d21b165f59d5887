"""What an extraction tells while it goes on: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from cmbench.datasets.features.sides import Report


@contextmanager
def extraction_progress() -> Iterator[Report]:
    """Yield what an extraction reports to; standard error is where it shows."""
    console = Console(stderr=True)
    if not console.is_interactive:
        yield _PlainLines()
        return
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
    ) as display:
        tasks: dict[str, TaskID] = {}

        def update(what: str, done: int, of: int) -> None:
            if what not in tasks:
                tasks[what] = display.add_task(what)
            display.update(tasks[what], completed=done, total=of)

        yield update


class _PlainLines:
    """Prints a line at the first news of something, and at each tenth of its way."""

    def __init__(self) -> None:
        self._tenths: dict[str, int] = {}

    def __call__(self, what: str, done: int, of: int) -> None:
        tenth = done * 10 // of
        if self._tenths.get(what) != tenth:
            self._tenths[what] = tenth
            print(f"{what}: {done} of {of}", file=sys.stderr, flush=True)
