"""``cmbench table``: leaderboards from stored records."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cmbench.cli.options import all_versions_option, measures_option
from cmbench.store import DEFAULT_STORE

if TYPE_CHECKING:
    from cmbench.report.records import Spread
    from cmbench.report.table import Format


def _format_of(output: Path | None) -> Format:
    """Return the format that the ending of a file stands for."""
    endings: dict[str, Format] = {".tex": "latex", ".csv": "csv"}
    return endings.get("" if output is None else output.suffix.lower(), "markdown")


@click.command()
@click.option(
    "--store", default=DEFAULT_STORE, show_default=True, metavar="FOLDER", help="Where results are kept."
)
@click.option(
    "--dataset",
    "datasets",
    multiple=True,
    help="Name, or start of a fingerprint; repeat for several. Default: all.",
)
@click.option("--methods", help="Names separated by commas. Default: all.")
@click.option(
    "--ablation",
    is_flag=True,
    help="Compare CM-GANs with its ablations instead, as its paper's Tables IV to VI.",
)
@measures_option
@click.option("--protocol", help="NAME or NAME:VERSION. Default: all, each in tables of its own.")
@click.option(
    "--format",
    type=click.Choice(["markdown", "latex", "csv"]),
    help="[default: what the ending of --output says, else markdown]",
)
@click.option(
    "--spread",
    type=click.Choice(["seeds", "queries"]),
    default="seeds",
    show_default=True,
    help="What stands behind ±: the deviation over seeds, or the standard error over queries.",
)
@click.option(
    "--letters",
    is_flag=True,
    help="Put letters behind the numbers: methods that share one cannot be told apart.",
)
@all_versions_option
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Write to this file instead.")
def table(
    store: str,
    datasets: tuple[str, ...],
    methods: str | None,
    ablation: bool,
    measures: list[str] | None,
    protocol: str | None,
    format: Format | None,
    spread: Spread,
    letters: bool,
    all_versions: bool,
    output: Path | None,
) -> None:
    """Print the leaderboard of each dataset under each protocol.

    The best number of a column is bold, and so is every other that a paired test over the queries cannot
    tell apart from it; failed cells are spelled out. CSV holds one table: choose it with --dataset and
    --protocol. Of each method, the newest code is shown.
    """
    from cmbench.output import output_file, printable
    from cmbench.report import ablation as ablations
    from cmbench.report import table as leaderboards
    from cmbench.report.cells import stored_summaries
    from cmbench.report.layout import View
    from cmbench.report.records import select
    from cmbench.store import Store

    if ablation and methods is not None:
        raise click.UsageError("the rows of --ablation are those of the paper; leave --methods out")
    format = format or _format_of(output)
    names = [] if methods is None else [name.strip() for name in methods.split(",")]
    records = stored_summaries(store, all_versions=all_versions)
    chosen = select(records, datasets=datasets, methods=names, protocol=protocol)
    if ablation and measures is not None:
        raise click.UsageError("the columns of --ablation are those of the paper; leave --measures out")
    view = View(spread=spread, measures=measures, letters=letters)
    render = ablations.render if ablation else leaderboards.render
    text = render(chosen, format=format, arrays=Store(store).arrays, view=view)
    if output is None:
        click.echo(printable(text), nl=False)
        return
    with output_file(output) as beside:
        beside.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")
    click.echo(f"wrote {output}", err=True)
