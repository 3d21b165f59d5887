"""Pairs in folders named after their categories: ``<category>/<name>.jpg`` and ``<category>/<name>.txt``."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from cmbench.datasets.raw.pair_files import PICTURE_ENDINGS, claim
from cmbench.datasets.raw.problems import Problems
from cmbench.errors import DatasetError


@dataclass(frozen=True)
class Couple:
    """The files of a pair, and the category whose folder they lie in."""

    category: str
    picture: Path
    text: Path


def couples_in(
    pictures: Path, texts: Path, *, problems: Problems, besides: Collection[str] = ()
) -> list[Couple]:
    """Return the pictures of the folder ``pictures`` with the texts of ``texts``, by category and name.

    Both folders hold a folder for each category, and may be the same one. Files that are neither pictures
    nor texts are left alone, and so are hidden files and the folders ``besides``. A picture without its
    text, a text without its picture, two pictures of one name, and what lies in no category or too deep are
    noted in ``problems``.
    """
    for path in _visible(pictures):
        if path.suffix.lower() in PICTURE_ENDINGS:
            problems.add(f"{path} lies in no category; move it into the folder of its own, or remove it")
    images = _files(pictures, PICTURE_ENDINGS, besides, problems)
    captions = _files(texts, (".txt",), besides, problems)
    for category, name in sorted(captions.keys() - images.keys()):
        problems.add(
            f"{captions[category, name]} has no image {name} ({', '.join(PICTURE_ENDINGS)}) in "
            f"{pictures / category}; add it, or remove the text"
        )
    for category, name in sorted(images.keys() - captions.keys()):
        problems.add(
            f"{images[category, name]} has no text {texts / category / name}.txt; add it, or remove the image"
        )
    both = sorted(images.keys() & captions.keys())
    return [Couple(key[0], images[key], captions[key]) for key in both]


def _files(
    root: Path, endings: tuple[str, ...], besides: Collection[str], problems: Problems
) -> dict[tuple[str, str], Path]:
    found: dict[tuple[str, str], Path] = {}
    taken: dict[str, str] = {}
    for folder in _visible(root):
        if not folder.is_dir() or folder.name in besides:
            continue
        for path in _visible(folder):
            if path.is_dir():
                _note_deeper(path, endings, problems)
            elif path.suffix.lower() in endings:
                with problems.noted():
                    claim(f"{folder.name}/{path.stem}", str(path), taken)
                    found[folder.name, path.stem] = path
    return found


def _note_deeper(folder: Path, endings: tuple[str, ...], problems: Problems) -> None:
    deeper = sorted(path for path in folder.rglob("[!.]*") if path.suffix.lower() in endings)
    if deeper:
        problems.add(f"{deeper[0]} lies in a folder within that of its category; move it up, or remove it")


def _visible(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DatasetError(f"{folder} is not a folder; name the folder that holds one for each category")
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
