"""``cmbench show``."""

from __future__ import annotations

import click

from cmbench.cli.options import store_option
from cmbench.store import DEFAULT_STORE


@click.command()
@click.argument("cell")
@store_option
def show(cell: str, store: str) -> None:
    """Show everything that a store holds about a cell.

    First how to run it again, and what differs from the defaults; then results, parameters, durations,
    errors, origin. Seeds and splits of a method are told together.

    CELL is a method (cca), a dataset and method (scenes/cca), or the first digits of a key.
    """
    from cmbench.output import printable
    from cmbench.report.cells import stored_cells
    from cmbench.report.description import described

    place = None if store == DEFAULT_STORE else store
    click.echo(printable(described(stored_cells(store, [cell]), store=place)))
