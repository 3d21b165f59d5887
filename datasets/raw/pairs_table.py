"""Anybody's own pairs: a CSV or Parquet file with a line for each, or a folder for each category.

The table has the columns ``image`` (a path relative to the table), ``text`` or ``text_file`` (the path of
a UTF-8 file), and ``category`` (of several, ``sky;sea``); and, if wanted, ``id`` (otherwise the path of the
image, with ``#0``, ``#1`` and so on where it has several texts) and ``split`` (train, val or test). Other
columns are left alone. CSV is UTF-8 with commas and a header; Parquet needs pyarrow. A folder with one
table at its top stands for the table.

Otherwise the folder holds ``<category>/<name>.jpg`` (or .jpeg, .png, .webp, .bmp, .gif, .tif, .tiff)
beside ``<category>/<name>.txt``; the id of a pair is ``<category>/<name>``.

Without a split, one is drawn: stratified, 80/10/10, the same each time, and all pairs of one picture in one
split. Segments of a text are its sentences. The categories are numbered in alphabetical order.
"""

from __future__ import annotations

import csv
import io
import os
import unicodedata
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cmbench.datasets.category_names import doubtful_names
from cmbench.datasets.draft import composed
from cmbench.datasets.formats.feature_file import SPLIT_NAMES
from cmbench.datasets.formats.labels import SEPARATOR, tags_of
from cmbench.datasets.raw.contract import RawCard, RawDataset, RawPair
from cmbench.datasets.raw.pair_files import (
    claim,
    couples_in,
    picture_at,
    read_sentences,
    read_text,
    sentences_of,
)
from cmbench.datasets.raw.pictures import Picture, PictureFile
from cmbench.datasets.raw.problems import Problems
from cmbench.datasets.raw.splits import Divided, divided, drawn_splits, read_splits, sorted_out
from cmbench.errors import DatasetError, DatasetWarning

NAME = "pairs_table"
SEED = 0
ENDINGS = (".csv", ".parquet")
COLUMNS = ("image", "text", "text_file", "category", "id", "split")
"""The columns that are looked at; others are left alone."""

OTHER_NAMES = {
    "image": ("img", "picture", "photo", "file", "filename", "imagepath", "imagefile", "path", "bild"),
    "text": ("caption", "captions", "sentence", "description", "title", "comment", "raw", "texts"),
    "category": ("label", "labels", "class", "classes", "tag", "tags", "topic", "categories", "kategorie"),
}
"""What the columns that have to be there are often called."""

LISTS = {"text": "\n", "category": SEPARATOR}
"""The columns of Parquet tables that may hold lists of texts, and what stands between these."""

SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}

CARD = RawCard(
    source="whoever made the table or the folder",
    obtaining=(
        "Write a CSV or Parquet file with the columns image (a path), text or text_file (a path) and "
        "category, and, if wanted, id and split (train, val or test); or make a folder for each category."
    ),
    division="a column split, a split file, or drawn by category, 80/10/10",
)


