"""Where a picture is, and how it becomes an array."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cmbench.disk import DAMAGE
from cmbench.errors import DatasetError

Pixels = NDArray[np.uint8]
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000")
"""Kinds of pictures that are read: not those that Pillow hands on to other programs, as PostScript."""
UNREADABLE: tuple[type[Exception], ...] = (*DAMAGE, Image.DecompressionBombError)


class Picture(Protocol):
    """A picture that is read when it is needed."""

    @property
    def name(self) -> str:
        """What to call it in errors: its file, say."""
        ...

    @property
    def identity(self) -> str:
        """What tells it apart from every other picture, and from itself before a change; nothing is decoded.

        It may differ from machine to machine. Raises ``DatasetError`` where there is no picture.
        """
        ...

    def read(self) -> Pixels:
        """Return uint8 (height, width, 3), red, green and blue.

        Raises ``DatasetError`` where there is no picture, or one that cannot be read.
        """
        ...


@dataclass(frozen=True)
class PictureFile:
    """A picture in a file of its own."""

    path: Path

    @property
    def name(self) -> str:
        """The path."""
        return str(self.path)

    @property
    def identity(self) -> str:
        """The path from the root, the size and the time of the last change."""
        return _identity(self.path, self.name)

    def read(self) -> Pixels:
        """Return uint8 (height, width, 3)."""
        try:
            return decoded(self.path.read_bytes(), self.name)
        except OSError as error:
            raise DatasetError(_unread(self.name, error.strerror or str(error))) from error


@dataclass(frozen=True)
class ArchivedPicture:
    """A picture in a ZIP archive, which stays open for the next one."""

    archive: Path
    entry: str

    @property
    def name(self) -> str:
        """The path of the archive and the name of the entry."""
        return f"{self.archive}:{self.entry}"

    @property
    def identity(self) -> str:
        """The identity of the archive as of a file, and of the entry the name, the size and the checksum."""
        try:
            entry = _opened(self.archive, self.archive.stat().st_mtime_ns).getinfo(self.entry)
        except DAMAGE as error:
            raise DatasetError(_unread(self.name, str(error))) from error
        return f"{_identity(self.archive, self.name)}:{self.entry}:{entry.file_size}:{entry.CRC}"

    def read(self) -> Pixels:
        """Return uint8 (height, width, 3)."""
        try:
            encoded = _opened(self.archive, self.archive.stat().st_mtime_ns).read(self.entry)
        except DAMAGE as error:
            raise DatasetError(_unread(self.name, str(error))) from error
        return decoded(encoded, self.name)


@dataclass(frozen=True, eq=False)
class PictureArray:
    """A picture that is an array already: uint8 (height, width, 3)."""

    name: str
    pixels: Pixels

    @property
    def identity(self) -> str:
        """The shape, and the SHA-256 of the pixels."""
        return f"{self.pixels.shape}:{sha256(self.pixels.tobytes()).hexdigest()}"

    def read(self) -> Pixels:
        """Return the array."""
        return self.pixels


def decoded(encoded: bytes, name: str) -> Pixels:
    """Return the pixels, uint8 (height, width, 3), of an encoded picture; ``name`` is for errors.

    Grey pictures, palettes and transparency become red, green and blue, the last on white; the
    orientation that a camera noted is not applied, as it is not in the programs of this field. Grey of
    16 bits is scaled to 8, without its transparency; of 32 bits it is refused.
    """
    try:
        with Image.open(io.BytesIO(encoded), formats=FORMATS) as image:
            return np.asarray(_opaque(_in_eight_bits(image)).convert("RGB"))
    except UNREADABLE as error:
        raise DatasetError(_unread(name, str(error))) from error


def _opaque(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image
    coloured = image.convert("RGBA")
    ground: Any = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(ground, coloured)


def _in_eight_bits(image: Image.Image) -> Image.Image:
    """Return 16-bit grey scaled, where Pillow would clip it."""
    if image.mode not in ("I", "F") and not image.mode.startswith("I;"):
        return image
    sixteen = image.mode.startswith("I;16") or image.format in ("PNG", "PPM")  # which have no more
    if not sixteen:
        raise ValueError("it has 32 bits a pixel, and no agreed number is white: convert it to 8 bits")
    return Image.fromarray((np.asarray(image) / 257).round().astype(np.uint8))


@lru_cache(maxsize=4)
def _opened(archive: Path, changed: int) -> zipfile.ZipFile:
    """Return the archive as it was ``changed``; reading the list of its entries takes longest."""
    return zipfile.ZipFile(archive)


def _identity(path: Path, name: str) -> str:
    try:
        state = path.stat()
    except OSError as error:
        raise DatasetError(_unread(name, error.strerror or str(error))) from error
    return f"{path.resolve()}:{state.st_size}:{state.st_mtime_ns}"


def _unread(name: str, reason: str) -> str:
    return f"{name}: no picture can be read ({reason}); get the file again, or leave the pair out"
