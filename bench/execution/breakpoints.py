"""What becomes of ``breakpoint()`` where nobody can answer: an error that says how to debug."""

from __future__ import annotations

import os
import sys
from typing import Any, NoReturn

from cmbench.errors import MethodError

REMEDY = (
    "a cell runs in a process of its own without a terminal; 'cmbench run --debug' with the same options "
    "runs one cell where you can debug it"
)


class NoDebuggerError(MethodError):
    """A method asked for a debugger where there is none."""


def refuse_breakpoints() -> None:
    """Make ``breakpoint()`` raise, unless the user has said what it is to do (``PYTHONBREAKPOINT``)."""
    if not os.environ.get("PYTHONBREAKPOINT"):
        sys.breakpointhook = _refuse


def _refuse(*_: Any, **__: Any) -> NoReturn:
    frame = sys._getframe(1)
    place = f"{os.path.basename(frame.f_code.co_filename)}, line {frame.f_lineno}"
    raise NoDebuggerError(f"breakpoint() in {place}: {REMEDY}")
