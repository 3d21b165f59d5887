"""Text features from a word CNN that learnt the categories of the training texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np

from cmbench.datasets.contract import FloatMatrix, Labels, Parts
from cmbench.datasets.features.tokens import Vocabulary
from cmbench.datasets.features.word_cnn import network_features
from cmbench.datasets.features.word_cnn_training import TrainedWordCNN, WordCNNSettings, train_word_cnn
from cmbench.datasets.features.word_vectors import WordVectors
from cmbench.errors import DatasetError

DIGITS_OF_DIGEST = 12


@dataclass(frozen=True, eq=False)
class TextExtractor:
    """Makes features of texts: the penultimate layer of a word CNN, after ReLU and maximum, without dropout.

    ``fit_text_extractor`` makes one. Features of two extractors have nothing to do with each other, even
    where they have the same size: each network numbers its filters as chance had it.

    Parameters
    ----------
    vocabulary : Vocabulary
    trained : TrainedWordCNN
    settings : WordCNNSettings
    train_size : number of texts it learnt from
    classes : number of categories it learnt
    vectors_digest : SHA-256 of the file of word vectors; empty if there was none
    known_words : number of word vectors that were given
    """

    vocabulary: Vocabulary = field(repr=False)
    trained: TrainedWordCNN = field(repr=False)
    settings: WordCNNSettings
    train_size: int
    classes: int
    vectors_digest: str
    known_words: int

    @property
    def groups(self) -> Labels:
        """The block of filters of one width that each feature belongs to: int64 (d,), from 0."""
        return self.settings.shape.groups

    def features(self, texts: Sequence[str]) -> FloatMatrix:
        """Return float32 (n, d), 300 columns by default; a text gives the same alone as among others."""
        return network_features(self.trained.network, self._encoded(texts))

    def part_features(self, segmented: Sequence[tuple[str, ...]]) -> Parts:
        """Return the features of each segment of n texts, each a text by itself.

        A text without segments has no parts.
        """
        offsets = np.cumsum([0, *map(len, segmented)], dtype=np.int64)
        return Parts(self.features(list(chain.from_iterable(segmented))), offsets)

    def describe(self) -> str:
        """Return a sentence for the card of a dataset: sizes, word vectors, seed and epochs."""
        shape, trained = self.settings.shape, self.trained
        widths = ", ".join(map(str, shape.widths))
        digest = (
            f"SHA-256 {self.vectors_digest[:DIGITS_OF_DIGEST]}" if self.vectors_digest else "from no file"
        )
        return (
            f"Word CNN (Kim, 2014) of filters over {widths} words with {shape.maps} maps each, trained on "
            f"{self.train_size} texts of {self.classes} categories with {self.known_words} "
            f"{'tuned' if shape.tuned else 'static'} {self.vocabulary.table.shape[1]}-d word vectors "
            f"({digest}), seed {self.settings.seed}, best of {len(trained.curves['loss'])} epochs: "
            f"{trained.best_epoch} (validation accuracy {trained.validation_accuracy:.3f})."
        )

    def _encoded(self, texts: Sequence[str]) -> list[Labels]:
        check_texts("texts", texts)
        return self.vocabulary.encoded(texts, longest=self.settings.longest)


def fit_text_extractor(
    train_texts: Sequence[str],
    train_labels: Labels,
    validation_texts: Sequence[str],
    validation_labels: Labels,
    vectors: WordVectors,
    settings: WordCNNSettings | None = None,
) -> TextExtractor:
    """Return an extractor that learnt the categories of the training texts.

    Labels are int64 (n,), from 0, and validation has none that training lacks; ``DatasetError`` otherwise.
    Load the ``vectors`` of the words of all texts that features will be made of (``wanted_words``): the
    vectors of words that no training text holds stay as they are, but say more than the unknown word's.
    Where texts are few, training texts may be followed by their own sentences, each with the label of its
    text: on Pascal Sentence this raised three-fold accuracy from 0.723 to 0.762.

    The features of training texts come out clearer than those of others, because the network has learnt
    their labels. Where that matters see ``cmbench.datasets.features.text_cross_fitting``.
    """
    settings = settings or WordCNNSettings()
    classes = check_labelled_texts(train_texts, train_labels, validation_texts, validation_labels)
    vocabulary = Vocabulary.of(train_texts, vectors, seed=settings.seed)
    train, validation = (
        vocabulary.encoded(texts, longest=settings.longest) for texts in (train_texts, validation_texts)
    )
    trained = train_word_cnn(
        vocabulary.table,
        (train, train_labels),
        (validation, validation_labels),
        classes=classes,
        settings=settings,
    )
    return TextExtractor(
        vocabulary, trained, settings, len(train_texts), classes, vectors.digest, len(vectors)
    )


def check_labelled_texts(
    train_texts: Sequence[str],
    train_labels: Labels,
    validation_texts: Sequence[str],
    validation_labels: Labels,
) -> int:
    """Return the number of categories; raise ``DatasetError`` for texts and labels that do not fit."""
    for name, texts, labels in (
        ("train", train_texts, train_labels),
        ("validation", validation_texts, validation_labels),
    ):
        check_texts(f"{name}_texts", texts)
        if labels.dtype != np.int64 or labels.shape != (len(texts),):
            raise DatasetError(
                f"{name}_labels are {labels.dtype} of shape {labels.shape} for {len(texts)} texts; "
                f"give int64 of shape ({len(texts)},)"
            )
        if not len(texts):
            raise DatasetError(f"{name}_texts are empty; give one text at least")
        if labels.min() < 0:
            raise DatasetError(f"{name}_labels hold {labels.min()}; number the categories from 0")
    unlearnt = np.setdiff1d(validation_labels, train_labels)
    if len(unlearnt):
        raise DatasetError(
            f"validation_labels hold {unlearnt[0]}, which no training text has; change the split"
        )
    return int(train_labels.max()) + 1


def check_texts(name: str, texts: Sequence[str]) -> None:
    """Raise ``DatasetError`` unless ``texts`` is a sequence of str, and not one text."""
    if isinstance(texts, str):
        raise DatasetError(f"{name} is one text; give a list of texts")
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise DatasetError(f"{name}[{row}] is a {type(text).__name__}; every text must be a str")
