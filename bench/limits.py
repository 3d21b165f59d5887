"""How much time, memory and threads a cell may use: what users write, and what the machine has."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from typing import Literal

import psutil

from cmbench.control_groups import address_space, free_in_groups
from cmbench.errors import CmbenchError

SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
BYTES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}

DEFAULT_DEADLINE = "6h"


@dataclass(frozen=True)
class Limits:
    """Seconds and bytes a cell may use (None: no limit) and the threads it is given."""

    deadline: float | None
    memory: int | None
    threads: int

    def __str__(self) -> str:
        time = "no deadline" if self.deadline is None else f"deadline {duration_text(self.deadline)}"
        memory = "no memory limit" if self.memory is None else f"at most {size_text(self.memory)}"
        return f"{time}, {memory}, {self.threads} thread(s)"

    def time_left(self, seconds: float) -> float | None:
        """Return what is left of the deadline after so many seconds, at least 0; None without a deadline."""
        return None if self.deadline is None else max(0.0, self.deadline - seconds)


@dataclass(frozen=True)
class AskedLimits:
    """What a user asks for; what it comes to is for the machine to say that a cell runs on.

    ``memory`` in bytes is ``"auto"`` for a share of what is free there, and ``threads`` None for a share of
    the processors.
    """

    deadline: float | None
    memory: int | Literal["auto"] | None
    threads: int | None

    def here(self, jobs: int) -> Limits:
        """Return the limits of a cell on this machine, where so many of them run at the same time."""
        memory = default_memory(jobs) if self.memory == "auto" else self.memory
        return Limits(self.deadline, memory, self._threads(jobs))

    def with_threads(self, jobs: int) -> AskedLimits:
        """Return what is asked with a number of threads: where none is, the share of one of so many jobs.

        These are jobs of all cells of a run, not of those that are left after a kill: a cell that was given
        other threads would have other last bits than in an undisturbed run.
        """
        return replace(self, threads=self._threads(jobs))

    def _threads(self, jobs: int) -> int:
        return self.threads or max(1, available_cores() // jobs)

    def __str__(self) -> str:
        time = "no deadline" if self.deadline is None else f"deadline {duration_text(self.deadline)}"
        memory = "no memory limit" if self.memory is None else "its share of the free memory"
        if isinstance(self.memory, int):
            memory = f"at most {size_text(self.memory)}"
        threads = "its share of the processors" if self.threads is None else f"{self.threads} thread(s)"
        return f"{time}, {memory}, {threads}"


def parse_duration(text: str | float | None) -> float | None:
    """Return seconds from ``90s``, ``10m``, ``3h``, ``1d``, or a number of seconds; None from ``none``.

    A text without a unit is refused, since nobody knows whether ``5`` means seconds, minutes or hours.

    >>> parse_duration("10m"), parse_duration("none"), parse_duration(2.5)
    (600.0, None, 2.5)
    """
    return _parse(text, SECONDS, "s", "a deadline such as 90s, 10m, 3h or none")


def parse_size(text: str | float | None) -> int | None:
    """Return bytes from ``500MB``, ``2GB``, ``2GiB``, or a number of bytes; None from ``none``.

    A text without a unit is refused.

    >>> parse_size("2GB"), parse_size("1.5 GiB")
    (2000000000, 1610612736)
    """
    size = _parse(text, BYTES, "B", "a size such as 500MB, 2GB or none")
    return None if size is None else int(size)


def _parse(
    text: str | float | None, units: dict[str, float] | dict[str, int], default: str, expected: str
) -> float | None:
    if text is None or str(text).strip().lower() == "none":
        return None
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", str(text), re.IGNORECASE)
    by_unit = {unit.lower(): value for unit, value in units.items()}
    unit = (match[2] or default).lower() if match else ""
    if match is not None and not match[2] and isinstance(text, str) and float(match[1]) > 0:
        choices = ", ".join(f"{text.strip()}{unit}" for unit in units)
        raise CmbenchError(f"{text!r} has no unit, and is not {expected}; write one of {choices}")
    if match is None or unit not in by_unit or float(match[1]) <= 0:
        raise CmbenchError(f"{text!r} is not {expected}")
    return float(match[1]) * by_unit[unit]


def duration_text(seconds: float) -> str:
    """Return a duration for reading.

    >>> duration_text(0.42), duration_text(75), duration_text(7384)
    ('0.4 s', '1 min 15 s', '2 h 3 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def size_text(size: float) -> str:
    """Return an amount of memory for reading.

    >>> size_text(9.23e9), size_text(7e8)
    ('9.2 GB', '700 MB')
    """
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def default_memory(jobs: int) -> int:
    """Return the bytes a cell may use by default: 80 % of what is free now, shared by ``jobs`` cells.

    Free is what the machine has, and what the control groups of this process leave it, whichever is
    less; ``ulimit -v`` holds for each process, so 80 % of it is for each cell.
    """
    free = [psutil.virtual_memory().available, free_in_groups()]
    shared = 0.8 * min(amount for amount in free if amount is not None) / jobs
    of_process = address_space()
    return int(shared if of_process is None else min(shared, 0.8 * of_process))


def available_cores() -> int:
    """Return the processors this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
