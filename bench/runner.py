"""The main job: plan the cells, run those the store does not have, return all of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

from cmbench.agenda import DEFAULT_DATASETS, Agenda, at_least_one, planned, unreadable
from cmbench.choices import note_choices
from cmbench.current import keep_source, note, with_cards
from cmbench.datasets.contract import Dataset
from cmbench.disk import remove_abandoned
from cmbench.errors import CmbenchError, DamagedRecordWarning, IncompleteRunError
from cmbench.estimates import estimates, longest_first
from cmbench.evaluation.protocol import Protocol
from cmbench.execution.checkpoints import sweep_checkpoints
from cmbench.execution.local import LocalExecutor
from cmbench.execution.progress import Progress
from cmbench.execution.record import card_fields, left_out_record
from cmbench.limits import (
    DEFAULT_DEADLINE,
    AskedLimits,
    Limits,
    available_cores,
    parse_duration,
    parse_size,
)
from cmbench.methods.registry import Registry
from cmbench.ownership import sweep, workspace
from cmbench.plan import Cell
from cmbench.profile_files import Profile
from cmbench.pruning import PruningRule
from cmbench.schema import Problem
from cmbench.store import DEFAULT_STORE

if TYPE_CHECKING:
    import pandas as pd

    from cmbench.execution.dask import DaskExecutor
    from cmbench.methods.contract import Method

P = ParamSpec("P")

EXECUTORS = ("local", "dask")
DEFAULT_JOBS = 2  # where there are as many processors and cells


def finished(
    datasets: Sequence[str | Path | Dataset] | str | Path | Dataset = DEFAULT_DATASETS,
    methods: Sequence[str | Method] | str | Method | None = None,
    *,
    seeds: int | Sequence[int] = (0,),
    splits: int = 1,
    store: str | Path = DEFAULT_STORE,
    protocol: str | Protocol = "paper",
    measures: Sequence[str] | str | None = None,
    parameters: Mapping[str, Mapping[str, Any]] | None = None,
    presets: Mapping[str, str] | None = None,
    profile: str | Path | Profile | None = None,
    like: str | None = None,
    plugins: Sequence[str | Path] | Registry = (),
    force: bool = False,
    retry_failed: bool = False,
    jobs: int | None = None,
    threads: int | None = None,
    deadline: str | float | None = DEFAULT_DEADLINE,
    memory: str | float | None = "auto",
    executor: str = "local",
    scheduler: str | None = None,
    progress: Progress | None = None,
    allow_repeated: bool = False,
    check_determinism: bool = False,
    pruning: Mapping[str, PruningRule] | None = None,
    shared: Mapping[str, Path] | None = None,
    limit: int | None = None,
    debug: bool = False,
) -> list[dict[str, Any]]:
    """Fit and evaluate every method on every dataset.

    ``run`` returns a frame with one row per cell, ``finished`` the summary of the record of each cell, as
    ``Store.summaries`` does.

    A cell whose record, good or failed, is in the store is not run again, unless the code of its method has
    changed; a corrected card of the same arrays is taken over without that. Each other cell runs in a
    child process that gets training and validation pairs and the test features, never the test
    labels; whatever happens to it becomes its record.

    Parameters
    ----------
    datasets : names, paths of feature files, or ``Dataset`` objects
    methods : names, of groups (``paper``, ``beyond``, ``controls``) too, or configured ``Method`` objects of
        importable classes; by default the eleven of the paper and the methods of ``plugins``
    seeds : values of ``random_state``, for methods that have this parameter and for which it is not set; a
        number N stands for 0 to N - 1
    splits : in how many ways the pairs of each dataset are divided into training, validation and test
        pairs: the dataset's own, and further ones drawn anew with the split seeds 1 to splits - 1
    store : folder of the results
    protocol : ``paper``, ``release``, ``pairs``, ``zeroshot``, ``hamming`` or a ``Protocol``
    measures : what is measured beside MAP, such as ``["map@50", "p@10", "r@1", "ndcg@10", "medr"]``; by
        default what the protocol reports. Cells whose record lacks one of them run again
    parameters : parameters by method name, in place of the defaults
    presets : names of presets by method name, for example ``{"corr-ae-full": "paper"}``, in place of the
        defaults; ``parameters`` override those of a preset
    profile : a file that ``cmbench tune`` wrote, whose parameters take the place of the defaults on the
        datasets it was made on; presets and ``parameters`` override them. ``tuned`` is what was tuned before,
        as ``cmbench.profiles.tuned_profile`` finds it, and ``paper`` the preset ``paper`` of each method that
        has one
    like : a method, ``cmgans`` say, of which the profile gives the parameters to its variants too (classes
        derived from it, as its ablations are), but for what these fix
    plugins : Python files that define methods, or a ``Registry``; a file that cannot be imported is
        left out with a warning if ``methods`` are named
    force : run cells again that are in the store
    retry_failed : run cells again that failed
    jobs : how many cells run at the same time; by default two, if there are two processors or more, because
        small networks gain little from a second thread. Use 1 to measure times undisturbed
    threads : threads of each cell; by default the available processors divided by the jobs
    deadline : the longest time a cell may take, such as ``90s``, ``10m``, ``3h``, or ``none``
    memory : the most memory a cell may use, such as ``2GB``, or ``none``; ``auto`` is 80 % of what is free,
        divided by the jobs
    executor : where cells run: ``local``, on this machine, or ``dask``, on the workers of a Dask cluster.
        There ``jobs`` is by default as many as the workers have threads, and shares of processors and memory
        are those of each worker's machine
    scheduler : the address of the Dask scheduler, such as ``tcp://host:8786``, or the path of its file
    progress : what is told of every step of the run; by default nothing is shown
    allow_repeated : run although pairs stand in two splits; the table then says so
    check_determinism : fit every method twice with the same seed; one whose representations differ fails.
        Cells that were not checked yet run again
    pruning : by method name, the rule that gives a training up which falls behind earlier ones; its record
        has the status ``pruned``. ``cmbench tune`` uses it
    shared : by method name, a folder in which fits leave what others may take over, for methods with the
        practical parameter ``pretrained``. ``cmbench tune`` uses it
    limit : take that many pairs of each split, by category, for a first try: a dataset of its own
    debug : run one cell in this process, with ``breakpoint()``, and pdb at an error. There is no fence and
        no limit then, and nothing is stored

    Raises
    ------
    CmbenchError
        For unknown names, unreadable datasets, datasets on which numbers mean nothing (pairs in two splits,
        validation pairs that cannot choose) or wrong parameters, before anything runs.
    IncompleteRunError
        At the end, where a planned cell has a record that cannot be read. The others are in the store.

    Warns
    -----
    DatasetWarning
        For what makes numbers on a dataset questionable; see ``cmbench.datasets.soundness``.
    """
    at_least_one("jobs", 1 if jobs is None else jobs)
    check_executor(executor, scheduler)
    asked = AskedLimits(parse_duration(deadline), "auto" if memory == "auto" else parse_size(memory), threads)
    agenda = planned(
        datasets,
        methods,
        seeds=seeds,
        splits=splits,
        store=store,
        protocol=protocol,
        measures=measures,
        parameters=parameters,
        presets=presets,
        profile=profile,
        like=like,
        plugins=plugins,
        force=force,
        retry_failed=retry_failed,
        allow_repeated=allow_repeated,
        check_determinism=check_determinism,
        pruning=pruning,
        shared=shared,
        limit=limit,
    )
    if debug:
        from cmbench.execution.debugging import debugged, only  # pdb, and what a child process imports

        return [debugged(only(agenda.cells))]
    _note(agenda.store.folder, agenda.cells)
    for cell in agenda.left_out:
        agenda.store.put(left_out_record(cell, limits=asked.here(1)))
    pending = {cell.key for cell in agenda.pending}
    note_choices(agenda.store, [cell for cell in agenda.cells if cell.key not in pending], agenda.earlier)
    if scheduler is None:
        asked = asked.with_threads(jobs_here(jobs, len(agenda.cells)))
        jobs = jobs_here(jobs, len(agenda.pending))
    shown = progress or Progress()
    _execute(agenda, asked, scheduler=scheduler, jobs=jobs, progress=shown, twice=check_determinism)
    return _complete(agenda)


def jobs_here(jobs: int | None, cells: int) -> int:
    """Return how many cells run at the same time on this machine: those that really run share it."""
    return max(1, min(jobs or min(DEFAULT_JOBS, available_cores()), cells))


def check_executor(executor: str, scheduler: str | None) -> None:
    """Raise ``CmbenchError`` for an unknown executor, or one that lacks a scheduler or has no use for it."""
    if executor not in EXECUTORS:
        raise CmbenchError(f"executor is {executor!r}; use one of {', '.join(EXECUTORS)}")
    if executor == "dask" and scheduler is None:
        raise CmbenchError(
            "executor 'dask' needs the scheduler: --scheduler tcp://HOST:8786, or the path of its file"
        )
    if executor != "dask" and scheduler is not None:
        raise CmbenchError(f"a scheduler is given ({scheduler}), which only executor 'dask' uses")


def _as_frame(function: Callable[P, list[dict[str, Any]]]) -> Callable[P, pd.DataFrame]:
    """Return the function with a frame in place of the summaries, and the same parameters."""

    @wraps(function)
    def framed(*args: P.args, **options: P.kwargs) -> pd.DataFrame:
        from cmbench.report.cells import records_frame  # pandas: not wanted by --help

        return records_frame(function(*args, **options))

    framed.__name__ = framed.__qualname__ = "run"
    return framed


run = _as_frame(finished)


def _complete(agenda: Agenda) -> list[dict[str, Any]]:
    """Return the records of all cells; ``IncompleteRunError`` where one has none."""
    cells, store = agenda.cells, agenda.store
    found = store.read_summaries() if _has_written(agenda) else agenda.before
    by_key = {record["key"]: record for record in with_cards(store.folder, found.records)}
    records = [by_key[cell.key] for cell in cells if cell.key in by_key]
    missing = [cell for cell in cells if cell.key not in by_key]
    if missing:
        reasons = map(str, _problems_of(missing, found.problems))
        labels = ", ".join(cell.label for cell in missing)
        raise IncompleteRunError(
            f"{len(missing)} of {len(cells)} cells have no record that can be read: {labels}. "
            + ("; ".join(reasons) or f"they are gone from {store.folder}; run the same command again"),
            records,
        )
    return records


def lost_cells(agenda: Agenda) -> list[Cell]:
    """Return the cells without a record that can be read, which are not run; a warning names each file."""
    run = {cell.key for cell in (*agenda.pending, *agenda.left_out)}
    lost = [cell for cell in agenda.cells if cell.key not in run and cell.key not in agenda.earlier]
    for problem in _problems_of(lost, agenda.before.problems):
        warnings.warn(str(problem), DamagedRecordWarning, stacklevel=3)
    return lost


def _problems_of(cells: Sequence[Cell], problems: Sequence[Problem]) -> list[Problem]:
    """Return what is wrong with the files of these cells."""
    keys = unreadable(cells, problems)
    return [problem for problem in problems if problem.path.stem.rpartition("-")[2] in keys]


def _has_written(agenda: Agenda) -> bool:
    """Return whether there may be new records; else reading ten thousand again would take a second more."""
    return bool(agenda.pending or agenda.left_out or any(cell.tuning for cell in agenda.cells))


def _note(folder: Path, cells: Sequence[Cell]) -> None:
    """Keep what tables need to know of these cells beside their records: cards, and code versions.

    The code of a plugin is kept too, unless it has been changed since: then its cells will fail.
    """
    for dataset in {cell.dataset.fingerprint: cell.dataset for cell in cells}.values():
        same = (cell for cell in cells if cell.dataset.fingerprint == dataset.fingerprint)
        code = {cell.method.name: cell.code_version for cell in same}
        note(folder, dataset.fingerprint, card_fields(dataset), code)
    for version, entry in {cell.code_version: cell.entry for cell in cells}.items():
        if entry.origin != "built-in" and entry.code_version() == version:
            keep_source(folder, version, entry.sources())


def _execute(
    agenda: Agenda,
    asked: AskedLimits,
    *,
    scheduler: str | None,
    jobs: int | None,
    progress: Progress,
    twice: bool,
) -> None:
    """Run what is pending, here or on the workers of a scheduler."""
    folder = agenda.store.folder.resolve() / ".work"
    limits = asked.here(jobs or 1) if scheduler is None else asked
    expected = estimates(agenda.pending, agenda.earlier.values(), deadline=limits.deadline)
    pending = longest_first(agenda.pending, expected)
    progress.expects({key: estimate.seconds for key, estimate in expected.items()}, jobs or 1)
    progress.omits(len(agenda.left_out))
    stored = len(agenda.cells) - len(pending) - len(agenda.left_out) - len(lost_cells(agenda))
    progress.planned(pending, stored, limits)
    remove_abandoned(agenda.store.folders())
    sweep_checkpoints(folder / "checkpoints", agenda.earlier, pending)
    if not pending:
        sweep(folder)
        return
    try:
        with workspace(folder) as work:
            executor = _executor(
                agenda, limits, scheduler=scheduler, jobs=jobs, progress=progress, work=work, twice=twice
            )
            executor.run(pending)
    finally:
        progress.closed()


def _executor(
    agenda: Agenda,
    limits: Limits | AskedLimits,
    *,
    scheduler: str | None,
    jobs: int | None,
    **common: Any,
) -> LocalExecutor | DaskExecutor:
    common |= {"earlier": agenda.earlier, "hidden": agenda.hidden}
    if isinstance(limits, Limits):
        return LocalExecutor(agenda.store, limits, jobs=jobs or 1, **common)
    from cmbench.execution.dask import DaskExecutor  # late: what only few runs need

    return DaskExecutor(agenda.store, limits, scheduler=scheduler or "", jobs=jobs, **common)
