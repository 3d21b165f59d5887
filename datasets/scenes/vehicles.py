"""How vehicles on wheels and in the air are drawn, in the unit square, wheels on y = 1."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from cmbench.datasets.scenes.shapes import (
    EIGHT_WINDS,
    Build,
    Drawing,
    Patch,
    Point,
    bar,
    box,
    disc,
    oval,
    polygon,
    ring,
    within,
)


def _bicycle(build: Build) -> Iterator[Patch]:
    frame, spokes, basket, bare = build
    seat, head = (-0.22, -0.12 - 0.1 * frame), (0.36, -0.15 - 0.1 * frame)
    for x in (-0.56,) if bare else (-0.56, 0.56):
        yield "dark", ring(x, 0.56, 0.43, 0.1)
        for wind in EIGHT_WINDS[:: 2 if spokes > 0.5 else 1]:
            yield "smoke", bar((x, 0.56), (x + 0.34 * wind[0], 0.56 + 0.34 * wind[1]), 0.03)
    joints: tuple[tuple[Point, Point], ...] = (
        ((-0.56, 0.56), seat),
        (seat, head),
        (head, (-0.02, 0.56)),
        ((-0.02, 0.56), seat),
        ((-0.56, 0.56), (-0.02, 0.56)),
        (head, (0.56, 0.56)),
    )
    for start, end in joints:
        yield "main", bar(start, end, 0.11)
    yield "dark", box(-0.42, seat[1] - 0.16, -0.05, seat[1] - 0.06)
    yield "dark", bar(head, (0.32, head[1] - 0.28), 0.08)
    yield "dark", bar((0.25, head[1] - 0.28), (0.6, head[1] - 0.3), 0.09)
    if basket > 0.6:
        yield "brown", box(0.5, head[1] - 0.2, 0.85, head[1] + 0.1)


def _car(build: Build) -> Iterator[Patch]:
    roof, estate, stripe, bare = build
    top = -0.15 - 0.2 * roof
    back = -0.85 if estate > 0.6 or bare else -0.45
    yield (
        "main",
        polygon((back - 0.1, 0.3), (back, top), (0.8 if bare else 0.3, top), (0.8 if bare else 0.65, 0.3)),
    )
    yield "main", polygon((-1.0, 0.25), (0.75, 0.25), (1.0, 0.4), (1.0, 0.8), (-1.0, 0.8))
    yield "glass", polygon((back + 0.02, 0.25), (back + 0.1, top + 0.1), (-0.1, top + 0.1), (-0.1, 0.25))
    yield "glass", polygon((0.0, 0.25), (0.0, top + 0.1), (0.24, top + 0.1), (0.5, 0.25))
    if stripe > 0.5:
        yield "accent", box(-1.0, 0.48, 1.0, 0.56)
    yield "glow", disc(0.93, 0.47, 0.08)
    yield from _wheels(0.22, -0.57, 0.57)


def _bus(build: Build) -> Iterator[Patch]:
    decks, panes, stripe, bare = build
    top = -0.75 if decks > 0.6 else -0.4
    yield "main", box(-1.0, top, 1.0, 0.8)
    count = 2 if bare else 5 if panes > 0.5 else 4
    for row in (-0.62, -0.08) if decks > 0.6 else (-0.25,):
        for pane in range(count):
            left = -0.92 + 1.86 * pane / count
            yield "glass", box(left, row, left + 1.5 / count, row + 0.38)
    if stripe > 0.4:
        yield "accent", box(-1.0, 0.4, 1.0, 0.52)
    yield from _wheels(0.21, -0.6, 0.6)


def _train(build: Build) -> Iterator[Patch]:
    kind, smoke, wheels, bare = build
    if not bare:
        yield "dark", box(-1.0, 0.94, 1.0, 1.0)
    if kind > 0.65 or bare:
        yield from _carriage()
    else:
        yield from _locomotive(smoke)
    for x in (-0.65, -0.2, 0.25, 0.65) if wheels > 0.5 else (-0.55, 0.1, 0.6):
        yield "dark", disc(x, 0.72, 0.22)
        yield "accent", disc(x, 0.72, 0.12)


def _carriage() -> Iterator[Patch]:
    yield "main", polygon((-1.0, -0.3), (0.75, -0.3), (1.0, 0.1), (1.0, 0.7), (-1.0, 0.7))
    yield "dark", box(-1.0, -0.38, 0.7, -0.28)
    for pane in range(4):
        yield "glass", box(-0.88 + 0.42 * pane, -0.15, -0.6 + 0.42 * pane, 0.2)
    yield "accent", box(-1.0, 0.35, 1.0, 0.45)


def _locomotive(smoke: float) -> Iterator[Patch]:
    if smoke > 0.3:
        yield from (("smoke", disc(0.45, -0.72, 0.16)), ("smoke", disc(0.12, -0.82, 0.18)))
    yield "dark", box(0.48, -0.6, 0.7, 0.0)
    yield "main", box(-0.25, -0.1, 0.88, 0.6)
    yield "accent", box(0.1, -0.22, 0.3, -0.08)
    yield "main", box(-0.9, -0.5, -0.22, 0.6)
    yield "dark", box(-1.0, -0.6, -0.14, -0.48)
    yield "glass", box(-0.72, -0.35, -0.4, 0.0)
    yield "dark", polygon((0.85, 0.55), (1.0, 0.92), (0.7, 0.92))


def _wheels(radius: float, *positions: float) -> Iterator[Patch]:
    for x in positions:
        yield "dark", disc(x, 1.0 - radius, radius)
        yield "smoke", disc(x, 1.0 - radius, 0.45 * radius)


def _aeroplane(build: Build) -> Iterator[Patch]:
    sweep, engine, panes, bare = build
    reach = -0.5 + 0.3 * sweep
    if not bare:
        yield "accent", polygon((0.0, -0.05), (0.3, -0.05), (reach + 0.25, -0.65), (reach + 0.1, -0.65))
    yield "accent", polygon((-0.55, 0.0), (-0.9, 0.0), (-1.0, -0.6), (-0.8, -0.6))
    yield "main", oval(0.0, 0.05, 0.98, 0.24)
    yield "main", polygon((-0.98, -0.12), (-0.5, -0.1), (-0.4, 0.25))
    if not bare:
        yield "accent", polygon((-0.1, 0.1), (0.3, 0.1), (reach + 0.1, 0.8), (reach - 0.1, 0.8))
    if engine > 0.5 and not bare:
        yield "dark", oval(0.1, 0.4, 0.18, 0.09)
    for x in (-0.4, -0.2, 0.0, 0.2, 0.4) if panes > 0.4 else ():
        yield "dark", disc(x, 0.0, 0.05)
    yield "glass", within(oval(0.0, 0.05, 0.98, 0.24), box(0.68, -0.2, 0.85, 0.05))


def _hot_air_balloon(build: Build) -> Iterator[Patch]:
    stripes, basket, girth, bare = build
    width = 0.62 + 0.12 * girth
    half = 0.12 + 0.06 * basket
    if not bare:
        yield "dark", bar((-0.25, 0.4), (-half, 0.75), 0.04)
        yield "dark", bar((0.25, 0.4), (half, 0.75), 0.04)
        yield "brown", box(-half, 0.72, half, 1.0)
    yield "main", disc(0.0, -0.32, width)
    yield "main", polygon((-0.5, 0.1), (0.5, 0.1), (0.16, 0.52), (-0.16, 0.52))
    if stripes > 0.3:
        yield "accent", oval(0.0, -0.3, 0.3 * width, width)
        yield "accent", polygon((-0.15, 0.2), (0.15, 0.2), (0.06, 0.52), (-0.06, 0.52))


def _kite(build: Build) -> Iterator[Patch]:
    width, quarters, bows, bare = build
    half = 0.48 + 0.17 * width
    yield "main", polygon((0.0, -1.0), (half, -0.35), (0.0, 0.4), (-half, -0.35))
    if quarters > 0.4:
        yield "accent", polygon((0.0, -1.0), (half, -0.35), (0.0, -0.35))
        yield "accent", polygon((0.0, 0.4), (-half, -0.35), (0.0, -0.35))
    yield "dark", bar((0.0, -1.0), (0.0, 0.4), 0.04)
    yield "dark", bar((-half, -0.35), (half, -0.35), 0.04)
    knots = ((0.0, 0.4), (0.2 * bows, 0.6), (-0.2, 0.78), (0.15, 0.98))
    for start, end in () if bare else pairwise(knots):
        yield "dark", bar(start, end, 0.04)
        if bows > 0.3:
            yield "accent", box(end[0] - 0.14, end[1] - 0.07, end[0] + 0.14, end[1] + 0.02)


VEHICLE_DRAWINGS: dict[str, Drawing] = {
    "bicycle": _bicycle,
    "car": _car,
    "bus": _bus,
    "train": _train,
    "aeroplane": _aeroplane,
    "hot-air balloon": _hot_air_balloon,
    "kite": _kite,
}
