"""Published MAP values, and when they may stand beside measured ones."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, TypeAlias

from cmbench.report.records import Group

TABLES = ("I", "II", "III")
"""The tables of the CM-GANs paper. Other authors' reruns use other features and are never shown."""

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
    """One published MAP value with where it was read and how sure that reading is."""

    table: str
    dataset: str
    method: str
    task: str
    map: float
    source: str
    confidence: str


Published: TypeAlias = Mapping[tuple[str, str], PublishedMap]
"""Published values by (method's paper name, task)."""


def published_dataset(group: Group) -> str | None:
    """Return the dataset of the paper these records correspond to, or None.

    They do when all of this holds: the dataset is Wikipedia, Pascal Sentence or XMediaNet; the
    image feature is VGG19 fc7 with 4096 dimensions, of weights that have learnt; the text feature is
    WordCNN with 300; the splits have the published sizes and, where the features have a recipe that
    names their split, it is one of those in ``SPLITS``; and the protocol looks at the full ranking with
    the query kept, as the authors' evaluation does.
    """
    dataset, protocol = group.dataset, group.protocol
    name = _NAMES.get(_letters(dataset["name"]))
    if not _is_of_paper(dataset, protocol):
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


@cache
def _all_values() -> tuple[PublishedMap, ...]:
    text = files("cmbench.report").joinpath("published_map.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines())
    return tuple(PublishedMap(**{**row, "map": float(row["map"])}) for row in rows)  # type: ignore[arg-type]


def _is_of_paper(dataset: Mapping[str, Any], protocol: Mapping[str, Any]) -> bool:
    """Return whether relevance, similarity and gallery are those of the paper."""
    by_category = protocol.get("relevance", "category") == "category"
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
