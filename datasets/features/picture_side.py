"""Features of the pictures of a raw dataset, and of their regions: a backbone, which may learn before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cmbench.datasets.draft import FloatMatrix, Labels
from cmbench.datasets.features.backbones import Backbone, load_backbone
from cmbench.datasets.features.cross_fitting import Network
from cmbench.datasets.features.image_features import Progress, extract_image_features, precision_on
from cmbench.datasets.features.image_fine_tuning import FineTuned, LabelledPictures, fine_tune
from cmbench.datasets.features.image_origin import hash_of_pictures
from cmbench.datasets.features.image_regions import Region, regions_of
from cmbench.datasets.features.recipe import ImageRecipe, Recipe
from cmbench.datasets.features.sides import (
    Report,
    Side,
    SideItems,
    all_pairs,
    described,
    labels_of,
)
from cmbench.datasets.raw.contract import RawDataset, RawPair
from cmbench.datasets.raw.pictures import Picture

DIGITS_OF_HASH = 12


def picture_side(raw: RawDataset, recipe: Recipe, work: Path, report: Report) -> Side[FineTuned | None]:
    """Return features of all pictures, and of their regions if the recipe says so.

    A network that does not learn has nothing to be cross-fitted.
    """
    settings = recipe.image
    pictures = [pair.picture for pair in all_pairs(raw)]
    regions = [regions_of(picture) for picture in pictures] if recipe.parts else None
    items = SideItems(pictures, regions, labels_of(raw.train))
    report("weights", 0, 1)  # which may come from the net, in minutes
    start = load_backbone(
        settings.backbone,
        settings.weights,
        settings.device,
        seed=settings.seed,
        preprocessing=settings.preprocessing,
    )
    report("weights", 1, 1)
    if settings.training is None:
        made = items.by(_Extraction(start, work, settings, report))
        found = {"weights": [start.weights_hash], **_computing(start, settings)}
        return Side(made, _named(start, start.weights_hash), found, None)
    tuned: list[FineTuned] = []
    training = frozenset(id(pair.picture) for pair in raw.train)

    def learnt(fold: int, rows: Labels) -> Network[Picture]:
        of = f", fold {fold + 1} of {recipe.folds}" if recipe.folds else ""
        place = work / f"network{fold + 1}"
        tuned.append(_tuned(raw, rows, start, place, settings, partial(report, f"epochs{of}")))
        return _Extraction(tuned[fold].backbone, place, settings, report, of, training)

    if recipe.folds is None:
        made = items.by(learnt(0, np.arange(len(items.train_labels))))
    else:
        made = items.cross_fitted(learnt, recipe.folds, settings.seed)
    found = {
        "weights before": start.weights_hash,
        "weights": [each.backbone.weights_hash for each in tuned],
        "validation accuracies": [each.record.best_accuracy for each in tuned],
        **_computing(start, settings),
    }
    record = tuned[0].record
    learnt_how = (
        f", trained on {len(items.train_labels)} pictures of {len(raw.class_names)} categories, best of "
        f"{record.epochs} epochs: {record.best_epoch} (validation accuracy {record.best_accuracy:.3f})"
    )
    network = _named(start, tuned[0].backbone.weights_hash, learnt_how)
    return Side(made, described(network, recipe.folds), found, tuned[0])


@dataclass(frozen=True, eq=False)
class _Extraction:
    """A backbone as a function of pictures, which keeps what it has done in ``work``.

    ``of`` says which of several networks it is, if there are several, and ``training`` which pictures (by
    their ``id``) are for training: the report names what each call is about.
    """

    backbone: Backbone
    work: Path
    recipe: ImageRecipe
    report: Report
    of: str = ""
    training: frozenset[int] = frozenset()

    def __call__(self, pictures: Sequence[Picture]) -> FloatMatrix:
        return extract_image_features(
            pictures,
            self.backbone,
            self.work / hash_of_pictures(pictures)[:DIGITS_OF_HASH],
            batch_size=self.recipe.batch_size,
            precision=self.recipe.precision,
            progress=partial(self.report, self._subject(pictures[0])),
        )

    def _subject(self, first: Picture) -> str:
        kind, whole = ("regions", first.picture) if isinstance(first, Region) else ("pictures", first)
        if not self.of:
            return kind
        return f"{'training' if id(whole) in self.training else 'other'} {kind}{self.of}"


def _tuned(
    raw: RawDataset, rows: Labels, start: Backbone, place: Path, recipe: ImageRecipe, progress: Progress
) -> FineTuned:
    """Return the network that learns from those of the training pictures."""
    assert recipe.training is not None
    return fine_tune(
        start,
        _labelled([raw.train[row] for row in rows.tolist()]),
        _labelled(raw.validation),
        recipe.training,
        checkpoint=place / "training.pt",
        progress=progress,
    )


def _labelled(pairs: Sequence[RawPair]) -> LabelledPictures:
    return LabelledPictures([pair.picture for pair in pairs], labels_of(pairs))


def _named(start: Backbone, weights_hash: str, learnt: str = "") -> str:
    layer = f" {start.layer}" if start.layer else ""
    return f"{start.name}{layer}{learnt} (weights SHA-256 {weights_hash[:DIGITS_OF_HASH]})"


def _computing(start: Backbone, settings: ImageRecipe) -> dict[str, Any]:
    """Return where and how the network computes, which a recipe may leave open."""
    found = {
        "device": start.device.type,
        "library": start.library,
        "preprocessing": asdict(start.preprocessing),
        "precision": precision_on(start.device, settings.precision),
    }
    if settings.training is not None:
        found["precision of training"] = precision_on(start.device, settings.training.precision)
    return found
