"""``cmbench methods``."""

from __future__ import annotations

import click


@click.command()
@click.option(
    "--plugin", "plugins", multiple=True, metavar="FILE.py", help="A file that defines methods. Repeatable."
)
@click.option("--parameters", is_flag=True, help="List parameters with their defaults and presets, too.")
def methods(plugins: tuple[str, ...], parameters: bool) -> None:
    """List the methods, built in and from plugins."""
    from tabulate import tabulate

    from cmbench.methods.registry import method_rows

    rows, problems = method_rows(plugins)
    columns = [
        "name",
        "paper name",
        "family",
        "labels",
        "origin",
        *(["parameters", "presets"] if parameters else []),
    ]
    click.echo(
        tabulate(
            [[row[column] for column in columns] for row in rows],
            headers=columns,
            maxcolwidths=[None] * 5 + [60, 30] * parameters,
        )
    )
    for problem in problems:
        click.echo(f"cmbench: {problem}", err=True)
    if problems:
        raise SystemExit(1)
