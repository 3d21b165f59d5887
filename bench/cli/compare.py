"""``cmbench compare``."""

from __future__ import annotations

from pathlib import Path

import click

from cmbench.store import DEFAULT_STORE


@click.command()
@click.argument("first")
@click.argument("second")
@click.option(
    "--store", default=DEFAULT_STORE, show_default=True, metavar="FOLDER", help="Where results are kept."
)
@click.option(
    "--dataset",
    "datasets",
    multiple=True,
    help="Name, or start of a fingerprint; repeat for several. Default: all.",
)
@click.option("--protocol", help="NAME or NAME:VERSION. Default: all, each in tables of its own.")
def compare(first: str, second: str, store: str, datasets: tuple[str, ...], protocol: str | None) -> None:
    """Say how two methods differ, and whether by more than chance.

    FIRST and SECOND are methods of a store (cmgans jrl), or the folders of two stores, of which all
    cells are compared that both have. The test pairs are the same, so the difference is taken pair by pair.
    """
    from cmbench.report.cells import stored_records
    from cmbench.report.comparison import compare_methods, compare_stores
    from cmbench.report.records import select
    from cmbench.store import Store

    if Path(first).is_dir() and Path(second).is_dir():
        click.echo(compare_stores(Store(first), Store(second)), nl=False)
        return
    records = select(stored_records(store), datasets=datasets, protocol=protocol)
    click.echo(compare_methods(Store(store), records, first, second), nl=False)
