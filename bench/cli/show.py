"""``cmbench show``."""

from __future__ import annotations

import click

from cmbench.store import DEFAULT_STORE


@click.command()
@click.argument("cell")
@click.option(
    "--store", default=DEFAULT_STORE, show_default=True, metavar="FOLDER", help="Where results are kept."
)
def show(cell: str, store: str) -> None:
    """Show everything that a store holds about a cell: results, parameters, durations, errors, origin.

    CELL is a method (cca), a dataset and method (scenes/cca), or the first digits of a key.
    """
    from cmbench.output import printable
    from cmbench.report.cells import describe, stored_cells

    click.echo(printable("\n\n".join(describe(record) for record in stored_cells(store, [cell]))))
