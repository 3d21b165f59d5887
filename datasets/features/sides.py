"""What features are made of and what they become: the items of one side of all pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar

import numpy as np
from threadpoolctl import threadpool_limits

from cmbench.datasets.draft import FloatMatrix, Labels, Parts
from cmbench.datasets.features.backbones import Backbone, load_backbone
from cmbench.datasets.features.cross_fitting import Item, Learn, Network, cross_fit, flattened
from cmbench.datasets.features.fine_tuning import FineTuned, fine_tune
from cmbench.datasets.features.image_features import (
    Progress,
    extract_image_features,
    hash_of_pictures,
    precision_on,
)
from cmbench.datasets.features.image_training import LabelledPictures
from cmbench.datasets.features.pictures import Region, regions_of
from cmbench.datasets.features.recipe import ImageRecipe, Recipe, TextRecipe
from cmbench.datasets.features.text_features import TextExtractor, fit_text_extractor
from cmbench.datasets.features.tokens import wanted_words
from cmbench.datasets.features.weights import device_called
from cmbench.datasets.features.word_vectors import WordVectors, load_word_vectors
from cmbench.datasets.raw.contract import RawDataset, RawPair
from cmbench.datasets.raw.pictures import Picture
from cmbench.errors import DatasetError

Trained = TypeVar("Trained")
Report: TypeAlias = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and of how much."""

DIGITS_OF_HASH = 12


@dataclass(frozen=True, eq=False)
class Made:
    """Features of one side.

    Parameters
    ----------
    rows : float32 (n, d), a row for each pair of all splits, in their order
    parts : of regions or sentences, if wanted
    """

    rows: FloatMatrix
    parts: Parts | None


@dataclass(frozen=True, eq=False)
class Side(Generic[Trained]):
    """Features of one side, and how they came about.

    Parameters
    ----------
    made : Made
    description : for the card, without a full stop at its end
    details : what the recipe did not know before: hashes, and how trainings went
    trained : the network that learnt, the first of several; None where none did
    groups : int64 (d,), the block each feature belongs to, if there are blocks
    """

    made: Made
    description: str
    details: dict[str, Any]
    trained: Trained
    groups: Labels | None = None


@dataclass(frozen=True, eq=False)
class SideItems(Generic[Item]):
    """The pictures or the texts of all pairs, training pairs first.

    Parameters
    ----------
    items : one for each pair
    parts : those of each, if features of parts are wanted
    train_labels : int64, the categories of the first items, which are the training items
    """

    items: Sequence[Item] = field(repr=False)
    parts: Sequence[Sequence[Item]] | None = field(repr=False)
    train_labels: Labels = field(repr=False)

    def by(self, network: Network[Item]) -> Made:
        """Return the features that one network gives."""
        if self.parts is None:
            return Made(network(self.items), None)
        items, offsets = flattened(self.parts)
        return Made(network(self.items), Parts(network(items), offsets))

    def learnt(self, learn: Learn[Item], folds: int | None, seed: int) -> Made:
        """Return features by the network that learns from all training items, or by those of ``folds``."""
        if folds is None:
            return self.by(learn(0, np.arange(len(self.train_labels))))
        return self.cross_fitted(learn, folds, seed)

    def cross_fitted(self, learn: Learn[Item], folds: int, seed: int) -> Made:
        """Return features of which those of training items are by networks that have not learnt from them."""
        n_train = len(self.train_labels)
        fitted = cross_fit(self.items[:n_train], self.train_labels, learn, folds=folds, seed=seed)
        rows = np.concatenate([fitted.train, fitted.features(self.items[n_train:])])
        if self.parts is None:
            return Made(rows, None)
        train, others = self.parts[:n_train], self.parts[n_train:]
        parts = fitted.train_part_features(train), fitted.part_features(others)
        return Made(rows, Parts.joined(parts))


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
        return _as_given(items, start, settings, work, report)
    return _fine_tuned(raw, items, start, recipe, work, report)


