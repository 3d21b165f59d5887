"""How boats and buildings are drawn, in the unit square, standing on y = 1."""

from __future__ import annotations

from collections.abc import Iterator

from cmbench.datasets.scenes.shapes import (
    EIGHT_WINDS,
    Build,
    Drawing,
    Patch,
    bar,
    bowl,
    box,
    disc,
    dome,
    hook,
    oval,
    polygon,
    ring,
    rotation,
    turned,
    within,
)


def _sailing_boat(build: Build) -> Iterator[Patch]:
    reach, jib, flag, bare = build
    yield "dark", box(-0.05, -0.98, 0.05, 0.6)
    if not bare:
        yield "pale", polygon((0.09, -0.9), (0.09, 0.45), (0.55 + 0.35 * reach, 0.45))
    if jib > 0.3 and not bare:
        yield "accent", polygon((-0.1, -0.75), (-0.1, 0.45), (-0.75, 0.45))
    if flag > 0.5:
        yield "main", polygon((0.0, -1.0), (-0.35, -0.9), (0.0, -0.8))
    yield "main", polygon((-0.9, 0.55), (0.95, 0.55), (0.6, 1.0), (-0.6, 1.0))


def _steamship(build: Build) -> Iterator[Patch]:
    storeys, funnels, smoke, bare = build
    for x in () if bare else (-0.25, 0.2) if funnels > 0.5 else (0.0,):
        yield "accent", box(x - 0.1, -0.65, x + 0.1, 0.1)
        yield "dark", box(x - 0.1, -0.65, x + 0.1, -0.5)
        if smoke > 0.3:
            yield "smoke", disc(x - 0.1, -0.78, 0.13)
            yield "smoke", disc(x - 0.32, -0.85, 0.16)
    yield "pale", box(-0.6, 0.1, 0.6, 0.45)
    if storeys > 0.4:
        yield "pale", box(-0.45, -0.15, 0.4, 0.12)
    for x in (-0.45, -0.15, 0.15, 0.45):
        yield "dark", disc(x, 0.27, 0.07)
    yield "main", polygon((-1.0, 0.4), (1.0, 0.35), (0.75, 1.0), (-0.8, 1.0))


def _canoe(build: Build) -> Iterator[Patch]:
    rower, slope, stripe, bare = build
    if rower > 0.35 and not bare:
        yield "accent", polygon((-0.22, 0.7), (0.18, 0.7), (0.1, 0.05), (-0.12, 0.05))
        yield "skin", disc(0.0, -0.1, 0.17)
    if not bare:
        yield "brown", bar((-0.5 + 0.3 * slope, -0.3), (0.45, 0.95), 0.07)
    yield "main", polygon((-1.0, 0.3), (-0.65, 0.58), (0.65, 0.58), (1.0, 0.3), (0.75, 0.95), (-0.75, 0.95))
    if stripe > 0.5:
        yield "pale", box(-0.75, 0.68, 0.75, 0.76)


def _lighthouse(build: Build) -> Iterator[Patch]:
    girth, bands, door, bare = build
    foot = 0.38 + 0.12 * girth
    tower = polygon((-0.26, -0.5), (0.26, -0.5), (foot, 1.0), (-foot, 1.0))
    yield "pale", tower
    height = 0.3 if bands > 0.5 else 0.22
    for top in () if bare else (-0.35, 0.25) if bands > 0.5 else (-0.4, 0.04, 0.48):
        yield "main", within(tower, box(-1.0, top, 1.0, top + height))
    yield "dark", box(-0.38, -0.58, 0.38, -0.48)
    yield "pale" if bare else "glow", box(-0.17, -0.8, 0.17, -0.58)
    yield "main", polygon((-0.25, -0.8), (0.25, -0.8), (0.0, -1.0))
    if door > 0.4:
        yield "dark", box(-0.1, 0.75, 0.1, 1.0)


