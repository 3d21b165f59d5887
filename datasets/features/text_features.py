"""Text features from a word CNN that learnt the categories of the training texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np

from cmbench.datasets.draft import FloatMatrix, Labels
from cmbench.datasets.features.tokens import Vocabulary
from cmbench.datasets.features.word_cnn import (
    TrainedWordCNN,
    WordCNNSettings,
    network_features,
    train_word_cnn,
)
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
    sentences : number of sentences of these texts that it learnt from as well
    """

    vocabulary: Vocabulary = field(repr=False)
    trained: TrainedWordCNN = field(repr=False)
    settings: WordCNNSettings
    train_size: int
    classes: int
    vectors_digest: str
    known_words: int
    sentences: int = 0

    @property
    def groups(self) -> Labels:
        """The block of filters of one width that each feature belongs to: int64 (d,), from 0."""
        return self.settings.shape.groups

    def features(self, texts: Sequence[str]) -> FloatMatrix:
        """Return float32 (n, d), 300 columns by default; a text gives the same alone as among others."""
        return network_features(self.trained.network, self._encoded(texts))

    def describe(self) -> str:
        """Return words for the card of a dataset: sizes, texts, word vectors, seed and epochs."""
        shape, trained = self.settings.shape, self.trained
        widths = ", ".join(map(str, shape.widths))
        sentences = f" and their {self.sentences} sentences" if self.sentences else ""
        return (
            f"Word CNN (Kim, 2014) of filters over {widths} words with {shape.maps} maps each, trained on "
            f"{self.train_size} texts{sentences} of {self.classes} categories with "
            f"{self._described_vectors()}, seed {self.settings.seed}, "
            f"best of {len(trained.curves['loss'])} epochs: {trained.best_epoch} "
            f"(validation accuracy {trained.validation_accuracy:.3f})"
        )

    def _described_vectors(self) -> str:
        sizes = f"{'tuned' if self.settings.shape.tuned else 'static'} {self.vocabulary.table.shape[1]}-d"
        if not self.known_words:
            return f"{sizes} word vectors drawn at random (no given word vectors)"
        digest = self.vectors_digest[:DIGITS_OF_DIGEST]
        origin = f"SHA-256 {digest}" if digest else "from no file"
        return f"{self.known_words} {sizes} word vectors ({origin})"

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
    *,
    sentences: Sequence[tuple[str, ...]] | None = None,
) -> TextExtractor:
    """Return an extractor that learnt the categories of the training texts.

    Labels are int64 (n,), from 0, and validation has none that training lacks; ``DatasetError`` otherwise.
    Load the ``vectors`` of the words of all texts that features will be made of (``wanted_words``): the
    vectors of words that no training text holds stay as they are, but say more than the unknown word's.
    ``WordVectors.none`` gives none at all ("CNN-rand" of Kim, 2014, Section 3.3).

    ``sentences`` are those of each training text. The network learns from them too, each with the label of
    its text, where they are given. This helps where texts are few: in three-fold cross-validation on the 800
    training texts of Pascal Sentence the accuracy of a linear classifier of whole texts rose from 0.744 to
    0.775, in an earlier one with other folds from 0.723 to 0.762. Whether a word is frequent enough for
    a vector of its own, texts alone decide.

    The features of training texts come out clearer than those of others, because the network has learnt
    their labels. Where that matters see ``cmbench.datasets.features.cross_fitting``.
    """
    settings = settings or WordCNNSettings()
    classes = check_labelled_texts(train_texts, train_labels, validation_texts, validation_labels)
    check_sentences(train_texts, sentences)
    learnt, labels = _with_sentences(train_texts, train_labels, sentences)
    vocabulary = Vocabulary.of(train_texts, vectors, seed=settings.seed)
    train, validation = (
        vocabulary.encoded(texts, longest=settings.longest) for texts in (learnt, validation_texts)
    )
    trained = train_word_cnn(
        vocabulary.table, (train, labels), (validation, validation_labels), classes=classes, settings=settings
    )
    return TextExtractor(
        vocabulary,
        trained,
        settings,
        len(train_texts),
        classes,
        vectors.digest,
        len(vectors),
        len(learnt) - len(train_texts),
    )


def _with_sentences(
    texts: Sequence[str], labels: Labels, sentences: Sequence[tuple[str, ...]] | None
) -> tuple[Sequence[str], Labels]:
    """Return the texts, followed by their sentences, and a label for each."""
    if sentences is None:
        return texts, labels
    counts = [len(of_text) for of_text in sentences]
    return [*texts, *chain.from_iterable(sentences)], np.concatenate([labels, np.repeat(labels, counts)])


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


def check_sentences(texts: Sequence[str], sentences: Sequence[tuple[str, ...]] | None) -> None:
    """Raise ``DatasetError`` unless there are sentences of each text, or of none at all."""
    if sentences is None:
        return
    if len(sentences) != len(texts):
        raise DatasetError(
            f"there are sentences of {len(sentences)} texts and {len(texts)} training texts; give a tuple of "
            "sentences for each text, an empty one where it has none"
        )
    for row, of_text in enumerate(sentences):
        check_texts(f"sentences[{row}]", of_text)


def check_texts(name: str, texts: Sequence[str]) -> None:
    """Raise ``DatasetError`` unless ``texts`` is a sequence of str, and not one text."""
    if isinstance(texts, str):
        raise DatasetError(f"{name} is one text; give a list of texts")
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise DatasetError(f"{name}[{row}] is a {type(text).__name__}; every text must be a str")
