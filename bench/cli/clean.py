"""``cmbench clean``."""

from __future__ import annotations

import sys

import click

from cmbench.cli.options import store_option


@click.command()
@store_option
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@click.option("--yes", is_flag=True, help="Do not ask; only a terminal is asked.")
def clean(store: str, dry_run: bool, yes: bool) -> None:
    """Remove failed cells, and those that newer code has been run for; move aside what cannot be read.

    Replaced is a cell that newer code of its method has finished with the same parameters, seed, dataset and
    protocol. Cells that are running are left alone. What is removed is listed. Files that are no readable
    records are moved to the folder 'damaged' of the store.
    """
    from cmbench.cleaning import removals, remove, remove_source, set_aside, unused_sources
    from cmbench.output import printable
    from cmbench.store import Store

    results = Store(store)
    for source, aside in () if dry_run else set_aside(results):
        click.echo(printable(f"{source}: moved to {aside}, because it cannot be read"))
    found = removals(results)
    sources = unused_sources(results, found)
    for removal in found:
        click.echo(printable(str(removal)))
    for folder in sources:
        click.echo(f"{results.relative(folder)}: code that no cell is left of")
    if not found and not sources:
        click.echo(f"nothing to remove from {store}", err=True)
        return
    if dry_run:
        click.echo(f"would remove {len(found)} cell(s); leave --dry-run out to do so", err=True)
        return
    if sys.stdin.isatty() and not yes:
        click.confirm(f"Remove {len(found)} cell(s) from {store}?", abort=True, err=True)
    removed = [removal for removal in found if remove(results, removal)]
    for folder in set(unused_sources(results, removed)) & set(sources):
        remove_source(folder)
    kept = len(found) - len(removed)
    ending = f"; {kept} began to run meanwhile and stay" if kept else ""
    click.echo(f"removed {len(removed)} cell(s) from {store}{ending}", err=True)
