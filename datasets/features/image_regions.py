"""Regions of pictures: five parts of each, which networks take features of as they do of whole pictures.

They are the fine grain of pictures in CCL (Peng, Qi, Huang and Yuan, 2018, "CCL: Cross-modal correlation
learning with multi-grained fusion by hierarchical network"), whose regions come from selective search. The
places here are fixed, and ours: the four quarters and the centre. They need no further network or search
and depend on nothing but the size of a picture, so they are the same for everybody.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from threading import Lock

from cmbench.datasets.raw.pictures import Picture, Pixels

PLACES = ((0, 0), (0, 2), (2, 0), (2, 2), (1, 1))
"""Where the regions are, down and across, in halves of the way that is free: four quarters, the centre."""

KEPT = 4  # pictures; two threads that read in order are seldom in more than three


@dataclass(frozen=True)
class Region:
    """A part of a picture, itself a picture.

    It is half as high and half as wide as the whole, and a pixel more than half where that is odd; so
    the quarters cover every pixel, and no region is empty. The centre is up and to the left by half a
    pixel where it cannot be in the middle.

    Parameters
    ----------
    picture : the whole
    number : int, from 1, of its place in ``PLACES``
    """

    picture: Picture
    number: int

    @property
    def name(self) -> str:
        """The name of the whole, and which region of it this is."""
        return f"{self.picture.name}#region {self.number} of {len(PLACES)}"

    @property
    def identity(self) -> str:
        """The identity of the whole, and which region of it this is."""
        return f"{self.picture.identity}#region {self.number} of {len(PLACES)}"

    def read(self) -> Pixels:
        """Return uint8 (ceil(height / 2), ceil(width / 2), 3).

        The whole is kept until each of its regions has been read once, or until other pictures take its
        place, so that reading all of them decodes it once.
        """
        pixels = _LAST_PICTURES.pixels(self.picture, self.number)
        down, across = PLACES[self.number - 1]
        height, width = pixels.shape[:2]
        rows, columns = _half(height, down), _half(width, across)
        return pixels[rows, columns].copy()  # a view would keep the whole in memory


def regions_of(picture: Picture) -> tuple[Region, ...]:
    """Return the four quarters, row by row, and the centre of a picture."""
    return tuple(Region(picture, number) for number in range(1, len(PLACES) + 1))


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
        waiting = (each for each in self._wholes if each.picture is picture and number not in each.given)
        whole = next(waiting, None)
        if whole is None:
            whole = _WholePicture(picture)
            self._wholes.append(whole)
        whole.given.add(number)
        if len(whole.given) == len(PLACES):
            self._wholes.remove(whole)
        return whole


_LAST_PICTURES = _LastPictures(KEPT)
