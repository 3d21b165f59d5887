"""The recipe that the options of ``cmbench features extract`` describe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cmbench.cli.set_option import like_default

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from cmbench.datasets.features.image_fine_tuning import FineTuning
    from cmbench.datasets.features.recipe import Recipe
    from cmbench.datasets.features.word_cnn_training import WordCNNSettings

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
        **same,
    )
    text = TextRecipe(
        None if options["vectors"] == "random" else Path(options["vectors"]),
        sentences=options["sentences"],
        settings=_word_cnn(settings.get("text", {}), options["seed"], device),
    )
    return Recipe(image, text, parts=options["parts"], folds=options["folds"])


def _fine_tuning(training: str, settings: dict[str, Any], same: dict[str, Any]) -> FineTuning | None:
    from cmbench.datasets.features.image_fine_tuning import FROM_SCRATCH, FineTuning

    if training == "none":
        if settings:
            raise click.UsageError("--set image.… is of a training of the backbone; add --training")
        return None
    start = FROM_SCRATCH if training == "scratch" else FineTuning()
    return _with(replace(start, **same), settings, "image")


def _word_cnn(settings: dict[str, Any], seed: int, device: str) -> WordCNNSettings:
    from cmbench.datasets.features.word_cnn import WordCNNShape
    from cmbench.datasets.features.word_cnn_training import RATES, WordCNNSettings

    names = _names(WordCNNShape())
    shape = {name: value for name, value in settings.items() if name in names}
    others = {name: value for name, value in settings.items() if name not in names}
    if others.get("optimiser") in RATES:
        others.setdefault("learning_rate", RATES[others["optimiser"]])
    start = WordCNNSettings(_with(WordCNNShape(), shape, "text"), seed=seed, device=device)
    return _with(start, others, "text", names)


def _with(start: Settings, given: dict[str, Any], side: str, more: Sequence[str] = ()) -> Settings:
    """Return the settings with those given; ``more`` are names of others, for the error."""
    known = [name for name in (*_names(start), *more) if name not in NO_SETTINGS]
    for name in given:
        if name not in known:
            raise click.UsageError(f"--set {side}.{name}: there is no such setting; {', '.join(known)} are")
    return replace(
        start,
        **{
            name: like_default(f"{side}.{name}", value, getattr(start, name)) for name, value in given.items()
        },
    )


def _names(settings: DataclassInstance) -> list[str]:
    return [field.name for field in fields(settings)]
