"""``cmbench compare``."""

from __future__ import annotations

from pathlib import Path

import click

from cmbench.cli.options import store_option, stored_datasets_option, stored_protocols_option


@click.command()
@click.argument("first")
@click.argument("second")
@store_option
@stored_datasets_option
@stored_protocols_option
def compare(first: str, second: str, store: str, datasets: tuple[str, ...], protocol: str | None) -> None:
    """Say how two methods differ, and whether by more than chance.

    FIRST and SECOND are methods of a store (cmgans jrl), or the folders of two stores, of which all
    cells are compared that both have. The test pairs are the same, so the difference is taken pair by pair.
    Where a store has a method with several parameters, or of older code, give the first digits of the key of
    one of its cells, as 'cmbench show METHOD' prints it.
    """
    from cmbench.errors import ReportError
    from cmbench.report.cells import stored_records
    from cmbench.report.comparison import compare_methods, compare_stores
    from cmbench.report.records import select
    from cmbench.store import Store, matching

    folders = [name for name in (first, second) if Path(name).is_dir()]
    if len(folders) == 1 and not [*matching(Store(store).summaries(), folders[0])]:
        (missing,) = {first, second} - {*folders}
        raise ReportError(f"there is no folder {missing!r}; give those of two stores, or two methods of one")
    if len(folders) == 2:
        stores = Store(first), Store(second)
        click.echo(compare_stores(*stores, datasets=datasets, protocol=protocol), nl=False)
        return
    records = select(stored_records(store, all_versions=True), datasets=datasets, protocol=protocol)
    click.echo(compare_methods(Store(store), records, first, second), nl=False)
