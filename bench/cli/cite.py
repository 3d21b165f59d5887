"""``cmbench cite``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from cmbench.cli.options import plugin_option
from cmbench.errors import MethodError

if TYPE_CHECKING:
    from cmbench.methods.contract import Method


@click.command()
@click.argument("methods", nargs=-1, metavar="[METHOD]...")
@plugin_option
def cite(methods: tuple[str, ...], plugins: tuple[str, ...]) -> None:
    """Print BibTeX entries of the papers of methods, and of cmbench.

    Without METHOD, those of the eleven methods of the paper's tables. A paper of several methods comes once.
    METHOD may be a group: paper, beyond or controls. Methods without a paper are named; the exit status is 1
    if none has one.
    """
    from cmbench.methods.bibliography import bibtex_of_cmbench
    from cmbench.methods.registry import DEFAULT_METHODS, expanded, registry

    available = registry(plugins)
    for problem in available.problems:
        click.echo(f"cmbench: {problem}", err=True)
    entries = list(_entries([available[name].load() for name in expanded(methods or DEFAULT_METHODS)]))
    if entries:
        click.echo("\n\n".join(dict.fromkeys([bibtex_of_cmbench(), *entries])))
    if available.problems or not entries:
        raise SystemExit(1)


def _entries(methods: list[type[Method]]) -> Iterator[str]:
    """Yield the entry of each method that has a paper, and name the others on standard error."""
    from cmbench.methods.bibliography import bibtex_of

    for method in methods:
        try:
            yield bibtex_of(method)
        except MethodError as error:
            click.echo(f"cmbench: {error}", err=True)
