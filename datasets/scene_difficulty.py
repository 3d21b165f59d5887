"""How hard the scenes are: every probability and range that makes pairs ambiguous, in one frozen place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

Weights = Mapping[int, float]

_LIGHTS = {"bright": 0.4, "overcast": 0.2, "evening": 0.15, "night": 0.13, "fog": 0.12}


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
