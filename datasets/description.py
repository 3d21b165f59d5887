"""What a dataset holds, in numbers: for its card on screen and for reports."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cmbench.datasets.contract import Card, Dataset


@dataclass(frozen=True)
class Description:
    """Sizes, dimensions and categories of a dataset, with its card.

    ``sizes`` are the pairs in train, val and test; ``classes`` has a row for each category: its name and
    its pairs in train, val and test; ``parts`` says for which modalities there are parts, and
    ``groups`` into how many blocks the features of each modality fall.
    """

    name: str
    sizes: tuple[int, int, int]
    image_dimension: int
    text_dimension: int
    classes: tuple[tuple[str, int, int, int], ...]
    parts: tuple[str, ...]
    groups: dict[str, int]
    card: Card
    fingerprint: str


def describe(dataset: Dataset) -> Description:
    """Return the description of ``dataset``; its arrays are read once, for the fingerprint."""
    count = len(dataset.class_names)
    pairs = [np.bincount(split.labels, minlength=count).tolist() for _, split in dataset.splits]
    train = dataset.train
    return Description(
        name=dataset.name,
        sizes=(len(train), len(dataset.validation), len(dataset.test)),
        image_dimension=train.images.shape[1],
        text_dimension=train.texts.shape[1],
        classes=tuple(zip(dataset.class_names, *pairs, strict=True)),
        parts=tuple(
            modality
            for modality, parts in (("images", train.image_parts), ("texts", train.text_parts))
            if parts is not None
        ),
        groups={
            modality: len(np.unique(groups))
            for modality, groups in (("images", train.image_groups), ("texts", train.text_groups))
            if groups is not None
        },
        card=dataset.card,
        fingerprint=dataset.fingerprint,
    )
