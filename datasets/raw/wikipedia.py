"""Wikipedia: 2,866 sections of featured articles with their pictures, ten categories, 2,173/231/462 pairs.

The distribution of the Statistical Visual Computing Lab (SVCL), San Diego:

* ``images/<folder>/<image id>.jpg`` and ``texts/<text id>.xml``;
* ``categories.list``: a name to a line, in the order of their numbers;
* ``trainset_txt_img_cat.list`` and ``testset_txt_img_cat.list``: a pair to a line, with text id, image id
  and the number of the category from 1, separated by tabs.

The id of a pair is ``<text id>|<image id>``. Pictures and texts that no list names are left alone.

The papers cut the 693 pairs of the test list into 231 for validation and 462 for test and do not publish
how. The split file that comes with cmbench is a stratified draw, by positions in the test list. A file of
one's own names either those positions, or the ids of all 2,866 pairs.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from cmbench.datasets.contract import Dataset
from cmbench.datasets.draft import Card, FloatMatrix, Split, composed
from cmbench.datasets.formats.casting import float_matrix
from cmbench.datasets.raw.contract import RawCard, RawDataset, RawPair
from cmbench.datasets.raw.pair_files import (
    PICTURE_ENDINGS,
    Line,
    claim,
    existing,
    picture_at,
    read_list,
    read_names,
    read_text,
    sentences_of,
)
from cmbench.datasets.raw.pictures import PictureFile
from cmbench.datasets.raw.problems import Labelled, Problems, check_categories, check_counts
from cmbench.datasets.raw.splits import Divided, Item, Splits, divided, read_splits, shipped_splits
from cmbench.disk import DAMAGE, damaged
from cmbench.errors import DatasetError

NAME = "wikipedia"
TEST_LIST = "val and test"  # what the class sizes of all 693 are called in the card
LISTS = {"train": "trainset_txt_img_cat.list", TEST_LIST: "testset_txt_img_cat.list"}
FIELDS = ("text id", "image id", "category number")
CATEGORIES = (
    "art", "biology", "geography", "history", "literature", "media", "music", "royalty", "sport", "warfare",
)  # fmt: skip
"""What their names begin with: some copies have long ones, as 'Art & architecture'."""

FEATURE_FILE = "raw_features.mat"
FEATURES = {"I": "bag of SIFT words", "T": "latent Dirichlet allocation"}
LIST_OF_PART = dict(zip(("tr", "te"), LISTS.values(), strict=True))

CARD = RawCard(
    source="Statistical Visual Computing Lab, UC San Diego: http://www.svcl.ucsd.edu/projects/crossmodal/",
    terms="no licence is stated; texts from Wikipedia, pictures from Wikimedia Commons, each under its own",
    citation=(
        "N. Rasiwasia, J. Costa Pereira, E. Coviello, G. Doyle, G. R. G. Lanckriet, R. Levy, N. Vasconcelos: "
        "A new approach to cross-modal multimedia retrieval. ACM Multimedia 2010, pp. 251-260"
    ),
    obtaining=(
        "Download the dataset from the page of the source and unpack it; the folder is the one that holds "
        "trainset_txt_img_cat.list."
    ),
    division=(
        "2,173 training pairs and 693 others as distributed; 231 and 462 of these as in arXiv 1710.05106, "
        "drawn by category by cmbench, since the cut of the paper is not published"
    ),
    sizes=(2173, 231, 462),
    categories=10,
    class_sizes={
        "train": (138, 272, 244, 248, 202, 178, 186, 144, 214, 347),
        TEST_LIST: (34, 88, 96, 85, 65, 58, 51, 41, 71, 104),
    },
)


def load(folder: Path, splits: Path | None = None) -> RawDataset:
    """Return the dataset in ``folder``, the test list cut by the file ``splits``.

    The published numbers of each category in both lists are verified; the sizes of the splits are where the
    split file is that of cmbench. Segments of a text are its sentences.

    Raises
    ------
    DatasetError
        Naming every missing or broken file, every wrong line of a list, and every number that is not the
        published.
    """
    problems = Problems(f"raw dataset {NAME!r}")
    class_names = _class_names(folder / "categories.list", problems)
    problems.settle()
    pairs = _listed_pairs(folder, class_names, problems)
    _check_counts(pairs, folder, class_names, problems)
    cut = read_splits(splits or shipped_splits(NAME))
    parts = _divided(pairs["train"], pairs[TEST_LIST], cut)
    card = CARD if splits is None else CARD.with_split_given()
    return RawDataset(NAME, *parts, class_names, card, cut.origin)


def _check_counts(
    pairs: Mapping[str, Sequence[Labelled]], folder: Path, class_names: tuple[str, ...], problems: Problems
) -> None:
    """Raise ``DatasetError`` unless both lists have the published number of pairs of each category."""
    for part, list_name in LISTS.items():
        published = CARD.class_sizes[part]
        check_counts(pairs[part], class_names, published, place=folder / list_name, problems=problems)
    problems.settle()


def _class_names(path: Path, problems: Problems) -> tuple[str, ...]:
    elsewhere = (
        f"name the folder that holds it and {LISTS['train']}, or get it ('cmbench datasets info {NAME}')"
    )
    names = read_names(path, elsewhere)
    check_categories(names, CARD.categories, place=path, problems=problems)
    for name, begin in zip(names, CATEGORIES, strict=False):
        if not name.lower().startswith(begin):
            problems.add(f"{path}: {name!r} stands in the place of {begin!r}; get the file again")
    return names


def _listed_pairs(folder: Path, class_names: tuple[str, ...], problems: Problems) -> dict[str, list[RawPair]]:
    pictures = _pictures(folder / "images")
    taken: dict[str, str] = {}
    pairs: dict[str, list[RawPair]] = {part: [] for part in LISTS}
    for part, list_name in LISTS.items():
        for line in read_list(folder / list_name, FIELDS):
            with problems.noted():
                pairs[part].append(_pair(line, folder, pictures, class_names, taken))
    problems.settle()
    return pairs


def _divided(train: list[Item], test: list[Item], splits: Splits) -> Divided[Item]:
    if splits.key == "id":
        return divided([*train, *test], splits)
    moved, *rest = divided(test, splits)
    return [*train, *moved], rest[0], rest[1]


def _pictures(folder: Path) -> dict[str, list[Path]]:
    """Return the paths of each picture in the folders of ``folder`` by its id."""
    paths: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*/*")):
        if path.suffix.lower() in PICTURE_ENDINGS and not path.name.startswith("."):
            paths.setdefault(composed(path.stem), []).append(path)
    return paths


def _picture(image_id: str, pictures: Mapping[str, list[Path]], folder: Path, place: str) -> PictureFile:
    path, *others = pictures.get(composed(image_id), [folder / "images" / "*" / f"{image_id}.jpg"])
    if others:
        raise DatasetError(f"{place}: the image {image_id!r} is {path} and {others[0]}; remove one")
    return picture_at(path, place)


def _pair(
    line: Line,
    folder: Path,
    pictures: Mapping[str, list[Path]],
    class_names: tuple[str, ...],
    taken: dict[str, str],
) -> RawPair:
    text_id, image_id, number = line.fields
    claim(f"text {text_id}", line.place, taken)
    claim(f"image {image_id}", line.place, taken)
    return RawPair(
        id=f"{text_id}|{image_id}",
        picture=_picture(image_id, pictures, folder, line.place),
        segments=_sentences(folder / "texts" / f"{text_id}.xml", line.place),
        label=_label(number, len(class_names), line.place),
    )


def _label(number: str, categories: int, place: str) -> int:
    numbers = [str(label + 1) for label in range(categories)]
    if number.lstrip("0") not in numbers:
        raise DatasetError(
            f"{place}: unknown category {number!r}; they are 1 to {categories}, get the list again"
        )
    return numbers.index(number.lstrip("0"))


def _sentences(path: Path, place: str) -> tuple[str, ...]:
    source = read_text(existing(path, "text", place))
    if "<!DOCTYPE" in source or "<!ENTITY" in source:
        raise DatasetError(
            f"{path} declares a document type (DOCTYPE), which can define entities without end; "
            "it is not read, get the file again or remove the declaration"
        )
    return sentences_of("\n".join(_texts(source, path)), path)


def _texts(source: str, path: Path) -> list[str]:
    """Return what stands in ``<text>`` elements; what is not well-formed is read between the tags."""
    try:
        texts = ["".join(element.itertext()) for element in ElementTree.fromstring(source).iter("text")]
    except ElementTree.ParseError:
        between = re.findall(r"<text\b[^>]*>(.*?)</text>", source, flags=re.DOTALL)
        texts = [html.unescape(re.sub(r"</?[A-Za-z][^<>]*>", "", text)) for text in between]
    if not texts:
        raise DatasetError(f"{path} has no <text> element; get the file again")
    return texts


def published_features(folder: Path, splits: Path | None = None) -> Dataset:
    """Return the features in the distribution that ``folder`` holds, divided as ``load`` does.

    Pictures and texts need not be there: the lists, the names of the categories and ``raw_features.mat`` are
    enough. Raises ``DatasetError`` as ``load`` does, and where the file is damaged or has not a row for each
    line of the lists.
    """
    problems = Problems(f"raw dataset {NAME!r}")
    class_names = _class_names(folder / "categories.list", problems)
    problems.settle()
    entries = _entries(folder, class_names, problems)
    _check_counts(entries, folder, class_names, problems)
    row_of = {entry.id: row for row, entry in enumerate([*entries["train"], *entries[TEST_LIST]])}
    images, texts = (_rows(folder, side) for side in FEATURES)
    cut = read_splits(splits or shipped_splits(NAME))
    parts = _divided(entries["train"], entries[TEST_LIST], cut)
    train, validation, test = (_split(part, row_of, images, texts) for part in parts)
    card = Card(
        source=f"{CARD.source} ({FEATURE_FILE})",
        licence=CARD.terms,
        citation=CARD.citation,
        image_feature=FEATURES["I"],
        text_feature=FEATURES["T"],
        sizes=(len(train), len(validation), len(test)),
    )
    return Dataset(NAME, train, validation, test, class_names, card)


@dataclass(frozen=True)
class _Entry:
    """What a line of a list says: the id of a pair and its category."""

    id: str
    label: int


def _entries(folder: Path, class_names: tuple[str, ...], problems: Problems) -> dict[str, list[_Entry]]:
    """Return what the lines of both lists say, by list; files of pictures and texts are not looked for."""
    taken: dict[str, str] = {}
    entries: dict[str, list[_Entry]] = {part: [] for part in LISTS}
    for part, list_name in LISTS.items():
        for line in read_list(folder / list_name, FIELDS):
            with problems.noted():
                text_id, image_id, number = line.fields
                claim(f"text {text_id}", line.place, taken)
                claim(f"image {image_id}", line.place, taken)
                label = _label(number, len(class_names), line.place)
                entries[part].append(_Entry(f"{text_id}|{image_id}", label))
    problems.settle()
    return entries


def _lines(path: Path) -> list[tuple[str, ...]]:
    return [line.fields for line in read_list(path, FIELDS)]


def _rows(folder: Path, side: str) -> FloatMatrix:
    """Return the features of one side, training pairs first: a row for each line of the lists."""
    from scipy.io.matlab import MatReadError, loadmat

    path = folder / FEATURE_FILE
    keys = [f"{side}_{part}" for part in LIST_OF_PART]
    if not path.is_file():
        raise DatasetError(f"{path} is missing; get the distribution again")
    unreadable: tuple[type[Exception], ...] = (*DAMAGE, MatReadError)
    try:
        arrays = loadmat(path, variable_names=keys)
    except unreadable as error:
        raise DatasetError(damaged(path, error)) from error
    matrices = []
    for key, place in zip(keys, LIST_OF_PART.values(), strict=True):
        if key not in arrays:
            raise DatasetError(f"{path} has no {key}; get the file again")
        matrix: FloatMatrix = float_matrix(f"{path}: {key}", arrays[key])
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


def _split(pairs: Sequence[_Entry], row_of: dict[str, int], images: FloatMatrix, texts: FloatMatrix) -> Split:
    rows = [row_of[pair.id] for pair in pairs]
    labels = np.array([pair.label for pair in pairs], dtype=np.int64)
    return Split(images[rows], texts[rows], labels, np.array([pair.id for pair in pairs], dtype=np.str_))
