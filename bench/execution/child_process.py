"""A cell's child process seen from outside: started, watched, and ended at its limits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from cmbench.limits import Limits

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


_POLL_SECONDS = 0.05


_GRACE_SECONDS = 0.5


LONGEST_LOG = 16_000_000
"""Bytes of a log; of a longer one the first and the last ``KEPT_OF_LOG`` stay."""
KEPT_OF_LOG = 4_000_000


Ending = Literal["exited", "timeout", "out-of-memory", "stopped"]


@dataclass(frozen=True)
class Ended:
    """How a child ended: by itself, or ended by us; its exit status (negative: a signal) and peak memory."""

    ending: Ending
    exit_status: int
    seconds: float
    peak_memory_bytes: int


def run_child(folder: Path, log: Path, limits: Limits, stop: threading.Event) -> Ended:
    """Run ``cmbench.execution.child`` on ``folder``, output to ``log``, until it ends or passes a limit.

    Memory is that of the child and its own children together. When ``stop`` is set the child is
    ended at once. What it started does not outlive it, unless it hid in its own session at once.
    """
    start = time.monotonic()
    log.unlink(missing_ok=True)  # whoever still writes to an older log of the cell does not reach this one
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "cmbench.execution.child", str(folder)],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=child_environment(limits.threads),
            start_new_session=True,
        )
    peak = 0
    seen: set[psutil.Process] = set()
    ending: Ending = "exited"
    try:
        while process.poll() is None:
            looked = time.monotonic()
            cap_log(log)
            family = _family(process.pid)
            seen.update(family)
            memory = _memory_of(family)
            peak = max(peak, memory)
            passed = _limit_passed(limits, time.monotonic() - start, memory, stop)
            if passed is not None:
                ending = passed
                break
            # Looking takes longer the more processes a machine has; most of the time is the cell's.
            pause = max(_POLL_SECONDS, 20 * (time.monotonic() - looked))
            with suppress(subprocess.TimeoutExpired):
                process.wait(pause)
    finally:
        _end_family(process, seen, ask_where=ending == "timeout")
        cap_log(log)
    return Ended(ending, process.returncode, time.monotonic() - start, peak)


def cap_log(log: Path) -> None:
    """Cut the middle out of a log that is too long, also while somebody appends to it.

    The log says how much is left out. A log that has been deleted stays so.
    """
    with suppress(FileNotFoundError), log.open("r+b") as file:
        size = os.fstat(file.fileno()).st_size
        if size <= LONGEST_LOG:
            return
        file.seek(size - KEPT_OF_LOG)
        end = file.read(KEPT_OF_LOG)
        file.truncate(KEPT_OF_LOG)
        file.seek(0, os.SEEK_END)
        left_out = size - 2 * KEPT_OF_LOG
        file.write(
            b"\n[cmbench: %d bytes left out; a log keeps its beginning and its end]\n" % left_out + end
        )


def child_environment(threads: int) -> dict[str, str]:
    """Return the environment of a child: this one, with the number of threads capped everywhere."""
    caps = dict.fromkeys(THREAD_VARIABLES, str(threads))
    return {**os.environ, **caps, "PYTHONUNBUFFERED": "1", "PYTHONHASHSEED": "0", "MPLBACKEND": "Agg"}


def _limit_passed(limits: Limits, seconds: float, memory: int, stop: threading.Event) -> Ending | None:
    if stop.is_set():
        return "stopped"
    if limits.deadline is not None and seconds > limits.deadline:
        return "timeout"
    if limits.memory is not None and memory > limits.memory:
        return "out-of-memory"
    return None


def _family(pid: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _memory_of(family: list[psutil.Process]) -> int:
    total = 0
    for process in family:
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            total += process.memory_info().rss
    return total


def _end_family(process: subprocess.Popen[bytes], seen: set[psutil.Process], *, ask_where: bool) -> None:
    """End the child and everything it started, after a stack dump into its log if ``ask_where``.

    ``seen`` are its processes while it ran: once it has exited they are nobody's children.
    """
    if ask_where and hasattr(signal, "SIGUSR1") and process.poll() is None:
        process.send_signal(signal.SIGUSR1)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_SECONDS)
    family = seen.union(_family(process.pid) if process.poll() is None else ())
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for member in family:
        with suppress(psutil.NoSuchProcess):
            member.kill()
    if process.stdin is not None:
        process.stdin.close()
    process.wait()
