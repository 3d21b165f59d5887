"""How places and the things around the subject are drawn, with the same patches as the categories."""

from __future__ import annotations

from collections.abc import Iterator

from cmbench.datasets.scenes.shapes import Build, Drawing, Patch, bar, box, disc, dome, oval, polygon


def horizon(build: Build) -> float:
    """Return the height at which the ground of a place begins, in the square of the picture."""
    return -0.25 + 0.4 * build[0]


def _sea(build: Build) -> Iterator[Patch]:
    level = horizon(build)
    yield "sky", box(-1.0, -1.0, 1.0, 1.0)
    yield "water", box(-1.0, level, 1.0, 1.0)
    for wave in range(5):
        top = level + 0.08 + wave * (0.16 + 0.06 * build[1])
        left = -0.9 + 1.1 * ((build[2] + 0.37 * wave) % 1.0)
        yield "foam", box(left, top, left + 0.5, top + 0.025)


def _beach(build: Build) -> Iterator[Patch]:
    level = horizon(build)
    shore = level + 0.15 + 0.2 * build[1]
    yield "sky", box(-1.0, -1.0, 1.0, 1.0)
    yield "water", box(-1.0, level, 1.0, 1.0)
    yield "sand", polygon((-1.0, shore), (1.0, shore + 0.3 * (build[2] - 0.5)), (1.0, 1.01), (-1.0, 1.01))


def _field(build: Build) -> Iterator[Patch]:
    level = horizon(build)
    yield "sky", box(-1.0, -1.0, 1.0, 1.0)
    yield "grass" if build[1] > 0.35 else "corn", box(-1.0, level, 1.0, 1.0)
    for furrow in range(6):
        start, end = -0.6 + 0.25 * furrow, -2.2 + 0.9 * furrow
        if build[2] > 0.4:
            yield "earth", bar((start, level), (end, 1.0), 0.035)


def _hills(build: Build) -> Iterator[Patch]:
    level = horizon(build)
    yield "sky", box(-1.0, -1.0, 1.0, 1.0)
    yield "distance", dome(-0.6 + build[1], level + 0.1, 0.9, 0.3 + 0.35 * build[2])
    yield "distance", dome(0.9 - build[2], level + 0.1, 0.7, 0.2 + 0.3 * build[3])
    yield "grass", dome(-1.0 + 2.0 * build[3], level + 0.9, 2.2, 0.95)
    yield "grass", box(-1.0, level + 0.15, 1.0, 1.0)


def _forest(build: Build) -> Iterator[Patch]:
    level = horizon(build) + 0.1
    yield "thicket", box(-1.0, -1.0, 1.0, 1.0)
    for trunk in range(6):
        x = -0.95 + 0.36 * trunk + 0.2 * build[trunk % 4]
        width = 0.03 + 0.07 * build[(trunk + 1) % 4]
        yield "brown" if trunk % 2 else "earth", box(x - width, -1.0, x + width, level + 0.1)
    yield "moss", box(-1.0, level, 1.0, 1.0)


def _town(build: Build) -> Iterator[Patch]:
    level = horizon(build) + 0.1
    yield "sky", box(-1.0, -1.0, 1.0, 1.0)
    for house in range(4):
        left = -1.05 + 0.53 * house
        top = level - 0.3 - 0.55 * build[house]
        yield ("brick", "wall", "stone", "wall")[house], box(left, top, left + 0.5, level + 0.1)
        for row in range(2):
            for column in range(2):
                x, y = left + 0.1 + 0.22 * column, top + 0.1 + 0.2 * row
                yield "pane", box(x, y, x + 0.1, y + 0.1)
    yield "street", box(-1.0, level, 1.0, 1.0)
    yield "stone", box(-1.0, level, 1.0, level + 0.06)


def _room(build: Build) -> Iterator[Patch]:
    level = horizon(build) + 0.2
    yield "wall" if build[1] > 0.5 else "plaster", box(-1.0, -1.0, 1.0, 1.0)
    if build[2] > 0.5:
        left = -0.85 + 1.0 * build[3]
        yield "pale", box(left, -0.85, left + 0.6, -0.15)
        yield "pane", box(left + 0.06, -0.79, left + 0.54, -0.21)
        yield "pale", box(left + 0.27, -0.85, left + 0.33, -0.15)
    yield "wood", box(-1.0, level, 1.0, 1.0)
    yield "earth", box(-1.0, level, 1.0, level + 0.05)


