"""What one pair is about: a scene is drawn by lot here, then rendered and described from the same plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import fsum
from types import MappingProxyType
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from cmbench.datasets.scenes.categories import CATEGORIES
from cmbench.datasets.scenes.shapes import Build
from cmbench.datasets.scenes.surroundings import horizon

Weights = Mapping[int, float]
Colour: TypeAlias = str
Item = TypeVar("Item")
_LIGHTS = {"bright": 0.4, "overcast": 0.2, "evening": 0.15, "night": 0.13, "fog": 0.12}
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "brown", "white", "grey")
PLACES = ("sea", "beach", "field", "hills", "forest", "town", "room")
SKY_EXTRAS = ("cloud", "bird", "sun")
SKYLESS_PLACES = ("room", "forest", "town")  # no sky, or houses that a sun must not cover

GROUND_EXTRAS = {
    "sea": ("rock", "ball", "crate"),
    "beach": ("rock", "ball", "crate", "house"),
    "field": ("tree", "bush", "fence", "house", "rock"),
    "hills": ("tree", "fir", "rock", "fence", "house"),
    "forest": ("tree", "fir", "bush", "rock"),
    "town": ("tree", "fence", "ball", "crate", "house", "bird"),
    "room": ("ball", "book", "crate", "picture"),
}

SCREENS = {
    "sea": ("rock", "pole"),
    "beach": ("rock", "fence", "pole"),
    "field": ("bush", "fence", "rock"),
    "hills": ("bush", "fence", "rock"),
    "forest": ("bush", "fir", "rock"),
    "town": ("pole", "fence", "bush"),
    "room": ("ball", "crate", "book"),
}


def _frozen(weights: dict[int, float]) -> Weights:
    return MappingProxyType(weights)


@dataclass(frozen=True)
class Difficulty:
    """Set by two numbers only: MAP of semantic matching (0.5 to 0.6 wanted) and of chance.

    Raising any probability of an odd, wrong, missing or hidden thing makes the dataset harder.
    Lengths are in the square -1..1 of the picture.
    """

    odd_place: float = 0.25
    """of a subject anywhere instead of where its category is usually found"""
    counts: Weights = field(default_factory=lambda: _frozen({1: 0.82, 2: 0.13, 3: 0.05}))
    """how many subjects a picture shows"""
    subject_size: tuple[float, float] = (0.62, 0.8)
    shift: float = 0.1
    """how far a lone subject is moved from the middle"""
    bare: float = 0.2
    """of a thing without the parts that give it away"""
    tilt: float = 0.05
    """tangent of half the largest tilt: 0.05 is 6 degrees"""
    stretch: float = 1.12
    extras: Weights = field(default_factory=lambda: _frozen({0: 0.2, 1: 0.35, 2: 0.3, 3: 0.15}))
    """how many things of no category are around"""
    extra_size: tuple[float, float] = (0.12, 0.3)
    intruder: float = 0.18
    """of a thing of another category in the background"""
    intruder_size: tuple[float, float] = (0.15, 0.25)
    screen: float = 0.18
    """of something standing in front of the subject"""
    lights: Mapping[str, float] = field(default_factory=lambda: MappingProxyType(_LIGHTS))
    """how often each light occurs"""
    fog: int = 120
    """256ths of the picture that fog replaces"""
    exposure: tuple[float, float] = (215.0, 285.0)
    """gain of the camera, in 256ths"""
    shade: float = 60.0
    """largest fall of the light from one side to the other, in 256ths"""
    noise: float = 24.0
    """largest amplitude of the sensor noise, in grey levels"""
    blur: float = 0.25
    """of a picture out of focus"""

    own_name: float = 0.6
    """of a name of the category, where a caption names its subject"""
    shared_name: float = 0.22
    """of a word it shares with other categories"""
    group_name: float = 0.12
    """of a word for its group; otherwise the caption says only 'something' or the like"""
    mistaken: float = 0.05
    """of a whole caption about a category that looks alike"""
    wrong_part: float = 0.1
    """of a named part that belongs to a category that looks alike"""
    wrong_attribute: float = 0.08
    """of a wrong colour, number, place or light, each"""
    mentions_colour: float = 0.65
    mentions_size: float = 0.25
    mentions_place: float = 0.7
    mentions_part: float = 0.85
    """of a sentence about parts"""
    names_again: float = 0.5
    """of a second noun for the subject in that sentence"""
    mentions_light: float = 0.4
    mentions_extras: float = 0.6
    mentions_intruder: float = 0.6


DIFFICULTY = Difficulty()


@dataclass(frozen=True)
class Thing:
    """Something in the picture; lengths are in the square -1..1 of the picture, y down.

    ``half_tangent`` of half the tilt, ``stretch`` of the width, and ``build`` vary how it is drawn.
    """

    kind: str
    colour: Colour
    accent: Colour
    x: float
    y: float
    size: float
    half_tangent: float
    stretch: float
    mirrored: bool
    build: Build


@dataclass(frozen=True)
class Scene:
    """A place in some light with one to three things of the category, and others around them.

    ``intruder`` is one of another category in the background, ``screen`` stands in front of the subject.
    """

    category: str
    place: str
    light: str
    ground: Build
    subjects: tuple[Thing, ...]
    extras: tuple[Thing, ...]
    intruder: Thing | None
    screen: Thing | None


def imagine(category: str, chance: Chance) -> Scene:
    """Return a scene of that category."""
    usual = CATEGORIES[category].places
    place = chance.one_of(PLACES if chance.happens(DIFFICULTY.odd_place) else usual)
    ground = (*_uniform_three(chance), chance.between(0, 1))
    subjects = _subjects(category, horizon(ground), chance)
    return Scene(
        category=category,
        place=place,
        light=chance.weighted(DIFFICULTY.lights),
        ground=ground,
        subjects=subjects,
        extras=_extras(place, horizon(ground), chance),
        intruder=_intruder(category, horizon(ground), chance),
        screen=_screen(place, subjects[0], chance),
    )


def _uniform_three(chance: Chance) -> tuple[float, float, float]:
    return chance.between(0, 1), chance.between(0, 1), chance.between(0, 1)


def _thing(kind: str, x: float, y: float, size: float, chance: Chance) -> Thing:
    colour, accent = chance.some_of(COLOURS, 2)
    tilt, stretch = DIFFICULTY.tilt, DIFFICULTY.stretch
    return Thing(
        kind=kind,
        colour=colour,
        accent=accent,
        x=x,
        y=y,
        size=size,
        half_tangent=chance.between(-tilt, tilt),
        stretch=chance.between(1.0 / stretch, stretch),
        mirrored=chance.happens(0.5),
        build=(*_uniform_three(chance), float(chance.happens(DIFFICULTY.bare))),
    )


def _subjects(category: str, level: float, chance: Chance) -> tuple[Thing, ...]:
    count = chance.weighted(DIFFICULTY.counts)
    low, high = DIFFICULTY.subject_size
    first = _thing(category, 0.0, 0.0, chance.between(low, high) * (1.0, 0.72, 0.58)[count - 1], chance)
    return tuple(_moved(first, slot, count, level, chance) for slot in range(count))


def _moved(first: Thing, slot: int, count: int, level: float, chance: Chance) -> Thing:
    size = first.size * chance.between(0.9, 1.1)
    middle = -1.0 + (2 * slot + 1) / count
    room = DIFFICULTY.shift / count
    if CATEGORIES[first.kind].aloft:
        y = chance.between(size - 0.95, level - 0.3 * size)
    else:
        y = chance.between(level + 0.05, 0.95) - size
    return Thing(
        kind=first.kind,
        colour=first.colour,
        accent=first.accent,
        x=middle + chance.between(-room, room),
        y=y,
        size=size,
        half_tangent=chance.between(-DIFFICULTY.tilt, DIFFICULTY.tilt),
        stretch=first.stretch,
        mirrored=first.mirrored,
        build=first.build,
    )


def _extras(place: str, level: float, chance: Chance) -> tuple[Thing, ...]:
    kinds = GROUND_EXTRAS[place] if place in SKYLESS_PLACES else GROUND_EXTRAS[place] + SKY_EXTRAS
    chosen = chance.some_of(kinds, chance.weighted(DIFFICULTY.extras))
    return tuple(_placed(kind, level, chance) for kind in chosen)


def _placed(kind: str, level: float, chance: Chance) -> Thing:
    low, high = DIFFICULTY.extra_size
    size = chance.between(low, high)
    hangs = kind in SKY_EXTRAS or kind == "picture"
    y = chance.between(-0.9, -0.35) if hangs else chance.between(level + 0.05, 0.6) - size
    return _thing(kind, chance.between(-0.9, 0.9), y, size, chance)


def _intruder(category: str, level: float, chance: Chance) -> Thing | None:
    if not chance.happens(DIFFICULTY.intruder):
        return None
    kind = chance.one_of([name for name in CATEGORIES if name != category])
    low, high = DIFFICULTY.intruder_size
    size = chance.between(low, high)
    y = chance.between(-0.7, level - size) if CATEGORIES[kind].aloft else level + 0.1 - size
    return _thing(kind, chance.one_of((-1.0, 1.0)) * chance.between(0.5, 0.8), y, size, chance)


def _screen(place: str, subject: Thing, chance: Chance) -> Thing | None:
    if not chance.happens(DIFFICULTY.screen):
        return None
    size = subject.size * chance.between(0.5, 0.9)
    x = subject.x + subject.size * chance.between(-0.8, 0.8)
    return _thing(chance.one_of(SCREENS[place]), x, subject.y + subject.size * 1.05 - size, size, chance)


class Chance:
    """A stream of choices for one pair of one collection.

    NEP 19 freezes the stream of ``RandomState``. Only its 53-bit uniform numbers are used, because
    its integers depend on the platform's C long and its normal numbers on the C library's logarithm.
    """

    def __init__(self, seed: int, index: int) -> None:
        self._stream = np.random.RandomState([seed, index])

    def uniform(self, *shape: int) -> NDArray[np.float64]:
        """Return uniform numbers in [0, 1) of that shape."""
        return self._stream.random_sample(shape)

    def between(self, low: float, high: float) -> float:
        """Return a uniform number in [low, high)."""
        return low + (high - low) * float(self._stream.random_sample())

    def happens(self, probability: float) -> bool:
        """Return True with that probability."""
        return float(self._stream.random_sample()) < probability

    def one_of(self, items: Sequence[Item]) -> Item:
        """Return one of the items, all equally likely."""
        return items[int(float(self._stream.random_sample()) * len(items))]

    def some_of(self, items: Sequence[Item], count: int) -> list[Item]:
        """Return ``count`` different items (all of them if there are fewer) in random order."""
        left = list(items)
        return [left.pop(int(self.between(0, len(left)))) for _ in range(min(count, len(items)))]

    def weighted(self, weights: Mapping[Item, float]) -> Item:
        """Return a key of ``weights``, each as likely as its share of the sum."""
        mark = self.between(0.0, fsum(weights.values()))  # sum() rounds otherwise since Python 3.12
        for item, weight in weights.items():
            mark -= weight
            if mark < 0:
                return item
        return next(reversed(list(weights)))
