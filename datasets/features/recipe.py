"""How features are made of pairs: everything that decides their values."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from cmbench.datasets.features.backbones import is_file
from cmbench.datasets.features.image_training import FineTuning
from cmbench.datasets.features.word_cnn import WordCNNSettings
from cmbench.datasets.raw.contract import RawDataset
from cmbench.errors import DatasetError

VERSIONS = ("cmbench", "torch", "numpy", "pillow", "scikit-learn")


@dataclass(frozen=True)
class ImageRecipe:
    """How features of pictures are made.

    Parameters
    ----------
    backbone, weights, device : as ``load_backbone`` takes them
    training : how the backbone learns the categories of the training pictures before; None for not at all
    batch_size, precision : as ``extract_image_features`` takes them
    seed : of random weights
    preprocessing : as ``load_backbone`` takes it
    components : how many principal components of the training pictures' features are kept; None keeps the
        features themselves
    """

    backbone: str = "vgg19"
    weights: str | None = None
    training: FineTuning | None = None
    batch_size: int = 32
    precision: str = "auto"
    device: str = "auto"
    seed: int = 0
    preprocessing: Mapping[str, Any] = field(default_factory=dict)
    components: int | None = None

    def __post_init__(self) -> None:
        if self.components is not None and self.components < 1:
            raise DatasetError(f"components is {self.components}; use 1 or more, or None for all features")


@dataclass(frozen=True)
class TextRecipe:
    """How features of texts are made: by a word CNN that learns the categories of the training texts.

    Parameters
    ----------
    vectors : file of word vectors; None for vectors that are random before the network learns
    dimension : of vectors that come from no file
    sentences : whether the sentences of training texts are learnt too, each as a text by itself
    settings : of the word CNN and its training
    """

    vectors: Path | None = None
    dimension: int = 50
    sentences: bool = False
    settings: WordCNNSettings = field(default_factory=WordCNNSettings)


@dataclass(frozen=True)
class Recipe:
    """How features of both sides are made.

    Parameters
    ----------
    image, text : recipes of the two sides
    parts : whether there are features of regions of the pictures and of sentences of the texts too
    folds : None, or the number of networks that learn, of which none gives the features of training items
        that it has learnt from; see ``cmbench.datasets.features.cross_fitting``
    """

    image: ImageRecipe = field(default_factory=ImageRecipe)
    text: TextRecipe = field(default_factory=TextRecipe)
    parts: bool = False
    folds: int | None = None

    def __post_init__(self) -> None:
        if self.folds is not None and self.folds < 3:
            raise DatasetError(f"folds is {self.folds}; use 3 or more, or None")


def recipe_text(recipe: Recipe, raw: RawDataset, details: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the recipe as JSON for a card, with the split and the versions of libraries.

    ``details`` is what each side, ``"image"`` and ``"text"``, learnt on the way: hashes, say.
    """
    image, text = asdict(recipe.image), asdict(recipe.text)
    image["backbone"] = (
        _without_folder(image["backbone"]) if is_file(image["backbone"]) else image["backbone"]
    )
    image["weights"], text["vectors"] = _without_folder(image["weights"]), _without_folder(text["vectors"])
    everything = {
        "image": {**image, "found": details["image"]},
        "text": {**text, "found": details["text"]},
        "split": {"origin": raw.split_origin, "sha256": raw.split_sha256},
        "parts": recipe.parts,
        "folds": recipe.folds,
        "threads": torch.get_num_threads(),
        "cpu": f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",  # decides how sums round
        "python": platform.python_version(),
        "versions": {name: version(name) for name in VERSIONS},
    }
    return json.dumps(everything, sort_keys=True)


def _without_folder(path: Path | str | None) -> str | None:
    return None if path is None else Path(path).name  # folders are nobody's business