def _tree(build: Build) -> Iterator[Patch]:
    yield "brown", box(-0.12, 0.0, 0.12, 1.0)
    for x, y, radius in ((-0.35, -0.1, 0.45), (0.35, -0.1, 0.45), (0.0, -0.45, 0.5)):
        yield "leaf", disc(x, y - 0.1 * build[0], radius)


def _fir(build: Build) -> Iterator[Patch]:
    yield "brown", box(-0.1, 0.6, 0.1, 1.0)
    for top in (0.15, -0.3, -0.8 - 0.15 * build[0]):
        half = 0.35 + 0.22 * (top + 0.8)
        yield "thicket", polygon((0.0, top), (half + 0.1, top + 0.6), (-half - 0.1, top + 0.6))


def _bush(build: Build) -> Iterator[Patch]:
    for x, radius in ((-0.55, 0.4), (0.0, 0.6), (0.55, 0.35 + 0.1 * build[0])):
        yield "leaf", dome(x, 1.0, radius, radius * 1.3)


def _rock(build: Build) -> Iterator[Patch]:
    peak = -0.3 + 0.6 * build[0]
    yield "stone", polygon((-0.9, 1.0), (-0.6, 0.3), (peak, 0.0), (0.65, 0.4), (0.9, 1.0))
    yield "smoke", polygon((-0.6, 0.3), (peak, 0.0), (peak - 0.1, 0.5))


def _fence(build: Build) -> Iterator[Patch]:
    for post in range(5):
        yield "wood", box(-0.95 + 0.43 * post, 0.1, -0.78 + 0.43 * post, 1.0)
    for rail in (0.3, 0.65):
        yield "wood", box(-1.0, rail, 1.0, rail + 0.12)


def _pole(build: Build) -> Iterator[Patch]:
    yield "dark", box(-0.1, -1.0, 0.1, 1.0)


def _house(build: Build) -> Iterator[Patch]:
    yield "main", box(-0.75, -0.05, 0.75, 1.0)
    yield "accent", polygon((-0.95, 0.0), (0.95, 0.0), (0.0, -0.8 + 0.3 * build[0]))
    yield "pane", box(-0.5, 0.25, -0.15, 0.6)
    yield "dark", box(0.15, 0.35, 0.5, 1.0)


def _ball(build: Build) -> Iterator[Patch]:
    yield "main", disc(0.0, 0.3, 0.7)
    yield "accent", oval(0.0, 0.3, 0.25 + 0.1 * build[0], 0.7)


def _crate(build: Build) -> Iterator[Patch]:
    yield "wood", box(-0.8, -0.3, 0.8, 1.0)
    yield "brown", bar((-0.7, -0.2), (0.7, 0.9), 0.15)
    yield "brown", box(-0.8, -0.3, 0.8, -0.15)


def _book(build: Build) -> Iterator[Patch]:
    yield "main", box(-0.9, 0.5, 0.9, 1.0)
    yield "pale", box(-0.8, 0.62, 0.9, 0.88)


def _picture(build: Build) -> Iterator[Patch]:
    yield "brown", box(-0.8, -0.7, 0.8, 0.7)
    yield "pale", box(-0.65, -0.55, 0.65, 0.55)
    yield "accent", dome(0.0, 0.5, 0.5, 0.6)


def _cloud(build: Build) -> Iterator[Patch]:
    for x, y, radius in ((-0.45, 0.1, 0.4), (0.1, -0.1, 0.5), (0.55, 0.15, 0.35)):
        yield "cloud", oval(x, y, radius + 0.1 * build[0], radius * 0.7)


def _sun(build: Build) -> Iterator[Patch]:
    yield "glow", disc(0.0, 0.0, 0.6)


def _bird(build: Build) -> Iterator[Patch]:
    dip = 0.2 + 0.4 * build[0]
    for side in (-1.0, 1.0):
        yield "dark", polygon((0.0, 0.2), (0.45 * side, -dip), (side, 0.0), (0.45 * side, -dip + 0.3))


PLACE_DRAWINGS: dict[str, Drawing] = {
    "sea": _sea,
    "beach": _beach,
    "field": _field,
    "hills": _hills,
    "forest": _forest,
    "town": _town,
    "room": _room,
}
"""The drawing of every place, over the whole picture."""

EXTRA_DRAWINGS: dict[str, Drawing] = {
    "tree": _tree,
    "fir": _fir,
    "bush": _bush,
    "rock": _rock,
    "fence": _fence,
    "pole": _pole,
    "house": _house,
    "ball": _ball,
    "crate": _crate,
    "book": _book,
    "picture": _picture,
    "cloud": _cloud,
    "sun": _sun,
    "bird": _bird,
}
"""The drawing of every thing that belongs to no category."""
