"""``cmbench methods``."""

from __future__ import annotations

from collections.abc import Iterable

import click


@click.command()
@click.argument("name", required=False)
@click.option(
    "--plugin", "plugins", multiple=True, metavar="FILE.py", help="A file that defines methods. Repeatable."
)
@click.option("--parameters", is_flag=True, help="List parameters with their defaults and presets, too.")
def methods(name: str | None, plugins: tuple[str, ...], parameters: bool) -> None:
    """List the methods, built in and from plugins, or describe the one called NAME.

    The description says what the method is, and of each of its parameters the default, the values that are
    allowed, those worth trying, and the meaning.
    """
    if name is None:
        _list(plugins, parameters)
    else:
        _describe(name, plugins)


def _describe(name: str, plugins: tuple[str, ...]) -> None:
    from cmbench.methods.description import description_of
    from cmbench.methods.registry import registry

    entries = registry(plugins)
    _report(entries.problems)
    click.echo(description_of(entries[name].load()))
    if entries.problems:
        raise SystemExit(1)


def _list(plugins: tuple[str, ...], parameters: bool) -> None:
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
    _report(problems)
    if problems:
        raise SystemExit(1)


def _report(problems: Iterable[str]) -> None:
    for problem in problems:
        click.echo(f"cmbench: {problem}", err=True)