def _as_given(
    items: SideItems[Picture], start: Backbone, settings: ImageRecipe, work: Path, report: Report
) -> Side[FineTuned | None]:
    """Return features by a network that does not learn."""
    made = items.by(_Extraction(start, work, settings, report))
    made, kept = reduced(made, len(items.train_labels), settings.components)
    details = {"weights": [start.weights_hash], **_computing(start, settings)}
    return Side(made, _named(start, start.weights_hash, kept), details, None)


def _fine_tuned(
    raw: RawDataset, items: SideItems[Picture], start: Backbone, recipe: Recipe, work: Path, report: Report
) -> Side[FineTuned | None]:
    """Return features by the network that learns from the training pictures, or by one for each fold."""
    settings = recipe.image
    tuned: list[FineTuned] = []
    training = frozenset(id(pair.picture) for pair in raw.train)

    def learnt(fold: int, rows: Labels) -> Network[Picture]:
        of = f", fold {fold + 1} of {recipe.folds}" if recipe.folds else ""
        folder = work / f"network{fold + 1}"
        tuned.append(_tuned(raw, rows, start, folder, settings, partial(report, f"epochs{of}")))
        return _Extraction(tuned[fold].backbone, folder, settings, report, of, training)

    made = items.learnt(learnt, recipe.folds, settings.seed)
    made, kept = reduced(made, len(items.train_labels), settings.components)
    details = {
        "weights before": start.weights_hash,
        "weights": [network.backbone.weights_hash for network in tuned],
        "validation accuracies": [network.record.best_accuracy for network in tuned],
        **_computing(start, settings),
    }
    network = _named(start, tuned[0].backbone.weights_hash, _learnt_how(raw, tuned[0]) + kept)
    return Side(made, described(network, recipe.folds), details, tuned[0])


def _learnt_how(raw: RawDataset, tuned: FineTuned) -> str:
    record = tuned.record
    return (
        f", trained on {len(raw.train)} pictures of {len(raw.class_names)} categories, best of "
        f"{record.epochs} epochs: {record.best_epoch} (validation accuracy {record.best_accuracy:.3f})"
    )


def reduced(made: Made, n_train: int, components: int | None) -> tuple[Made, str]:
    """Return the principal components of features, learnt from the first ``n_train`` rows, and words on them.

    Rows are centred by the mean of training, and components come in order of variance there, each with the
    sign that makes its largest weight positive. Parts are mapped like the rows. One thread computes them:
    another number of threads would change last bits, and with them the fingerprint of a dataset.
    """
    if components is None:
        return made, ""
    train = np.asarray(made.rows[:n_train], dtype=np.float64)
    if components > min(train.shape):
        raise DatasetError(
            f"components is {components}, and {n_train} training pictures with {train.shape[1]} features "
            f"have {min(train.shape)} at most; use fewer"
        )
    mean = train.mean(axis=0)

    def mapped(rows: FloatMatrix) -> FloatMatrix:
        return np.asarray((rows - mean) @ axes.T, dtype=np.float32)

    with threadpool_limits(1, "blas"):
        _, sizes, axes = np.linalg.svd(train - mean, full_matrices=False)
        axes = axes[:components]
        largest = np.abs(axes).argmax(axis=1)
        axes *= np.sign(axes[np.arange(components), largest])[:, None]
        parts = made.parts and Parts(mapped(made.parts.values), made.parts.offsets)
        kept = Made(mapped(made.rows), parts)
    share = float(np.sum(sizes[:components] ** 2) / np.sum(sizes**2))
    words = f", {components} principal components of the training pictures ({share:.1%} of their variance)"
    return kept, words


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
    raw: RawDataset, rows: Labels, start: Backbone, folder: Path, recipe: ImageRecipe, progress: Progress
) -> FineTuned:
    """Return the network that learns from those of the training pictures."""
    assert recipe.training is not None
    return fine_tune(
        start,
        _labelled([raw.train[row] for row in rows.tolist()]),
        _labelled(raw.validation),
        recipe.training,
        checkpoint=folder / "training.pt",
        progress=progress,
    )