def load(folder: Path, splits: Path | None = None) -> RawDataset:
    """Return the pairs of a table, or of a folder with one for each category.

    Parameters
    ----------
    folder : Path
        The ``.csv`` or ``.parquet`` file, or the folder that holds it, or the folder of categories.
    splits : Path, optional
        A split file; it goes before a column ``split``.

    Raises
    ------
    DatasetError
        Naming every wrong line, missing file and empty text, a split that has no pair, and a picture in
        two splits.
    """
    place = (_table_in(folder, splits) or folder) if folder.is_dir() else folder
    problems = Problems(f"raw dataset {place}")
    rows = list(_folder_rows(place, problems) if place.is_dir() else _pairs(place, problems))
    problems.settle()
    class_names = tuple(sorted({name for row in rows for name in row.categories}))
    labels = {name: label for label, name in enumerate(class_names)}
    pairs = [RawPair(row.id, row.picture, row.segments, *_numbered(row.categories, labels)) for row in rows]
    if splits is not None:
        given = read_splits(splits)
        parts, origin = divided(pairs, given), given.origin
    elif any(row.split for row in rows):
        parts, origin = sorted_out(pairs, [str(row.split) for row in rows]), "column split of the table"
    else:
        parts, origin = sorted_out(pairs, _drawn(rows)), f"drawn by cmbench with seed {SEED}, 80/10/10"
    for split, part in zip(SPLIT_NAMES, parts, strict=True):
        if not part:
            problems.add(
                f"no pair is in {split}; a drawn split needs five pictures of some category, or give one"
            )
    _check_pictures(parts, problems)
    problems.settle()
    notes = tuple(doubtful_names(class_names, partial(_ids_of, rows=rows)))
    card = replace(CARD.with_split_given(), notes=notes)
    for note in notes:
        warnings.warn(f"{place}: {note}", DatasetWarning, stacklevel=2)
    return RawDataset(_name(place), *parts, class_names, card, origin)


def _ids_of(category: str, rows: Sequence[_Row]) -> list[str]:
    return [row.id for row in rows if category in row.categories]


def plain_name(name: str) -> str:
    """Return a name without capitals, accents, spaces and signs, to see what is written alike.

    >>> plain_name("Image Path"), plain_name("catégorie"), plain_name("İMAGE")
    ('imagepath', 'categorie', 'image')
    """
    letters = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", name).casefold())
    return "".join(letter for letter in letters if letter.isalnum()) or name


def _numbered(categories: Sequence[str], labels: Mapping[str, int]) -> tuple[int, tuple[int, ...]]:
    """Return the label of the first category, and those of the others."""
    first, *others = (labels[name] for name in categories)
    return first, tuple(others)


def _name(path: Path) -> str:
    return path.resolve().name if path.is_dir() else path.stem


def _table_in(folder: Path, splits: Path | None) -> Path | None:
    """Return the table at the top of a folder, if there is one."""
    split_file = splits.resolve() if splits else None
    visible = (path for path in folder.iterdir() if not path.name.startswith("."))
    tables = sorted(
        path for path in visible if path.suffix.lower() in ENDINGS and path.resolve() != split_file
    )
    if len(tables) > 1:
        names = ", ".join(path.name for path in tables)
        raise DatasetError(f"{folder} holds several tables: {names}; name the one to read, not the folder")
    return tables[0] if tables else None


def _drawn(rows: Sequence[_Row]) -> list[str]:
    """Return train, val or test for each row, the same for all rows of one picture in one first category."""
    keys = [(row.categories[0], os.path.realpath(row.picture.name)) for row in rows]
    pictures = list(dict.fromkeys(keys))
    words = drawn_splits([category for category, _ in pictures], seed=SEED)
    word_of = dict(zip(pictures, words, strict=True))
    return [word_of[key] for key in keys]


def _check_pictures(parts: Divided[RawPair], problems: Problems) -> None:
    """Note each picture that stands in two splits: what is learnt from it would be tested on it."""
    seen: dict[str, tuple[str, str]] = {}
    for split, pairs in zip(SPLIT_NAMES, parts, strict=True):
        for pair in pairs:
            other, id_ = seen.setdefault(os.path.realpath(pair.picture.name), (split, pair.id))
            if other != split:
                problems.add(
                    f"the picture {pair.picture.name} is in {other} ({id_!r}) and in {split} ({pair.id!r}); "
                    "put all pairs of a picture into one split, in a column split or a split file"
                )


@dataclass(frozen=True)
class _Row:
    """A pair before its categories have numbers, and its split if the table says one."""

    id: str
    picture: Picture
    segments: tuple[str, ...]
    categories: tuple[str, ...]
    split: str | None


def _folder_rows(folder: Path, problems: Problems) -> Iterator[_Row]:
    for couple in couples_in(folder, folder, problems=problems):
        with problems.noted():
            segments = read_sentences(couple.text, couple.picture)
            id_ = composed(f"{couple.category}/{couple.picture.stem}")
            yield _Row(id_, PictureFile(couple.picture), segments, (couple.category,), None)


