"""Pictures in batches, as networks take them: resized, cropped and scaled, read when they are needed."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cmbench.datasets.raw.pictures import Picture, Pixels
from cmbench.errors import DatasetError

Images = NDArray[np.float32]
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
THREADS = 2  # that decode pictures
AHEAD = 2  # batches that are being read while one is in use
REGION_CORNERS = ((0, 0), (0, 2), (2, 0), (2, 2), (1, 1))
"""Where the regions are, down and across, in halves of the way that is free: four quarters, the centre."""

KEPT = 4  # pictures; two threads that read in order are seldom in more than three


@dataclass(frozen=True)
class View:
    """The part of a resized picture that is taken: its upper left corner, and whether it is mirrored."""

    top: int
    left: int
    mirrored: bool = False


@dataclass(frozen=True)
class Preprocessing:
    """How a picture becomes the input of a network.

    It is resized to a square, whatever its shape (bilinear, averaging where it shrinks), a square is cut
    out, and of each colour the mean is taken away and the rest divided by the deviation. The defaults
    are those of the paper of CM-GANs (256 by 256) and of the networks of ImageNet.

    Parameters
    ----------
    resize : int, height and width after resizing, in pixels
    crop : int, height and width of the part that is taken, in pixels; at most ``resize``
    mean, std : of red, green and blue, where 1 is the brightest
    """

    resize: int = 256
    crop: int = 224
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    def __post_init__(self) -> None:
        if not 1 <= self.crop <= self.resize:
            raise DatasetError(f"crop is {self.crop} and resize {self.resize}; use 1 <= crop <= resize")
        finite = all(map(math.isfinite, (*self.mean, *self.std)))
        if len(self.mean) != 3 or len(self.std) != 3 or not finite or not min(self.std) > 0:
            raise DatasetError(
                f"mean is {self.mean} and std {self.std}; give three numbers each, std greater than 0"
            )

    @property
    def centre(self) -> View:
        """The part in the middle."""
        border = (self.resize - self.crop) // 2
        return View(border, border)

    def random_view(self, random: np.random.Generator) -> View:
        """Return a part anywhere in the picture, mirrored half of the times."""
        top, left = random.integers(self.resize - self.crop + 1, size=2).tolist()
        return View(top, left, bool(random.integers(2)))

    def apply(self, pixels: Pixels, view: View | None = None) -> Images:
        """Return float32 (3, crop, crop) of uint8 (height, width, 3); without a view, the middle."""
        view = view or self.centre
        part = self._resized(pixels)[view.top : view.top + self.crop, view.left : view.left + self.crop]
        scaled = part[:, ::-1] if view.mirrored else part
        colours = scaled.astype(np.float32) / np.float32(255)
        colours -= np.asarray(self.mean, dtype=np.float32)
        colours /= np.asarray(self.std, dtype=np.float32)
        return np.ascontiguousarray(colours.transpose(2, 0, 1))

    def _resized(self, pixels: Pixels) -> Pixels:
        size = (self.resize, self.resize)
        if pixels.shape[:2] == size:
            return pixels
        return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))


@dataclass(frozen=True, eq=False)
class PictureView:
    """A picture, and the part of it that is wanted."""

    picture: Picture
    view: View

    def read(self, preprocessing: Preprocessing) -> Images:
        """Return float32 (3, crop, crop)."""
        pixels = self.picture.read()
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or not pixels.size:
            raise DatasetError(
                f"{self.picture.name}: is {pixels.dtype} {pixels.shape}; pictures must be uint8 "
                "(height, width, 3)"
            )
        return preprocessing.apply(pixels, self.view)


def in_order(
    pictures: Sequence[Picture], preprocessing: Preprocessing, batch_size: int, *, start: int = 0
) -> Iterator[list[PictureView]]:
    """Yield the middles of the pictures from number ``start`` on, ``batch_size`` at a time."""
    if batch_size < 1:
        raise DatasetError(f"batch_size is {batch_size}; use 1 or more")
    for first in range(start, len(pictures), batch_size):
        rows = range(first, min(first + batch_size, len(pictures)))
        yield [PictureView(pictures[row], preprocessing.centre) for row in rows]


def picture_batches(
    batches: Iterable[Sequence[PictureView]], preprocessing: Preprocessing
) -> Iterator[Images]:
    """Yield each batch as float32 (n, 3, crop, crop).

    Pictures are read by a few threads, never more than two batches ahead, so memory does not grow with
    their number. Raises what reading a picture raises.
    """
    pool = ThreadPoolExecutor(THREADS)
    waiting: deque[list[Future[Images]]] = deque()
    remaining = iter(batches)

    def submit(number: int) -> None:
        for batch in islice(remaining, number):
            waiting.append([pool.submit(view.read, preprocessing) for view in batch])

    try:
        submit(AHEAD)
        while waiting:
            submit(1)
            yield np.stack([future.result() for future in waiting.popleft()])
    finally:
        pool.shutdown(cancel_futures=True)


@dataclass(frozen=True)
class Region:
    """A part of a picture, itself a picture.

    It is half as high and half as wide as the whole, and a pixel more than half where that is odd; so
    the quarters cover every pixel, and no region is empty. The centre is up and to the left by half a
    pixel where it cannot be in the middle.

    Parameters
    ----------
    picture : the whole
    number : int, from 1, of its corner in ``REGION_CORNERS``
    """

    picture: Picture
    number: int

    @property
    def name(self) -> str:
        """The name of the whole, and which region of it this is."""
        return f"{self.picture.name}#region {self.number} of {len(REGION_CORNERS)}"

    @property
    def identity(self) -> str:
        """The identity of the whole, and which region of it this is."""
        return f"{self.picture.identity}#region {self.number} of {len(REGION_CORNERS)}"

    def read(self) -> Pixels:
        """Return uint8 (ceil(height / 2), ceil(width / 2), 3).

        The whole is kept until each of its regions has been read once, or until other pictures take its
        place, so that reading all of them decodes it once.
        """
        pixels = _LAST_PICTURES.pixels(self.picture, self.number)
        down, across = REGION_CORNERS[self.number - 1]
        height, width = pixels.shape[:2]
        rows, columns = _half(height, down), _half(width, across)
        return pixels[rows, columns].copy()  # a view would keep the whole in memory


def regions_of(picture: Picture) -> tuple[Region, ...]:
    """Return the four quarters, row by row, and the centre of a picture."""
    return tuple(Region(picture, number) for number in range(1, len(REGION_CORNERS) + 1))


def _half(length: int, place: int) -> slice:
    half = (length + 1) // 2
    first = (length - half) * place // 2
    return slice(first, first + half)


class _WholePicture:
    """A picture that is decoded once, by the first thread that needs it; others wait for that one."""

    def __init__(self, picture: Picture) -> None:
        self.picture = picture
        self.given: set[int] = set()
        self._lock = Lock()
        self._pixels: Pixels | None = None

    def pixels(self) -> Pixels:
        with self._lock:
            if self._pixels is None:
                self._pixels = self.picture.read()
            return self._pixels


class _LastPictures:
    """The pictures whose regions are being read, each given once for each of its regions.

    A region that is read again is thus decoded again: a file that has changed meanwhile is noticed, and
    nothing stays in memory after all regions have been read.
    """

    def __init__(self, most: int) -> None:
        self._wholes: deque[_WholePicture] = deque(maxlen=most)
        self._lock = Lock()

    def pixels(self, picture: Picture, number: int) -> Pixels:
        with self._lock:
            whole = self._whole(picture, number)
        return whole.pixels()

    def _whole(self, picture: Picture, number: int) -> _WholePicture:
        waiting = (whole for whole in self._wholes if whole.picture is picture and number not in whole.given)
        whole = next(waiting, None)
        if whole is None:
            whole = _WholePicture(picture)
            self._wholes.append(whole)
        whole.given.add(number)
        if len(whole.given) == len(REGION_CORNERS):
            self._wholes.remove(whole)
        return whole


_LAST_PICTURES = _LastPictures(KEPT)