def _windmill(build: Build) -> Iterator[Patch]:
    angle, girth, window, bare = build
    foot = 0.38 + 0.14 * girth
    yield "main", polygon((-0.25, -0.35), (0.25, -0.35), (foot, 1.0), (-foot, 1.0))
    yield "accent", dome(0.0, -0.33, 0.29, 0.26)
    yield "dark", box(-0.1, 0.68, 0.1, 1.0)
    if window > 0.4:
        yield "dark", box(-0.08, 0.1, 0.08, 0.3)
    turn = rotation(-0.2 + 0.4 * angle)
    for wind in () if bare else EIGHT_WINDS[1::2]:
        across, down = turned(wind, turn)
        yield "pale", bar((0.12 * across, 0.12 * down - 0.38), (0.62 * across, 0.62 * down - 0.38), 0.2)
        yield "dark", bar((0.0, -0.38), (0.64 * across, 0.64 * down - 0.38), 0.05)


def _church(build: Build) -> Iterator[Patch]:
    spire, windows, cross, bare = build
    tip = -0.35 if bare else -0.75 - 0.15 * spire
    yield "main", box(-0.3, 0.3, 0.95, 1.0)
    yield "accent", polygon((-0.35, 0.32), (1.0, 0.32), (0.8, -0.05), (-0.35, -0.05))
    yield "main", box(-0.8, -0.2, -0.25, 1.0)
    yield "accent", polygon((-0.9, -0.18), (-0.15, -0.18), (-0.525, tip))
    if cross > 0.3 and not bare:
        yield "dark", box(-0.56, -1.0, -0.49, tip + 0.1)
        yield "dark", box(-0.64, -0.93, -0.41, -0.87)
    for x in (0.1, 0.45, 0.75) if windows > 0.5 else (0.2, 0.65):
        yield from _arch("glass", x, 0.5, 0.09, 0.3)
    yield from _arch("dark", -0.525, 0.7, 0.13, 0.3)


def _castle(build: Build) -> Iterator[Patch]:
    height, keep, flag, bare = build
    top = -0.2 - 0.3 * height
    yield "main", box(-0.75, 0.25, 0.75, 1.0)
    merlons = 0 if bare else 3
    yield from _battlement(-0.5, 0.5, 0.25, merlons)
    for x in (-0.72, 0.72):
        yield "main", box(x - 0.25, top, x + 0.25, 1.0)
        yield from _battlement(x - 0.28, x + 0.28, top, merlons)
        yield "dark", box(x - 0.05, top + 0.25, x + 0.05, top + 0.45)
    if keep > 0.5:
        yield "main", box(-0.22, -0.45, 0.22, 0.3)
        yield from _battlement(-0.25, 0.25, -0.45, merlons)
    if flag > 0.4:
        yield "dark", box(-0.03, -0.98, 0.03, -0.1)
        yield "accent", polygon((0.03, -0.98), (0.4, -0.85), (0.03, -0.72))
    yield from _arch("dark", 0.0, 0.65, 0.2, 0.35)


def _arch(paint: str, x: float, y: float, half: float, height: float) -> Iterator[Patch]:
    yield paint, box(x - half, y, x + half, y + height)
    yield paint, dome(x, y, half, half)


def _battlement(left: float, right: float, top: float, count: int) -> Iterator[Patch]:
    for merlon in range(count):
        step = (right - left) / (2 * count - 1)
        yield "main", box(left + 2 * merlon * step, top - 0.13, left + (2 * merlon + 1) * step, top + 0.02)


STRUCTURE_DRAWINGS: dict[str, Drawing] = {
    "sailing boat": _sailing_boat,
    "steamship": _steamship,
    "canoe": _canoe,
    "lighthouse": _lighthouse,
    "windmill": _windmill,
    "church": _church,
    "castle": _castle,
}


def _umbrella(build: Build) -> Iterator[Patch]:
    depth, stripes, handle, bare = build
    up = 0.65 + 0.3 * depth
    if not bare:
        yield "dark", box(-0.04, -1.0, 0.04, 0.85)
    if handle > 0.25 and not bare:
        yield "dark", hook(0.14, 0.8, 0.18, 0.08)
    canopy = dome(0.0, 0.05, 0.97, up)
    yield "main", canopy
    if stripes > 0.3:
        yield "accent", dome(0.0, 0.05, 0.6, up)
        yield "main", dome(0.0, 0.05, 0.2, up)
    for x in (-0.64, 0.0, 0.64):
        yield "shadow", within(canopy, dome(x, 0.06, 0.3, 0.14))


