"""The collections of pictures and texts that cmbench reads, by name."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from cmbench.datasets.raw.archives import SUFFIXES
from cmbench.datasets.raw.contract import RawCard, RawDataset
from cmbench.errors import DatasetError, did_you_mean

RAW = {
    "emoji": "cmbench.datasets.raw.emoji",
    "pairs_table": "cmbench.datasets.raw.pairs_table",
    "pascal_sentence": "cmbench.datasets.raw.pascal_sentence",
    "scenes": "cmbench.datasets.raw.scenes",
    "wikipedia": "cmbench.datasets.raw.wikipedia",
    "xmedianet": "cmbench.datasets.raw.xmedianet",
}
"""Module of each raw dataset, imported on use: a docstring, a ``CARD`` and ``load(folder, splits)``."""

WITHOUT_FOLDER = ("scenes",)


def raw_dataset_names() -> tuple[str, ...]:
    """Return the names of the raw datasets, in alphabetical order.

    >>> "wikipedia" in raw_dataset_names()
    True
    """
    return tuple(sorted(RAW))


def raw_dataset_summaries() -> dict[str, str]:
    """Return one line on each raw dataset: the first of its module's docstring."""
    return {name: (_module(name).__doc__ or "").strip().partition("\n")[0] for name in raw_dataset_names()}


def raw_dataset_cards() -> dict[str, RawCard]:
    """Return the card of each raw dataset: where it comes from, on what terms, and how to get it."""
    return {name: _module(name).CARD for name in raw_dataset_names()}


def load_raw(name: str, folder: Path | str | None = None, splits: Path | str | None = None) -> RawDataset:
    """Return a raw dataset by its name, from the folder that holds it.

    Parameters
    ----------
    name : str
        One of ``raw_dataset_names()``.
    folder : path
        Where its files are (for ``pairs_table`` the table, or a folder); ``scenes`` needs none.
    splits : path, optional
        A split file of one's own, see ``cmbench.datasets.raw.splits``.

    Raises
    ------
    DatasetError
        For an unknown name, a folder that is not there, or files that break a rule.
    """
    if name not in RAW:
        raise DatasetError(_unknown(name))
    module = _module(name)
    if isinstance(folder, str) and folder.startswith(("http://", "https://")):
        raise DatasetError(f"{folder} is an address; {_to_prepare(name, folder)}")
    place = None if folder is None else Path(folder).expanduser()
    if name not in WITHOUT_FOLDER and (place is None or not place.exists()):
        raise DatasetError(
            f"raw dataset {name!r}: "
            + ("no folder is given" if place is None else f"{place} does not exist")
            + f"; name the place of its files. {module.CARD.obtaining}"
        )
    if place is not None and place.is_file() and place.name.lower().endswith(SUFFIXES):
        raise DatasetError(f"{place} is an archive; {_to_prepare(name, place)}")
    dataset: RawDataset = module.load(place, None if splits is None else Path(splits).expanduser())
    return dataset


def _to_prepare(name: str, place: Path | str) -> str:
    return f"run 'cmbench datasets prepare {name} --from {place}' first, and name the place that it prints"


def _module(name: str) -> Any:
    return import_module(RAW[name])


def _unknown(name: str) -> str:
    names = raw_dataset_names()
    return (
        f"unknown raw dataset {name!r}{did_you_mean(name, names)}; the raw datasets are {', '.join(names)}, "
        "and pairs_table reads pairs of your own"
    )