def _pairs(table: Path, problems: Problems) -> Iterator[_Row]:
    taken: dict[str, str] = {}
    rows = list(table_rows(table, problems))
    for row, id_ in zip(rows, _ids(rows), strict=True):
        with problems.noted():
            pair = _pair(row.cells, id_, table.parent, row.place)
            claim(pair.id, row.place, taken)
            yield pair


def _ids(rows: Sequence[TableRow]) -> list[str]:
    """Return the id of each row: as given, else its picture, with a number where others show it too.

    The numbers count the texts of a picture from 0: ``1.jpg#0``, ``1.jpg#1``. Rows that repeat a text as well
    get the same number, and so are told.
    """
    pictures = [row.cells.get("image", "").strip() for row in rows]
    shared = {name for name, count in Counter(pictures).items() if count > 1}
    texts: dict[str, list[str]] = {}
    ids = []
    for row, picture in zip(rows, pictures, strict=True):
        text = row.cells.get("text", row.cells.get("text_file", ""))
        earlier = texts.setdefault(picture, [])
        if text not in earlier:
            earlier.append(text)
        number = f"#{earlier.index(text)}" if picture in shared else ""
        ids.append(composed(row.cells.get("id", f"{picture}{number}").strip()))
    return ids


def _pair(cells: Mapping[str, str], id_: str, folder: Path, place: str) -> _Row:
    for column in ("image", "category", "text_file", "id", "split"):
        if not cells.get(column, "given").strip():
            raise DatasetError(f"{place}: {column} is empty; fill it in, or leave the pair out")
    split = cells["split"].strip() if "split" in cells else None
    if split not in (None, *SPLIT_NAMES):
        raise DatasetError(f"{place}: unknown split {split!r}; write {', '.join(SPLIT_NAMES)}")
    if "text" in cells:
        segments = sentences_of(cells["text"], place)
    else:
        segments = read_sentences(folder / cells["text_file"].strip(), place)
    categories = tags_of(composed(cells["category"]))
    if not categories:
        raise DatasetError(f"{place}: category is {cells['category']!r}, which names none; fill it in")
    picture = picture_at(folder / cells["image"].strip(), place)
    return _Row(id_, picture, segments, categories, split)


@dataclass(frozen=True)
class TableRow:
    """The cells of a row by column, and the file and line (or row) to name in errors."""

    place: str
    cells: Mapping[str, str]


def table_rows(path: Path, problems: Problems) -> Iterator[TableRow]:
    """Return the rows of a table; what is wrong with single ones is noted in ``problems``.

    A cell of a Parquet table may be a text, a whole number, nothing, or a list of texts: in the column
    ``text`` its lines, in ``category`` the categories.

    Raises
    ------
    DatasetError
        For a file that is no such table, and for missing, ambiguous and repeated columns.
    """
    readers = dict(zip(ENDINGS, (_csv_rows, _parquet_rows), strict=True))
    if path.suffix.lower() not in readers:
        raise DatasetError(f"{path} is neither a .csv nor a .parquet file nor a folder; give one of them")
    return readers[path.suffix.lower()](path, problems)


def _csv_rows(path: Path, problems: Problems) -> Iterator[TableRow]:
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    try:
        columns = [name.strip() for name in next((row for row in reader if any(map(str.strip, row))), [])]
        _check_separator(columns, path)
        columns = _known_columns(columns)
        _check_columns(columns, path)
        first = reader.line_num + 1  # of the row: a quoted text may have several
        for values in reader:
            place, first = f"{path}, line {first}", reader.line_num + 1
            if len(values) == len(columns):
                cells = zip(columns, values, strict=True)
                yield TableRow(place, {name: value for name, value in cells if name in COLUMNS})
            elif any(map(str.strip, values)):
                problems.add(
                    f"{place}: {len(values)} fields and {len(columns)} columns; quote texts that hold a comma"
                )
    except csv.Error as error:
        problems.add(
            f"{path}, line {reader.line_num}: not CSV ({error}); correct it, or put long texts "
            "into files and name them in a column text_file"
        )


