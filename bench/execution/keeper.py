"""The process between a run and a method: whatever ends the run, all that the method started ends.

Started as ``python -m cmbench.execution.keeper SETTINGS``, it imports little, forks the process in which
``cmbench.execution.child`` runs the method, and waits for it. On Linux it does so in one of two ways.

``namespaces``: the method runs in a process namespace of its own, whose first process ends with the keeper;
then the kernel ends every other process in it, however they detached themselves. ``/proc`` shows only these,
and shared memory (``/dev/shm``) is their own.

``subreaper``: where the kernel allows no namespaces, the keeper becomes the parent of every process whose
own parent ends, so that it finds them all, and ends them when the method or the run ends. A SIGKILL of the
keeper itself is the gap that this way leaves.

Elsewhere the method runs in this process, and ends its process group when its standard input ends; on
Windows, which has no groups, only itself.
"""

from __future__ import annotations

import faulthandler
import json
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

from cmbench.execution import linux

# Files, groups, priorities, locked memory and low ports: what ordinary work as root may need. Not among them
# are those that look into other processes, the kernel's memory, or disks past their file systems.
_KEPT_CAPABILITIES = (0, 1, 3, 4, 5, 6, 7, 10, 14, 23, 24)


@dataclass(frozen=True)
class Settings:
    """What the run tells the keeper.

    ``folder`` is the cell's, ``parent`` the process id of the run, ``ruleset`` the descriptor of the Landlock
    rules of the method (None: no fence), ``report`` that of a pipe which tells what was possible (None: on
    Windows, which hands none over), and ``own_shared_memory`` says whether ``/dev/shm`` may be replaced.
    """

    folder: str
    parent: int
    ruleset: int | None
    landlock: int
    report: int | None
    own_shared_memory: bool

    def text(self) -> str:
        return json.dumps(asdict(self))


def main(settings: Settings) -> NoReturn:
    """Run the method of the cell and end as its process did."""
    if sys.platform != "linux":
        threading.Thread(target=_end_group_at_end_of, args=(_pipe_from_run(),), daemon=True).start()
        _work(settings, "process group")
    linux.signal_at_end_of_parent(signal.SIGTERM)
    if os.getppid() != settings.parent:  # it ended before the request
        os._exit(1)
    if _succeeds_in_a_fork(settings):
        _keep_in_namespaces(settings)
    _keep_as_subreaper(settings)


def _succeeds_in_a_fork(settings: Settings) -> bool:
    """Return whether namespaces and their mounts can be had; a process that has entered cannot go back."""
    pid = os.fork()
    if pid:
        return os.waitpid(pid, 0)[1] == 0
    possible = False
    with suppress(OSError):
        _enter_namespaces()
        inner = os.fork()
        if not inner:
            with suppress(OSError):
                _mount_own(settings)
                possible = True
            os._exit(0 if possible else 1)
        possible = os.waitpid(inner, 0)[1] == 0
    os._exit(0 if possible else 1)


def _enter_namespaces() -> None:
    """Move what this process forks into new namespaces: as it is for root, else as its own user."""
    flags = linux.CLONE_NEWPID | linux.CLONE_NEWNS | linux.CLONE_NEWIPC
    user, group = os.geteuid(), os.getegid()
    try:
        linux.unshare(flags)
    except OSError:
        if user == 0:  # in a user namespace it would lose its rights to other users' files
            raise
        linux.unshare(flags | linux.CLONE_NEWUSER)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")


def _mount_own(settings: Settings) -> None:
    safe = linux.MS_NOSUID | linux.MS_NODEV
    linux.mount("none", "/", "none", linux.MS_REC | linux.MS_PRIVATE)
    linux.mount("proc", "/proc", "proc", safe | linux.MS_NOEXEC)
    if settings.own_shared_memory and os.path.isdir("/dev/shm"):
        linux.mount("tmpfs", "/dev/shm", "tmpfs", safe, "mode=1777")


def _keep_in_namespaces(settings: Settings) -> NoReturn:
    _enter_namespaces()
    life, lives = os.pipe()  # its writing end is open as long as this process lives
    told, tells = os.pipe()
    first = os.fork()
    if not first:
        os.close(lives)
        os.close(told)
        _be_first(settings, life, tells)
    os.close(tells)
    _on_signals(first, end=lambda: os.kill(first, signal.SIGKILL))
    _close(settings.report)
    os.waitpid(first, 0)
    status = os.read(told, 20)
    _end_as(int(status) if status else signal.SIGKILL)


def _be_first(settings: Settings, life: int, tells: int) -> NoReturn:
    """Be the first process of the namespace: when it ends, so do the others."""
    linux.signal_at_end_of_parent(signal.SIGKILL)
    for ignored in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(ignored, signal.SIG_IGN)
    if select.select([life], [], [], 0)[0]:  # the keeper ended before the request
        os._exit(1)
    _mount_own(settings)
    worker = os.fork()
    if not worker:
        os.close(life)
        os.close(tells)
        _start(settings, "namespaces")
    _on_signals(worker, end=lambda: None)
    _close(settings.report)
    os.write(tells, str(_wait_for(worker)).encode())
    os._exit(0)