def _labelled(pairs: Sequence[RawPair]) -> LabelledPictures:
    return LabelledPictures([pair.picture for pair in pairs], labels_of(pairs))


def _named(start: Backbone, weights_hash: str, learnt: str = "") -> str:
    layer = f" {start.layer}" if start.layer else ""
    return f"{start.name}{layer}{learnt} (weights SHA-256 {weights_hash[:DIGITS_OF_HASH]})"


def _computing(start: Backbone, settings: ImageRecipe) -> dict[str, Any]:
    """Return where and how the network computes, which a recipe may leave open."""
    details = {
        "device": start.device.type,
        "library": start.library,
        "preprocessing": asdict(start.preprocessing),
        "precision": precision_on(start.device, settings.precision),
    }
    if settings.training is not None:
        details["precision of training"] = precision_on(start.device, settings.training.precision)
    return details


def load_vectors(raw: RawDataset, recipe: TextRecipe) -> WordVectors:
    """Return the vectors of the words of all texts; none, of the recipe's dimension, without a file."""
    if recipe.vectors is None:
        return WordVectors.none(recipe.dimension)
    return load_word_vectors(recipe.vectors, wanted_words(pair.text for pair in all_pairs(raw)))


def text_side(raw: RawDataset, recipe: Recipe, vectors: WordVectors, report: Report) -> Side[TextExtractor]:
    """Return features of all texts, and of their sentences if the recipe says so."""
    pairs = all_pairs(raw)
    segments = [pair.segments for pair in pairs] if recipe.parts else None
    items = SideItems([pair.text for pair in pairs], segments, labels_of(raw.train))
    settings, count = recipe.text, recipe.folds or 1
    extractors: list[TextExtractor] = []

    def learnt(fold: int, rows: Labels) -> Network[str]:
        report("word CNNs", fold, count)
        extractors.append(_extractor(raw, rows, settings, vectors))
        return extractors[fold].features

    made = items.learnt(learnt, recipe.folds, settings.settings.seed)
    report("word CNNs", count, count)
    details = {
        "word vectors": vectors.digest,
        "device": device_called(settings.settings.device).type,
        "validation accuracies": [extractor.trained.validation_accuracy for extractor in extractors],
    }
    first = extractors[0]
    return Side(made, described(first.describe(), recipe.folds), details, first, first.groups)


def _extractor(raw: RawDataset, rows: Labels, recipe: TextRecipe, vectors: WordVectors) -> TextExtractor:
    """Return the extractor that learns from those of the training texts."""
    train = [raw.train[row] for row in rows.tolist()]
    return fit_text_extractor(
        [pair.text for pair in train],
        labels_of(train),
        [pair.text for pair in raw.validation],
        labels_of(raw.validation),
        vectors,
        recipe.settings,
        sentences=[pair.segments for pair in train] if recipe.sentences else None,
    )


def all_pairs(raw: RawDataset) -> list[RawPair]:
    """Return the pairs of all splits, in their order: training, validation, test."""
    return [pair for _, pairs in raw.splits for pair in pairs]


def labels_of(pairs: Sequence[RawPair]) -> Labels:
    """Return the categories of pairs, int64 (n,)."""
    return np.array([pair.label for pair in pairs], dtype=np.int64)


def described(network: str, folds: int | None) -> str:
    """Return what a card says of features: ``network`` is on the only network, or the first of ``folds``."""
    if folds is None:
        return f"{network}; not cross-fitted"
    return (
        f"{network}. This is network 1; cross-fitted by {folds} networks, features of training items are by "
        "one that has not learnt from them, mapped to those of network 1, and others are the mean of all"
    )