def _mushroom(build: Build) -> Iterator[Patch]:
    height, spots, stem, bare = build
    up = 0.65 + 0.35 * height
    half = 0.06 if bare else 0.17 + 0.13 * stem
    yield "cream", polygon((-half, 0.0), (half, 0.0), (half + 0.08, 1.0), (-half - 0.08, 1.0))
    yield "smoke", bowl(0.0, 0.08, 0.8, 0.14)
    yield "main", dome(0.0, 0.1, 0.9, up)
    if spots > 0.35 and not bare:
        for x, y, radius in ((-0.45, -0.15, 0.13), (0.05, -0.35, 0.15), (0.5, -0.1, 0.11), (0.0, 0.0, 0.09)):
            yield "pale", disc(x, y, radius)


def _flower(build: Build) -> Iterator[Patch]:
    angle, petals, leaves, bare = build
    yield "leaf", box(-0.05, -0.3, 0.05, 1.0)
    yield "leaf", polygon((0.0, 0.85), (0.5, 0.35), (0.55, 0.65))
    if leaves > 0.4:
        yield "leaf", polygon((0.0, 0.95), (-0.5, 0.45), (-0.55, 0.75))
    turn = rotation(0.4 * angle)
    radius = 0.2 if petals > 0.5 else 0.27
    for wind in () if bare else EIGHT_WINDS[:: 1 if petals > 0.5 else 2]:
        across, down = turned(wind, turn)
        yield "main", disc(0.38 * across, 0.38 * down - 0.38, radius)
    yield "accent", disc(0.0, -0.38, 0.4 if bare else 0.23)


def _table_lamp(build: Build) -> Iterator[Patch]:
    flare, foot, band, bare = build
    top = 0.25 + 0.2 * flare
    yield "dark", box(-0.06, -0.15, 0.06, 0.9)
    if foot > 0.5 and not bare:
        yield "accent", oval(0.0, 0.6, 0.28, 0.3)
    if not bare:
        yield "dark", dome(0.0, 1.0, 0.45, 0.2)
    yield "main", polygon((-top, -0.95), (top, -0.95), (0.72, -0.1), (-0.72, -0.1))
    if band > 0.4:
        yield "glow", polygon((-0.7, -0.16), (0.7, -0.16), (0.72, -0.08), (-0.72, -0.08))


def _teapot(build: Build) -> Iterator[Patch]:
    belly, spout, band, bare = build
    width = 0.52 + 0.12 * belly
    yield "main", ring(-0.62, 0.3, 0.36, 0.12)
    if not bare:
        yield (
            "main",
            polygon((0.35, 0.75), (0.3, 0.3), (0.75, -0.1 - 0.2 * spout), (0.98, -0.15 - 0.2 * spout)),
        )
    yield "main", oval(0.0, 0.4, width, 0.55)
    yield "main", box(-0.35, 0.82, 0.35, 1.0)
    yield "accent", dome(0.0, -0.06, 0.36, 0.22)
    yield "accent", disc(0.0, -0.34, 0.11)
    if band > 0.5:
        yield "accent", within(oval(0.0, 0.4, width, 0.55), box(-1.0, 0.3, 1.0, 0.46))


def _mug(build: Build) -> Iterator[Patch]:
    steam, height, band, bare = build
    top = -0.1 - 0.35 * height
    foot = 0.5 - 0.15 * height
    if not bare:
        yield "main", ring(0.45, 0.4, 0.42, 0.14)
    yield "main", polygon((-0.65, top), (0.45, top), (foot - 0.1, 1.0), (-foot - 0.1, 1.0))
    yield "dark", oval(-0.1, top, 0.55, 0.12)
    if band > 0.5:
        yield "accent", box(-0.52, 0.35, 0.32, 0.55)
    if steam > 0.4:
        for x in (-0.3, 0.1):
            yield "smoke", bar((x, top - 0.1), (x + 0.12, top - 0.25), 0.06)
            yield "smoke", bar((x + 0.12, top - 0.25), (x, top - 0.45), 0.06)


OBJECT_DRAWINGS: dict[str, Drawing] = {
    "umbrella": _umbrella,
    "mushroom": _mushroom,
    "flower": _flower,
    "table lamp": _table_lamp,
    "teapot": _teapot,
    "mug": _mug,
}
