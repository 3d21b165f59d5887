"""Runs cells on the workers of a Dask cluster, whatever its machines are, and stores their records here.

Each worker runs a cell as ``cmbench.execution.worker`` describes. Features are sent to a machine once, the
code of plugins with each cell, and representations come back through the scheduler, so that the machines
need no file system in common. The representations are evaluated here: test labels never leave this machine,
which no fence on a worker could promise, and an evaluation is short beside a training.

A cell whose worker dies runs on another one. The scheduler gives a cell up after more deaths than its setting
``distributed.scheduler.allowed-failures`` allows (three by default), among which it counts those of workers
at which the cell only waited. So it is handed over anew, and only what was given up three times becomes a
record of a crash. When the run ends, in whatever way, the scheduler drops its cells, and workers end them.
"""

from __future__ import annotations

import inspect
import json
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from queue import Empty, SimpleQueue
from secrets import token_hex
from typing import Any
from urllib.parse import urlsplit

from cmbench.disk import writing_to
from cmbench.errors import ExecutionError, StoreError
from cmbench.execution.child_process import Ended
from cmbench.execution.fence import files_of
from cmbench.execution.job import HandedOut, hand_out
from cmbench.execution.ledger import Ledger, judged
from cmbench.execution.outcome import failure
from cmbench.execution.progress import Progress
from cmbench.execution.record import Outcome
from cmbench.execution.worker import (
    PROGRESS,
    FeaturesMissing,
    Order,
    Result,
    code_of_cmbench,
    digest_of,
    dropped,
    has_features,
    receive,
    received,
    run_cell,
    told,
)
from cmbench.execution.workplace import Assignment
from cmbench.limits import AskedLimits, Limits
from cmbench.methods.sources import INSTALLED, home_of_file
from cmbench.plan import Cell
from cmbench.store import Store

_PATIENCE = "30s"  # for the scheduler's first answer
_LOOK_SECONDS = 1.0  # at how many workers there are
_LOOK_AGAIN_SECONDS = 0.5  # at cells that other runs have
_CHUNK = 32_000_000  # bytes that are sent at a time
_MOST_SENDINGS = 100  # of the features of one cell: each time it came to a machine without them
_MOST_GIVEN_UP = 3  # times, of one cell by the scheduler, before it is the record of a crash
_TRIES = 2  # again, of what goes wrong on a worker before a method begins
_NOT_INSTALLED = "--executor dask needs the package 'distributed': pip install 'cmbench[dask]'"


@dataclass(eq=False)
class Running:
    """A cell that was handed to the scheduler, what holds the claim on it, and when it was."""

    cell: Cell
    claim: ExitStack
    since: float
    sendings: int = 0
    given_up: int = 0
    deaths: int = 0


@dataclass(frozen=True, eq=False)
class Sendable:
    """The features of a dataset as they are handed out, and their digest."""

    handed_out: HandedOut
    digest: str


