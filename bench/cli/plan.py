"""``cmbench plan``."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from cmbench.cli.options import available_methods, run_options

if TYPE_CHECKING:
    from cmbench.agenda import Agenda
    from cmbench.estimates import Estimate
    from cmbench.plan import Cell

_HEADINGS = ("dataset", "method", "seed", "state", "expected", "")
_SIGNS = {"same settings": "=", "other parameters": "~", "other dataset": "≈", "other machine": "?"}
_HOW = (
    "Expected is the median of earlier records of the method in this store: = with the same parameters on "
    "the same dataset (four in five cells take 2/3 to 3/2 of it), ~ with others there (half to twice), ≈ on "
    "datasets of a quarter to four times as many training pairs, in proportion (a third to three times); "
    "without such records, ? is what a built-in method took with its defaults on the machine of its authors, "
    "in the same proportion (perhaps a quarter to four times); - where nothing is known. Other machines and "
    "numbers of threads are not allowed for otherwise."
)


@click.command()
@run_options
def plan(plugins: tuple[str, ...], datasets: tuple[str, ...], **options: Any) -> None:
    """Print the cells of a run, which of them are stored, and how long the others will take.

    The options are those of 'cmbench run', which would run the same cells; nothing is run or written here.
    The exit status is 1 if a record of these cells cannot be read, or a plugin could not be loaded.
    """
    from cmbench.agenda import DEFAULT_DATASETS, planned
    from cmbench.estimates import estimates
    from cmbench.limits import parse_duration
    from cmbench.output import printable
    from cmbench.runner import check_executor, lost_cells

    available = available_methods(plugins)
    deadline, jobs, scheduler = (options.pop(name) for name in ("deadline", "jobs", "scheduler"))
    check_executor(options.pop("executor"), scheduler)
    for name in ("memory", "threads"):
        options.pop(name)
    agenda = planned(list(datasets or DEFAULT_DATASETS), plugins=available, **options)
    expected = estimates(agenda.pending, agenda.earlier.values(), deadline=parse_duration(deadline))
    lost = lost_cells(agenda)
    for line in _table([_HEADINGS, *_rows(agenda, lost, expected)]):
        click.echo(printable(line))
    click.echo()
    click.echo(printable(_total(agenda, lost, expected, _jobs(agenda, jobs, scheduler))))
    if agenda.pending:
        click.echo(printable(_HOW))
    sys.exit(1 if lost or (plugins and available.problems) else 0)


def _rows(
    agenda: Agenda, lost: Collection[Cell], expected: Mapping[str, Estimate]
) -> Iterator[tuple[str, ...]]:
    from cmbench.limits import duration_text

    pending = {cell.key for cell in agenda.pending}
    for cell in agenda.cells:
        estimate = expected.get(cell.key)
        duration = ("-", "") if cell.key in pending else ("", "")
        if estimate is not None:
            duration = duration_text(estimate.seconds), _SIGNS[estimate.basis]
        seed = "" if cell.seed is None else str(cell.seed)
        state = "to run" if cell.key in pending else _state(cell, agenda.earlier.get(cell.key), lost)
        yield cell.dataset.name, cell.method.name, seed, state, *duration


def _state(cell: Cell, record: Mapping[str, Any] | None, lost: Collection[Cell]) -> str:
    if cell in lost:
        return "cannot be read"
    if cell.left_out or record is None:
        return f"left out: {cell.left_out}"
    return "stored" if record["status"] == "ok" else f"stored: {record['status']}"


def _table(rows: list[tuple[str, ...]]) -> Iterator[str]:
    """Yield lines of columns as wide as they need be; texts to the left, durations to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        *texts, duration, sign = row
        left = "  ".join(text.ljust(width) for text, width in zip(texts, widths, strict=False))
        yield f"{left}  {duration.rjust(widths[-2])} {sign}".rstrip()


def _total(agenda: Agenda, lost: Collection[Cell], expected: Mapping[str, Estimate], jobs: int) -> str:
    from cmbench.estimates import longest_first, makespan
    from cmbench.limits import duration_text
    from cmbench.output import plural

    cells, pending = len(agenda.cells), agenda.pending
    stored = cells - len(pending) - len(agenda.left_out) - len(lost)
    there = f"{cells} {plural('cell', cells)}: {stored} in the store, {len(pending)} to run"
    if agenda.left_out:
        there += f", {len(agenda.left_out)} left out"
    if lost:
        there += f", {len(lost)} cannot be read"
    if not expected:
        return f"{there}; nothing is known of how long they take" if pending else there
    known = [expected[cell.key] for cell in longest_first(pending, expected) if cell.key in expected]
    likely, low, high = (
        duration_text(makespan([getattr(each, name) for each in known], jobs))
        for name in ("seconds", "low", "high")
    )
    unknown = len(pending) - len(known)
    rest = f"; of {unknown} of them nothing is known, and they come on top" if unknown else ""
    return f"{there} with {jobs} job(s): about {likely} ({low} to {high}){rest}"


def _jobs(agenda: Agenda, jobs: int | None, scheduler: str | None) -> int:
    from cmbench.runner import jobs_here

    if jobs is None and scheduler is not None and agenda.pending:
        from cmbench.execution.dask import connected

        with connected(scheduler) as client:
            threads: list[int] = list(client.nthreads().values())
        return max(1, sum(threads))
    return jobs or 1 if scheduler is not None else jobs_here(jobs, len(agenda.pending))
