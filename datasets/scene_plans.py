"""What one pair is about: a scene is drawn by lot here, then rendered and described from the same plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from cmbench.datasets.scene_categories import CATEGORIES
from cmbench.datasets.scene_chance import Chance
from cmbench.datasets.scene_difficulty import DIFFICULTY
from cmbench.datasets.scene_shapes import Build
from cmbench.datasets.scene_surroundings import horizon

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

Colour: TypeAlias = str


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
