"""A folder in which cells run, on whatever machine it is: each in a child process, fenced in and watched."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any, Protocol

from cmbench.datasets.formats.numpy_files import load_array
from cmbench.disk import MAKE_ROOM, is_full, remove_folder
from cmbench.errors import MethodError, StoreError
from cmbench.execution.checkpoints import own_checkpoints
from cmbench.execution.child_process import Ended, Surroundings, run_child
from cmbench.execution.evaluating import status_of
from cmbench.execution.fence import Fence
from cmbench.execution.following import Follower
from cmbench.execution.job import CHECKPOINT, LOOKS, MODALITIES, PRETRAINED, Job
from cmbench.execution.memory import SHARED_MEMORY
from cmbench.execution.outcome import (
    LeftBehindError,
    described,
    failure,
    log_tail,
    read_curves,
    read_looks,
    read_outcome,
    read_representations,
)
from cmbench.execution.record import Outcome, failure_of
from cmbench.limits import Limits
from cmbench.methods.registry import MethodEntry
from cmbench.plan import Cell
from cmbench.pruning import PruningRule


@dataclass(frozen=True)
class Assignment:
    """What is to be known of a cell where it runs: nothing of test labels, nor of its dataset's name.

    ``twice`` asks for a second fit, to be compared; ``rule`` says when to give a training up.
    ``shared`` is a folder of the run's own that the method may share with other fits, and ``pretrained`` one
    for the same that its parameter names.
    """

    key: str
    entry: MethodEntry
    code_version: str
    parameters: Mapping[str, Any]
    keeps_checkpoint: bool
    twice: bool = False
    rule: PruningRule | None = None
    pretrained: Path | None = None
    shared: Path | None = None

    @classmethod
    def of(cls, cell: Cell, *, twice: bool = False) -> Assignment:
        """Return what the cell's process has to do."""
        keeps = CHECKPOINT in cell.method.practical
        parameters, pretrained = dict(cell.parameters), None
        if cell.shared is None and PRETRAINED in cell.method.practical:
            pretrained = _place_in(parameters[PRETRAINED])
        if cell.shared or pretrained:
            parameters[PRETRAINED] = str(cell.shared or pretrained)
        return cls(
            cell.key,
            cell.entry,
            cell.code_version,
            parameters,
            keeps,
            twice,
            cell.rule,
            pretrained,
            cell.shared,
        )


def _place_in(value: object) -> Path | None:
    """Return the whole path of a folder that a parameter names: a method's process has another current one.

    None where it names none; what a plugin means by another value is its own affair.
    """
    return Path(os.path.expanduser(value)).absolute() if isinstance(value, str) else None


NOTHING_MORE: Mapping[str, str] = {}


class Features(Protocol):
    """The folder of the features of a dataset, which methods may only read."""

    @property
    def folder(self) -> Path: ...

    def is_unchanged(self) -> bool: ...


class SharedFeaturesError(MethodError):
    """A method wrote to what it was only to read."""


class NoRoomError(StoreError):
    """The disk is full on which a cell ran, so that no further one can run there either."""

    def __init__(self, folder: Path, outcome: Outcome) -> None:
        super().__init__(f"{folder}: the disk is full; {MAKE_ROOM}")
        self.outcome = outcome


