"""``cmbench datasets``: what there is, what a dataset holds, and whether a file keeps the rules."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cmbench.cli.dataset_output import check_output, write_dataset
from cmbench.cli.options import Place, pairs_of
from cmbench.output import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from cmbench.datasets.formats.files import CheckedRule, FileCheck
    from cmbench.datasets.raw.contract import RawCard, RawDataset, RawPair
    from cmbench.datasets.registry import Description
    from cmbench.datasets.soundness import Finding

FORMATS = """A PATH is a .npz file, a MATLAB .mat file (any version), or a folder of such and of .npy files,
or of .txt and .csv with the numbers of a pair in a line, in which each split may have a folder of its own,
with the keys images_*, texts_* and labels_* for each of train, val and test, or others that are recognised
(I_tr, train_img, XAll and the like; --key names the rest), and where queries are looked for among other
pairs, of retrieval. ids_*, image_ids_* (the picture of each pair), class_names, first_label, name, source,
licence, citation, image_feature, text_feature, recipe, sizes, notes, shared_after (ids that are the same
after its last occurrence belong together) and shared_space (the encoder of both modalities, if it is one) are
optional. Labels are numbers, texts, or a matrix of 0 and 1
with a column for each category; without any, the pair itself is relevant."""


@click.group()
def datasets() -> None:
    """List, describe and check datasets."""


@datasets.command("list")
def list_datasets() -> None:
    """List the datasets that come with cmbench."""
    from cmbench.datasets.registry import dataset_summaries

    _print_pairs(_console(), dataset_summaries())


@datasets.command(epilog=FORMATS)
@click.argument("name_or_path")
def info(name_or_path: str) -> None:
    """Show sizes, features, categories, source, licence and fingerprint of a dataset.

    Of a collection of pictures and texts that has no features yet, such as wikipedia, show where it comes
    from, how many pairs it has, how they are divided, and how to get it.
    """
    from cmbench.datasets.raw.registry import raw_dataset_cards, raw_dataset_names
    from cmbench.datasets.registry import dataset_names, describe, load_dataset

    console = _console()
    if name_or_path in raw_dataset_names() and name_or_path not in dataset_names():
        card = _raw_card_lines(raw_dataset_cards()[name_or_path])
        _print_pairs(console, {"name": name_or_path, **card, **_shipped_split_line(name_or_path)})
        return
    description = describe(load_dataset(name_or_path))
    _print_pairs(console, _card_lines(description, _built_in_lines(name_or_path)))
    if description.classes:
        console.print()
        names, *counts = zip(*description.classes, strict=True)
        _print_classes(console, names, counts)


key_option = click.option(
    "--key",
    "keys",
    multiple=True,
    callback=pairs_of("KEY=KEY_IN_FILE, such as images_train=I_tr"),
    metavar="KEY=KEY_IN_FILE",
    help="What an array is called in the file, such as images_train=I_tr, where it is not recognised. "
    "Repeatable.",
)


@datasets.command(epilog=FORMATS)
@click.argument("path", type=Place(path_type=Path))
@key_option
@click.pass_context
def check(context: click.Context, path: Path, keys: dict[str, str]) -> None:
    """Check the dataset in PATH; exit status 1 where a run would be refused.

    Every rule is checked, and then whether numbers on it mean anything: pairs and images that stand in two
    splits, whatever their ids, near-copies of images, and validation pairs that cannot choose.
    """
    from cmbench.datasets.formats.files import check_file

    result = check_file(path, keys=keys)
    console = _console()
    _print_rules(console, result.rules)
    _print_findings(console, result.findings)
    _print_marked(console, [("note", note) for note in result.notes])
    if result.unused:
        console.print(f"\nKeys without a meaning here: {', '.join(result.unused)}")
    console.print(f"\n{_verdict(result)}")
    if not result.holds:
        context.exit(1)


@datasets.command(epilog=FORMATS)
@click.argument("path", type=Place(path_type=Path))
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE.npz",
    help="The file to write; without .npz, a folder of .npy files.",
)
@key_option
@click.option(
    "--validation",
    type=float,
    metavar="SHARE",
    help="Draw so much of each category of the training pairs for validation, 0.1 say; validation pairs of "
    "the file are left out then.",
)
@click.option(
    "--test",
    type=float,
    metavar="SHARE",
    help="Draw so much of each category for test, where pairs are not divided at all.",
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of the draw.")
def convert(
    path: Path, output: Path, keys: dict[str, str], validation: float | None, test: float | None, seed: int
) -> None:
    """Write the dataset in PATH in the form that cmbench uses, and print what was done.

    Keys of published files are recognised (I_tr, train_img, XAll and the like), or named with --key.
    Matrices with a column for each pair are transposed. The card of the new file says what was done. Its
    dataset has the name that the file says in a key 'name', as files written by cmbench do, else that of the
    new file.
    """
    from cmbench.datasets.formats.division import Shares
    from cmbench.datasets.formats.files import load_file
    from cmbench.datasets.soundness import findings

    check_output(output)
    name = output.stem if output.suffix == ".npz" else output.name
    shares = Shares(validation, test, seed)
    dataset = load_file(path, keys=keys, shares=shares, default_name=name)
    write_dataset(output, dataset)
    console = _console()
    _print_marked(console, [("note", note) for note in dataset.card.notes])
    _print_findings(console, findings(dataset, thorough=True))


@datasets.command()
@click.argument("name")
@click.option(
    "--from",
    "place",
    metavar="PLACE",
    help="The folder of its files, an archive of it (.zip, .tar, .tar.gz, ...), or the address of one "
    "(https://...), which is fetched into the current folder, or beside FOLDER. Not needed for scenes.",
)
@click.option(
    "--splits",
    type=click.Path(path_type=Path),
    metavar="FILE.csv",
    help="A split of your own: a line 'id,split' for each pair, with train, val or test.",
)
@click.option(
    "--to",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="The new folder into which an archive is unpacked. [default: beside it, under its name]",
)
@click.option("--sha256", metavar="HEX", help="The checksum of an archive that is fetched; needed for it.")
def prepare(name: str, place: str | None, splits: Path | None, to: Path | None, sha256: str | None) -> None:
    """Check a collection of pictures and texts as its source sent it: NAME is one of 'datasets raw'.

    Every file is looked at and every picture opened; what is missing or damaged is named. With nothing
    wrong, the card is printed, and the place that 'features extract' takes.
    """
    from cmbench.datasets.raw.preparation import place_of, prepared

    prepared_place = None if place is None else place_of(place, to, sha256)
    dataset = prepared(name, prepared_place, splits)
    console = _console()
    sizes = "{} train, {} val, {} test".format(*(len(pairs) for _, pairs in dataset.splits))
    lines = {"name": dataset.name, "place": str(prepared_place or ""), "pairs": sizes}
    lines |= {"pictures": _pictures_line(dataset)} if dataset.shares_pictures else {}
    lines |= {"split": dataset.split_origin, **({} if splits else _shipped_split_line(dataset.name))}
    lines["assignment"] = f"SHA-256 {dataset.split_sha256} of the lines 'id,split', sorted"
    _print_pairs(console, {**lines, **_raw_card_lines(dataset.card)})
    console.print()
    _print_classes(console, dataset.class_names, [_counts(dataset, pairs) for _, pairs in dataset.splits])


def _pictures_line(dataset: RawDataset) -> str:
    """Return how many pictures there are where several pairs share one, and what follows from it."""
    counts = (len({pair.picture.name for pair in pairs}) for _, pairs in dataset.splits)
    return (
        "{} train, {} val, {} test; several pairs share one. ".format(*counts)
        + "The protocol pairs counts pictures, the others count pairs"
    )


@datasets.command("raw")
def list_raw() -> None:
    """List the collections of pictures and texts that features can be made of."""
    from cmbench.datasets.raw.registry import raw_dataset_summaries

    _print_pairs(_console(), raw_dataset_summaries())


def _counts(dataset: RawDataset, pairs: Sequence[RawPair]) -> list[int]:
    counts = Counter(label for pair in pairs for label in pair.labels)
    return [counts[label] for label in range(len(dataset.class_names))]


def _raw_card_lines(card: RawCard) -> dict[str, str]:
    lines = {
        "sizes": "" if card.sizes is None else "{} train, {} val, {} test".format(*card.sizes),
        "division": card.division,
        "categories": _category_line(card),
        "source": card.source,
        "terms": card.terms,
        "citation": card.citation,
        "how to get it": card.obtaining,
        "notes": "\n".join(card.notes),
    }
    return {key: value for key, value in lines.items() if value}


def _shipped_split_line(name: str) -> dict[str, str]:
    from hashlib import sha256

    from cmbench.datasets.raw.splits import shipped_splits

    path = shipped_splits(name)
    if not path.exists():
        return {}
    digest = sha256(path.read_bytes()).hexdigest()
    return {"split file": f"{path.name}, shipped with cmbench, SHA-256 {digest}"}


def _category_line(card: RawCard) -> str:
    """Return the number of categories, and how many pairs each has: one number where all are equal."""
    if card.categories is None:
        return ""
    sizes = [
        f"{split}: " + (f"{counts[0]} of each" if len(set(counts)) == 1 else ", ".join(map(str, counts)))
        for split, counts in card.class_sizes.items()
    ]
    return "; ".join([str(card.categories), *sizes])


def _console() -> Console:
    from rich.console import Console

    return Console(markup=False, highlight=False, emoji=False)


def _card_lines(description: Description, built_in: Mapping[str, str]) -> dict[str, str]:
    card = description.card
    lines = {
        "name": description.name,
        "pairs": _by_split(description.sizes),
        "pictures": f"{_by_split(description.pictures)}; several pairs share one"
        if description.pictures
        else "",
        "images": f"{description.image_dimension} dimensions: {card.image_feature}",
        "texts": f"{description.text_dimension} dimensions: {card.text_feature}",
        "shared space": card.shared_space,
        "parts": " and ".join(description.parts),
        "groups": ", ".join(f"{modality} {count}" for modality, count in description.groups.items()),
        "categories": _categories_text(description),
        "source": card.source,
        "licence": card.licence,
        **built_in,
        "citation": card.citation,
        "fingerprint": description.fingerprint,
        "recipe": _recipe_lines(card.recipe),
        "notes": "\n".join(card.notes),
    }
    return {key: value for key, value in lines.items() if value}


def _built_in_lines(name: str) -> dict[str, str]:
    """Return where the full terms of a built-in dataset are, and how to get its pictures and texts."""
    from cmbench.datasets.raw.registry import WITHOUT_FOLDER, raw_dataset_cards
    from cmbench.datasets.registry import BUILT_IN, licence_file

    if name not in BUILT_IN:
        return {}
    cards = {} if name in WITHOUT_FOLDER else raw_dataset_cards()
    terms = licence_file(name)
    return {
        "licences in full": "" if terms is None else str(terms),
        "raw pairs": cards[name].obtaining if name in cards else "",
    }


def _by_split(counts: Sequence[int]) -> str:
    names = ("train", "val", "test", "retrieval")
    return ", ".join(f"{count} {name}" for name, count in zip(names, counts, strict=False))


def _categories_text(description: Description) -> str:
    if not description.classes:
        return "none; only the pair itself is relevant (--protocol pairs)"
    several = ", of which a pair may have several" if description.is_multi_label else ""
    return f"{len(description.classes)}{several}"


def _recipe_lines(recipe: str) -> str:
    """Return a line for each setting of a recipe; of anything but a JSON object, the text itself."""
    try:
        settings = json.loads(recipe)
    except ValueError:
        return recipe
    if not isinstance(settings, dict):
        return recipe
    return "\n".join(f"{name}: {_shown(value)}" for name, value in _flat(settings) if value is not None)


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_shown, value))
    return value if isinstance(value, str) else json.dumps(value)


def _flat(settings: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def _print_pairs(console: Console, pairs: dict[str, str]) -> None:
    """Print names and what they are, in lines of the terminal; whole where it is none, for other programs."""
    from rich.table import Column, Table

    if not console.is_terminal:
        width = max(map(len, pairs)) + 2
        for key, value in pairs.items():
            lines = (key.ljust(width) + value).split("\n")
            click.echo(printable(f"\n{' ' * width}".join(map(str.rstrip, lines))))
        return
    table = Table.grid("name", Column("what", overflow="fold"), padding=(0, 2))
    for key, value in pairs.items():
        table.add_row(key, value)
    console.print(table)


def _print_classes(console: Console, names: Sequence[str], counts: Sequence[Sequence[int]]) -> None:
    """Print the pairs of each category in train, val, test and, if there is one, retrieval."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table("category", box=SIMPLE_HEAD, pad_edge=False)
    for split, _ in zip(("train", "val", "test", "retrieval"), counts, strict=False):
        table.add_column(split, justify="right")
    for name, *row in zip(names, *counts, strict=True):
        table.add_row(name, *map(str, row))
    console.print(table)


