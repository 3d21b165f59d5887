"""Category probabilities of training texts from networks that did not learn from them.

A supervised extractor has learnt the labels of its training texts, so their features are clearer than those
of new texts, and a method that trains on them trusts texts too much. Cross-fitting makes the features of each
training text by a network that did not see it. What networks give must then mean the same in all of them:

* The 300 features of two word CNNs are not aligned: column 7 is one n-gram in this network and another in
  that. Rows from different networks under one another, or their mean, would be noise, and are not offered.
* To start all folds from one trained network would align them, but that network has seen all labels.
  To start them from the same random weights aligns them in part only, and nothing says in which part.
* To map one network's features to another's by least squares needs a reference network that learnt
  from all training texts, whose labels come back through it.
* Category probabilities are aligned by what they are: column c is category c in every network. They are
  offered here, with as many columns as there are categories (stacked generalisation, Wolpert, Neural
  Networks 5:241-259, 1992). Validation and test texts have the mean over the networks.

Each network learns from a share of (k - 1)/k, and the mean of k of them is a little better than one, so
probabilities of training texts are somewhat worse than those of new ones: the honest direction to err in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy.special import softmax
from sklearn.model_selection import StratifiedKFold

from cmbench.datasets.contract import FloatMatrix, Labels
from cmbench.datasets.features.text_features import TextExtractor, check_labelled_texts, fit_text_extractor
from cmbench.datasets.features.word_cnn_training import WordCNNSettings
from cmbench.datasets.features.word_vectors import WordVectors
from cmbench.errors import DatasetError


@dataclass(frozen=True, eq=False)
class CrossFittedPosteriors:
    """Category probabilities of training texts, and the networks to make those of others.

    Parameters
    ----------
    train : float32 (n, classes), row i from the network that did not learn from training text i
    folds : int64 (n,), the number of that network
    extractors : one for each fold
    """

    train: FloatMatrix = field(repr=False)
    folds: Labels = field(repr=False)
    extractors: tuple[TextExtractor, ...]

    def posteriors(self, texts: Sequence[str]) -> FloatMatrix:
        """Return float32 (n, classes) of texts that no network learnt from: the mean over all networks."""
        mean: FloatMatrix = np.mean([posteriors(each, texts) for each in self.extractors], axis=0)
        return mean


def cross_fitted_posteriors(
    train: tuple[Sequence[str], Labels],
    validation: tuple[Sequence[str], Labels],
    vectors: WordVectors,
    *,
    folds: int = 5,
    settings: WordCNNSettings | None = None,
) -> CrossFittedPosteriors:
    """Return category probabilities of the training texts, each from a network that did not learn from it.

    ``train`` and ``validation`` are texts and labels; the folds are stratified by category and drawn by the
    seed. Every network stops by the same validation texts. ``DatasetError`` where a category has fewer
    training texts than there are folds.
    """
    settings = settings or WordCNNSettings()
    texts, labels = train
    classes = check_labelled_texts(texts, labels, *validation)
    smallest = int(np.bincount(labels)[np.unique(labels)].min())
    if not 2 <= folds <= smallest:
        raise DatasetError(
            f"folds is {folds}; it must be at least 2, and at most the {smallest} training texts of the "
            "smallest category"
        )
    fold_of = np.empty(len(labels), np.int64)
    rows = np.empty((len(labels), classes), np.float32)
    extractors = []
    splitter = StratifiedKFold(folds, shuffle=True, random_state=settings.seed)
    for number, (seen, unseen) in enumerate(splitter.split(labels, labels)):
        extractor = fit_text_extractor(
            [texts[row] for row in seen], labels[seen], *validation, vectors, settings
        )
        rows[unseen] = posteriors(extractor, [texts[row] for row in unseen])
        fold_of[unseen] = number
        extractors.append(extractor)
    return CrossFittedPosteriors(rows, fold_of, tuple(extractors))


def posteriors(extractor: TextExtractor, texts: Sequence[str]) -> FloatMatrix:
    """Return the probabilities of the categories that the extractor learnt, float32 (n, classes)."""
    features = torch.from_numpy(extractor.features(texts))
    with torch.no_grad():
        logits = extractor.trained.network.last(features).double().numpy()
    probabilities: FloatMatrix = softmax(logits, axis=1).astype(np.float32)
    return probabilities
