"""A raw dataset as its source sent it becomes one that is known to be whole."""

from __future__ import annotations

from pathlib import Path

from cmbench.datasets.raw.archives import SUFFIXES, unpack
from cmbench.datasets.raw.contract import RawDataset
from cmbench.datasets.raw.picture_check import checked_pictures
from cmbench.datasets.raw.registry import load_raw


def prepared(
    name: str, place: Path | None = None, splits: Path | None = None, to: Path | None = None
) -> RawDataset:
    """Return a raw dataset after looking at everything that it consists of, every picture included.

    Parameters
    ----------
    name : str
        As ``load_raw`` takes it.
    place : path, optional
        The folder of its files, or an archive of that folder, which is unpacked first.
    splits : path, optional
        A split file of one's own.
    to : path, optional
        The folder into which an archive is unpacked; by default its name without the ending, beside it.

    Raises
    ------
    DatasetError
        For a damaged or hostile archive, files that break a rule, and pictures that cannot be read, all
        of them in one message.
    """
    if place is not None and place.is_file() and place.name.lower().endswith(SUFFIXES):
        folder = to or place.with_name(_stem(place.name))
        unpack(place, folder)
        place = _inner(folder)
    return checked_pictures(load_raw(name, place, splits))


def _stem(name: str) -> str:
    ending = max((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), key=len)
    return name[: -len(ending)]


def _inner(folder: Path) -> Path:
    """Return the folder, or the one that it consists of: archives often hold a folder of their own name."""
    while len(inside := list(folder.iterdir())) == 1 and inside[0].is_dir():
        folder = inside[0]
    return folder
