"""How much memory a call takes at most beyond what was in use before it."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET_PEAK = "5"


def peak_growth(call: Callable[[], object]) -> int | None:
    """Return the bytes by which the peak of resident memory rose in a call; None where that is not told.

    Linux tells it (``VmHWM``), and lets a process reset its own peak; other systems do not.
    """
    gc.collect()
    _give_back()
    before = _resident_after_reset()
    if before is None:
        return None
    call()
    return max(0, (_value("VmHWM") or 0) - before)


def _give_back() -> None:
    """Give freed memory back to the system: using it again would be no rise."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # a C library without it keeps little back
            ctypes.CDLL(None).malloc_trim(0)


def _resident_after_reset() -> int | None:
    with suppress(OSError):
        _CLEAR.write_text(_RESET_PEAK)
        return _value("VmRSS")
    return None


def _value(name: str) -> int | None:
    """Return a value of ``/proc/self/status`` in bytes."""
    with suppress(OSError):
        for line in _STATUS.read_text().splitlines():
            if line.startswith(f"{name}:"):
                return 1024 * int(line.split()[1])
    return None
