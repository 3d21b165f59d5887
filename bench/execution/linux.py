"""Calls to the Linux kernel for which Python 3.11 has no function of its own.

Processes: parent-death signals, subreapers, namespaces, mounts, capabilities. Files: Landlock
(``man 7 landlock``), by which a process without privileges gives up access for itself and all it starts.
Every function raises ``OSError`` where the kernel refuses.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Callable, Collection
from functools import cache

CLONE_NEWNS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID = 0x00020000, 0x08000000, 0x10000000, 0x20000000

MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REC, MS_PRIVATE = 2, 4, 8, 0x4000, 0x40000

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 1, 36, 38

_CAPABILITY_VERSION = 0x20080522

# The same numbers on every processor: system calls since Linux 5.3 share them.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_PATH_BENEATH = 1

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_MAKE_AND_REMOVE = sum(1 << bit for bit in range(4, 13))
REFER, TRUNCATE = 1 << 13, 1 << 14
_ABSTRACT_SOCKETS, _SIGNALS = 1 << 0, 1 << 1

READ = EXECUTE | READ_FILE | READ_DIR
ALL = READ | WRITE_FILE | _MAKE_AND_REMOVE | REFER | TRUNCATE
FILE_RIGHTS = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE
"""The rights a rule on what is no folder may have."""


def unshare(flags: int) -> None:
    """Move this process into new namespaces."""
    _call("unshare", flags)


def mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    """Mount a file system."""
    _call("mount", *(text.encode() for text in (source, target, kind)), ctypes.c_ulong(flags), data.encode())


def signal_at_end_of_parent(number: int) -> None:
    """Have this process sent a signal when its parent ends, however that ends."""
    _prctl(_PR_SET_PDEATHSIG, number)


def adopt_orphans() -> None:
    """Make this process the parent of every descendant whose own parent ends."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def gain_no_privileges() -> None:
    """Let no program that this process starts have more rights than it (``sudo`` for one)."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def keep_capabilities(kept: Collection[int]) -> None:
    """Give up every capability of a privileged process but the ``kept``.

    It is for good once no program can have more rights, as ``gain_no_privileges`` has it.
    """
    mask = _capabilities() & sum(1 << capability for capability in kept)
    low, high = mask & 0xFFFFFFFF, mask >> 32
    header = struct.pack("=Ii", _CAPABILITY_VERSION, 0)
    _call("capset", header, struct.pack("=6I", low, low, 0, high, high, 0))


def has_capabilities() -> bool:
    """Return whether this process may do more than its user's name gives it."""
    return _capabilities() != 0


def _capabilities() -> int:
    with open("/proc/self/status", encoding="utf-8") as file:
        return next(int(line.split()[1], 16) for line in file if line.startswith("CapEff:"))


def landlock_version() -> int:
    """Return the version of Landlock's interface, from 1."""
    return _call("syscall", ctypes.c_long(_CREATE_RULESET), None, ctypes.c_size_t(0), 1)


def new_ruleset(version: int) -> int:
    """Return the descriptor of a ruleset under which nothing may be read, changed or signalled outside."""
    rights = ALL & ~(TRUNCATE if version < 3 else 0) & ~(REFER if version < 2 else 0)
    scoped = _ABSTRACT_SOCKETS | _SIGNALS if version >= 6 else 0
    size = 24 if version >= 6 else 8
    attributes = struct.pack("=QQQ", rights, 0, scoped)
    return _call("syscall", ctypes.c_long(_CREATE_RULESET), attributes, ctypes.c_size_t(size), 0)


def allow(ruleset: int, path: str, rights: int, version: int) -> None:
    """Add ``rights`` for a file, or for a folder and all beneath it."""
    rights &= ~(TRUNCATE if version < 3 else 0) & ~(REFER if version < 2 else 0)
    descriptor = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        rule = struct.pack("=Qi", rights, descriptor)
        _call("syscall", ctypes.c_long(_ADD_RULE), ruleset, _PATH_BENEATH, rule, 0)
    finally:
        os.close(descriptor)


def restrict(ruleset: int) -> None:
    """Put this process and all that it starts under the ruleset; there is no way back."""
    _call("syscall", ctypes.c_long(_RESTRICT_SELF), ruleset, 0)


def _prctl(option: int, value: int) -> None:
    zero = ctypes.c_ulong(0)
    _call("prctl", option, ctypes.c_ulong(value), zero, zero, zero)


def _call(name: str, *arguments: object) -> int:
    result = int(_function(name)(*arguments))
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result


@cache
def _function(name: str) -> Callable[..., int]:
    function: Callable[..., int] = getattr(ctypes.CDLL(None, use_errno=True), name)
    function.restype = ctypes.c_long  # type: ignore[attr-defined]
    return function
