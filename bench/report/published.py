"""Published MAP values, and when they may stand beside measured ones."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, TypeAlias

from cmbench.evaluation.protocol import BIMODAL_AVERAGE
from cmbench.records import is_by_pair, split_of
from cmbench.report.records import Group

TABLES = ("I", "II", "III")
"""The tables of the CM-GANs paper, whose values may stand in a leaderboard."""


SPLITS = ("shipped with cmbench", "lists of the collection")
"""Ends of the origins of splits that published values are of, as recipes of features name them."""

_NAMES = {
    "wikipedia": "Wikipedia",
    "pascal": "Pascal Sentence",
    "pascalsentence": "Pascal Sentence",
    "pascalsentences": "Pascal Sentence",
    "xmedianet": "XMediaNet",
}
_SIZES = {
    "Wikipedia": (2173, 231, 462),
    "Pascal Sentence": (800, 100, 100),
    "XMediaNet": (32000, 4000, 4000),
}


@dataclass(frozen=True)
class PublishedMap:
    """One published MAP value with where it was read and how sure that reading is.

    ``table`` is one of ``PublishedTable``: values of two tables are of other features, splits or rules.
    """

    table: str
    dataset: str
    method: str
    task: str
    map: float
    source: str
    confidence: str


@dataclass(frozen=True)
class PublishedTable:
    """What is known of how the values of a published table were made, each in words.

    ``heading`` is its name in a column, ``protocol`` how items are ranked, ``selection`` by what parameters
    and epochs were chosen, and ``repeats`` another table whose rows it copies, empty where none.
    """

    table: str
    dataset: str
    heading: str
    split: str
    features: str
    protocol: str
    selection: str
    repeats: str

    @property
    def terms(self) -> str:
        """Split, features, protocol and selection in a sentence."""
        return (
            f"split {self.split}; features {self.features}; {self.protocol}; parameters and epochs: "
            f"{self.selection}"
        )


Published: TypeAlias = Mapping[tuple[str, str], PublishedMap]
"""Published values by (method's paper name, task)."""


def published_dataset(group: Group) -> str | None:
    """Return the dataset of the paper these records correspond to, or None.

    They do when all of this holds: the dataset is Wikipedia, Pascal Sentence or XMediaNet; the
    image feature is VGG19 fc7 with 4096 dimensions, of weights that have learnt; the text feature is
    WordCNN with 300; the splits have the published sizes and, where the features have a recipe that
    names their split, it is one of those in ``SPLITS``; no pairs were divided anew; and the protocol looks
    at the full ranking with the query kept, as the authors' evaluation does.
    """
    dataset, protocol = group.dataset, group.protocol
    name = _NAMES.get(_letters(dataset["name"]))
    if not _is_of_paper(dataset, protocol) or any(map(split_of, group.records)):
        return None
    if name is None or _sizes(dataset) != _SIZES[name] or not _is_shipped(dataset.get("split")):
        return None
    is_same = (
        _is_feature(dataset, "image", 4096, ("vgg19", "fc7"))
        and _is_feature(dataset, "text", 300, ("wordcnn",))
        and protocol["cutoff"] is None
        and protocol["keep_query"]
    )
    return name if is_same else None


def published_maps(group: Group) -> Published | None:
    """Return the values of Tables I to III that may stand beside these records, None where none may."""
    dataset = published_dataset(group)
    if dataset is None:
        return None
    return {
        (value.method, value.task): value
        for value in _all_values()
        if value.dataset == dataset and value.table in TABLES
    }


def collection_of(group: Group) -> str | None:
    """Return the dataset of the paper whose pairs these records are of, whatever the features; None for none.

    It is told by the beginning of the dataset's name and the sizes of its splits. Relevance, similarity and
    cut-off have to be those of the paper too.
    """
    name = _letters(group.dataset["name"])
    known = [collection for start, collection in _NAMES.items() if name.startswith(start)]
    if not known or _sizes(group.dataset) != _SIZES[known[0]] or not is_comparable(group):
        return None
    return known[0]


def is_comparable(group: Group) -> bool:
    """Return whether MAP of these records follows the rules of the paper: cosine, category, all ranks."""
    return _is_of_paper(group.dataset, group.protocol) and group.protocol["cutoff"] is None


def published_table(table: str, dataset: str) -> PublishedTable:
    """Return what is known of a published table."""
    return _all_tables()[table, dataset]


def tables_of(dataset: str) -> dict[str, dict[str, PublishedMap]]:
    """Return the published bi-modal averages on a dataset, by table and the method's paper name.

    Rows that a table copies from another one belong to it.
    """
    held: dict[str, dict[str, PublishedMap]] = {}
    for value in _all_values():
        if value.dataset == dataset and value.task == BIMODAL_AVERAGE:
            held.setdefault(value.table, {})[value.method] = value
    repeated = {name: _all_tables()[name, dataset].repeats for name in held}
    return {name: {**held.get(repeated[name], {}), **values} for name, values in held.items()}


@cache
def _all_tables() -> dict[tuple[str, str], PublishedTable]:
    text = files("cmbench.report").joinpath("published_tables.csv").read_text(encoding="utf-8")
    rows = (PublishedTable(**row) for row in csv.DictReader(text.splitlines()))
    return {(row.table, row.dataset): row for row in rows}


@cache
def _all_values() -> tuple[PublishedMap, ...]:
    text = files("cmbench.report").joinpath("published_map.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines())
    return tuple(PublishedMap(**{**row, "map": float(row["map"])}) for row in rows)  # type: ignore[arg-type]


def _is_of_paper(dataset: Mapping[str, Any], protocol: Mapping[str, Any]) -> bool:
    """Return whether relevance, similarity and gallery are those of the paper."""
    by_category = not is_by_pair(protocol)
    return by_category and protocol["similarity"] == "cosine" and "retrieval" not in dataset["sizes"]


def _is_feature(dataset: Mapping[str, Any], side: str, dimension: int, words: tuple[str, ...]) -> bool:
    feature = _letters(dataset[f"{side}_feature"])
    learnt = "randomweights" not in feature
    return learnt and dataset[f"{side}_dimension"] == dimension and all(word in feature for word in words)


def _is_shipped(split: Any) -> bool:
    """Return whether a split is one of those; of files without a recipe nothing but the sizes is known."""
    return split is None or (isinstance(split, dict) and str(split.get("origin")).endswith(SPLITS))


def _sizes(dataset: Mapping[str, Any]) -> tuple[int, int, int]:
    sizes = dataset["sizes"]
    return sizes["train"], sizes["validation"], sizes["test"]


def _letters(text: str) -> str:
    """Return the letters and digits alone, so that VGG-19 and vgg19 are one word.

    >>> _letters("VGG-19, fc7")
    'vgg19fc7'
    """
    return "".join(character for character in text.casefold() if character.isalnum())