def _print_rules(console: Console, rules: tuple[CheckedRule, ...]) -> None:
    from rich.text import Text

    rows: list[tuple[Text | str, str]] = []
    for rule in (rule for rule in rules if rule.checked):
        rows.append((Text("pass", "green") if rule.holds else Text("FAIL", "red"), rule.rule))
        rows += [("", problem) for problem in rule.problems]
    if unchecked := sum(not rule.checked for rule in rules):
        rows.append((Text("-", "dim"), f"{unchecked} more rules are checked when this is mended"))
    _print_marked(console, rows)


def _print_findings(console: Console, findings: Sequence[Finding]) -> None:
    """Print what makes numbers on a dataset questionable; what stops a run is marked as a broken rule is."""
    from rich.text import Text

    marks = {True: Text("FAIL", "red"), False: Text("warn", "yellow")}
    _print_marked(console, [(marks[finding.stops], finding.sentence) for finding in findings])


def _print_marked(console: Console, rows: Sequence[tuple[Text | str, str]]) -> None:
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    for mark, sentence in rows:
        table.add_row(mark, sentence)
    if rows:
        console.print(table)


def _verdict(result: FileCheck) -> str:
    if result.holds:
        ready = "Ready to run with --protocol pairs" if result.by_pair else "Ready to run"
        return f"{ready}, with {len(result.findings)} warning(s)." if result.findings else f"{ready}."
    stopping = [finding for finding in result.findings if finding.stops]
    if all(rule.holds for rule in result.rules) and all(finding.repeated for finding in stopping):
        return "A run refuses this dataset, unless --allow-repeated is given; the table then says so."
    return "A run refuses this dataset."
