"""What a Dask worker does for a run: it keeps the features that it was sent, and runs cells as here.

A cell has the same keeper, fence and limits on the machine of a worker as on that of the run, and what its
method started does not outlive the worker's process. Features are kept in the folder ``worker`` of
``cmbench.disk.cache_folder``, under a digest of their bytes, so that every worker of a machine finds there
what one was sent, also in later runs. Test labels are never sent: the run itself evaluates.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

from cmbench.disk import cache_folder, writing_to
from cmbench.errors import ExecutionError, StoreError
from cmbench.execution.fence import Fence, built_in_files
from cmbench.execution.following import Follower, Step
from cmbench.execution.job import DISK_FULL, state_of
from cmbench.execution.outcome import whole_log
from cmbench.execution.provenance import provenance
from cmbench.execution.record import Outcome, Worker
from cmbench.execution.workplace import Assignment, NoRoomError, Workplace
from cmbench.limits import AskedLimits, Limits
from cmbench.methods.registry import MethodEntry
from cmbench.ownership import workspace

PROGRESS = "cmbench-progress"
"""The topic of the scheduler's events under which workers tell how far cells have come."""
MOST_LINES = 20
"""Lines printed since the last look that are told, the latest; the record has the whole log."""
_LOOK_SECONDS = 0.3  # at whether anybody still wants the cell
_OVER = ("cancelled", "released", "forgotten", "error")  # states of a task that nobody waits for
_CLOSING = ("closing", "closed", "failed")


@dataclass(frozen=True)
class Order:
    """All that a worker is told of a cell.

    Parameters
    ----------
    run : a name that no other run has
    assignment : what its process has to do
    sources : files of a plugin's code, by names with ``/``
    plugin : the name of the plugin file among them; empty for a package
    features : the digest of the features
    limits : what was asked for
    slots : how many cells may run at the same time on the machine of each worker, by its address
    hidden : paths that a method may not read where they are on the worker's machine, too
    code : the digest of cmbench's own code, by ``code_of_cmbench``
    """

    run: str
    assignment: Assignment
    sources: Mapping[str, bytes]
    plugin: str
    features: str
    limits: AskedLimits
    slots: Mapping[str, int]
    hidden: tuple[str, ...]
    code: str


@dataclass(frozen=True, eq=False)
class Result:
    """What came of a cell on a worker: how it ended, what it printed, within which limits, and where."""

    outcome: Outcome
    log: bytes
    limits: Limits
    worker: Worker


@dataclass(frozen=True)
class FeaturesMissing:
    """The worker at ``address`` has yet to be sent the features of a cell."""

    address: str


def run_cell(order: Order) -> Result | FeaturesMissing:
    """Run a cell on this worker; called by Dask in a thread of the worker's process.

    Raises ``ExecutionError`` where this is another cmbench than that of the run.
    """
    from distributed import get_worker

    worker: Any = get_worker()
    if order.code != code_of_cmbench():
        raise ExecutionError(
            f"the worker {worker.address} on {socket.gethostname()} has another cmbench than this run; "
            "install the same version on all machines"
        )
    features = kept_features(order.features)
    if features is None:
        return FeaturesMissing(worker.address)
    limits = _limits(order.run, order.limits, order.slots.get(worker.address, worker.state.nthreads))
    hidden = (*order.hidden, worker.local_directory)
    with workspace(_folder()) as work, _wanted(worker) as stop:
        outcome = _ran(order, features, limits, hidden, work=work, stop=stop, tell=_teller(order, worker))
        log = whole_log(work / "log")
    here = Worker(socket.gethostname(), worker.address, {**provenance(), "command": None})
    return Result(outcome, log, limits, here)


def _ran(
    order: Order,
    features: KeptFeatures,
    limits: Limits,
    hidden: tuple[str, ...],
    *,
    work: Path,
    stop: threading.Event,
    tell: Callable[[Follower], None],
) -> Outcome:
    plugin = work / "plugin"
    assignment = replace(order.assignment, entry=_placed(order, plugin))
    workplace = Workplace(
        work, _fence(order.run, hidden), checkpoints=_folder() / "checkpoints", readable=(plugin,)
    )
    try:
        return workplace.run(
            assignment,
            features,
            limits,
            stop=stop,
            log=work / "log",
            import_path=(str(plugin),),
            tell=tell,
        )
    except NoRoomError as error:
        return replace(error.outcome, status=DISK_FULL)


def _teller(order: Order, worker: Any) -> Callable[[Follower], None]:
    """Return what tells the run, by way of the scheduler, how far its cell has come."""

    def tell(follower: Follower) -> None:
        step = follower.step()
        if step is not None:
            latest = replace(step, lines=step.lines[-MOST_LINES:])
            message = {"run": order.run, "cell": order.assignment.key, "step": asdict(latest)}
            worker.log_event(PROGRESS, message)

    return tell


