"""Features of the texts of a raw dataset: a word CNN, from its word vectors to the last row."""

from __future__ import annotations

import numpy as np

from cmbench.datasets.draft import Labels
from cmbench.datasets.features.cross_fitting import Network
from cmbench.datasets.features.device import device_called
from cmbench.datasets.features.recipe import Recipe, TextRecipe
from cmbench.datasets.features.sides import Report, Side, SideItems, all_pairs, described, labels_of
from cmbench.datasets.features.text_features import TextExtractor, fit_text_extractor
from cmbench.datasets.features.tokens import wanted_words
from cmbench.datasets.features.word_vectors import WordVectors, load_word_vectors
from cmbench.datasets.raw.contract import RawDataset


def load_vectors(raw: RawDataset, recipe: TextRecipe) -> WordVectors:
    """Return the vectors of the words of all texts; none, of the recipe's dimension, without a file."""
    if recipe.vectors is None:
        return WordVectors.none(recipe.dimension)
    return load_word_vectors(recipe.vectors, wanted_words(pair.text for pair in all_pairs(raw)))


def text_side(raw: RawDataset, recipe: Recipe, vectors: WordVectors, report: Report) -> Side[TextExtractor]:
    """Return features of all texts, and of their sentences if the recipe says so."""
    pairs = all_pairs(raw)
    labels = labels_of(raw.train)
    segments = [pair.segments for pair in pairs] if recipe.parts else None
    items = SideItems([pair.text for pair in pairs], segments, labels)
    settings, count = recipe.text, recipe.folds or 1
    extractors: list[TextExtractor] = []

    def learnt(fold: int, rows: Labels) -> Network[str]:
        report("word CNNs", fold, count)
        extractors.append(_extractor(raw, rows, settings, vectors))
        return extractors[fold].features

    if recipe.folds is None:
        made = items.by(learnt(0, np.arange(len(labels))))
    else:
        made = items.cross_fitted(learnt, recipe.folds, settings.settings.seed)
    report("word CNNs", count, count)
    found = {
        "word vectors": vectors.digest,
        "device": device_called(settings.settings.device).type,
        "validation accuracies": [each.trained.validation_accuracy for each in extractors],
    }
    first = extractors[0]
    return Side(made, described(first.describe(), recipe.folds), found, first, first.groups)


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