def _parquet_rows(path: Path, problems: Problems) -> Iterator[TableRow]:
    if find_spec("pyarrow") is None:
        raise DatasetError(f"{path}: Parquet needs pyarrow; pip install pyarrow, or save the table as CSV")
    columns = _parquet_columns(path)
    for number, values in enumerate(zip(*columns.values(), strict=True), start=1):
        place = f"{path}, row {number}"
        with problems.noted():
            cells = zip(columns, values, strict=True)
            yield TableRow(place, {name: _cell(value, name, place) for name, value in cells})


def _parquet_columns(path: Path) -> dict[str, list[Any]]:
    pyarrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    try:
        with parquet.ParquetFile(path) as file:
            stored, ranges = file.schema_arrow.names, _ranges(file.schema_arrow.pandas_metadata)
            names = dict(zip(stored, _known_columns(stored), strict=True))
            _check_columns([*names.values(), *ranges], path)
            table = file.read([name for name, known in names.items() if known in COLUMNS])
            return {names[name]: table[name].to_pylist() for name in table.column_names} | ranges
    except (OSError, pyarrow.ArrowException) as error:
        raise DatasetError(f"{path} cannot be read ({error}); write it again") from error


def _ranges(metadata: dict[str, Any] | None) -> dict[str, list[Any]]:
    """Return what pandas does not write as a column: an index of numbers at equal distances."""
    indices = (metadata or {}).get("index_columns", [])
    ranges = [index for index in indices if isinstance(index, dict) and index["name"] in COLUMNS]
    return {index["name"]: list(range(index["start"], index["stop"], index["step"])) for index in ranges}


def _cell(value: object, column: str, place: str) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if column in LISTS and isinstance(value, list) and all(isinstance(item, str) for item in value):
        return LISTS[column].join(value)
    raise DatasetError(
        f"{place}: {column} is {value!r:.60}, a {type(value).__name__}; write texts or whole numbers there"
    )


def _known_columns(columns: Sequence[str]) -> list[str]:
    """Return columns with those of ``COLUMNS`` written as there, whatever their capitals and spaces."""
    plain = {plain_name(column): column for column in COLUMNS}
    return [name if name in COLUMNS else plain.get(plain_name(name), name) for name in columns]


def _meant(column: str, columns: Sequence[str]) -> str:
    """Return a question after the column that is called otherwise."""
    likely = [name for name in columns if plain_name(name) in OTHER_NAMES[column]]
    near = get_close_matches(column, [plain_name(name) for name in columns], 1)
    likely += [name for name in columns if plain_name(name) in near]
    return f" (is {likely[0]!r} meant? Call it {column!r})" if likely else ""


def _check_separator(columns: Sequence[str], path: Path) -> None:
    for mark, marks in SEPARATORS.items():
        if len(columns) == 1 and mark in columns[0]:
            raise DatasetError(f"{path}: its columns are separated by {marks}; save it with commas")


def _check_columns(columns: Sequence[str], path: Path) -> None:
    names = ", ".join(name for name in columns if name) or "none"
    missing = [name for name in ("image", "category") if name not in columns]
    if missing:
        raise DatasetError(
            f"{path} has no column {missing[0]!r}{_meant(missing[0], columns)}; its columns are {names}; "
            "add it"
        )
    if ("text" in columns) == ("text_file" in columns):
        meant = "" if "text" in columns else _meant("text", columns)
        raise DatasetError(f"{path} must have one of the columns text and text_file{meant}; its are {names}")
    twice = [name for name in COLUMNS if columns.count(name) > 1]
    if twice:
        raise DatasetError(f"{path} has the column {twice[0]!r} twice; keep one")
