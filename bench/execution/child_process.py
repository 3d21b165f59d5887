"""A cell's child process seen from outside: started, watched, and ended at its limits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal

import psutil

from cmbench.execution.keeper import Settings
from cmbench.execution.memory import charged_bytes
from cmbench.limits import Limits

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


_PASSES_DESCRIPTORS = hasattr(os, "killpg")  # to a child process: not on Windows, as little as groups


_POLL_SECONDS = 0.05
_GRACE_SECONDS = 0.5
_PATIENCE_SECONDS = 10
_LONGEST_REPORT = 1000
_LONGEST_TEMPORARY = 70

LONGEST_LOG = 16_000_000
"""Bytes of a log; of a longer one the first and the last ``KEPT_OF_LOG`` stay."""
KEPT_OF_LOG = 4_000_000


Ending = Literal["exited", "timeout", "out-of-memory", "stopped", "pruned"]


@dataclass(frozen=True)
class Ended:
    """How a child ended: by itself, or ended by us; its exit status (negative: a signal) and peak memory.

    ``fence`` says what kept its method from test labels and its processes from outliving it, and
    ``processor_seconds`` what a child had used that was given up.
    """

    ending: Ending
    exit_status: int
    seconds: float
    peak_memory_bytes: int
    fence: Mapping[str, Any]
    processor_seconds: float | None = None


@dataclass(frozen=True)
class Surroundings:
    """Where a child works: its folder, that of its temporary files, its log, and what it is fenced in by.

    ``ruleset`` is the descriptor of Landlock rules of version ``landlock`` (None: no fence), and
    ``own_shared_memory`` says that nothing the child needs lies in ``/dev/shm``. ``environment`` goes before
    the run's own.
    """

    folder: Path
    temporary: Path
    log: Path
    ruleset: int | None = None
    landlock: int = 0
    own_shared_memory: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)


def run_child(
    surroundings: Surroundings,
    limits: Limits,
    stop: threading.Event,
    *,
    is_given_up: Callable[[], bool] = lambda: False,
    watch: Callable[[], None] = lambda: None,
) -> Ended:
    """Run ``cmbench.execution.keeper`` on a cell's folder until it ends or passes a limit.

    Memory is that of all processes of the cell together. When ``stop`` is set, or ``is_given_up`` returns
    True, they are ended at once. ``watch`` is called now and then while it runs, and should take no time.
    What the method started does not outlive it, nor this process, however that ends.
    """
    start = time.monotonic()
    process, report = _started(surroundings, limits)
    peak = 0
    seen: set[psutil.Process] = set()
    ending: Ending = "exited"
    used: float | None = None
    try:
        while process.poll() is None:
            looked = time.monotonic()
            cap_log(surroundings.log)
            family = _family(process.pid)
            seen.update(family)
            memory = charged_bytes([member.pid for member in family])
            peak = max(peak, memory)
            watch()
            passed = _limit_passed(limits, time.monotonic() - start, memory, stop)
            if passed is None and is_given_up():
                passed, used = "pruned", _processor_seconds(family)
            if passed is not None:
                ending = passed
                break
            # Looking takes longer the more processes a machine has; most of the time is the cell's.
            pause = max(_POLL_SECONDS, 20 * (time.monotonic() - looked))
            with suppress(subprocess.TimeoutExpired):
                process.wait(pause)
    finally:
        _end_family(process, seen, ask_where=ending == "timeout")
        cap_log(surroundings.log)
        fence = _reported(report)
    return Ended(ending, process.returncode, time.monotonic() - start, peak, fence, used)


def _processor_seconds(family: Iterable[psutil.Process]) -> float:
    seconds = 0.0
    for member in family:
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            seconds += sum(member.cpu_times()[:2])
    return seconds


def _started(surroundings: Surroundings, limits: Limits) -> tuple[subprocess.Popen[bytes], int]:
    """Return the keeper's process and the descriptor of what it reports."""
    report, reports = os.pipe()
    settings = Settings(
        folder=str(surroundings.folder),
        parent=os.getpid(),
        ruleset=surroundings.ruleset,
        landlock=surroundings.landlock,
        report=reports if _PASSES_DESCRIPTORS else None,
        own_shared_memory=surroundings.own_shared_memory,
    )
    try:
        # Whoever still writes to an older log of the cell does not reach this one.
        surroundings.log.unlink(missing_ok=True)
        with surroundings.log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "cmbench.execution.keeper", settings.text()],
                # On Linux the system tells of the run's end, and ``input()`` need not wait for a deadline.
                stdin=subprocess.DEVNULL if sys.platform == "linux" else subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=surroundings.folder,
                env={
                    **child_environment(limits.threads, surroundings.temporary),
                    **surroundings.environment,
                },
                start_new_session=True,  # so that Ctrl-C reaches the run alone; Windows has a flag for it
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
                pass_fds=[number for number in (settings.report, surroundings.ruleset) if number is not None],
            )
    except BaseException:
        os.close(report)
        raise
    finally:
        os.close(reports)
    return process, report


