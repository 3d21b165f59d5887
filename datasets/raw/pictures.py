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
from PIL import Image, UnidentifiedImageError

from cmbench.disk import DAMAGE
from cmbench.errors import DatasetError

Pixels = NDArray[np.uint8]
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000")
"""Kinds of pictures that are read: not those that Pillow hands on to other programs, as PostScript."""
UNREADABLE: tuple[type[Exception], ...] = (*DAMAGE, Image.DecompressionBombError)


AGAIN = "get the file again, or leave the pair out"
CONVERT = "convert it to JPEG or PNG, which all programs of this field read, or leave the pair out"
REFUSED = f"the download was refused or the address is wrong; {AGAIN}"
WEB_PAGE = f"a web page (HTML) and not a picture: {REFUSED}"
HEIC = f"a HEIC picture, which is not read here; {CONVERT}"
AVIF = f"an AVIF picture, which is not read here; {CONVERT}"
VIDEO = f"a video and not a picture; {CONVERT}"
BRANDS = {
    **dict.fromkeys(("avif", "avis"), AVIF),
    **dict.fromkeys(("heic", "heix", "hevc", "hevx", "heim", "heis", "mif1", "msf1"), HEIC),
    **dict.fromkeys(("isom", "iso2", "mp41", "mp42", "avc1", "qt  ", "M4V "), VIDEO),
}
"""Kinds of files in the container of MPEG-4, by their brands."""
ANY_PICTURE = ("mif1", "msf1")
"""Brands that HEIC and AVIF have in common: which of both it is, the compatible brands say."""

OTHER_KINDS = {
    b"<!doctype html": WEB_PAGE,
    b"<html": WEB_PAGE,
    b"<head": WEB_PAGE,
    b"<svg": f"an SVG drawing, which is not read here; {CONVERT}",
    b"<?xml": f"XML or an SVG drawing, which is not read here; {CONVERT}",
    b"<": WEB_PAGE,
    b"%PDF": f"a PDF document and not a picture; {CONVERT}",
    b"%!PS": f"a PostScript drawing, which is not read here; {CONVERT}",
    b"8BPS": f"a Photoshop file, which is not read here; {CONVERT}",
    b"PK": f"a ZIP archive and not a picture; unpack it. {AGAIN}",
    b"\x1f\x8b": f"compressed by gzip; unpack it. {AGAIN}",
    b"Rar!": f"a RAR archive and not a picture; unpack it. {AGAIN}",
    b"7z\xbc\xaf": f"a 7z archive and not a picture; unpack it. {AGAIN}",
    b"\xff\x0a": f"a JPEG XL picture, which is not read here; {CONVERT}",
    b"\x00\x00\x00\x0cJXL ": f"a JPEG XL picture, which is not read here; {CONVERT}",
    b"\x1aE\xdf\xa3": VIDEO,
    b"version https://git-lfs": "a pointer of Git LFS and not the picture; fetch that with 'git lfs pull'",
}
"""What files turn out to be that are called pictures, by their first bytes."""


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
    except UnidentifiedImageError as error:
        raise DatasetError(f"{name}: no picture can be read; it is {_kind(encoded)}") from error
    except UNREADABLE as error:
        raise DatasetError(_unread(name, str(error))) from error


def _kind(encoded: bytes) -> str:
    """Return what bytes are that are no picture, with the remedy."""
    start = encoded[:512].lstrip(b"\xef\xbb\xbf \t\r\n")
    if not encoded:
        return f"empty; {AGAIN}"
    if encoded[4:8] == b"ftyp":  # the container of MP4, HEIC and AVIF; the brand follows
        brand = _brand(encoded)
        return BRANDS.get(brand, f"a video or picture of the kind {brand!r}; {CONVERT}")
    for mark, kind in OTHER_KINDS.items():
        if start.lower().startswith(mark.lower()):
            return kind
    if start.startswith((b"{", b"[")) and _is_text(encoded[:512]):
        return f"JSON and not a picture: {REFUSED}"
    if not any(encoded):
        return f"nothing but zeros; {AGAIN}"
    if _is_text(encoded[:512]):
        return f"text ({encoded[:30].decode('utf-8', 'replace')!r}) and not a picture: {REFUSED}"
    return f"of no kind that is known here (it begins with {encoded[:8].hex(' ')}); {AGAIN}"


def _brand(encoded: bytes) -> str:
    """Return the brand of a file in the container of MPEG-4, or a compatible one if its own says little."""
    own, end = encoded[8:12].decode("latin-1"), int.from_bytes(encoded[:4], "big")
    compatible = (encoded[at : at + 4].decode("latin-1") for at in range(16, min(end, 512), 4))
    told = (brand for brand in compatible if brand in BRANDS and brand not in ANY_PICTURE)
    return next(told, own) if own in ANY_PICTURE else own


def _is_text(part: bytes) -> bool:
    return all(byte >= 32 or byte in b"\t\r\n" for byte in part)


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
    return f"{name}: no picture can be read ({reason}); {AGAIN}"
