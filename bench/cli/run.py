"""``cmbench run``."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from cmbench.cli.options import available_methods, run_options
from cmbench.cli.terminal import print_tables

if TYPE_CHECKING:
    from cmbench.report.layout import View

DEBUGGING = (
    "cmbench: debugging: the method runs in this process, without limits and without the fence around test "
    "labels, so that nothing is stored. In pdb, 'u' and 'd' move between calls, 'c' goes on, 'q' leaves"
)


@click.command()
@run_options
@click.option("--verbose", is_flag=True, help="Show every line that methods print.")
@click.option(
    "--debug",
    is_flag=True,
    help="Run one cell in this process, with breakpoint(), and pdb at an error; nothing is stored.",
)
def run(
    plugins: tuple[str, ...], datasets: tuple[str, ...], store: str, verbose: bool, **options: Any
) -> None:
    """Fit and evaluate methods on datasets, and print the table.

    Methods learn from the training pairs and choose parameters on the validation pairs; the numbers
    are those of the test pairs. What the store has already is not run again. The exit status is 1 if
    a cell failed, if no method can run on the datasets, or if a plugin could not be loaded; then
    nothing runs unless --methods names others.
    """
    from rich.console import Console

    from cmbench.agenda import DEFAULT_DATASETS
    from cmbench.errors import IncompleteRunError
    from cmbench.execution.progress import progress_for
    from cmbench.output import printable
    from cmbench.report.layout import View
    from cmbench.runner import finished
    from cmbench.schema import LEFT_OUT, has_failed

    available = available_methods(plugins)
    progress = progress_for(Console(stderr=True), verbose=verbose)
    if options["debug"]:
        click.echo(DEBUGGING, err=True)
    incomplete: IncompleteRunError | None = None
    records: Sequence[Mapping[str, Any]]
    try:
        records = finished(
            list(datasets or DEFAULT_DATASETS), plugins=available, store=store, progress=progress, **options
        )
    except IncompleteRunError as error:
        incomplete, records = error, error.records
    click.echo(err=True)  # on a terminal, a line between progress and table
    has_run = any(record["status"] != LEFT_OUT for record in records)
    if has_run:
        _print(records, store, View(measures=options["measures"]))
    _tell_left_out(records)
    if incomplete is not None:
        raise incomplete
    failed = sum(map(has_failed, records))
    if failed:
        remedy = "'cmbench show METHOD' tells why, --retry-failed runs them again"
        what = "nothing is stored" if options["debug"] else remedy
        click.echo(f"cmbench: {failed} of {len(records)} cells failed; {what}", err=True)
    for problem in available.problems:  # again, where it can be seen
        click.echo(printable(f"cmbench: {problem}"), err=True)
    sys.exit(1 if failed or not has_run or (plugins and available.problems) else 0)


def _print(records: Sequence[Mapping[str, Any]], store: str, view: View) -> None:
    """Print the tables of records, as Markdown unless it goes to a terminal."""
    from cmbench.output import printable
    from cmbench.report.remembered import Remembering
    from cmbench.report.table import render, tables
    from cmbench.store import Store

    arrays = Remembering(Store(store))
    if sys.stdout.isatty():
        print_tables(tables(records, arrays=arrays, view=view))
    else:
        click.echo(printable(render(records, arrays=arrays, view=view)), nl=False)


def _tell_left_out(records: Sequence[Mapping[str, Any]]) -> None:
    """Say which methods were left out, and why."""
    from cmbench.schema import LEFT_OUT

    names: dict[tuple[str, str], list[str]] = {}
    for record in records:
        if record["status"] == LEFT_OUT:
            key = record["dataset"]["name"], record["error"]["message"]
            names.setdefault(key, []).append(record["method"]["name"])
    for (dataset, reason), methods in names.items():
        listed = ", ".join(dict.fromkeys(methods))
        click.echo(f"cmbench: {dataset}: left out {listed}: {reason}", err=True)
