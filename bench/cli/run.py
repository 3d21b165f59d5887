"""``cmbench run``."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from cmbench.cli.options import (
    dataset_option,
    limit_options,
    measures_option,
    methods_option,
    plugin_option,
    seeds_of,
    settings_of,
)
from cmbench.evaluation.protocol import PROTOCOLS
from cmbench.store import DEFAULT_STORE


def _settings(_: click.Context, __: click.Parameter, texts: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    return settings_of(texts, "METHOD.PARAMETER=VALUE, such as cca.n_components=50")


def _presets(_: click.Context, __: click.Parameter, texts: tuple[str, ...]) -> dict[str, str]:
    presets = {}
    for text in texts:
        method, equals, preset = text.partition("=")
        if not (method and equals and preset):
            raise click.BadParameter(f"{text!r} is not METHOD=PRESET, such as corr-ae=paper")
        presets[method] = preset
    return presets


@click.command()
@dataset_option
@methods_option
@click.option(
    "--set",
    "parameters",
    multiple=True,
    callback=_settings,
    metavar="METHOD.PARAMETER=VALUE",
    help="A parameter of a method; 'cmbench methods METHOD' tells which there are. Repeatable.",
)
@click.option(
    "--preset",
    "presets",
    multiple=True,
    callback=_presets,
    metavar="METHOD=PRESET",
    help="Named parameters of a method, such as corr-ae=paper; --set goes before them. Repeatable.",
)
@click.option(
    "--profile",
    metavar="FILE.toml",
    help="Parameters that 'cmbench tune' chose, in place of the defaults; --preset and --set go before them.",
)
@plugin_option
@click.option(
    "--seeds",
    default="1",
    show_default=True,
    callback=seeds_of,
    metavar="N or A,B,C",
    help="How many seeds, 0 to N-1, or a list of them ('5,' is seed 5 alone), for methods that use chance.",
)
@click.option(
    "--splits",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    metavar="N",
    help="Ways to divide the pairs: the dataset's own, and N-1 drawn anew from all its pairs, by category.",
)
@click.option(
    "--protocol",
    type=click.Choice(list(PROTOCOLS)),
    default="paper",
    show_default=True,
    help="How to evaluate.",
)
@measures_option
@click.option(
    "--store", default=DEFAULT_STORE, show_default=True, metavar="FOLDER", help="Where results are kept."
)
@click.option("--force", is_flag=True, help="Run cells again that are in the store.")
@click.option("--retry-failed", is_flag=True, help="Run those of them again that failed.")
@click.option(
    "--allow-repeated",
    is_flag=True,
    help="Run although pairs stand in two splits, which is refused otherwise; the table says so.",
)
@click.option(
    "--check-determinism",
    is_flag=True,
    help="Fit every method twice with the same seed; one whose representations differ fails.",
)
@limit_options
@click.option(
    "--executor",
    type=click.Choice(["local", "dask"]),
    default="local",
    show_default=True,
    help="Where cells run: on this machine, or on the workers of a Dask cluster.",
)
@click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="The Dask scheduler, such as tcp://host:8786, or the path of its file; for --executor dask.",
)
def run(plugins: tuple[str, ...], datasets: tuple[str, ...], store: str, **options: Any) -> None:
    """Fit and evaluate methods on datasets, and print the table.

    Methods learn from the training pairs and choose parameters on the validation pairs; the numbers
    are those of the test pairs. What the store has already is not run again. The exit status is 1 if
    a cell failed or a plugin could not be loaded.
    """
    from rich.console import Console

    from cmbench.errors import IncompleteRunError
    from cmbench.execution.progress import progress_for
    from cmbench.methods.registry import registry
    from cmbench.output import printable
    from cmbench.report.layout import View
    from cmbench.report.records import LEFT_OUT
    from cmbench.report.table import render
    from cmbench.runner import DEFAULT_DATASETS, finished
    from cmbench.store import Store

    available = registry(plugins)
    for problem in available.problems:
        click.echo(printable(f"cmbench: {problem}"), err=True)
    progress = progress_for(Console(stderr=True))
    incomplete: IncompleteRunError | None = None
    records: Sequence[Mapping[str, Any]]
    try:
        records = finished(
            list(datasets or DEFAULT_DATASETS), plugins=available, store=store, progress=progress, **options
        )
    except IncompleteRunError as error:
        incomplete, records = error, error.records
    click.echo(err=True)  # on a terminal, a line between progress and table
    if records:
        view = View(measures=options["measures"])
        click.echo(printable(render(records, arrays=Store(store).arrays, view=view)), nl=False)
        _tell_left_out(records)
    if incomplete is not None:
        raise incomplete
    failed = sum(record["status"] not in ("ok", LEFT_OUT) for record in records)
    if failed:
        click.echo(
            f"cmbench: {failed} of {len(records)} cells failed; "
            "'cmbench show METHOD' tells why, --retry-failed runs them again",
            err=True,
        )
    sys.exit(1 if failed or (plugins and available.problems) else 0)


def _tell_left_out(records: Sequence[Mapping[str, Any]]) -> None:
    """Say which methods were left out, and why."""
    names: dict[tuple[str, str], list[str]] = {}
    for record in records:
        if record["status"] == "left-out":
            key = record["dataset"]["name"], record["error"]["message"]
            names.setdefault(key, []).append(record["method"]["name"])
    for (dataset, reason), methods in names.items():
        listed = ", ".join(dict.fromkeys(methods))
        click.echo(f"cmbench: {dataset}: left out {listed}: {reason}", err=True)
