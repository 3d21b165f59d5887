"""``cmbench plot``: figures from stored records."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cmbench.cli.options import (
    DATASET,
    all_versions_option,
    names_of,
    store_option,
    stored_datasets_option,
    stored_methods_option,
    with_options,
    with_records,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from cmbench.records import Record
    from cmbench.report.kept import Kept
    from cmbench.report.records import Group
    from cmbench.report.significance import Arrays
    from cmbench.report.space import Projection

Command = TypeVar("Command", bound=Callable[..., Any])

one_protocol_option = click.option(
    "--protocol", help="NAME or NAME:VERSION. Needed where the store holds several."
)
_CHOICE = (
    store_option,
    click.option(
        "--dataset",
        type=DATASET,
        help="Name, or start of a fingerprint. Needed where the store holds several.",
    ),
    stored_methods_option,
    one_protocol_option,
    all_versions_option,
)
width_option = click.option(
    "--width", metavar="column|page|INCHES", help="Width in print. [default: what the figure needs]"
)
output_option = click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File ending in .pdf, .svg or .png. Default: named after what is drawn, .pdf.",
)


choice_options = with_options((*_CHOICE, width_option, output_option))
over_datasets_options = with_options(
    (store_option, stored_datasets_option, *_CHOICE[2:], width_option, output_option)
)


@click.group()
def plot() -> None:
    """Draw figures from stored records."""


@plot.command()
@choice_options
def categories(width: str | None, output: Path | None, **choice: Any) -> None:
    """Draw the MAP of every category as bars, image→text and text→image.

    Where the bars do not fit a --width, or are many, categories have rows with points instead; where a
    page has no room for so many, a curve shows their MAPs in order. Lines on bars and through points are
    one standard deviation over seeds and splits to either side.
    """
    from cmbench.report.categories import figure

    group = _group(_chosen(**choice), choice["methods"])
    inches = None if width is None else _width(width)
    drawn = figure(group.records, width=inches, arrays=_arrays(choice["store"]))
    _save(drawn, output, "categories", group.name)


@plot.command("precision-recall")
@choice_options
def precision_recall(width: str | None, output: Path | None, **choice: Any) -> None:
    """Draw precision by recall, image→text and text→image.

    A band around a curve is one standard deviation over seeds and splits to either side.
    """
    from cmbench.report.figure import title_of
    from cmbench.report.precision_recall import figure

    group = _group(_chosen(**choice), choice["methods"])
    drawn = figure(
        _kept(choice["store"], group),
        width=_width(width or "column"),
        title=title_of(group),
        arrays=_arrays(choice["store"]),
    )
    _save(drawn, output, "precision-recall", group.name)


@plot.command()
@over_datasets_options
@click.option(
    "--time",
    type=click.Choice(["clock", "processor"]),
    default="clock",
    show_default=True,
    help="That of training by the clock, or that of a processor, which other work beside it does not change.",
)
def costs(time: str, width: str | None, output: Path | None, **choice: Any) -> None:
    """Draw MAP, the bi-modal average, against time, and against the most memory of a run.

    Of several datasets under one protocol, each has a panel of MAP against time. Lines through points are one
    standard deviation of MAP over seeds and splits to either side. The controls that learn nothing of the
    features (random, majority, oracle) are drawn where they are named.
    """
    from cmbench.report.costs import TIMES, cost_figure, costs_of_datasets
    from cmbench.report.figure import title_of
    from cmbench.report.records import refuse_nothing
    from cmbench.report.settings import settings

    groups = _groups_of_methods(**choice)
    options: dict[str, Any] = {"arrays": _arrays(choice["store"]), "time": TIMES[time]}
    if len(groups) > 1:
        drawn = costs_of_datasets(groups, width=_width(width or "page"), **options)
        return _save(drawn, output, "costs")
    (group,) = groups
    refuse_nothing(group.finished, group.title)
    drawn = cost_figure(
        settings(group.records), width=_width(width or "column"), title=title_of(group), **options
    )
    return _save(drawn, output, "costs", group.name)


@plot.command()
@choice_options
def sizes(width: str | None, output: Path | None, **choice: Any) -> None:
    """Draw MAP against the number of dimensions of the common space.

    Lines through points are one standard deviation of MAP over seeds and splits to either side.
    """
    from cmbench.report.costs import size_figure
    from cmbench.report.figure import title_of
    from cmbench.report.settings import settings

    group = _group(_chosen(**choice), choice["methods"])
    drawn = size_figure(
        settings(group.records),
        width=_width(width or "column"),
        title=title_of(group),
        arrays=_arrays(choice["store"]),
    )
    _save(drawn, output, "sizes", group.name)


@plot.command()
@choice_options
@click.option(
    "--projection",
    type=click.Choice(["pca", "tsne"]),
    default="pca",
    show_default=True,
    help="The principal axes, or t-SNE of them.",
)
@click.option(
    "--categories",
    callback=names_of,
    metavar="A,B",
    help="Categories that have colours, up to ten. [default: the first]",
)
def space(
    projection: Projection,
    categories: list[str] | None,
    width: str | None,
    output: Path | None,
    **choice: Any,
) -> None:
    """Draw the common space in two dimensions, a panel for each method.

    Categories have colours, pictures are circles and texts triangles.
    """
    from cmbench.report.kept import of_all, on_one_split
    from cmbench.report.space import figure, points

    group = _group(_chosen(**choice), choice["methods"])
    shown = on_one_split(_kept(choice["store"], group))
    drawn = figure(
        of_all(shown, lambda kept: points(kept, projection)),
        group.dataset["class_names"],
        coloured=categories or (),
        width=_width(width or "column"),
        title=_title_on_split(group, shown),
    )
    _save(drawn, output, "space", group.name)


@plot.command()
@over_datasets_options
def ranks(width: str | None, output: Path | None, **choice: Any) -> None:
    """Draw average ranks over datasets, by bi-modal average MAP, with the critical difference of methods."""
    from cmbench.report.rank_figure import figure, ranked

    inches = None if width is None else _width(width)
    _save(figure(ranked(_groups_of_methods(**choice)), width=inches), output, "ranks")


@plot.command()
@choice_options
@click.option(
    "--direction",
    "directions",
    multiple=True,
    metavar="TASK",
    help="image-to-text, text-to-image, image-to-all or text-to-all; repeatable. [default: the first two]",
)
@click.option(
    "--queries",
    callback=names_of,
    metavar="ID,ID",
    help="Ids of test pairs that ask. [default: found by --contrast]",
)
@click.option(
    "--contrast",
    callback=names_of,
    metavar="A,B",
    help="Find queries for which method A is most ahead of B. [default: the best and the worst]",
)
@click.option(
    "--number",
    type=click.IntRange(1),
    default=2,
    show_default=True,
    help="Queries to find in each direction.",
)
@click.option(
    "--top", type=click.IntRange(1, 20), default=5, show_default=True, help="Items to show of each ranking."
)
@click.option(
    "--pairs",
    type=click.Path(path_type=Path, exists=True),
    metavar="FOLDER",
    help="Where the raw pictures and texts are; not needed for scenes and for the test pairs of emoji.",
)
@click.option(
    "--raw", "kind", metavar="NAME", help="How to read them: see 'cmbench datasets raw'. [default: tried]"
)
def examples(
    directions: tuple[str, ...],
    queries: list[str] | None,
    contrast: list[str] | None,
    number: int,
    top: int,
    pairs: Path | None,
    kind: str | None,
    width: str | None,
    output: Path | None,
    **choice: Any,
) -> None:
    """Draw what methods retrieve for some queries: right items in green, wrong ones in red.

    The queries are those you name, or those at which one method fails most where another does not; a line
    under the figure says which. Pictures
    and texts are looked up by id in the folder of the raw pairs.
    """
    from cmbench.report.example_figure import figure, shown_ids
    from cmbench.report.examples import Ranked, which_queries
    from cmbench.report.examples import examples as examples_of
    from cmbench.report.kept import of_all, on_one_split
    from cmbench.report.raw_pairs import raw_pairs

    group = _group(_chosen(**choice), choice["methods"])
    tasks = [
        word.replace("-", "_").replace("→", "_to_")
        for word in directions or ("image-to-text", "text-to-image")
    ]
    asked = on_one_split(_kept(choice["store"], group))
    runs = of_all(asked, lambda kept: Ranked.of(kept, tasks))
    choice_of_queries: dict[str, Any] = {"queries": queries or (), "contrast": _two(contrast)}
    found = examples_of(runs, tasks, **choice_of_queries, number=number, top=top)
    shown = raw_pairs(group.dataset, shown_ids(found), pairs, kind=kind)
    note = f"{_title_on_split(group, asked)}. {which_queries(runs, tasks, **choice_of_queries)}."
    drawn = figure(found, shown, width=_width(width or "page"), note=note)
    _save(drawn, output, "examples", group.name)


@plot.command()
@click.argument("cells", nargs=-1, required=True)
@store_option
@width_option
@output_option
def training(cells: tuple[str, ...], store: str, width: str | None, output: Path | None) -> None:
    """Draw the curves of a training: losses, accuracies, gradients, MAP on validation.

    CELLS are a method (cmgans), a dataset and method (emoji/cmgans), or the first digits of keys. Seeds of
    one setting are drawn over each other; different settings never share a figure.
    """
    from cmbench.report.cells import stored_cells
    from cmbench.report.curves import trainings
    from cmbench.report.training import figure

    inches = _width(width or "column")
    recorded = trainings(store, stored_cells(store, cells))
    record = recorded[0].record
    _save(
        figure(recorded, width=inches),
        output,
        "training",
        record["dataset"]["name"],
        record["method"]["name"],
    )


def _chosen(
    *, store: str, dataset: str | None, methods: list[str] | None, protocol: str | None, all_versions: bool
) -> list[Record]:
    """Return the records of a dataset under a protocol, of all methods."""
    from cmbench.report.cells import stored_records
    from cmbench.report.records import select

    datasets = () if dataset is None else (dataset,)
    return select(stored_records(store, all_versions=all_versions), datasets=datasets, protocol=protocol)


def _groups_of_methods(
    *,
    store: str,
    datasets: tuple[str, ...],
    methods: list[str] | None,
    protocol: str | None,
    all_versions: bool,
) -> list[Group]:
    """Return the records of these methods by dataset and protocol; of all that learn if none is named."""
    from cmbench.report.cells import stored_records
    from cmbench.report.records import groups, select, to_draw
    from cmbench.report.settings import UNLEARNED

    records = stored_records(store, all_versions=all_versions)
    shown = with_records(methods, records, datasets)
    chosen = to_draw(select(records, datasets=datasets, protocol=protocol), shown)
    learned = [record for record in chosen if record["method"]["name"] not in UNLEARNED]
    return groups(chosen if methods else learned or chosen)


def _group(records: list[Record], methods: list[str] | None = None) -> Group:
    """Return the records that a figure shows, as the one group they are, of which some have finished."""
    from cmbench.report.records import only_group, refuse_nothing, to_draw

    group = only_group(to_draw(records, with_records(methods, records)))
    refuse_nothing(group.finished, group.title)
    return group


def _kept(store: str, group: Group) -> list[Any]:
    """Return the settings of a group that have finished, with what the store keeps of them."""
    from cmbench.report.kept import Kept
    from cmbench.report.settings import settings
    from cmbench.store import Store

    return [Kept(Store(store), setting) for setting in settings(group.finished)]


def _arrays(store: str) -> Arrays:
    from cmbench.report.remembered import Remembering
    from cmbench.store import Store

    return Remembering(Store(store))


def _title_on_split(group: Group, kept: Sequence[Kept]) -> str:
    """Return the title of a figure of test pairs, with the split that they are of, if it was drawn anew."""
    from cmbench.report.figure import title_of

    (split,) = {*(split for each in kept for split in each.setting.splits)} or {0}
    return f"{title_of(group)}, split {split}" if split else title_of(group)


def _two(names: list[str] | None) -> tuple[str, str] | None:
    """Return the two methods that are named; ``click.UsageError`` where there are more or fewer."""
    if names is not None and len(names) != 2:
        raise click.UsageError(f"--contrast {','.join(names)}: name two methods, as cmgans,cca")
    return None if names is None else (names[0], names[1])


def _width(text: str) -> float:
    from cmbench.report.figure import width_of

    return width_of(text)


def _save(figure: Figure, output: Path | None, *names: str) -> None:
    from cmbench.report.figure import save

    path = output or _default_output(*names)
    save(figure, path)
    click.echo(f"wrote {path}", err=True)


def _default_output(*names: str) -> Path:
    """Return a file name made of these names, without characters that file names should not have."""
    return Path(f"{'-'.join(re.sub(r'[^A-Za-z0-9_.]+', '-', name) for name in names)}.pdf")