def told(message: Mapping[str, Any]) -> Step:
    """Return the step in a message of a worker."""
    return Step(**{**message["step"], "lines": tuple(message["step"]["lines"])})


def _placed(order: Order, folder: Path) -> MethodEntry:
    """Write the code of a plugin to a folder, and return its method as it is found there."""
    folder.mkdir()
    for name, content in order.sources.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    entry = order.assignment.entry
    if entry.origin != "file":
        return entry
    return replace(entry, location=f"{folder / order.plugin}:{entry.location.rpartition(':')[2]}")


@lru_cache(maxsize=100)
def _limits(run: str, asked: AskedLimits, slots: int) -> Limits:
    """Return the limits of a cell; what was free when the first cell of a run began counts for all."""
    return asked.here(slots)


@lru_cache(maxsize=10)
def _fence(run: str, hidden: tuple[str, ...]) -> Fence | None:
    there = [path for path in map(Path, hidden) if path.exists()]
    return Fence.around(_folder(), {*there, *built_in_files()}, ())


@contextmanager
def _wanted(worker: Any) -> Iterator[threading.Event]:
    """Yield an event that is set when nobody waits for the task of this thread any more.

    That is when it is cancelled, the run has ended in whatever way, or the worker is being closed. Dask
    itself does not end a function that is running.
    """
    key, stop, is_over = worker.get_current_task(), threading.Event(), threading.Event()

    def look() -> None:
        while not is_over.wait(_LOOK_SECONDS):
            task = worker.state.tasks.get(key)
            if task is None or task.state in _OVER or worker.status.name in _CLOSING:
                stop.set()
                return

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield stop
    finally:
        is_over.set()
        thread.join()


@dataclass(frozen=True, eq=False)
class KeptFeatures:
    """Features in this machine's cache, as they were when their digest was checked."""

    folder: Path
    state: tuple[tuple[Any, ...], ...]

    def is_unchanged(self) -> bool:
        """Return whether nobody has written to them since."""
        return self.folder.is_dir() and state_of(self.folder) == self.state


_checked: dict[str, KeptFeatures] = {}
_checking = threading.Lock()


def kept_features(digest: str) -> KeptFeatures | None:
    """Return the features with that digest, or None where they are not there or have been damaged."""
    with _checking:
        known = _checked.pop(digest, None)
        if known is None or not known.is_unchanged():
            folder = _folder() / "features" / digest
            known = KeptFeatures(folder, state_of(folder)) if folder.is_dir() else None
            if known is not None and digest_of(folder) != digest:
                shutil.rmtree(folder, ignore_errors=True)
                known = None
        if known is not None:
            _checked[digest] = known
        return known


async def has_features(digest: str) -> bool:
    """Return whether this worker's machine has the features with that digest."""
    return await asyncio.to_thread(kept_features, digest) is not None


def receive(number: str, name: str, content: bytes) -> None:
    """Append to a file of features that are being sent under that number."""
    folder = _incoming(number)
    with writing_to(folder, raising=StoreError):
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / Path(name).name).open("ab") as file:
            file.write(content)


async def received(number: str, digest: str) -> bool:
    """Put features that were sent into their place; return whether they have the right digest there."""
    folder, place = _incoming(number), _folder() / "features" / digest
    with writing_to(place, raising=StoreError):
        for file in folder.iterdir():
            file.chmod(0o444)
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.exists():
            folder.rename(place)
        shutil.rmtree(folder, ignore_errors=True)
    return await has_features(digest)


def dropped(number: str) -> None:
    """Remove features whose sending was broken off."""
    shutil.rmtree(_incoming(number), ignore_errors=True)


def digest_of(folder: Path) -> str:
    """Return SHA-256 (hexadecimal, 32 digits) over the names and bytes of the files in a folder."""
    lines = []
    for path in sorted(folder.iterdir()):
        with path.open("rb") as file:
            lines.append(f"{file_digest(file, 'sha256').hexdigest()} {path.name}\n")
    return sha256("".join(lines).encode()).hexdigest()[:32]


@lru_cache(maxsize=1)
def code_of_cmbench() -> str:
    """Return SHA-256 (hexadecimal, 16 digits) over all modules of cmbench, and the version of Python.

    >>> len(code_of_cmbench())
    16
    """
    import cmbench.datasets
    import cmbench.methods

    packages = {
        "cmbench": cmbench.__path__,
        "cmbench/methods": cmbench.methods.__path__,
        "cmbench/datasets": cmbench.datasets.__path__,
    }
    digests = {
        f"{package}/{path.relative_to(folder).as_posix()}": sha256(path.read_bytes()).hexdigest()
        for package, folders in packages.items()
        for folder in folders
        for path in Path(folder).rglob("*.py")
    }
    return sha256(repr((sys.version_info[:2], sorted(digests.items()))).encode()).hexdigest()[:16]


def _folder() -> Path:
    return cache_folder().absolute() / "worker"


def _incoming(number: str) -> Path:
    return _folder() / "incoming" / Path(number).name
