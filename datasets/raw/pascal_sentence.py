"""Pascal Sentence: 1,000 photographs of twenty kinds of things with five sentences each, 800/100/100 pairs.

Two layouts are read:

* folders: ``images/<category>/<name>.jpg`` (or ``dataset/``, or the category folders at the top) and
  ``sentences/<category>/<name>.txt`` (or ``sentence/``), a sentence to a line;
* files: one ``pascal_sentence*.zip`` of the images, ``<category>/<name>.jpg``, and one
  ``pascal_sentence*.json`` with ``captions``, a list of sentences by the file name of the image, and
  ``category``, its category; other keys are left alone.

The id of a pair is the file name of its image. Copies differ by a few sentences, so five are not insisted
on. The papers do not publish their split; the file that comes with cmbench is a draw of 40/5/5 pairs of
each category.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from cmbench.datasets.raw.contract import RawCard, RawDataset, RawPair
from cmbench.datasets.raw.pair_files import (
    PICTURE_ENDINGS,
    claim,
    couples_in,
    lines_of,
    read_lines,
    read_text,
)
from cmbench.datasets.raw.pictures import ArchivedPicture, PictureFile
from cmbench.datasets.raw.problems import Problems, check_counts
from cmbench.datasets.raw.splits import divided, read_splits, shipped_splits
from cmbench.disk import DAMAGE
from cmbench.errors import DatasetError

NAME = "pascal_sentence"
CATEGORIES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train",
    "tvmonitor",
)  # fmt: skip
IMAGE_FOLDERS = ("images", "dataset")
SENTENCE_FOLDERS = ("sentences", "sentence")

CARD = RawCard(
    source="University of Illinois: http://vision.cs.uiuc.edu/pascal-sentences/",
    terms="no licence is stated; pictures from Flickr, by way of PASCAL Visual Object Classes 2008",
    citation=(
        "C. Rashtchian, P. Young, M. Hodosh, J. Hockenmaier: Collecting image annotations using Amazon's "
        "Mechanical Turk. NAACL HLT 2010 Workshop on Creating Speech and Language Data with Amazon's "
        "Mechanical Turk, pp. 139-147"
    ),
    obtaining=(
        "Save the pictures and sentences of the page of the source as images/<category>/<name>.jpg and "
        "sentences/<category>/<name>.txt, a sentence to a line."
    ),
    division=(
        "50 pairs of each category as distributed; 800, 100 and 100 as in arXiv 1710.05106, drawn by "
        "category by cmbench, since the split of the paper is not published"
    ),
    sizes=(800, 100, 100),
    categories=20,
    class_sizes={"train": (40,) * 20, "val": (5,) * 20, "test": (5,) * 20},
)


def load(folder: Path, splits: Path | None = None) -> RawDataset:
    """Return the dataset in ``folder``, divided by the file ``splits``; segments of a text are its sentences.

    The published number of pairs of each category is verified, with the split file of cmbench in each split.

    Raises
    ------
    DatasetError
        Naming every image without sentences, sentences without an image, unknown category, or broken file.
    """
    problems = Problems(f"raw dataset {NAME!r}")
    archived = any(folder.glob(f"{NAME}*.zip"))
    pairs = list((_archived_pairs if archived else _folder_pairs)(folder, problems))
    problems.settle()
    pairs.sort(key=lambda pair: (pair.label, pair.id))
    published = [sum(sizes) for sizes in zip(*CARD.class_sizes.values(), strict=True)]
    check_counts(pairs, CATEGORIES, published, place=folder, problems=problems)
    problems.settle()
    cut = read_splits(splits or shipped_splits(NAME))
    card = CARD if splits is None else CARD.with_split_given()
    return RawDataset(NAME, *divided(pairs, cut), CATEGORIES, card, cut.origin)


def _folder_pairs(folder: Path, problems: Problems) -> Iterator[RawPair]:
    sentences = next((folder / name for name in SENTENCE_FOLDERS if (folder / name).is_dir()), None)
    if sentences is None:
        raise DatasetError(f"{folder} holds neither a folder sentences nor a {NAME}*.zip; {CARD.obtaining}")
    images = next((folder / name for name in IMAGE_FOLDERS if (folder / name).is_dir()), folder)
    taken: dict[str, str] = {}
    for couple in couples_in(images, sentences, problems=problems, besides=SENTENCE_FOLDERS):
        with problems.noted():
            claim(couple.picture.name, str(couple.picture), taken)
            label = _label(couple.category, couple.picture)
            segments = read_lines(couple.text, couple.picture)
            yield RawPair(couple.picture.name, PictureFile(couple.picture), segments, label)


def _archived_pairs(folder: Path, problems: Problems) -> Iterator[RawPair]:
    archive, table = _only(folder, "zip"), _only(folder, "json")
    captions, categories = _captions(table)
    entries = _entries(archive, problems)
    for name in sorted(captions.keys() - entries.keys()):
        problems.add(f"{table}: {name!r} has captions and no image in {archive}; get both files again")
    for name in sorted(entries.keys() - captions.keys()):
        problems.add(f"{archive}:{entries[name]} has no captions in {table}; get both files again")
    for name in sorted(entries.keys() & captions.keys()):
        with problems.noted():
            place = f"{table}: {name!r}"
            label = _label(categories.get(name), place)
            _check_folder(archive, entries[name], CATEGORIES[label], place)
            picture = ArchivedPicture(archive, entries[name])
            yield RawPair(name, picture, _segments(captions[name], place), label)


def _check_folder(archive: Path, entry: str, category: str, place: str) -> None:
    if PurePosixPath(entry).parent.name != category:
        raise DatasetError(
            f"{place} is in the category {category!r}, and its image is {archive}:{entry}; "
            "get both files again"
        )


def _label(category: object, place: object) -> int:
    if category not in CATEGORIES:
        raise DatasetError(
            f"{place}: unknown category {category!r}; the categories are {', '.join(CATEGORIES)}"
        )
    return CATEGORIES.index(str(category))


def _segments(captions: object, place: str) -> tuple[str, ...]:
    if not isinstance(captions, list) or not all(isinstance(caption, str) for caption in captions):
        raise DatasetError(f"{place}: the captions are {captions!r}; write a list of sentences")
    return lines_of("\n".join(captions), place)


def _only(folder: Path, ending: str) -> Path:
    archives = sorted(folder.glob(f"{NAME}*.{ending}"))
    if len(archives) != 1:
        names = ", ".join(path.name for path in archives) or "none"
        raise DatasetError(f"{folder} must hold one {NAME}*.{ending} and holds {names}; leave one there")
    return archives[0]


def _entries(archive: Path, problems: Problems) -> dict[str, str]:
    """Return the entry of each picture in the archive by its file name."""
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = opened.namelist()
    except DAMAGE as error:
        raise DatasetError(f"{archive} cannot be read ({error}); get the file again") from error
    taken: dict[str, str] = {}
    for entry in entries:
        path = PurePosixPath(entry)
        if path.suffix.lower() in PICTURE_ENDINGS and not path.name.startswith("."):
            with problems.noted():
                claim(path.name, entry, taken)
    return taken


def _captions(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        table = json.loads(read_text(path), object_pairs_hook=_each_once)
    except json.JSONDecodeError as error:
        raise DatasetError(f"{path} is not JSON ({error}); get the file again") from error
    except DatasetError as error:
        raise DatasetError(f"{path}: {error}") from error
    for key in ("captions", "category"):
        if not isinstance(table, dict) or not isinstance(table.get(key), dict):
            raise DatasetError(f"{path} has no object {key!r}; write one with a value for each image")
    return table["captions"], table["category"]


def _each_once(items: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in items:
        if key in values:
            raise DatasetError(f"the key {key!r} stands twice; keep one")
        values[key] = value
    return values