class Workplace:
    """Where cells run: ``work`` for temporary files, the fence around them, and a folder of checkpoints.

    Each run of a cell has a folder of its own among the checkpoints, or in the place that the parameter
    ``checkpoint`` names; it goes when the cell is done. ``readable`` are folders behind the fence that
    methods may read.
    """

    def __init__(
        self, work: Path, fence: Fence | None, *, checkpoints: Path, readable: tuple[Path, ...] = ()
    ) -> None:
        self._work = work
        self._fence = fence
        self._checkpoints = checkpoints
        self._readable = readable
        self._numbers = count()

    def run(
        self,
        assignment: Assignment,
        features: Features,
        limits: Limits,
        *,
        stop: threading.Event,
        log: Path,
        import_path: tuple[str, ...] = (),
        environment: Mapping[str, str] = NOTHING_MORE,
        tell: Callable[[Follower], None] = lambda _: None,
    ) -> Outcome:
        """Run the process of a cell and return how it ended, with what it left to be evaluated.

        ``import_path`` comes after that of this process, and ``environment`` replaces parts of its own. When
        ``stop`` is set, the process is ended and the outcome is that of one that was "stopped". ``tell`` is
        called now and then while it runs, and once at its end.
        """
        folder = self._work / assignment.key
        folder.mkdir()
        temporary = self._work / f"t{next(self._numbers)}"  # short, because the paths of sockets are
        temporary.mkdir()
        try:
            with self._checkpoints_of(assignment) as checkpoints:
                job = _job(assignment, features, import_path, checkpoints)
                job.write(folder)
                kept = [path for path in (checkpoints, self._shared_by(assignment)) if path is not None]
                with self._fenced(job, folder, temporary, log, kept) as surroundings:
                    surroundings = replace(surroundings, environment=environment)
                    ended = _followed(surroundings, limits, stop, rule=assignment.rule, tell=tell)
                outcome = _outcome(ended, features, folder, limits=limits, log=log)
                if outcome.status not in ("ok", "stopped") and is_full(folder):  # now, before it is emptied
                    raise NoRoomError(folder, outcome)
                if assignment.rule is not None and ended.ending != "stopped":
                    outcome = judged_by(assignment.rule, outcome, folder)
                    _remove(checkpoints)  # a trial is not taken up again
                elif outcome.status == "ok":
                    _remove(checkpoints)
                return outcome
        finally:
            for used in (folder, temporary):
                remove_folder(used)

    def _checkpoints_of(self, assignment: Assignment) -> AbstractContextManager[Path | None]:
        """Return what gives a run of a cell the folder of its checkpoints; none if it keeps none."""
        if not assignment.keeps_checkpoint:
            return nullcontext()
        given = assignment.parameters[CHECKPOINT]
        place = self._checkpoints if given is None else _place_in(given)
        if place is None or (given is not None and self._fence is not None and self._fence.closes(place)):
            return nullcontext()
        return own_checkpoints(place, assignment.key)

    def _shared_by(self, assignment: Assignment) -> Path | None:
        """Return the folder for what fits share, if there is one.

        One that a parameter names, maybe by a plugin's default, is opened only where nothing lies that the
        fence keeps from methods.
        """
        given = assignment.pretrained
        if given is None or (self._fence is not None and self._fence.protects(given)):
            return assignment.shared
        return given

    @contextmanager
    def _fenced(
        self, job: Job, folder: Path, temporary: Path, log: Path, kept: Collection[Path]
    ) -> Iterator[Surroundings]:
        """Yield the surroundings of a cell's process, with the rules of what it may read and change.

        ``kept`` are folders in which it leaves what another process may go on with.
        """
        for place in kept:
            place.mkdir(parents=True, exist_ok=True)
        private = _nothing_in_shared_memory(job, folder)
        surroundings = Surroundings(folder, temporary, log, own_shared_memory=private)
        if self._fence is None:
            yield surroundings
            return
        with self._fence.ruleset([job.features, *self._readable], [folder, temporary, *kept]) as ruleset:
            yield replace(surroundings, ruleset=ruleset, landlock=self._fence.version)


def _job(
    assignment: Assignment, features: Features, import_path: tuple[str, ...], checkpoints: Path | None
) -> Job:
    own_path = (os.path.abspath(entry) for entry in sys.path if os.path.exists(entry or "."))
    place = {} if checkpoints is None else {CHECKPOINT: str(checkpoints)}
    parameters = {**assignment.parameters, **place}
    path = [*own_path, *import_path]
    return Job(features.folder, assignment.entry, assignment.code_version, parameters, path, assignment.twice)


def _remove(checkpoints: Path | None) -> None:
    if checkpoints is not None:
        remove_folder(checkpoints)


