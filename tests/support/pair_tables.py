"""Tables and folders of pairs that tests write."""

import csv
import io

import pytest
from PIL import Image

from cmbench.datasets.raw import pairs_table
from cmbench.errors import DatasetError

HEADER = ("image", "text", "category", "split")
ROWS = [
    ("a.png", 'A cat, "Tom".\nIt sleeps.', "cat", "train"),
    ("b.png", "A dög.", "dog", "train"),
    ("c.png", "A second cat.", "cat", "val"),
    ("d.png", "A second dog.", "dog", "test"),
]


def png(kind="PNG"):
    buffer = io.BytesIO()
    Image.new("RGB", (1, 1)).save(buffer, kind)
    return buffer.getvalue()


def write_table(folder, rows=ROWS, header=HEADER):
    """Write a table, and a picture for each row of ``ROWS``."""
    for image, *_ in ROWS:
        (folder / image).write_bytes(png())
    path = folder / "mine.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def write_splits(path, dataset):
    """Write a split file that divides the pairs of a raw dataset as they are."""
    lines = [f"{pair.id},{word}\n" for word, pairs in dataset.splits for pair in pairs]
    path.write_text("id,split\n" + "".join(lines))


def write_folder(folder, sizes):
    for category, size in sizes.items():
        (folder / category).mkdir(parents=True)
        for at in range(size):
            (folder / category / f"{at:02}.jpg").write_bytes(png("JPEG"))
            (folder / category / f"{at:02}.txt").write_text(f"{category} {at}")
    return folder


def refused(path, splits=None):
    with pytest.raises(DatasetError) as caught:
        pairs_table.load(path, splits)
    return str(caught.value)
