"""``cmbench features``: from pictures and texts to a feature dataset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cmbench.cli.extraction_progress import extraction_progress
from cmbench.cli.set_option import settings_of

if TYPE_CHECKING:
    from cmbench.datasets.contract import Dataset

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
            raise click.BadParameter(f"{side!r} is no side; it is {form}")
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
    help="vgg19, small-cnn, torchvision:NAME, timm:NAME, or a TorchScript or ONNX file.",
)
@click.option(
    "--weights",
    metavar="FILE",
    help="Weights of the backbone; 'imagenet' fetches those of vgg19 (575 MB), 'random' are for a trial. "
    "[default: those of torchvision or timm]",
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
    type=click.IntRange(0, 2**32 - 1),
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
def extract(raw: str, output: Path, work: Path | None, threads: int | None, **options: Any) -> None:
    """Make a feature dataset of the pictures and texts of RAW, one of 'datasets raw'.

    Pictures go through a backbone, texts through a word CNN (Kim 2014) that learns the categories of the
    training texts. The file's card says exactly how. After an interruption the same command goes on.
    """
    import shutil

    import torch

    from cmbench.cli.extraction_recipe import recipe_of
    from cmbench.datasets.features.extraction import extract_features
    from cmbench.datasets.raw.registry import load_raw

    _check_output(output)
    if threads is not None:
        torch.set_num_threads(threads)
    recipe = recipe_of(options)
    pairs = load_raw(raw, options["place"], options["splits"])
    folder = work or output.with_name(f"{output.name}.work")
    with extraction_progress() as report:
        dataset = extract_features(pairs, recipe, folder, report, save_weights=options["save_weights"])
    _write(output, dataset)
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
    from cmbench.datasets.raw.wikipedia_features import published_features

    _check_output(output)
    _write(output, published_features(place, splits))


def _check_output(output: Path) -> None:
    from cmbench.disk import check_place

    if output.exists():
        raise click.UsageError(f"{output} exists already; name another file, or remove it")
    check_place(output.parent)


def _write(output: Path, dataset: Dataset) -> None:
    from cmbench.datasets.npy_folder import save_folder
    from cmbench.datasets.npz import save_npz
    from cmbench.disk import writing_to

    with writing_to(output):
        (save_npz if output.suffix == ".npz" else save_folder)(output, dataset)
    click.echo(f"{output}: fingerprint {dataset.fingerprint}")