def _reported(report: int) -> dict[str, Any]:
    """Return what the keeper told before the method began; it was alone then, and may be believed."""
    try:
        if _PASSES_DESCRIPTORS:  # else nobody has the other end, and reading gives nothing at once
            os.set_blocking(report, False)
        text = os.read(report, _LONGEST_REPORT)
    except BlockingIOError:  # ended before it could tell, and something still holds the pipe
        text = b""
    finally:
        os.close(report)
    told = json.loads(text) if text else {}
    return {"files": told.get("files"), "processes": told.get("processes")}


def cap_log(log: Path) -> None:
    """Cut the middle out of a log that is too long, also while somebody appends to it.

    The log says how much is left out. A log that has been deleted stays so, and one that its method has
    closed to the run is opened again.
    """
    with suppress(FileNotFoundError, PermissionError), _opened(log) as file:
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


def _opened(log: Path) -> BinaryIO:
    try:
        return log.open("r+b")
    except PermissionError:
        log.chmod(log.stat().st_mode | 0o600)
        return log.open("r+b")


def child_environment(threads: int, temporary: Path) -> dict[str, str]:
    """Return the environment of a child: this one, with threads capped and one folder for temporary files.

    A socket's path has at most 107 characters, and those of ``multiprocessing`` lie in that folder:
    where its name is long already, the system's own is used. What the method prints is UTF-8 whatever the
    terminal is, so that none fails because of that.
    """
    caps = dict.fromkeys(THREAD_VARIABLES, str(threads))
    folder = {"TMPDIR": str(temporary)} if len(os.fsencode(temporary)) <= _LONGEST_TEMPORARY else {}
    fixed = {
        "PYTHONUNBUFFERED": "1",
        "PYTHONHASHSEED": "0",
        "PYTHONIOENCODING": "utf-8:backslashreplace",
        "MPLBACKEND": "Agg",
    }
    return {**os.environ, **caps, **folder, **fixed}


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
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return []


def _end_family(process: subprocess.Popen[bytes], seen: set[psutil.Process], *, ask_where: bool) -> None:
    """End the child and everything it started, after a stack dump into its log if ``ask_where``.

    ``seen`` are its processes while it ran: once it has exited they are nobody's children.
    """
    if ask_where and hasattr(signal, "SIGUSR1") and process.poll() is None:
        process.send_signal(signal.SIGUSR1)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_SECONDS)
    family = seen.union(_family(process.pid) if process.poll() is None else ())
    if process.poll() is None:
        process.terminate()  # the keeper ends all that the method started, and then itself
        with suppress(subprocess.TimeoutExpired):
            process.wait(_PATIENCE_SECONDS)
    if hasattr(os, "killpg"):  # Windows has no groups; there the members are all there is to end
        with suppress(ProcessLookupError, PermissionError):  # the second, on macOS, if only zombies are left
            os.killpg(process.pid, signal.SIGKILL)
    for member in family:
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            member.kill()
    if process.stdin is not None:
        process.stdin.close()
    process.wait()
