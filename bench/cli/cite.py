"""``cmbench cite``."""

from __future__ import annotations

import click

from cmbench.cli.options import plugin_option


@click.command()
@click.argument("methods", nargs=-1, metavar="[METHOD]...")
@plugin_option
def cite(methods: tuple[str, ...], plugins: tuple[str, ...]) -> None:
    """Print BibTeX entries of the papers of methods, and of cmbench.

    Without METHOD, those of the eleven methods of the paper's tables. A paper of several methods comes once.
    """
    from cmbench.methods.bibliography import bibtex_of, bibtex_of_cmbench
    from cmbench.methods.registry import DEFAULT_METHODS, registry

    available = registry(plugins)
    for problem in available.problems:
        click.echo(f"cmbench: {problem}", err=True)
    entries = [bibtex_of(available[name].load()) for name in methods or DEFAULT_METHODS]
    click.echo("\n\n".join(dict.fromkeys([bibtex_of_cmbench(), *entries])))
    if available.problems:
        raise SystemExit(1)
