"""Small pictures and the texts of the test pairs of ``emoji``, for retrieval examples without the packages.

One image of 256 colours holds them side by side, from left to right and from top to bottom in the order of
the ids. The shipped file was made with ::

    from cmbench.datasets.emoji.thumbnails import write
    from cmbench.datasets.raw.registry import load_raw

    write("datasets/emoji/thumbnails.npz", load_raw("emoji", PACKAGES))

where PACKAGES is the folder of unpacked packages that ``cmbench datasets info emoji`` describes.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:
    from cmbench.datasets.raw.contract import RawDataset
    from cmbench.datasets.raw.pictures import Pixels

SIDE = 96  # pixels
COLUMNS = 20
WHITE = (255, 255, 255)
FILE = Path(__file__).with_name("thumbnails.npz")


@dataclass(frozen=True, eq=False)
class Thumbnail:
    """A pair with a small picture, uint8 (SIDE, SIDE, 3)."""

    picture: Pixels
    text: str
    category: str


@cache
def thumbnails(path: Path = FILE) -> dict[str, Thumbnail]:
    """Return the pairs of a file by their ids; by default all test pairs of the built-in dataset."""
    with np.load(path) as held:
        ids, texts, categories = (held[key].tolist() for key in ("ids", "texts", "categories"))
        with Image.open(io.BytesIO(held["sheet"].tobytes())) as sheet:
            pixels = np.asarray(sheet.convert("RGB"))
    return {
        id_: Thumbnail(pixels[top : top + SIDE, left : left + SIDE], text, category)
        for (left, top), id_, text, category in zip(_corners(len(ids)), ids, texts, categories, strict=True)
    }


def write(path: Path | str, raw: RawDataset) -> None:
    """Write the test pairs of a raw dataset to a ``.npz`` file, in the 256 colours that suit all best."""
    pairs = raw.test
    corners = _corners(len(pairs))
    sheet = Image.new("RGB", (COLUMNS * SIDE, corners[-1][1] + SIDE), WHITE)
    for corner, pair in zip(corners, pairs, strict=True):
        sheet.paste(_small(pair.picture.read()), corner)
    np.savez_compressed(
        path,
        ids=np.array([pair.id for pair in pairs]),
        texts=np.array([pair.text for pair in pairs]),
        categories=np.array([raw.class_names[pair.label] for pair in pairs]),
        sheet=_png(sheet),
    )


def _corners(count: int) -> list[tuple[int, int]]:
    return [(SIDE * (at % COLUMNS), SIDE * (at // COLUMNS)) for at in range(count)]


def _small(pixels: Pixels) -> Image.Image:
    """Return a picture as large as fits into the square, in its middle on white."""
    picture = Image.fromarray(pixels)
    picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    square = Image.new("RGB", (SIDE, SIDE), WHITE)
    square.paste(picture, ((SIDE - picture.width) // 2, (SIDE - picture.height) // 2))
    return square


def _png(sheet: Image.Image) -> NDArray[np.uint8]:
    buffer = io.BytesIO()
    few_colours = sheet.quantize(256, kmeans=3, dither=Image.Dither.NONE)
    few_colours.save(buffer, "PNG", optimize=True)
    return np.frombuffer(buffer.getvalue(), dtype=np.uint8)
