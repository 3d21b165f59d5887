"""Anybody's own pairs: a CSV or Parquet file with a line for each, or a folder for each category.

The table has the columns ``image`` (a path relative to the table), ``text`` or ``text_file`` (the path of
a UTF-8 file), and ``category``; and, if wanted, ``id`` (otherwise the path of the image) and ``split``
(train, val or test). Other columns are left alone. CSV is UTF-8 with commas and a header; Parquet needs
pyarrow.

The folder holds ``<category>/<name>.jpg`` (or ``.jpeg``, ``.png``) beside ``<category>/<name>.txt``; the
id of a pair is ``<category>/<name>``.

Without a split, one is drawn: stratified, 80/10/10, the same each time.
``cmbench.datasets.raw.splits.save_splits`` writes it to a file. Segments of a text are its lines. The
categories are numbered in alphabetical order.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from cmbench.datasets.keys import SPLIT_NAMES
from cmbench.datasets.raw.category_folders import couples_in
from cmbench.datasets.raw.contract import RawCard, RawDataset, RawPair
from cmbench.datasets.raw.pair_files import claim, picture_at, read_segments, read_text, segments_of
from cmbench.datasets.raw.pictures import Picture, PictureFile
from cmbench.datasets.raw.problems import Problems
from cmbench.datasets.raw.splits import divided, drawn_splits, read_splits, sorted_out
from cmbench.errors import DatasetError

NAME = "pairs_table"
SEED = 0

CARD = RawCard(
    source="whoever made the table or the folder",
    obtaining="Write a CSV file with the columns image, text and category, or a folder for each category.",
)


@dataclass(frozen=True)
class _Row:
    """A pair before its category has a number, and its split if the table says one."""

    id: str
    picture: Picture
    segments: tuple[str, ...]
    category: str
    split: str | None


def load(folder: Path, splits: Path | None = None) -> RawDataset:
    """Return the pairs of a table, or of a folder with one for each category.

    Parameters
    ----------
    folder : Path
        The ``.csv`` or ``.parquet`` file, or the folder.
    splits : Path, optional
        A split file; it goes before a column ``split``.

    Raises
    ------
    DatasetError
        Naming every wrong line, missing file and empty text, and a split that has no pair.
    """
    problems = Problems(f"raw dataset {folder}")
    rows = list(_folder_rows(folder, problems) if folder.is_dir() else _table_rows(folder, problems))
    problems.settle()
    class_names = tuple(sorted({row.category for row in rows}))
    labels = {name: label for label, name in enumerate(class_names)}
    pairs = [RawPair(row.id, row.picture, row.segments, labels[row.category]) for row in rows]
    if splits is not None:
        own = read_splits(splits)
        parts, origin = divided(pairs, own), own.origin
    elif any(row.split for row in rows):
        parts, origin = sorted_out(pairs, [str(row.split) for row in rows]), "column split of the table"
    else:
        drawn = drawn_splits([pair.label for pair in pairs], seed=SEED)
        parts, origin = sorted_out(pairs, drawn), f"drawn by cmbench with seed {SEED}, 80/10/10"
    for split, part in zip(SPLIT_NAMES, parts, strict=True):
        if not part:
            problems.add(
                f"no pair is in {split}; a drawn split needs five pairs of some category, or give one"
            )
    problems.settle()
    return RawDataset(_name(folder), *parts, class_names, CARD, origin)


def _name(path: Path) -> str:
    return path.resolve().name if path.is_dir() else path.stem


def _folder_rows(folder: Path, problems: Problems) -> Iterator[_Row]:
    for couple in couples_in(folder, folder, problems=problems):
        with problems.noted():
            segments = read_segments(couple.text, couple.picture)
            id_ = f"{couple.category}/{couple.picture.stem}"
            yield _Row(id_, PictureFile(couple.picture), segments, couple.category, None)


def _table_rows(path: Path, problems: Problems) -> Iterator[_Row]:
    taken: dict[str, str] = {}
    for place, cells in _cells(path):
        with problems.noted():
            row = _row(cells, path.parent, place)
            claim(row.id, place, taken)
            yield row


def _cells(path: Path) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Return the cells of each row by column, with the place to name in errors."""
    readers = {".csv": _csv_cells, ".parquet": _parquet_cells}
    if path.suffix.lower() not in readers:
        raise DatasetError(f"{path} is neither a .csv nor a .parquet file nor a folder; give one of them")
    return readers[path.suffix.lower()](path)


def _csv_cells(path: Path) -> Iterator[tuple[str, Mapping[str, str]]]:
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    try:
        columns = [name.strip() for name in next(reader, [])]
        _check_columns(columns, path)
        first = reader.line_num + 1  # of the row: a quoted text may have several
        for values in reader:
            place, first = f"{path}, line {first}", reader.line_num + 1
            if len(values) not in (0, len(columns)):
                raise DatasetError(
                    f"{place}: {len(values)} fields and {len(columns)} columns; quote texts that hold a comma"
                )
            if values:
                yield place, dict(zip(columns, values, strict=True))
    except csv.Error as error:
        raise DatasetError(
            f"{path}, line {reader.line_num}: not CSV ({error}); correct it, or put long texts "
            "into files and name them in a column text_file"
        ) from error


def _parquet_cells(path: Path) -> Iterator[tuple[str, Mapping[str, str]]]:
    if find_spec("pyarrow") is None:
        raise DatasetError(f"{path}: Parquet needs pyarrow; pip install pyarrow, or save the table as CSV")
    import pandas as pd

    try:
        table = pd.read_parquet(path, engine="pyarrow")
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read ({error}); write it again") from error
    columns = [str(name) for name in table.columns]
    _check_columns(columns, path)
    for number, values in enumerate(table.itertuples(index=False, name=None), start=1):
        cells = ("" if pd.isna(value) else str(value) for value in values)
        yield f"{path}, row {number}", dict(zip(columns, cells, strict=True))


def _check_columns(columns: list[str], path: Path) -> None:
    missing = [name for name in ("image", "category") if name not in columns]
    if missing:
        raise DatasetError(
            f"{path} has no column {missing[0]!r}; its columns are {', '.join(columns)}; add it"
        )
    if ("text" in columns) == ("text_file" in columns):
        raise DatasetError(
            f"{path} must have one of the columns text and text_file; its are {', '.join(columns)}"
        )
    twice = {name for name in columns if columns.count(name) > 1}
    if twice:
        raise DatasetError(f"{path} has the column {min(twice)!r} twice; keep one")


def _row(cells: Mapping[str, str], folder: Path, place: str) -> _Row:
    for column in ("image", "category", "text_file", "id", "split"):
        if not cells.get(column, "given").strip():
            raise DatasetError(f"{place}: {column} is empty; fill it in, or leave the pair out")
    split = cells["split"].strip() if "split" in cells else None
    if split not in (None, *SPLIT_NAMES):
        raise DatasetError(f"{place}: unknown split {split!r}; write {', '.join(SPLIT_NAMES)}")
    if "text" in cells:
        segments = segments_of(cells["text"], place)
    else:
        segments = read_segments(folder / cells["text_file"].strip(), place)
    image = cells["image"].strip()
    picture = picture_at(folder / image, place)
    return _Row(cells.get("id", image).strip(), picture, segments, cells["category"].strip(), split)
