"""``cmbench table``: leaderboards from stored records."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import click

from cmbench.cli.options import (
    all_versions_option,
    measures_option,
    names_of,
    store_option,
    stored_datasets_option,
    stored_methods_option,
    stored_protocols_option,
    with_records,
)
from cmbench.cli.terminal import print_tables

if TYPE_CHECKING:
    from cmbench.report.ablation import Which
    from cmbench.report.formats import Format

ENDINGS: dict[str, Format] = {
    ".md": "markdown",
    ".tex": "latex",
    ".csv": "csv",
    ".html": "html",
    ".htm": "html",
    ".txt": "text",
}


def _format_of(output: Path | None) -> Format | None:
    """Return the format that the ending of a file stands for; None without a file."""
    if output is None:
        return None
    if output.suffix.lower() not in ENDINGS:
        raise click.BadParameter(
            f"the ending of {output} names no format; end it in {', '.join(ENDINGS)}, or give --format",
            param_hint="--output",
        )
    return ENDINGS[output.suffix.lower()]


@click.command()
@store_option
@stored_datasets_option
@stored_methods_option
@click.option(
    "--ablation",
    is_flag=True,
    help="Compare CM-GANs with its ablations instead, as its paper's Tables IV to VI.",
)
@click.option(
    "--settings",
    type=click.Choice(["same", "own"]),
    help="With --ablation: the table in which all have the parameters chosen for CM-GANs, or that in which "
    "each has those chosen for itself. [default: both, where there are both]",
)
@click.option(
    "--overview",
    is_flag=True,
    help="Show all datasets in one table instead, with average ranks and wins.",
)
@click.option(
    "--published",
    type=click.Choice(["auto", "wikipedia", "pascal", "xmedianet"]),
    is_flag=False,
    flag_value="auto",
    help="Show bi-modal averages beside those of published tables instead, and how far the order of methods "
    "agrees. Of which collection a dataset is, name and sizes tell, unless it is said.",
)
@measures_option
@stored_protocols_option
@click.option(
    "--columns",
    callback=names_of,
    metavar="A,B,C",
    help="What to show beside the numbers: seconds, memory, weights, seeds, trials, profile, family, or "
    "further measures such as p@10.",
)
@click.option("--averages", is_flag=True, help="Show the averages alone, without the two directions.")
@click.option(
    "--sort",
    metavar="COLUMN",
    help="Order rows by a column, such as bimodal_average, r@1 or seconds. [default: as in the paper]",
)
@click.option(
    "--digits", type=click.IntRange(1, 9), default=3, show_default=True, help="Decimals of numbers."
)
@click.option(
    "--format",
    type=click.Choice(["markdown", "latex", "csv", "html", "text"]),
    help="[default: what the ending of --output says; else text for a terminal, and markdown for others]",
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
@click.option("--caption", metavar="TEXT", help="Above the table, in place of title and description.")
@click.option("--label", metavar="NAME", help="Of the LaTeX table, for its \\ref.")
@all_versions_option
@click.option("-v", "--verbose", is_flag=True, help="On a terminal: definitions and all deviations too.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write to this file instead.",
)
def table(
    store: str,
    datasets: tuple[str, ...],
    methods: list[str] | None,
    ablation: bool,
    settings: Which | None,
    overview: bool,
    published: str | None,
    protocol: str | None,
    format: Format | None,
    all_versions: bool,
    verbose: bool,
    output: Path | None,
    columns: list[str] | None,
    **options: Any,
) -> None:
    """Print the leaderboard of each dataset under each protocol.

    The best number of a column is bold or green, and so is every other that a paired test over the queries
    cannot tell apart from it; failed cells are spelled out. CSV holds one table: choose it with --dataset and
    --protocol. Of each method, the newest code is shown.
    """
    from cmbench.report import ablation as ablations
    from cmbench.report import overview as overviews
    from cmbench.report import shape
    from cmbench.report import table as leaderboards
    from cmbench.report.cells import stored_summaries
    from cmbench.report.layout import View
    from cmbench.report.records import select
    from cmbench.report.remembered import Remembering
    from cmbench.store import Store

    named = {**options, "columns": columns, "methods": methods, "settings": settings}
    _refuse_contradictions(ablation=ablation, overview=overview, published=published, named=named)
    format = format or _format_of(output)
    records = stored_summaries(store, all_versions=all_versions)
    shown = with_records(methods, records, datasets)
    chosen = select(records, datasets=datasets, methods=shown, protocol=protocol)
    made: ModuleType = (
        ablations if ablation else overviews if overview else shape if published else leaderboards
    )
    more: dict[str, Any] = {"which": settings} if ablation else {}
    if published:
        more = {"collection": None if published == "auto" else published}
    arrays, view = Remembering(Store(store)), View(columns=columns or (), **options)
    if format is None and sys.stdout.isatty():
        print_tables(made.tables(chosen, arrays=arrays, view=view, **more), verbose=verbose)
        return
    text = made.render(chosen, format=format or "markdown", arrays=arrays, view=view, **more)
    _put(text, output)


def _refuse_contradictions(
    *, ablation: bool, overview: bool, published: str | None, named: Mapping[str, Any]
) -> None:
    """Raise ``click.UsageError`` for options that do not go together; ``named`` holds those by name."""
    if ablation + overview + (published is not None) > 1:
        raise click.UsageError(
            "--ablation, --overview and --published are tables of their own, two tables at least; give one"
        )
    if published and (named["sort"] or named["columns"] or named["measures"] or named["averages"]):
        raise click.UsageError(
            "--published has columns and an order of its own; leave --sort, --columns, --measures and "
            "--averages out"
        )
    if overview and (named["sort"] or named["columns"] or named["averages"]):
        raise click.UsageError(
            "--overview sorts by average rank and has its own columns, averages; leave --sort, --columns and "
            "--averages out"
        )
    if ablation and named["methods"] is not None:
        raise click.UsageError("the rows of --ablation are those of the paper; leave --methods out")
    if ablation and (named["measures"] is not None or named["averages"]):
        raise click.UsageError(
            "the columns of --ablation are those of the paper; leave --measures and --averages out"
        )
    if named["settings"] is not None and not ablation:
        raise click.UsageError("--settings chooses a table of --ablation, which is not given")


def _put(text: str, output: Path | None) -> None:
    """Print a text, or write it to a file."""
    from cmbench.output import output_file, printable

    if output is None:
        click.echo(printable(text), nl=False)
        return
    with output_file(output) as beside:
        beside.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")
    click.echo(f"wrote {output}", err=True)
