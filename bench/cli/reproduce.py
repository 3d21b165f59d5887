"""``cmbench reproduce``."""

from __future__ import annotations

import sys

import click

from cmbench.cli.options import DATASET, PLUGIN, store_option_for


@click.command()
@click.argument("cell")
@store_option_for("Where the record is.")
@click.option(
    "--dataset",
    type=DATASET,
    metavar="NAME_OR_PATH",
    help="Where its dataset is now. [default: where the record says it was]",
)
@click.option(
    "--plugin",
    type=PLUGIN,
    metavar="FILE.py",
    help="The file that defines its method. [default: the code that the store keeps]",
)
@click.option(
    "--tolerance",
    type=click.FloatRange(0),
    default=0.0,
    show_default=True,
    help="Difference of a MAP or AP up to which a cell counts as reproduced.",
)
@click.option(
    "--deadline", default="none", show_default=True, metavar="TIME", help="Longest time for a cell."
)
def reproduce(
    cell: str, store: str, dataset: str | None, plugin: str | None, tolerance: float, deadline: str
) -> None:
    """Run a stored cell again, and compare what comes out with its record.

    CELL is a method (cca), a dataset and method (emoji/cca), or the first digits of a key; of several cells
    each is run. MAPs and the AP of every query are compared, to the last bit. The store is not changed. The
    exit status is 1 if a cell came out differently, or not at all.
    """
    from cmbench.output import printable
    from cmbench.report.cells import stored_cells
    from cmbench.reproduction import reproduced
    from cmbench.store import Store

    alike = True
    for record in stored_cells(store, [cell]):
        result = reproduced(record, Store(store), dataset=dataset, plugin=plugin, deadline=deadline)
        click.echo(printable(str(result)))
        alike &= result.difference <= tolerance
    sys.exit(0 if alike else 1)
