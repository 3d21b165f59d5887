"""XMediaNet: pictures and texts of 200 animals and artefacts, 32,000/4,000/4,000 pairs, on application.

PKU XMediaNet has five media; only its images and texts are read here. Its authors give it on application
and do not publish how it is laid out, so the layout below is **that of cmbench**, to be written from what
one received:

* ``categories.txt``: the 200 names, one to a line, in the order of their numbers;
* ``train_list.txt``, ``val_list.txt``, ``test_list.txt``: a pair to a line, with the path of the image,
  the path of the text and the name of the category, separated by tabs; paths are relative to the folder;
* the images and the texts (UTF-8), wherever the lists say.

The id of a pair is the path of its image as it stands in the list. Files that no list names are left alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cmbench.datasets.formats.feature_file import SPLIT_NAMES
from cmbench.datasets.raw.contract import RawCard, RawDataset, RawPair
from cmbench.datasets.raw.pair_files import Line, claim, picture_at, read_list, read_names, read_sentences
from cmbench.datasets.raw.problems import Problems, check_categories
from cmbench.datasets.raw.splits import divided, read_splits
from cmbench.errors import DatasetError

NAME = "xmedianet"
UNWRITTEN = "write it as 'cmbench datasets info xmedianet' says"
FIELDS = ("image path", "text path", "category")

CARD = RawCard(
    source="PKU XMediaNet, Peking University (MIPL): https://www.icst.pku.edu.cn/mipl/lwsjjxz/dataset",
    terms="for research, under the agreement that applicants sign",
    citation=(
        "Y. Peng, X. Huang, Y. Zhao: An overview of cross-media retrieval: Concepts, methodologies, "
        "benchmarks, and challenges. IEEE Transactions on Circuits and Systems for Video Technology 28(9), "
        "2018, pp. 2372-2385"
    ),
    obtaining=(
        "Apply to its authors with the form on the page of the source; then write categories.txt, with the "
        "200 names, one to a line, and train_list.txt, val_list.txt and test_list.txt, with a pair to a "
        "line, separated by tabs: path of the image, path of the text (UTF-8), name of the category."
    ),
    division=(
        "sizes and number of categories as in arXiv 1710.05106; which pair is in which split is said by the "
        "lists, which one wrote from what one received"
    ),
    sizes=(32000, 4000, 4000),
    categories=200,
)


def load(folder: Path, splits: Path | None = None) -> RawDataset:
    """Return the dataset in ``folder``, divided as its lists say, or by the file ``splits``.

    The published sizes of the lists and the number of categories are verified.

    Raises
    ------
    DatasetError
        Naming every missing or broken file and every wrong line of a list.
    """
    problems = Problems(f"raw dataset {NAME!r}")
    class_names = read_names(folder / "categories.txt", UNWRITTEN)
    check_categories(class_names, CARD.categories, place=folder / "categories.txt", problems=problems)
    problems.settle()
    labels = {name: label for label, name in enumerate(class_names)}
    taken: dict[str, str] = {}
    parts: list[list[RawPair]] = []
    for split in SPLIT_NAMES:
        parts.append([])
        for line in read_list(folder / f"{split}_list.txt", FIELDS, UNWRITTEN):
            with problems.noted():
                parts[-1].append(_pair(line, folder, labels, taken))
    problems.settle()
    if splits is not None:
        given, pairs = read_splits(splits), [pair for part in parts for pair in part]
        return RawDataset(NAME, *divided(pairs, given), class_names, CARD.with_split_given(), given.origin)
    assert CARD.sizes is not None
    for split, pairs, published in zip(SPLIT_NAMES, parts, CARD.sizes, strict=True):
        if len(pairs) != published:
            problems.add(
                f"{folder / f'{split}_list.txt'} has {len(pairs)} pairs and should have {published}; "
                "complete it, or give a split of your own (--splits)"
            )
    problems.settle()
    return RawDataset(NAME, parts[0], parts[1], parts[2], class_names, CARD, "lists of the collection")


def _pair(line: Line, folder: Path, labels: Mapping[str, int], taken: dict[str, str]) -> RawPair:
    image, text, category = line.fields
    if category not in labels:
        raise DatasetError(
            f"{line.place}: unknown category {category!r}; add it to {folder / 'categories.txt'}"
        )
    claim(image, line.place, taken)
    claim(f"text {text}", line.place, taken)
    return RawPair(
        id=image,
        picture=picture_at(folder / image, line.place),
        segments=read_sentences(folder / text, line.place),
        label=labels[category],
    )
