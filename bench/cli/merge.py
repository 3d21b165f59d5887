"""``cmbench merge``."""

from __future__ import annotations

import sys

import click

from cmbench.cli.options import store_option_for


@click.command()
@click.argument(
    "sources", nargs=-1, required=True, metavar="FROM...", type=click.Path(exists=True, file_okay=False)
)
@store_option_for("Where they are brought to.")
@click.option("--dry-run", is_flag=True, help="Compare only, and change nothing.")
def merge(sources: tuple[str, ...], store: str, dry_run: bool) -> None:
    """Bring the results of other stores into one, and say what is new, equal, different and replaced.

    Where two machines have run the same cell and its numbers differ, the one that did not fail stays, else
    the one that was run later. The other is kept in the folder 'replaced' of the store, which holds a store
    for each merge. FROM stays as it is. Cells that a run has just now are left alone, and so are those
    whose files cannot be read, here or there. The exit status is 1 if any numbers differ, or a cell is left
    alone.
    """
    from cmbench.merging import foreseen, merge_into, report
    from cmbench.output import printable
    from cmbench.store import Store

    into, all_well = Store(store), True
    for source in sources:
        comparison = foreseen(Store(source), into) if dry_run else merge_into(Store(source), into)
        for problem in comparison.problems:
            click.echo(printable(f"cmbench: left out: {problem}"), err=True)
        for line in report(comparison, source, store, dry_run=dry_run):
            click.echo(printable(line))
        all_well = all_well and comparison.is_peaceful
    sys.exit(0 if all_well else 1)