class DaskExecutor:
    """Runs cells on the workers of a scheduler, ``jobs`` at a time, by default as many as they have threads.

    ``scheduler`` is an address (``tcp://host:8786``) or the path of a scheduler's file. The other arguments
    are those of ``LocalExecutor``; what ``limits`` come to is for each worker's machine to say.
    """

    def __init__(
        self,
        store: Store,
        limits: AskedLimits,
        *,
        scheduler: str,
        jobs: int | None,
        progress: Progress,
        work: Path,
        earlier: Mapping[str, Mapping[str, Any]],
        hidden: Iterable[Path] = (),
        twice: bool = False,
    ) -> None:
        self._scheduler = scheduler
        self._limits = limits
        self._jobs = jobs
        self._work = work
        self._ledger = Ledger(store, progress, earlier, twice=twice)
        self._hidden = {store.folder, *hidden}
        self._twice = twice
        self._features: dict[str, Sendable] = {}
        self._running: dict[Any, Running] = {}
        self._run = token_hex(8)
        self._numbers = count()
        self._ended: SimpleQueue[Any] = SimpleQueue()
        self._told: SimpleQueue[Mapping[str, Any]] = SimpleQueue()
        self._slots: dict[str, int] = {}
        self._looked = float("-inf")

    def run(self, cells: Sequence[Cell]) -> None:
        """Run the cells, and wait for those that other runs have. A failure becomes a record.

        An interrupt cancels what is running, whose cells leave nothing, and is raised again. Raises
        ``ExecutionError`` where the scheduler or a worker cannot do its part, and ``StoreError`` where the
        store cannot be written to.
        """
        self._hidden |= {file for cell in cells for file in files_of(cell.dataset)}
        with (
            connected(self._scheduler) as client,
            writing_to(self._work, raising=StoreError),
            answering(self._scheduler),
        ):
            for cell in cells:  # all at once, so that files which change later change nothing
                self._features_for(cell)
            client.subscribe_topic(PROGRESS, lambda event: self._told.put(event[1]))
            try:
                while cells:
                    self._run_all(client, deque(cells))
                    cells = self._ledger.elsewhere()
                    time.sleep(_LOOK_AGAIN_SECONDS if cells else 0)
            finally:
                client.cancel(list(self._running), force=True)
                for running in self._running.values():
                    running.claim.close()
        self._ledger.close()

    def _run_all(self, client: Any, waiting: deque[Cell]) -> None:
        while waiting or self._running:
            while waiting and len(self._running) < self._capacity(client):
                self._start(client, waiting.popleft())
            if not self._running:
                continue
            with suppress(Empty):
                self._ended.get(timeout=_LOOK_SECONDS)
            done = [future for future in self._running if future.done()]
            self._tell()
            for future in done:
                self._finish(client, future)

    def _tell(self) -> None:
        """Tell how far cells have come by what workers told; cells of other runs are none of ours."""
        cells = {running.cell.key: running.cell for running in self._running.values()}
        while not self._told.empty():
            message = self._told.get()
            if message["run"] == self._run and message["cell"] in cells:
                self._ledger.came(cells[message["cell"]], told(message))

    def _capacity(self, client: Any) -> int:
        """Return how many cells may run at the same time: by default as many as workers have threads."""
        if time.monotonic() - self._looked > _LOOK_SECONDS:
            self._slots, self._looked = dict(client.nthreads()), time.monotonic()
        return self._jobs or max(1, sum(self._slots.values()))

    def _start(self, client: Any, cell: Cell) -> None:
        """Hand a cell to the scheduler unless another run has it, or has finished it meanwhile."""
        claim = ExitStack()
        if not claim.enter_context(self._ledger.turn_of(cell)):
            claim.close()
            return
        self._ledger.started(cell)
        self._submit(client, Running(cell, claim, time.monotonic()))

    def _submit(self, client: Any, running: Running) -> None:
        key = f"cmbench-{running.cell.key}-{self._run}-{next(self._numbers)}"
        order = self._order(running.cell)
        future = client.submit(run_cell, order, key=key, pure=False, retries=_TRIES)
        self._running[future] = running
        future.add_done_callback(self._ended.put)

    def _order(self, cell: Cell) -> Order:
        by_host: dict[str | None, int] = {}
        for address, slots in self._slots.items():
            by_host[_host(address)] = by_host.get(_host(address), 0) + slots
        sources, plugin = travelling(cell)
        return Order(
            self._run,
            Assignment.of(cell, twice=self._twice),
            sources,
            plugin,
            self._features_for(cell).digest,
            self._limits,
            {address: by_host[_host(address)] for address in self._slots},
            tuple(sorted(map(str, self._hidden))),
            code_of_cmbench(),
        )

    def _finish(self, client: Any, future: Any) -> None:
        """Take what became of a cell: a record, or another try where the features were missing."""
        running = self._running.pop(future)
        error = _error_of(future)
        if error is None and isinstance(missing := future.result(), FeaturesMissing):
            self._send(client, running, missing.address)
            self._submit(client, running)
            return
        if error is not None and self._may_try_again(running, error):
            self._submit(client, running)
            return
        with running.claim:
            if error is None:
                self._keep(running.cell, future.result())
            else:
                self._keep_crash(running, error)

    def _keep(self, cell: Cell, result: Result) -> None:
        self._ledger.log_of(cell).write_bytes(result.log)
        outcome = judged(cell, result.outcome, self._features_for(cell).handed_out, result.limits)
        self._ledger.keep(cell, outcome, limits=result.limits, worker=result.worker)

    def _may_try_again(self, running: Running, error: BaseException) -> bool:
        """Count the deaths of a cell's workers; any other error is not the cell's and is raised."""
        from distributed.scheduler import KilledWorker

        if not isinstance(error, KilledWorker):
            raise error
        running.given_up += 1
        running.deaths += error.allowed_failures + 1
        return running.given_up < _MOST_GIVEN_UP

    def _keep_crash(self, running: Running, error: Any) -> None:
        """Keep the record of a cell whose workers died, by the scheduler's last ``KilledWorker``."""
        message = (
            f"{running.deaths} workers in a row ended while they had it, the last at "
            f"{error.last_worker.address}; their logs may tell why, and a memory limit (--memory) ends a "
            "cell before a machine runs out"
        )
        seconds = time.monotonic() - running.since
        crash = failure("WorkersLost", message)
        memory = self._limits.memory if isinstance(self._limits.memory, int) else None
        limits = Limits(self._limits.deadline, memory, self._limits.threads or 1)
        self._ledger.log_of(running.cell).write_bytes(b"")
        outcome = Outcome("crashed", Ended("exited", 0, seconds, 0, {}), {}, crash)
        self._ledger.keep(running.cell, outcome, limits=limits)

    def _features_for(self, cell: Cell) -> Sendable:
        fingerprint = cell.dataset.fingerprint
        if fingerprint not in self._features:
            folder = self._work / f"features-{len(self._features)}"
            folder.mkdir()
            handed_out = hand_out(cell.dataset, folder)
            self._features[fingerprint] = Sendable(handed_out, digest_of(folder))
        return self._features[fingerprint]

    def _send(self, client: Any, running: Running, address: str) -> None:
        """Send the features of a cell to the machine of a worker, unless they are there by now.

        A worker that dies meanwhile is left alone: the cell finds another one.
        """
        running.sendings += 1
        if running.sendings > _MOST_SENDINGS:
            raise ExecutionError(
                f"the features of {running.cell.label} were sent {_MOST_SENDINGS} times and not found; see "
                "that the folder CMBENCH_CACHE on workers is writable and of one machine"
            )
        features = self._features_for(running.cell)
        with suppress(OSError, KeyError, ValueError):  # what Dask raises of a worker that is gone
            if not client.run(has_features, features.digest, workers=[address])[address]:
                _transfer(client, features, address)


