"""``cmbench plot``: figures from stored records."""

from __future__ import annotations

import re
from pathlib import Path

import click

from cmbench.cli.options import all_versions_option
from cmbench.store import DEFAULT_STORE


@click.group()
def plot() -> None:
    """Draw figures from stored records."""


@plot.command()
@click.option(
    "--store", default=DEFAULT_STORE, show_default=True, metavar="FOLDER", help="Where results are kept."
)
@click.option("--dataset", help="Name, or start of a fingerprint. Needed where the store holds several.")
@click.option("--methods", help="Names separated by commas. Default: all.")
@click.option("--protocol", help="NAME or NAME:VERSION. Needed where the store holds several.")
@all_versions_option
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File ending in .pdf, .svg or .png. Default: categories-<dataset>.pdf",
)
def categories(
    store: str,
    dataset: str | None,
    methods: str | None,
    protocol: str | None,
    all_versions: bool,
    output: Path | None,
) -> None:
    """Draw the MAP of every category as bars, image→text and text→image."""
    from cmbench.report.categories import figure
    from cmbench.report.cells import stored_records
    from cmbench.report.figure import save
    from cmbench.report.records import only_group, select

    datasets = () if dataset is None else (dataset,)
    chosen = select(stored_records(store, all_versions=all_versions), datasets=datasets, protocol=protocol)
    names = None if methods is None else [name.strip() for name in methods.split(",")]
    path = output or _default_output("categories", only_group(chosen).name)
    save(figure(chosen, methods=names), path)
    click.echo(f"wrote {path}", err=True)


@plot.command()
@click.argument("cells", nargs=-1, required=True)
@click.option(
    "--store", default=DEFAULT_STORE, show_default=True, metavar="FOLDER", help="Where results are kept."
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File ending in .pdf, .svg or .png. Default: training-<dataset>-<method>.pdf",
)
def training(cells: tuple[str, ...], store: str, output: Path | None) -> None:
    """Draw the curves of a training: losses, accuracies, gradients, MAP on validation.

    CELLS are a method (cmgans), a dataset and method (scenes/cmgans), or the first digits of keys. Seeds of
    one setting are drawn over each other; different settings never share a figure.
    """
    from cmbench.report.cells import stored_cells
    from cmbench.report.curves import trainings
    from cmbench.report.figure import save
    from cmbench.report.training import figure

    recorded = trainings(store, stored_cells(store, cells))
    record = recorded[0].record
    path = output or _default_output("training", record["dataset"]["name"], record["method"]["name"])
    save(figure(recorded), path)
    click.echo(f"wrote {path}", err=True)


def _default_output(*names: str) -> Path:
    """Return a file name made of these names, without characters that file names should not have."""
    return Path(f"{'-'.join(re.sub(r'[^A-Za-z0-9_.]+', '-', name) for name in names)}.pdf")
