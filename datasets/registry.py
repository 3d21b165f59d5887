"""The datasets that come with cmbench, by name, and the way to everyone else's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from cmbench.datasets.contract import Dataset
from cmbench.datasets.draft import Card, category_counts
from cmbench.datasets.formats.files import load_file
from cmbench.datasets.raw.registry import raw_dataset_names
from cmbench.errors import DatasetError, did_you_mean

BUILT_IN = {
    "emoji": "cmbench.datasets.emoji.collection:load",
    "scenes": "cmbench.datasets.scenes.collection:load",
}
"""Module and function of each dataset, imported on use."""


def dataset_names() -> tuple[str, ...]:
    """Return the names of the datasets that come with cmbench, in alphabetical order.

    >>> "scenes" in dataset_names()
    True
    """
    return tuple(sorted(BUILT_IN))


def dataset_summaries() -> dict[str, str]:
    """Return one line on each dataset that comes with cmbench: the first of its module's docstring."""
    summaries = {}
    for name in dataset_names():
        module = import_module(BUILT_IN[name].partition(":")[0])
        summaries[name] = (module.__doc__ or "").strip().partition("\n")[0]
    return summaries


def licence_file(name: str) -> Path | None:
    """Return the file of terms beside the features of a dataset that comes with cmbench, if they need one."""
    folder = import_module(BUILT_IN[name].partition(":")[0]).__file__
    path = Path(folder or "").with_name("LICENCES.txt")
    return path if path.exists() else None


def load_dataset(name_or_path: str | Path, *, unseen_categories: bool = False) -> Dataset:
    """Return a dataset by its name, or from a ``.npz`` or ``.mat`` file or a folder of ``.npy`` files.

    A text that is the name of a built-in dataset means that one; write ``./scenes`` or pass a
    ``Path`` for a file or folder of the same name. The keys of feature files stand in
    ``cmbench.datasets.formats.feature_file``; folders are opened memory-mapped. With ``unseen_categories``,
    test pairs may be of categories that no training pair has, as the protocol ``zeroshot`` has it.

    Raises
    ------
    DatasetError
        For an unknown name, an unreadable file, or arrays that break a rule of the contract.
    """
    if isinstance(name_or_path, str) and name_or_path in BUILT_IN:
        return _loader(name_or_path)()
    if not str(name_or_path).strip():
        raise DatasetError(f"{name_or_path!r} names no dataset; give a name, or the path of features")
    path = Path(name_or_path).expanduser()
    if not path.exists():
        raise DatasetError(_unknown(str(name_or_path)))
    return load_file(path, unseen_categories=unseen_categories)


def _loader(name: str) -> Callable[[], Dataset]:
    module, _, function = BUILT_IN[name].partition(":")
    loader: Callable[[], Dataset] = getattr(import_module(module), function)
    return loader


def _unknown(name: str) -> str:
    beside = [path.name for path in _siblings(Path(name))]
    files = [file for file in (f"{name}.npz", f"{name}.mat") if file in beside]
    if name.lower() in set(raw_dataset_names()) - set(BUILT_IN) and not files:
        return _without_features(name.lower())
    is_path = bool(Path(name).suffix) or "/" in name
    if is_path:
        guess = did_you_mean(Path(name).name, beside)
        return (
            f"unknown dataset {name!r}: no such file or folder{guess}; give the path of a .npz file, a .mat "
            f"file or a folder of .npy files, or the name of a dataset, such as {', '.join(dataset_names())}"
        )
    known = did_you_mean(name, [*dataset_names(), *raw_dataset_names()])
    guess = f" (did you mean {files[0]!r}?)" if files else known
    return (
        f"unknown dataset {name!r}{guess}: no such file or folder, and the datasets by name are "
        f"{', '.join(dataset_names())}; give a name, or the path of a .npz file, a .mat file or a folder of "
        f".npy files. Features can be made of {', '.join(raw_dataset_names())} ('cmbench features extract')"
    )


def _siblings(path: Path) -> list[Path]:
    """Return what lies beside a path that is not there; nothing where its folder cannot be read."""
    try:
        return sorted(path.parent.iterdir())
    except OSError:
        return []


def _without_features(name: str) -> str:
    return (
        f"{name!r} is a collection of pictures and texts, which has no features yet: 'cmbench datasets info "
        f"{name}' says where to get it, 'cmbench features extract {name} --from FOLDER --vectors FILE -o "
        f"{name}.npz' makes features of it, and the path {name}.npz is then the dataset. There is no file or "
        "folder of that name here either"
    )


@dataclass(frozen=True)
class Description:
    """Sizes, dimensions and categories of a dataset, with its card.

    Parameters
    ----------
    name : of the dataset
    sizes : pairs in train, val, test and, if there is one, retrieval
    image_dimension, text_dimension : numbers of features
    classes : a row for each category, its name and its pairs in the same splits
    parts : the modalities for which there are parts
    groups : into how many blocks the features of each modality fall
    card : where it comes from
    fingerprint : SHA-256 over its arrays
    is_multi_label : whether a pair may have several categories
    pictures : distinct pictures in the same splits, None where no two pairs share one
    """

    name: str
    sizes: tuple[int, ...]
    image_dimension: int
    text_dimension: int
    classes: tuple[tuple[Any, ...], ...]
    parts: tuple[str, ...]
    groups: dict[str, int]
    card: Card
    fingerprint: str
    is_multi_label: bool = False
    pictures: tuple[int, ...] | None = None


def describe(dataset: Dataset) -> Description:
    """Return the description of ``dataset``; its arrays are read once, for the fingerprint."""
    pairs = [category_counts(split.labels, len(dataset.class_names)) for _, split in dataset.splits]
    train = dataset.train
    return Description(
        name=dataset.name,
        sizes=tuple(len(split) for _, split in dataset.splits),
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
        is_multi_label=dataset.is_multi_label,
        pictures=_distinct_pictures(dataset),
    )


def _distinct_pictures(dataset: Dataset) -> tuple[int, ...] | None:
    counts = tuple(len(np.unique(split.pictures)) for _, split in dataset.splits)
    return None if counts == tuple(len(split) for _, split in dataset.splits) else counts
