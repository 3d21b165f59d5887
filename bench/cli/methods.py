"""``cmbench methods``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click

from cmbench.cli.options import plugin_option


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME | new NAME]")
@plugin_option
@click.option("--parameters", is_flag=True, help="List parameters with their defaults and presets, too.")
@click.option("--deep", is_flag=True, help="With 'new': a method that trains networks.")
def methods(names: tuple[str, ...], plugins: tuple[str, ...], parameters: bool, deep: bool) -> None:
    """List the methods, built in and from plugins, or describe the one called NAME.

    The name of a group stands for its members wherever methods are listed, as in --methods paper,ridge.

    'cmbench methods new NAME' writes a method to begin with, and its test, into the current folder.

    The description says what the method is, and of each of its parameters the default, the values that are
    allowed, those worth trying, and the meaning.
    """
    if names[:1] == ("new",):
        _write(names[1:], deep=deep)
    elif len(names) > 1:
        raise click.UsageError(f"{len(names)} names are given; describe one method at a time")
    elif names:
        _describe(names[0], plugins)
    else:
        _list(plugins, parameters)


def _write(names: tuple[str, ...], *, deep: bool) -> None:
    from cmbench.methods.scaffold import write_new

    if len(names) != 1:
        raise click.UsageError("give the new method one name, such as 'cmbench methods new my-method'")
    method, test = write_new(names[0], Path(), deep=deep)
    click.echo(f"wrote {method} and {test}; next:")
    click.echo(f"  cmbench check {method}")
    click.echo(f"  cmbench run --plugin {method} --methods cca,{names[0]} --limit 200")


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
        "group",
        "origin",
        *(["parameters", "presets"] if parameters else []),
    ]
    click.echo(
        tabulate(
            [[row[column] for column in columns] for row in rows],
            headers=columns,
            maxcolwidths=[None] * 6 + [60, 30] * parameters,
        )
    )
    _report(problems)
    if problems:
        raise SystemExit(1)


def _report(problems: Iterable[str]) -> None:
    for problem in problems:
        click.echo(f"cmbench: {problem}", err=True)
