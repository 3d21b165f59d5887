"""``cmbench show``."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

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

    CELL is a method (cca), a dataset and method (emoji/cca), or the first digits of a key.
    """
    from cmbench.output import printable
    from cmbench.report.cells import stored_cells
    from cmbench.report.description import described

    place = None if store == DEFAULT_STORE else store
    cells = stored_cells(store, [cell])
    today = _defaults_today({record["method"]["name"] for record in cells})
    click.echo(printable(described(cells, store=place, defaults=today)))


def _defaults_today(names: Collection[str]) -> dict[str, dict[str, Any]]:
    """Return the defaults of parameters by method; those of a plugin that is a file are not known."""
    from cmbench.methods.parameters import defaults_of
    from cmbench.methods.registry import registry

    available = registry()
    return {name: defaults_of(available[name].load()) for name in names if name in available.entries}
