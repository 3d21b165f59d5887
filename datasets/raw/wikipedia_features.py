"""The features that come with Wikipedia's pictures and texts: 128-d SIFT histograms and 10-d topics.

``raw_features.mat`` holds a row for each line of the lists of training and test pairs, in their order:
``I_tr`` and ``I_te`` of pictures (bags of SIFT words), ``T_tr`` and ``T_te`` of texts (latent Dirichlet
allocation).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cmbench.datasets.contract import Dataset
from cmbench.datasets.draft import Card, FloatMatrix, Split
from cmbench.datasets.formats.casting import float_matrix
from cmbench.datasets.raw import wikipedia
from cmbench.datasets.raw.contract import RawPair
from cmbench.datasets.raw.pair_files import read_list
from cmbench.disk import DAMAGE, damaged
from cmbench.errors import DatasetError

FILE = "raw_features.mat"
SIDES = {"I": "bag of SIFT words", "T": "latent Dirichlet allocation"}
PARTS = dict(zip(("tr", "te"), wikipedia.LISTS.values(), strict=True))


def published_features(folder: Path, splits: Path | None = None) -> Dataset:
    """Return the features in the distribution that ``folder`` holds, divided as ``wikipedia.load`` does.

    Raises ``DatasetError`` as ``wikipedia.load`` does, and where the file is damaged or has not a row for
    each line of the lists.
    """
    raw = wikipedia.load(folder, splits)
    ids = [f"{text}|{image}" for place in PARTS.values() for text, image, _ in _lines(folder / place)]
    row_of = {id_: row for row, id_ in enumerate(ids)}
    images, texts = (_rows(folder, side) for side in SIDES)
    train, validation, test = (_split(pairs, row_of, images, texts) for _, pairs in raw.splits)
    card = Card(
        source=f"{raw.card.source} ({FILE})",
        licence=raw.card.terms,
        citation=raw.card.citation,
        image_feature=SIDES["I"],
        text_feature=SIDES["T"],
        sizes=(len(train), len(validation), len(test)),
    )
    return Dataset(raw.name, train, validation, test, raw.class_names, card)


def _lines(path: Path) -> list[tuple[str, ...]]:
    return [line.fields for line in read_list(path, wikipedia.FIELDS)]


def _rows(folder: Path, side: str) -> FloatMatrix:
    """Return the features of one side, training pairs first: a row for each line of the lists."""
    from scipy.io.matlab import MatReadError, loadmat

    path = folder / FILE
    keys = [f"{side}_{part}" for part in PARTS]
    if not path.is_file():
        raise DatasetError(f"{path} is missing; get the distribution again")
    unreadable: tuple[type[Exception], ...] = (*DAMAGE, MatReadError)
    try:
        found = loadmat(path, variable_names=keys)
    except unreadable as error:
        raise DatasetError(damaged(path, error)) from error
    matrices = []
    for key, place in zip(keys, PARTS.values(), strict=True):
        if key not in found:
            raise DatasetError(f"{path} has no {key}; get the file again")
        matrix: FloatMatrix = float_matrix(f"{path}: {key}", found[key])
        expected = len(_lines(folder / place))
        if len(matrix) != expected:
            raise DatasetError(
                f"{path}: {key} has {len(matrix)} rows, and {place} {expected} lines; get both again"
            )
        matrices.append(matrix)
    widths = [matrix.shape[1] for matrix in matrices]
    if len(set(widths)) > 1:
        raise DatasetError(f"{path}: {' and '.join(keys)} have {widths} columns; get the file again")
    return np.concatenate(matrices)


def _split(
    pairs: Sequence[RawPair], row_of: dict[str, int], images: FloatMatrix, texts: FloatMatrix
) -> Split:
    rows = [row_of[pair.id] for pair in pairs]
    labels = np.array([pair.label for pair in pairs], dtype=np.int64)
    return Split(images[rows], texts[rows], labels, np.array([pair.id for pair in pairs], dtype=np.str_))
