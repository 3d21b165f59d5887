"""A raw dataset as its source sent it becomes one that is known to be whole."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from cmbench.datasets.raw.archives import SUFFIXES, unpack
from cmbench.datasets.raw.contract import RawDataset, RawPair
from cmbench.datasets.raw.downloads import Download
from cmbench.datasets.raw.problems import MOST_TOLD, Problems
from cmbench.datasets.raw.registry import load_raw
from cmbench.errors import DatasetError, listed


def prepared(name: str, place: Path | None = None, splits: Path | None = None) -> RawDataset:
    """Return a raw dataset after looking at everything that it consists of, every picture included.

    The arguments are those of ``load_raw``. Raises ``DatasetError`` for files that break a rule, and for
    pictures that cannot be read, all of them in one message.
    """
    return checked_pictures(load_raw(name, place, splits))


def checked_pictures(dataset: RawDataset) -> RawDataset:
    """Return ``dataset`` after reading each picture; one ``DatasetError`` tells of all that cannot be read.

    Loaders do not open pictures; this finds a broken one before hours of features are spent.
    """
    problems = Problems(f"raw dataset {dataset.name!r}")
    for _, pairs in dataset.splits:
        for pair in pairs:
            with problems.noted():
                pair.picture.read()
    problems.settle()
    return dataset


def without_unreadable(dataset: RawDataset) -> RawDataset:
    """Return ``dataset`` without the pairs whose pictures cannot be read; the card says which and why.

    Raises ``DatasetError`` where what is left breaks a rule, such as a category without a training pair.
    """
    reasons: dict[str, str] = {}
    parts = []
    for _, pairs in dataset.splits:
        parts.append([pair for pair in pairs if _is_readable(pair, reasons)])
    if not reasons:
        return dataset
    named = listed(list(reasons), MOST_TOLD)
    note = f"{len(reasons)} pairs were left out, whose pictures cannot be read: {named}"
    card = replace(dataset.card, sizes=None, class_sizes={}, notes=(*dataset.card.notes, note))
    train, validation, test = parts
    return replace(dataset, train=train, validation=validation, test=test, card=card)


def _is_readable(pair: RawPair, reasons: dict[str, str]) -> bool:
    try:
        pair.picture.read()
    except DatasetError as error:
        reasons[pair.id] = str(error)
    return pair.id not in reasons


def place_of(source: str, to: Path | None = None, sha256: str | None = None) -> Path:
    """Return the folder (or table) of the files that ``source`` is, or is an archive of.

    Parameters
    ----------
    source : str
        A folder or a table, which is returned as it is, or an archive, which is unpacked, or the address
        (http or https) of an archive, which is fetched first: beside ``to``, or into the current folder.
    to : path, optional
        The folder into which an archive is unpacked; by default its name without the ending, beside it.
    sha256 : str, optional
        The checksum of an archive that is fetched, hexadecimal; without one, nothing is.

    Raises
    ------
    DatasetError
        For an archive that cannot be fetched or is not the one of the checksum, a damaged or hostile one,
        and a folder that is there already and holds something else.
    """
    if source.startswith(("http://", "https://")):
        place = _fetched(source, sha256, to.expanduser().parent if to else Path())
    elif sha256 is not None:
        raise DatasetError(f"{source} is no address (https://...), and a SHA-256 is for one; leave it out")
    else:
        place = Path(source).expanduser()
    if not (place.is_file() and place.name.lower().endswith(SUFFIXES)):
        return place
    folder = to.expanduser() if to else place.with_name(_stem(place.name))
    unpack(place, folder)
    return _inner(folder)


def _fetched(url: str, sha256: str | None, folder: Path) -> Path:
    if sha256 is None:
        raise DatasetError(
            f"{url}: nothing is fetched without its SHA-256; give the one that its publisher names "
            "(--sha256), or fetch it yourself and name the file"
        )
    if not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise DatasetError(f"the SHA-256 (--sha256) is {sha256!r}; it has 64 hexadecimal digits")
    download = Download(url, sha256.lower())
    if not download.name.lower().endswith(SUFFIXES):
        raise DatasetError(
            f"{url} is not the address of an archive ({', '.join(SUFFIXES)}); fetch it yourself, and name "
            "the file"
        )
    return download.into(folder)


def _stem(name: str) -> str:
    ending = max((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), key=len)
    return name[: -len(ending)]


def _inner(folder: Path) -> Path:
    """Return the folder, or the one that it consists of: archives often hold a folder of their own name."""
    while len(inside := [path for path in folder.iterdir() if not path.name.startswith(".")]) == 1:
        if not inside[0].is_dir():
            break
        folder = inside[0]
    return folder
