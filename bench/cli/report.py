"""``cmbench report``: a page of all that a store holds."""

from __future__ import annotations

from pathlib import Path

import click

from cmbench.cli.options import (
    all_versions_option,
    store_option,
    stored_datasets_option,
    stored_methods_option,
    stored_protocols_option,
    with_records,
)


def _folders_of(_: click.Context, __: click.Parameter, texts: tuple[str, ...]) -> dict[str, Path]:
    """Return folders by the names of datasets."""
    folders = {}
    for text in texts:
        name, equals, folder = text.rpartition("=")
        if not (equals and name and Path(folder).is_dir()):
            raise click.BadParameter(f"{text!r} is not DATASET=FOLDER with a folder that is there")
        folders[name] = Path(folder)
    return folders


@click.command()
@click.argument("sources", nargs=-1, type=click.Path(path_type=Path, exists=True))
@click.option(
    "--output",
    "-o",
    required=True,
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the page, made where there is none.",
)
@store_option
@stored_datasets_option
@stored_methods_option
@stored_protocols_option
@all_versions_option
@click.option(
    "--pairs",
    multiple=True,
    callback=_folders_of,
    metavar="DATASET=FOLDER",
    help="Raw pairs of a dataset, of which retrieval examples are drawn. Repeatable.",
)
@click.option("--figures/--no-figures", default=True, help="Draw the figures, which take most of the time.")
@click.option("--title", default="Cross-modal retrieval results", show_default=True, help="Of the page.")
def report(
    sources: tuple[Path, ...],
    output: Path,
    store: str,
    datasets: tuple[str, ...],
    methods: list[str] | None,
    protocol: str | None,
    all_versions: bool,
    pairs: dict[str, Path],
    figures: bool,
    title: str,
) -> None:
    """Write a page of all results that opens in any browser, from one file and without a network.

    SOURCES are a store in place of --store, or records files (.jsonl), which are read together. Two stores
    give the page of the second with what changed since the first.
    """
    from cmbench.report.page.document import document, write
    from cmbench.report.page.sources import studies_of

    folders = sources or (Path(store),)
    study, before = studies_of(folders, all_versions=all_versions)
    shown = with_records(methods, study.records, datasets)
    chosen = study.chosen(datasets=datasets, methods=shown, protocol=protocol)
    earlier = before and before.chosen_like(study, chosen)
    path = write(document(chosen, before=earlier, title=title, figures=figures, pairs=pairs), output)
    click.echo(f"wrote {path}", err=True)
