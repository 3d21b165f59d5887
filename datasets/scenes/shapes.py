"""Flat shapes as tests on points, in the unit square of a drawing: x right, y down, both -1..1.

Only additions, multiplications, divisions, square roots and comparisons are used. IEEE 754 rounds each of
them correctly, so a shape covers the same sample points on every machine; sines and cosines do not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import sqrt
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Coordinates: TypeAlias = NDArray[np.floating[Any]]
Mask: TypeAlias = NDArray[np.bool_]
Shape: TypeAlias = Callable[[Coordinates, Coordinates], Mask]
Point: TypeAlias = tuple[float, float]
Patch: TypeAlias = tuple[str, Shape]
"""A shape and what colours it: ``main`` and ``accent`` of the thing, or a fixed paint by its name."""
Build: TypeAlias = tuple[float, float, float, float]
"""Three uniform numbers that vary a drawing (the reach of a sail, the storeys of a ship), and 1 for bare.

What is bare lacks the parts that give it away: a boat its sails, a mill its blades, a mug its handle. All
others have 0 there, and a place a fourth uniform number.
"""
Drawing: TypeAlias = Callable[[Build], Iterator[Patch]]
"""What yields the patches of a thing; later patches cover earlier ones."""

EIGHT_WINDS: tuple[Point, ...] = (
    (1.0, 0.0),
    (0.70710678, 0.70710678),
    (0.0, 1.0),
    (-0.70710678, 0.70710678),
    (-1.0, 0.0),
    (-0.70710678, -0.70710678),
    (0.0, -1.0),
    (0.70710678, -0.70710678),
)
"""Unit vectors an eighth of a turn apart."""


def rotation(half_tangent: float) -> Point:
    """Return (cosine, sine) of the angle whose half has that tangent."""
    square = half_tangent * half_tangent
    return (1.0 - square) / (1.0 + square), 2.0 * half_tangent / (1.0 + square)


def turned(point: Point, turn: Point) -> Point:
    """Return the point rotated about the origin by (cosine, sine)."""
    return point[0] * turn[0] - point[1] * turn[1], point[0] * turn[1] + point[1] * turn[0]


def box(left: float, top: float, right: float, bottom: float) -> Shape:
    """Return an upright rectangle."""
    return lambda x, y: (x >= left) & (x <= right) & (y >= top) & (y <= bottom)


def polygon(*corners: Point) -> Shape:
    """Return the inside of a closed polygon, convex or not, by the even-odd rule."""

    def covers(x: Coordinates, y: Coordinates) -> Mask:
        inside = np.zeros(np.broadcast_shapes(x.shape, y.shape), dtype=np.bool_)
        for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
            if y0 != y1:
                crossing = x0 + (y - y0) * ((x1 - x0) / (y1 - y0))
                inside ^= ((y0 > y) != (y1 > y)) & (x < crossing)
        return inside

    return covers


def oval(x0: float, y0: float, across: float, down: float) -> Shape:
    """Return an ellipse with half axes ``across`` and ``down``."""
    return lambda x, y: _squares((x - x0) / across, (y - y0) / down) <= 1.0


def disc(x0: float, y0: float, radius: float) -> Shape:
    """Return a filled circle."""
    return oval(x0, y0, radius, radius)


def dome(x0: float, y0: float, across: float, up: float) -> Shape:
    """Return the upper half of an ellipse that stands on the height ``y0``."""
    whole = oval(x0, y0, across, up)
    return lambda x, y: whole(x, y) & (y <= y0)


def bowl(x0: float, y0: float, across: float, down: float) -> Shape:
    """Return the lower half of an ellipse that hangs from the height ``y0``."""
    whole = oval(x0, y0, across, down)
    return lambda x, y: whole(x, y) & (y >= y0)


def ring(x0: float, y0: float, radius: float, width: float) -> Shape:
    """Return a circle line of that width, outside edge at ``radius``."""
    inner = (radius - width) * (radius - width)

    def covers(x: Coordinates, y: Coordinates) -> Mask:
        squares = _squares(x - x0, y - y0)
        return (squares <= radius * radius) & (squares >= inner)

    return covers


def hook(x0: float, y0: float, radius: float, width: float) -> Shape:
    """Return the lower half of a ring."""
    whole = ring(x0, y0, radius, width)
    return lambda x, y: whole(x, y) & (y >= y0)


def bar(start: Point, end: Point, width: float) -> Shape:
    """Return a straight stroke of that width."""
    along, down = end[0] - start[0], end[1] - start[1]
    scale = 0.5 * width / sqrt(along * along + down * down)
    x, y = -down * scale, along * scale
    (x0, y0), (x1, y1) = start, end
    return polygon((x0 + x, y0 + y), (x1 + x, y1 + y), (x1 - x, y1 - y), (x0 - x, y0 - y))


def within(shape: Shape, other: Shape) -> Shape:
    """Return what both shapes cover."""
    return lambda x, y: shape(x, y) & other(x, y)


def _squares(x: Coordinates, y: Coordinates) -> Coordinates:
    total: Coordinates = x * x + y * y
    return total
