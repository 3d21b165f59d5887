"""Split files: which pairs are for training, validation and test; read and drawn.

A split file is UTF-8 text with a header and a line for each pair::

    id,split
    2008_000716.jpg,train
    2008_001380.jpg,test

The fields are separated by commas (quoted as in CSV) or tabs; blank lines and lines that begin with ``#``
are left out. With the header ``position,split``, pairs are named by their positions from 0, for a
collection whose ids may not be known. Splits keep the order of the collection, not that of the file.

The files of the folder ``splits`` come with cmbench: ``shipped_splits`` names them.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Protocol, TypeAlias, TypeVar

import numpy as np

from cmbench.datasets.draft import composed
from cmbench.datasets.formats.feature_file import SPLIT_NAMES
from cmbench.datasets.raw.pair_files import Line, read_text
from cmbench.datasets.raw.problems import Problems
from cmbench.errors import DatasetError


class Named(Protocol):
    """Something with an id, such as a pair."""

    @property
    def id(self) -> str:
        """A name that nothing else has."""
        ...


Item = TypeVar("Item", bound=Named)
Divided: TypeAlias = tuple[list[Item], list[Item], list[Item]]

KEYS = ("id", "position")
SHARE = 10  # one pair in ten is for validation, one for test


@dataclass(frozen=True)
class Splits:
    """What a split file says: by the id or the position of each pair its split and its place in the file."""

    path: Path
    key: str
    words: Mapping[str, str]
    places: Mapping[str, str]

    @property
    def origin(self) -> str:
        """Whose file it is, in a few words."""
        shipped = self.path == shipped_splits(self.path.stem)
        return f"file {self.path.name}, " + ("shipped with cmbench" if shipped else "given")


def shipped_splits(name: str) -> Path:
    """Return the path of the split file that comes with cmbench for the raw dataset ``name``."""
    return Path(__file__).with_name("splits") / f"{name}.csv"


def read_splits(path: Path) -> Splits:
    """Return what a split file says.

    Raises
    ------
    DatasetError
        Naming file and line, for a wrong header, a line that has not two fields, an id twice, a position that
        is no number, or a split other than train, val and test.
    """
    lines = _lines(path)
    header = next(lines, Line(str(path), ()))
    key = header.fields[0] if header.fields else ""
    if key not in KEYS or header.fields != (key, "split"):
        raise DatasetError(
            f"{header.place}: the header is {','.join(header.fields)!r}; write id,split or position,split"
        )
    words: dict[str, str] = {}
    places: dict[str, str] = {}
    problems = Problems("split file")
    for line in lines:
        with problems.noted():
            name, word = _entry(line, key)
            name = composed(name)
            if name in words:
                raise DatasetError(
                    f"{line.place}: the {key} {name!r} stands already in {places[name]}; keep one"
                )
            words[name], places[name] = word, line.place
    problems.settle()
    return Splits(path, key, words, places)


def divided(pairs: Sequence[Item], splits: Splits) -> Divided[Item]:
    """Return the pairs for training, validation and test, each in the order of ``pairs``.

    Raises ``DatasetError``, naming file and line, for an id that no pair has and a pair without a line.
    """
    names = [composed(pair.id) if splits.key == "id" else str(at) for at, pair in enumerate(pairs)]
    problems = Problems(f"split file {splits.path}")
    ids = set(names)
    for name in (name for name in splits.words if name not in ids):
        problems.add(
            f"{splits.places[name]}: no pair has the {splits.key} {name!r}; correct or remove the line"
        )
    for name in names:
        if name not in splits.words:
            problems.add(f"the {splits.key} {name!r} is missing; add a line with its split")
    problems.settle()
    return sorted_out(pairs, [splits.words[name] for name in names])


def sorted_out(pairs: Sequence[Item], words: Sequence[str]) -> Divided[Item]:
    """Return the pairs for training, validation and test; ``words`` has train, val or test for each."""
    train, validation, test = (
        [pair for pair, word in zip(pairs, words, strict=True) if word == name] for name in SPLIT_NAMES
    )
    return train, validation, test


def drawn_splits(categories: Sequence[str], *, seed: int = 0) -> list[str]:
    """Return train, val or test for each pair by its category: a tenth of each for val and for test, by lot.

    A tenth is rounded to the nearest number, halves up, so categories of fewer than five pairs are all
    for training. Each category has a stream of its own, seeded by its name: adding a category does not
    change the others.
    """
    rows = defaultdict(list)
    for row, category in enumerate(categories):
        rows[category].append(row)
    words = ["train"] * len(categories)
    for category, members in rows.items():
        share = (2 * len(members) + SHARE) // (2 * SHARE)
        stream = [seed, *sha256(category.encode(errors="surrogateescape")).digest()]
        lots = np.random.default_rng(stream).permutation(members).tolist()
        for row in lots[:share]:
            words[row] = "val"
        for row in lots[share : 2 * share]:
            words[row] = "test"
    return words


def _lines(path: Path) -> Iterator[Line]:
    text = read_text(path)
    kept = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    separator = "\t" if kept and "\t" in kept[0] else ","
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip() and not line.startswith("#"):
            yield Line(f"{path}, line {number}", _fields(line, separator))


def _fields(line: str, separator: str) -> tuple[str, ...]:
    try:
        return tuple(field.strip() for field in next(csv.reader([line], delimiter=separator)))
    except csv.Error:  # longer than any field may be
        return (line[:60] + "...",)


def _entry(line: Line, key: str) -> tuple[str, str]:
    if len(line.fields) != 2:
        raise DatasetError(f"{line.place}: {line.fields} has not the two fields {key} and split; write both")
    name, word = line.fields
    if word not in SPLIT_NAMES:
        raise DatasetError(f"{line.place}: unknown split {word!r}; write {', '.join(SPLIT_NAMES)}")
    if key == "position":
        if not (name.isascii() and name.isdigit()):
            raise DatasetError(f"{line.place}: the position {name!r} is no number; count from 0")
        name = name.lstrip("0") or "0"
    return name, word
