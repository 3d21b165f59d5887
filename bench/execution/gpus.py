"""The GPUs of this machine, shared by the cells of a run: each has one cell at a time."""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from cmbench.plan import Cell

VISIBLE = "CUDA_VISIBLE_DEVICES"
_LOOK_AGAIN_SECONDS = 0.5


def visible_gpus(cells: Sequence[Cell]) -> tuple[str, ...]:
    """Return the GPUs that PyTorch may use, as ``CUDA_VISIBLE_DEVICES`` names them.

    There are none where no cell asks for one. PyTorch is asked only where a method has loaded it already.
    """
    torch = sys.modules.get("torch")
    if torch is None or not any(map(asks_for_gpu, cells)) or not torch.cuda.is_available():
        return ()
    named = os.environ.get(VISIBLE)
    return tuple(named.split(",")) if named else tuple(map(str, range(torch.cuda.device_count())))


def asks_for_gpu(cell: Cell) -> bool:
    """Return whether a method has a parameter ``device`` that is ``"auto"``, ``"cuda"`` or ``"cuda:N"``."""
    device = str(cell.parameters.get("device", "cpu"))
    return device == "auto" or device.partition(":")[0] == "cuda"


class Queue:
    """Cells that wait, and the GPUs that some of them wait for.

    Two trainings on one GPU take as long as one after the other, and may need more memory than it has, so
    each GPU has one cell at a time. Cells that need none go past those that wait for one.
    """

    def __init__(self, gpus: Sequence[str]) -> None:
        self._gpus = tuple(gpus)
        self._free = set(range(len(self._gpus)))
        self._waiting: deque[Cell] = deque()
        self._change = threading.Condition()

    def extend(self, cells: Sequence[Cell]) -> None:
        """Let cells wait, behind those that do."""
        with self._change:
            self._waiting.extend(cells)

    @contextmanager
    def next(self, stop: threading.Event) -> Iterator[tuple[Cell, Mapping[str, str]] | None]:
        """Yield the next cell that can run and what its environment has to say; None when ``stop`` is set.

        Waits for a GPU if all cells that wait need one, and gives it back after the block.
        """
        found = self._wait_for_one(stop)
        if found is None:
            yield None
            return
        cell, gpu = found
        try:
            yield cell, self._environment(cell, gpu)
        finally:
            if gpu is not None:
                with self._change:
                    self._free.add(gpu)
                    self._change.notify_all()

    def _wait_for_one(self, stop: threading.Event) -> tuple[Cell, int | None] | None:
        with self._change:
            while not stop.is_set():
                for cell in self._waiting:
                    suited = self._suited(cell)
                    if suited is None or suited:
                        self._waiting.remove(cell)
                        gpu = min(suited) if suited else None
                        self._free -= {gpu}
                        return cell, gpu
                self._change.wait(_LOOK_AGAIN_SECONDS)
        return None

    def _suited(self, cell: Cell) -> set[int] | None:
        """Return the free GPUs that a cell may have; None where it needs none."""
        if not self._gpus or not asks_for_gpu(cell):
            return None
        number = str(cell.parameters["device"]).partition(":")[2]
        return (
            self._free & {int(number)} if number.isdigit() and int(number) < len(self._gpus) else self._free
        )

    def _environment(self, cell: Cell, gpu: int | None) -> Mapping[str, str]:
        """Return which GPU a cell is shown, where there are several and it does not name one by number."""
        if gpu is None or len(self._gpus) == 1 or ":" in str(cell.parameters["device"]):
            return {}
        return {VISIBLE: self._gpus[gpu]}
