"""A cell run in this process, where one can set breakpoints and look at an error."""

from __future__ import annotations

import pdb
import sys
import tempfile
import time
import traceback
from bdb import BdbQuit
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cmbench.errors import CmbenchError
from cmbench.execution.child import work
from cmbench.execution.child_process import Ended
from cmbench.execution.job import Job, hand_out
from cmbench.execution.ledger import judged
from cmbench.execution.memory import peak_bytes_of_this_process
from cmbench.execution.outcome import described, read_curves, read_representations
from cmbench.execution.record import Outcome, cell_record
from cmbench.limits import Limits, available_cores
from cmbench.plan import Cell

NO_FENCE = {"files": None, "processes": None}


def only(cells: Sequence[Cell]) -> Cell:
    """Return the one cell there is; raises ``CmbenchError`` for several, and for one that cannot run."""
    if len(cells) != 1:
        names = ", ".join(cell.label for cell in cells[:5]) + (", ..." if len(cells) > 5 else "")
        raise CmbenchError(
            f"debugging runs one cell, and {len(cells)} are chosen: {names}; choose one with --dataset, "
            "--methods and --seeds"
        )
    if cells[0].left_out:
        raise CmbenchError(f"{cells[0].label} cannot run: {cells[0].left_out}")
    return cells[0]


def debugged(cell: Cell) -> dict[str, Any]:
    """Run a cell in this process, and return a record that is nowhere stored.

    An error of the method is printed, and pdb started where it was raised. Raises ``CmbenchError`` when
    somebody leaves the debugger before the end.
    """
    limits = Limits(None, None, available_cores())
    with tempfile.TemporaryDirectory() as folder:
        start = time.monotonic()
        try:
            outcome = _outcome(cell, Path(folder), limits, start)
        except BdbQuit as error:
            raise CmbenchError(f"{cell.label}: the debugger was left, and nothing is stored") from error
        except (Exception, SystemExit) as error:  # of the method, which may raise anything
            traceback.print_exc()
            print(f"pdb at {type(error).__name__}: {error}", file=sys.stderr)
            pdb.post_mortem(error.__traceback__)
            outcome = Outcome("failed", _ended(start), {}, described(error, 1))
    return cell_record(cell, outcome, limits=limits, log="")


def _outcome(cell: Cell, folder: Path, limits: Limits, start: float) -> Outcome:
    (folder / "features").mkdir()
    features = hand_out(cell.dataset, folder / "features")
    job = Job(features.folder, cell.entry, cell.code_version, dict(cell.parameters), [])
    child = work(job, folder)
    representations = {
        modality: read_representations(folder, modality, len(order), most_bytes=None)
        for modality, order in features.order.items()
    }
    outcome = Outcome(
        "ok", _ended(start), child, training_curves=read_curves(folder), representations=representations
    )
    return judged(cell, outcome, features, limits)


def _ended(start: float) -> Ended:
    return Ended("exited", 0, time.monotonic() - start, peak_bytes_of_this_process(), NO_FENCE)
