"""The memory of a cell's processes, counted as the system would charge it.

What counts is what cannot simply be dropped: anonymous pages, private or shared, and those swapped out. Pages
of mapped files do not count, for the system takes them back when it needs room: a memory-mapped dataset
may be larger than the limit. A page that several processes of a cell share counts once. What lies in a
``/dev/shm`` of the cell's own counts whether it is mapped or not, an anonymous file (``memfd_create``) as far
as it is mapped.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import psutil

try:
    import resource
except ModuleNotFoundError:  # Windows
    resource = None  # type: ignore[assignment]

SHARED_MEMORY = "/dev/shm"

# Forked processes are counted page by page, which takes longer, from here on.
_SHARED_AT_LEAST = 32 * 2**20


def charged_bytes(processes: Collection[int]) -> int:
    """Return what the processes use together; those that have ended use nothing."""
    if sys.platform != "linux":
        return sum(_unique_bytes(process) for process in processes)
    status = {process: _fields(process, "status") for process in processes}
    used = {process: _bytes_in(fields, "RssAnon", "RssShmem", "VmSwap") for process, fields in status.items()}
    mapped = sum(_bytes_in(fields, "RssShmem") for fields in status.values())
    unmapped = max(0, _own_shared_bytes(processes) - mapped)
    total = sum(used.values())
    if total - max(used.values(), default=0) < _SHARED_AT_LEAST:
        return total + unmapped
    return sum(min(_proportional_bytes(process), most) for process, most in used.items()) + unmapped


def peak_bytes_of_this_process() -> int:
    """Return the most that this process has used so far.

    The kernel keeps the largest resident memory with mapped files in it; of them it knows those of now. So
    call it while the large ones are still mapped. ``getrusage`` would count what the parent had in
    use when it started this process.
    """
    fields = _fields("self", "status")
    if fields:
        return _bytes_in(fields, "VmHWM") - _bytes_in(fields, "RssFile")
    if resource is None:
        memory = psutil.Process().memory_info()
        return int(getattr(memory, "peak_wset", memory.rss))  # the peak working set, on Windows
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)


def _proportional_bytes(process: int) -> int:
    """Return a process's part: each page divided by the number of processes that have it."""
    fields = _fields(process, "smaps_rollup")
    if "Pss_Anon" in fields:
        return _bytes_in(fields, "Pss_Anon", "Pss_Shmem", "SwapPss")
    return _bytes_in(fields, "Private_Dirty", "SwapPss")  # before Linux 5.4: what is shared counts nowhere


def _own_shared_bytes(processes: Iterable[int]) -> int:
    """Return what the files in the processes' own ``/dev/shm`` take; nothing where it is the machine's."""
    for process in processes:
        place = f"/proc/{process}/root{SHARED_MEMORY}"
        with suppress(OSError):
            if os.stat(place).st_dev != os.stat(SHARED_MEMORY).st_dev:
                state = os.statvfs(place)
                return (state.f_blocks - state.f_bfree) * state.f_frsize
    return 0


def _fields(process: int | str, name: str) -> Mapping[str, int]:
    """Return the sizes in a file of ``/proc``, in kB; nothing once the process has ended."""
    with suppress(OSError):
        text = Path(f"/proc/{process}/{name}").read_text(encoding="utf-8", errors="replace")
        return {field: int(size) for field, size in re.findall(r"^(\w+):\s*(\d+) kB$", text, re.MULTILINE)}
    return {}


def _bytes_in(fields: Mapping[str, int], *names: str) -> int:
    return 1024 * sum(fields.get(name, 0) for name in names)


def _unique_bytes(process: int) -> int:
    with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        return int(psutil.Process(process).memory_full_info().uss)
    return 0
