"""``cmbench datasets``: what there is, what a dataset holds, and whether a file keeps the rules."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console

    from cmbench.datasets.description import Description
    from cmbench.datasets.files import CheckedRule

FORMATS = """A PATH is a .npz file, a MATLAB .mat file (any version), or a folder of .npy files, with the keys
images_*, texts_* and labels_* for each of train, val and test. ids_*, class_names, first_label, name,
source, licence, citation, image_feature, text_feature and sizes are optional."""


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
    """Show sizes, features, categories, source and fingerprint of a dataset."""
    from cmbench.datasets.description import describe
    from cmbench.datasets.registry import load_dataset

    description = describe(load_dataset(name_or_path))
    console = _console()
    _print_pairs(console, _card_lines(description))
    console.print()
    _print_classes(console, description)


@datasets.command(epilog=FORMATS)
@click.argument("path", type=click.Path(path_type=Path))
@click.pass_context
def check(context: click.Context, path: Path) -> None:
    """Check the dataset in PATH against every rule; exit status 1 if one is broken."""
    from cmbench.datasets.files import check_file

    result = check_file(path)
    console = _console()
    _print_rules(console, result.rules)
    if result.unused:
        console.print(f"\nKeys without a meaning here: {', '.join(result.unused)}")
    if not result.holds:
        context.exit(1)


def _console() -> Console:
    from rich.console import Console

    return Console(markup=False, highlight=False, emoji=False)


def _card_lines(description: Description) -> dict[str, str]:
    card = description.card
    lines = {
        "name": description.name,
        "pairs": "{} train, {} val, {} test".format(*description.sizes),
        "images": f"{description.image_dimension} dimensions: {card.image_feature}",
        "texts": f"{description.text_dimension} dimensions: {card.text_feature}",
        "parts": " and ".join(description.parts),
        "groups": ", ".join(f"{modality} {count}" for modality, count in description.groups.items()),
        "categories": str(len(description.classes)),
        "source": card.source,
        "licence": card.licence,
        "citation": card.citation,
        "fingerprint": description.fingerprint,
    }
    return {key: value for key, value in lines.items() if value}


def _print_pairs(console: Console, pairs: dict[str, str]) -> None:
    from rich.table import Table

    table = Table.grid("name", "what", padding=(0, 2))
    for key, value in pairs.items():
        table.add_row(key, value)
    console.print(table)


def _print_classes(console: Console, description: Description) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table("category", box=SIMPLE_HEAD, pad_edge=False)
    for name in ("train", "val", "test"):
        table.add_column(name, justify="right")
    for name, *counts in description.classes:
        table.add_row(name, *map(str, counts))
    console.print(table)


def _print_rules(console: Console, rules: tuple[CheckedRule, ...]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for rule in rules:
        verdict = Text("pass", "green") if rule.holds else Text("FAIL", "red")
        if not rule.checked:
            verdict = Text("-", "dim")
        table.add_row(verdict, rule.rule if rule.checked else f"{rule.rule} (not checked)")
        for problem in rule.problems:
            table.add_row("", problem)
    console.print(table)