def _transfer(client: Any, features: Sendable, address: str) -> None:
    number = token_hex(8)
    try:
        for path in sorted(features.handed_out.folder.iterdir()):
            with path.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    client.run(receive, number, path.name, chunk, workers=[address])
        client.run(received, number, features.digest, workers=[address])
    except BaseException:
        with suppress(OSError, KeyError, ValueError):
            client.run(dropped, number, workers=[address])
        raise


@contextmanager
def connected(scheduler: str) -> Iterator[Any]:
    """Yield a client of the scheduler at an address, or of the one that wrote a file.

    Raises ``ExecutionError`` where there is none, or Dask is not installed.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise ExecutionError(_NOT_INSTALLED) from error
    is_file = Path(scheduler).is_file()
    _check_address(scheduler, _address_in(scheduler) if is_file else scheduler)
    place = {"scheduler_file": scheduler} if is_file else {"address": scheduler}
    try:
        client = Client(**place, timeout=_PATIENCE, set_as_default=False, name="cmbench")
    except (OSError, ValueError) as error:
        raise ExecutionError(
            f"no Dask scheduler answers at {scheduler!r} ({error}); start one with 'dask scheduler', and "
            "give the address that it prints or the path of its --scheduler-file"
        ) from error
    try:
        yield client
    finally:
        client.close()


@contextmanager
def answering(scheduler: str) -> Iterator[None]:
    """Turn what Dask raises where the scheduler is gone, an ``OSError`` too, into ``ExecutionError``."""
    from distributed.comm import CommClosedError

    try:
        yield
    except (CommClosedError, ConnectionError, TimeoutError) as error:
        raise ExecutionError(
            f"the Dask scheduler at {scheduler!r} does not answer any more ({error}); start it again if it "
            "is gone, and run the same command again: what is finished is kept"
        ) from error


def _address_in(file: str) -> str:
    """Return the address that a scheduler wrote to its file; ``ExecutionError`` for any other file."""
    try:
        return str(json.loads(Path(file).read_bytes())["address"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ExecutionError(
            f"{file!r} is not the file of a Dask scheduler ({type(error).__name__}: {error}); "
            "name what 'dask scheduler --scheduler-file FILE' wrote"
        ) from error


def _check_address(scheduler: str, address: str) -> None:
    """Raise ``ExecutionError`` for what is no address: a client of it would wait a minute for its own end."""
    from distributed.comm import parse_address, parse_host_port
    from distributed.comm.registry import get_backend

    scheme, place = parse_address(address)
    try:
        get_backend(scheme)
        if scheme != "inproc":  # of one process, without a port
            parse_host_port(place)
    except ValueError as error:
        missing = "no such file, and " if scheduler == address and "://" not in address else ""
        raise ExecutionError(
            f"{scheduler!r}: {missing}no address of a Dask scheduler ({error}); give the address that "
            "'dask scheduler' prints, such as tcp://host:8786, or the path of its --scheduler-file"
        ) from error


def _error_of(future: Any) -> BaseException | None:
    """Return why a cell has no result: that its workers died, or what is raised; None where it has one."""
    if future.status == "finished":
        return None
    if future.status != "error":
        return ExecutionError(
            f"the scheduler has dropped a cell of this run ({future.status}), or is gone; start it again if "
            "it is, and run the same command again: what is finished is kept"
        )
    from distributed.scheduler import KilledWorker

    error: BaseException = future.exception()
    if isinstance(error, KilledWorker | ExecutionError):
        return error
    return ExecutionError(
        f"a worker could not run a cell ({type(error).__name__}: {error}); see that cmbench and what its "
        "plugins need are installed there, and that its disk has room"
    )


def travelling(cell: Cell) -> tuple[Mapping[str, bytes], str]:
    """Return the files of a plugin's code, and the name of the plugin file among them ("" for a package).

    Installed packages and built-in methods do not travel: workers have their own, and the version of a
    package's code is checked.
    """
    entry = cell.entry
    if entry.origin == "built-in":
        return {}, ""
    if entry.origin == "file":
        path = Path(entry.location.rpartition(":")[0])
        return entry.sources(), path.relative_to(home_of_file(path).root).as_posix()
    is_installed = {*INSTALLED} & {*Path(inspect.getfile(cell.method)).parts}
    return ({}, "") if is_installed else (entry.sources(), "")


def _host(address: str) -> str | None:
    return urlsplit(address).hostname or address
