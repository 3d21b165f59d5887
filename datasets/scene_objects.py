"""How plants and household objects are drawn, in the unit square, standing on y = 1."""

from __future__ import annotations

from collections.abc import Iterator

from cmbench.datasets.scene_shapes import (
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
