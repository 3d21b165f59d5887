"""The memory that this process may still use, where a container, a batch system or the shell limits it.

Docker, systemd and Slurm put processes into control groups, which lie in one another: the limit of a step of
a Slurm job is that of the step, of the job, of the user and of the machine, whichever leaves least.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

try:
    import resource
except ModuleNotFoundError:  # Windows has no such limits
    resource = None  # type: ignore[assignment]

PROC = Path("/proc/self")
_NO_LIMIT = 2**60  # version 1 writes the largest number of pages, in bytes, where there is none


@dataclass(frozen=True)
class Version:
    """The files of a control group in one of the two versions of the interface.

    ``limits`` hold bytes or ``max``, ``used`` bytes; ``cache`` are the lines of ``memory.stat`` on files
    that were read: they count as used, but give way when asked.
    """

    limits: tuple[str, ...]
    used: str
    cache: tuple[str, ...]


V1 = Version(
    ("memory.limit_in_bytes",), "memory.usage_in_bytes", ("total_active_file", "total_inactive_file")
)
V2 = Version(("memory.max", "memory.high"), "memory.current", ("active_file", "inactive_file"))


def free_in_groups(proc: Path = PROC) -> int | None:
    """Return the bytes that the control groups of this process leave it; None if none has a limit.

    ``proc`` is its folder in ``/proc``, with the files ``cgroup`` and ``mountinfo``.
    """
    free = [left for folder, version in _groups(proc) if (left := free_in_group(folder, version)) is not None]
    return min(free, default=None)


def free_in_group(folder: Path, version: Version = V2) -> int | None:
    """Return the bytes that one control group leaves, from the files in its folder; None without a limit."""
    limits = [limit for name in version.limits if (limit := _bytes(folder / name)) is not None]
    used = _bytes(folder / version.used)
    if not limits or used is None:
        return None
    statistics = _statistics(folder / "memory.stat")
    cache = sum(statistics.get(name, 0) for name in version.cache)
    return max(0, min(limits) - used + cache)


def address_space() -> int | None:
    """Return the bytes that ``ulimit -v`` and ``ulimit -d`` allow a process, the lesser; None without."""
    if resource is None:
        return None
    kinds = (getattr(resource, name, None) for name in ("RLIMIT_AS", "RLIMIT_DATA"))
    limits = (resource.getrlimit(kind)[0] for kind in kinds if kind is not None)
    return min((limit for limit in limits if 0 <= limit < _NO_LIMIT), default=None)


def _groups(proc: Path) -> Iterator[tuple[Path, Version]]:
    """Yield the folder of each control group that limits memory: that of the process and all around it."""
    mounts = _mounts(_lines(proc / "mountinfo"))
    for line in _lines(proc / "cgroup"):
        number, controllers, path = line.split(":", 2)
        if number == "0" and not controllers:
            version, kind = V2, "cgroup2"
        elif "memory" in controllers.split(","):
            version, kind = V1, "cgroup"
        else:
            continue
        for root, mount in mounts.get(kind, ()):
            yield from ((folder, version) for folder in _folders(path, root, mount))


def _mounts(lines: Iterable[str]) -> Mapping[str, list[tuple[str, Path]]]:
    """Return (the group at the mount's top, the mount's folder) by kind of file system."""
    mounts: dict[str, list[tuple[str, Path]]] = {}
    for line in lines:
        left, _, system = line.partition(" - ")
        kind, _, options = system.partition(" ")
        root, mount = left.split(" ")[3:5]
        if kind == "cgroup2" or (kind == "cgroup" and "memory" in options.rpartition(" ")[2].split(",")):
            mounts.setdefault(kind, []).append((root, Path(_unescaped(mount))))
    return mounts


def _folders(path: str, root: str, mount: Path) -> list[Path]:
    """Return the folders of a group and of those around it, as far as they are mounted.

    In a container the mount's top is often the container's own group, whatever path the system gives.
    """
    inside = "/" if ".." in path else path
    if root not in ("/", inside) and not inside.startswith(f"{root}/"):
        inside = root
    below = Path(inside).relative_to(root)
    folder = mount / below
    if not folder.is_dir():
        folder = mount
    return [inner for inner in (folder, *folder.parents) if inner.is_relative_to(mount)]


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), text)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:  # not Linux
        return []


def _bytes(path: Path) -> int | None:
    """Return the number in a file; None where there is none, or as good as none."""
    try:
        text = path.read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdigit() and int(text) < _NO_LIMIT else None


def _statistics(path: Path) -> dict[str, int]:
    return {name: int(value) for name, value in map(str.split, _lines(path))}