def _keep_as_subreaper(settings: Settings) -> NoReturn:
    linux.adopt_orphans()
    keeper = os.getpid()
    worker = os.fork()
    if not worker:
        linux.signal_at_end_of_parent(signal.SIGKILL)
        if os.getppid() != keeper:
            os._exit(1)
        _start(settings, "subreaper")
    _on_signals(worker, end=_end_descendants)
    _close(settings.report)
    status = _wait_for(worker)
    _end_descendants()
    _end_as(status)


def _on_signals(process: int, *, end: Callable[[], None]) -> None:
    """Hand SIGUSR1, which asks the method for a stack dump, on to ``process``; call ``end`` at SIGTERM."""

    def hand_on(number: int, _: FrameType | None) -> None:
        with suppress(ProcessLookupError):
            os.kill(process, number)

    def finish(number: int, _: FrameType | None) -> None:
        with suppress(ProcessLookupError):
            end()

    signal.signal(signal.SIGUSR1, hand_on)
    signal.signal(signal.SIGTERM, finish)


def _wait_for(worker: int) -> int:
    """Return the wait status of ``worker``; orphans that end meanwhile are waited for, too."""
    while True:
        ended, status = os.wait()
        if ended == worker:
            return status


def _end_descendants() -> None:
    """Kill everything this process has started until nothing is left; it is the parent of all orphans."""
    while True:
        for process in _descendants(os.getpid()):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.001)


def _descendants(ancestor: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        with suppress(OSError, ValueError):
            # The command's name, in brackets, may hold anything; state and parent follow it.
            parent = int(
                Path(f"/proc/{int(name)}/stat").read_text(errors="replace").rpartition(")")[2].split()[1]
            )
            children.setdefault(parent, []).append(int(name))
    descendants = list(children.get(ancestor, ()))
    for process in descendants:
        descendants += children.get(process, ())
    return descendants


def _start(settings: Settings, processes: str) -> NoReturn:
    """Be the process of the method: in its own session, behind the fence."""
    os.setsid()
    for number in (signal.SIGUSR1, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    if linux.has_capabilities():
        linux.keep_capabilities(_KEPT_CAPABILITIES)
    linux.gain_no_privileges()
    if settings.ruleset is not None:
        _allow_own(settings, settings.ruleset, processes)
        linux.restrict(settings.ruleset)
        os.close(settings.ruleset)
    _work(settings, processes)


def _allow_own(settings: Settings, ruleset: int, processes: str) -> None:
    """Allow what the run could not know of: the mounts of the namespace, or the files of this process."""
    if processes != "namespaces":
        linux.allow(ruleset, f"/proc/{os.getpid()}", linux.READ | linux.WRITE_FILE, settings.landlock)
        return
    linux.allow(ruleset, "/proc", linux.READ | linux.WRITE_FILE, settings.landlock)
    if settings.own_shared_memory and os.path.isdir("/dev/shm"):
        linux.allow(ruleset, "/dev/shm", linux.ALL, settings.landlock)


def _work(settings: Settings, processes: str) -> NoReturn:
    """Tell the run what is in force, and let the method do its work."""
    files = None if settings.ruleset is None else f"Landlock {settings.landlock}"
    if settings.report is not None:
        os.write(settings.report, json.dumps({"files": files, "processes": processes}).encode())
    faulthandler.enable()
    if hasattr(signal, "SIGUSR1"):  # sent before the deadline's kill, so that the log says where it hung
        faulthandler.register(signal.SIGUSR1, all_threads=True)
    _close(settings.report)
    from cmbench.execution.child import main as run_method  # late: NumPy and all that comes with it

    status = run_method(Path(settings.folder))
    sys.stdout.flush()
    os._exit(status)  # threads a method left running must not keep the cell from ending


def _end_as(status: int) -> NoReturn:
    """End as the method's process did, by the same signal if it was one."""
    if os.WIFSIGNALED(status):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the method's own core dump is enough
        with suppress(OSError):  # SIGKILL has no handler
            signal.signal(os.WTERMSIG(status), signal.SIG_DFL)
        os.kill(os.getpid(), os.WTERMSIG(status))
    os._exit(os.WEXITSTATUS(status))


def _pipe_from_run() -> int:
    """Return what was standard input, which is empty from here on: a method that asks gets an error at once.

    It is a pipe that the run never writes to, and ends when the run does.
    """
    pipe, nothing = os.dup(0), os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return pipe


def _end_group_at_end_of(pipe: int) -> None:
    os.read(pipe, 1)
    if hasattr(os, "killpg"):
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _close(descriptor: int | None) -> None:
    if descriptor is not None:
        os.close(descriptor)


if __name__ == "__main__":
    main(Settings(**json.loads(sys.argv[1])))