def _followed(
    surroundings: Surroundings,
    limits: Limits,
    stop: threading.Event,
    *,
    rule: PruningRule | None,
    tell: Callable[[Follower], None],
) -> Ended:
    """Run a cell's process, and tell how far it has come."""
    follower = Follower(surroundings.log, surroundings.folder)
    is_given_up = watched(surroundings.folder, rule)
    ended = run_child(surroundings, limits, stop, is_given_up=is_given_up, watch=lambda: tell(follower))
    follower.end()
    tell(follower)
    return ended


def watched(folder: Path, rule: PruningRule | None) -> Callable[[], bool]:
    """Return what tells, whenever it is called, whether the training in a folder is to be given up now."""
    if rule is None:
        return lambda: False
    size = judged = 0

    def is_behind() -> bool:
        nonlocal size, judged
        file = folder / LOOKS
        grown = file.lstat().st_size if os.path.lexists(file) else 0
        if grown == size:
            return False
        size, looks = grown, read_looks(folder)
        behind = rule.behind(looks, judged=judged)
        judged = len(looks)
        return behind is not None

    return is_behind


def judged_by(rule: PruningRule, outcome: Outcome, folder: Path) -> Outcome:
    """Return the outcome of a training with its looks at validation, up to where the rule gives it up.

    It is given up wherever its process had come to by then, to its end even: what becomes of a training does
    not depend on when somebody looked.
    """
    looks = read_looks(folder)
    behind = rule.behind(looks)
    if behind is None:
        return replace(outcome, looks=looks)
    error = failure("Pruned", str(behind))
    return Outcome("pruned", outcome.ended, {}, error, looks=looks[: behind.looks])


_FENCED = (
    "; a run closes the files of its datasets and its store to methods, which choose by the validation pairs "
    "that fit is given, and lets them change nothing where modules are imported from. What a method needs to "
    "read or write must lie elsewhere"
)


def _nothing_in_shared_memory(job: Job, folder: Path) -> bool:
    """Return whether nothing that a method is told of lies in ``/dev/shm``, so that it may have its own."""
    told = (str(folder), job.entry.location, *job.import_path, *map(str, job.parameters.values()))
    return not any(text.startswith(SHARED_MEMORY) for text in (*told, *map(os.path.realpath, told[:2])))


def _outcome(ended: Ended, features: Features, folder: Path, *, limits: Limits, log: Path) -> Outcome:
    """Return what a child left, ready to be evaluated, or why there is nothing to evaluate."""
    if ended.ending in ("stopped", "pruned"):
        return Outcome(ended.ending, ended, {})
    if ended.ending != "exited":
        return _without_result(ended, limits, log)
    try:
        if ended.fence["files"] is None and not features.is_unchanged():
            raise SharedFeaturesError(
                "the features that all cells of the dataset read were written to while this one ran, by its "
                "method or by another's; run it again with --retry-failed, without the method that does so"
            )
        child = read_outcome(folder)
    except (LeftBehindError, SharedFeaturesError) as error:
        return Outcome("failed", ended, {}, described(error, ended.exit_status))
    if child is None:
        return _without_result(ended, limits, log)
    if child["status"] != "ok":
        failure = {**child["error"], "exit_status": ended.exit_status}
        if failure["type"] == PermissionError.__name__ and ended.fence["files"] is not None:
            failure["message"] += _FENCED
        return Outcome(child["status"], ended, child, failure)
    try:
        curves = read_curves(folder)
        representations = {
            modality: read_representations(
                folder, modality, _rows(features, modality), most_bytes=limits.memory
            )
            for modality in MODALITIES
        }
    except Exception as error:  # what a method left may be anything; it must not end the run
        return Outcome(status_of(error), ended, child, described(error, ended.exit_status))
    return Outcome("ok", ended, child, training_curves=curves, representations=representations)


def _rows(features: Features, modality: str) -> int:
    """Return how many test items were handed out."""
    return len(load_array(features.folder, f"{modality}_test"))


def _without_result(ended: Ended, limits: Limits, log: Path) -> Outcome:
    status, error = failure_of(ended, limits, log_tail(log))
    return Outcome(status, ended, {}, error)
