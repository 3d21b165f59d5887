"""What a running cell tells: the lines that its method prints, and how far its training has come."""

from __future__ import annotations

import json
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path

from cmbench.execution.job import LOOKS
from cmbench.execution.outcome import LeftBehindError, plain_file, shortened

_SECONDS = 0.5  # between two looks at the files
_MOST_BYTES = 65_536  # of a log that are read at once; of more than that, the end
_LONGEST_LINE = 500


@dataclass(frozen=True)
class Step:
    """How far a cell has come since one last looked.

    ``lines`` are those printed since then, ``stage``, ``epoch`` and ``epochs`` (0: not known) tell of the
    latest look at validation, whose score is ``score``.
    """

    lines: tuple[str, ...] = ()
    stage: str = ""
    epoch: float = 0.0
    epochs: int = 0
    score: float = 0.0


class Follower:
    """Follows one running cell by its log and the file of its looks at validation."""

    def __init__(self, log: Path, folder: Path) -> None:
        self._log, self._looks = log, folder / LOOKS
        self._read = 0
        self._next = time.monotonic() + _SECONDS
        self.ended = False

    def end(self) -> None:
        """Note that the cell has ended: what it has told since the last look is wanted at once."""
        self.ended = True

    def step(self) -> Step | None:
        """Return what is new, or None if it is not yet time to look again, or nothing is."""
        if not self.ended and time.monotonic() < self._next:
            return None
        self._next = time.monotonic() + _SECONDS
        lines, look = self._new_lines(), self._last_look()
        if look is None:
            return Step(lines) if lines else None
        return Step(lines, *look)

    def _new_lines(self) -> tuple[str, ...]:
        """Return the complete lines that the log has got since the last look."""
        try:
            with plain_file(self._log, None) as file:
                size = os.fstat(file.fileno()).st_size
                start = max(min(self._read, size), size - _MOST_BYTES)  # it may have been cut, or have grown
                file.seek(start)
                text, _, rest = file.read(_MOST_BYTES).rpartition(b"\n")
        except LeftBehindError:  # not there yet, or made away with: the record will tell
            return ()
        self._read = size - len(rest)
        found = text.decode("utf-8", errors="replace").replace("\r", "\n").splitlines()
        return tuple(shortened(line, _LONGEST_LINE) for line in found if line.strip())

    def _last_look(self) -> tuple[str, float, int, float] | None:
        try:
            with plain_file(self._looks, None) as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - _LONGEST_LINE))
                complete = file.read(_LONGEST_LINE).rpartition(b"\n")[0]
            look = json.loads(complete.rpartition(b"\n")[2])
            found = str(look["stage"]), float(look["epoch"]), int(look["epochs"]), float(look["score"])
        except (LeftBehindError, ValueError, TypeError, KeyError, OverflowError):
            return None  # none yet, or a file of the method's own
        return found if math.isfinite(found[1]) and math.isfinite(found[3]) else None
