"""Scenes as pictures: uint8 RGB, rasterised, lit and made noisy in exact arithmetic."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from cmbench.datasets.scenes.plans import DIFFICULTY, Chance, Scene, Thing
from cmbench.datasets.scenes.shapes import Coordinates, Drawing, Patch, rotation
from cmbench.datasets.scenes.structures import OBJECT_DRAWINGS, STRUCTURE_DRAWINGS
from cmbench.datasets.scenes.surroundings import EXTRA_DRAWINGS, PLACE_DRAWINGS
from cmbench.datasets.scenes.vehicles import VEHICLE_DRAWINGS

Picture: TypeAlias = NDArray[np.uint8]
Canvas: TypeAlias = NDArray[np.int32]
Paint: TypeAlias = tuple[int, int, int]

SIDE = 96  # pixels
SAMPLES = 2  # per pixel and axis
GRID = SIDE * SAMPLES

THING_DRAWINGS: dict[str, Drawing] = STRUCTURE_DRAWINGS | VEHICLE_DRAWINGS | OBJECT_DRAWINGS | EXTRA_DRAWINGS

COLOUR_PAINTS: dict[str, Paint] = {
    "red": (205, 45, 40),
    "orange": (235, 135, 35),
    "yellow": (240, 210, 60),
    "green": (50, 150, 65),
    "blue": (45, 90, 190),
    "purple": (135, 60, 155),
    "brown": (130, 85, 50),
    "white": (235, 235, 230),
    "grey": (135, 135, 140),
}
FIXED_PAINTS: dict[str, Paint] = {
    "brown": (110, 72, 42),
    "brick": (170, 95, 75),
    "cloud": (240, 240, 245),
    "corn": (205, 185, 95),
    "cream": (235, 222, 190),
    "dark": (40, 38, 42),
    "distance": (120, 140, 150),
    "earth": (95, 75, 50),
    "foam": (205, 222, 232),
    "glass": (170, 205, 225),
    "glow": (255, 235, 140),
    "grass": (105, 160, 75),
    "leaf": (55, 120, 50),
    "moss": (85, 95, 50),
    "pale": (240, 236, 225),
    "pane": (110, 130, 160),
    "plaster": (190, 205, 190),
    "sand": (225, 205, 150),
    "shadow": (70, 60, 70),
    "skin": (225, 175, 140),
    "sky": (160, 200, 235),
    "smoke": (190, 190, 195),
    "stone": (150, 148, 142),
    "street": (115, 115, 120),
    "thicket": (45, 80, 50),
    "wall": (215, 195, 165),
    "water": (60, 120, 165),
    "wood": (150, 110, 70),
}
LIGHT_GAINS: dict[str, Paint] = {
    "bright": (270, 268, 262),
    "overcast": (205, 208, 214),
    "evening": (265, 205, 165),
    "night": (95, 105, 150),
    "fog": (235, 235, 240),
}
"""Gain of each channel in 256ths."""
FOG_PAINT = 205


def render(scene: Scene, chance: Chance) -> Picture:
    """Return the picture (SIDE, SIDE, 3) of a scene; ``chance`` varies paints, light and noise."""
    canvas: Canvas = np.zeros((GRID, GRID), dtype=np.int32)
    palette: list[Paint] = []
    _paint_place(canvas, palette, scene, chance)
    behind = scene.extras if scene.intruder is None else (*scene.extras, scene.intruder)
    in_front = scene.subjects if scene.screen is None else (*scene.subjects, scene.screen)
    for thing in (*behind, *in_front):
        _paint_thing(canvas, palette, thing, chance)
    return _developed(_lit(_pixels(canvas, palette), scene.light, chance), chance)


def _paint_place(canvas: Canvas, palette: list[Paint], scene: Scene, chance: Chance) -> None:
    ticks = (np.arange(GRID) + 0.5) * (2.0 / GRID) - 1.0
    patches = PLACE_DRAWINGS[scene.place](scene.ground)
    _paint(canvas, palette, patches, (ticks[None, :], ticks[:, None]), _paints("white", "grey", chance))


def _paint_thing(canvas: Canvas, palette: list[Paint], thing: Thing, chance: Chance) -> None:
    paints = _paints(thing.colour, thing.accent, chance)
    reach = 1.5 * thing.size * max(thing.stretch, 1.0)
    columns, rows = _window(thing.x, reach), _window(thing.y, reach)
    if columns.start >= columns.stop or rows.start >= rows.stop:
        return
    patches = THING_DRAWINGS[thing.kind](thing.build)
    _paint(canvas[rows, columns], palette, patches, _own_coordinates(thing, columns, rows), paints)


def _window(middle: float, reach: float) -> slice:
    start, stop = (int((middle + side * reach + 1.0) * 0.5 * GRID) for side in (-1.0, 1.0))
    return slice(max(start, 0), min(stop + 1, GRID))


def _own_coordinates(thing: Thing, columns: slice, rows: slice) -> tuple[Coordinates, Coordinates]:
    cosine, sine = rotation(thing.half_tangent)
    across = ((np.arange(columns.start, columns.stop) + 0.5) * (2.0 / GRID) - 1.0 - thing.x) / thing.size
    down = ((np.arange(rows.start, rows.stop) + 0.5) * (2.0 / GRID) - 1.0 - thing.y) / thing.size
    x = across[None, :] * cosine + down[:, None] * sine
    y = down[:, None] * cosine - across[None, :] * sine
    return x * ((-1.0 if thing.mirrored else 1.0) / thing.stretch), y


def _paint(
    canvas: Canvas,
    palette: list[Paint],
    patches: Iterable[Patch],
    points: tuple[Coordinates, Coordinates],
    paints: dict[str, Paint],
) -> None:
    """Write numbers of palette entries: one number a sample is far quicker than three channels."""
    for role, shape in patches:
        np.putmask(canvas, shape(*points), len(palette))
        palette.append(paints[role])


def _paints(colour: str, accent: str, chance: Chance) -> dict[str, Paint]:
    shift = [int(chance.between(-18, 19)) for _ in range(3)]
    paints = FIXED_PAINTS | {"main": COLOUR_PAINTS[colour], "accent": COLOUR_PAINTS[accent]}
    return {role: (r + shift[0], g + shift[1], b + shift[2]) for role, (r, g, b) in paints.items()}


def _pixels(canvas: Canvas, palette: list[Paint]) -> Canvas:
    paints = np.array(palette, dtype=np.int32)
    corners = (canvas[row::SAMPLES, column::SAMPLES] for row in range(SAMPLES) for column in range(SAMPLES))
    total: Canvas = sum((paints[corner] for corner in corners), np.zeros((SIDE, SIDE, 3), dtype=np.int32))
    return total // (SAMPLES * SAMPLES)


def _lit(pixels: Canvas, light: str, chance: Chance) -> Canvas:
    exposure = int(chance.between(*DIFFICULTY.exposure))
    slope = int(chance.between(-DIFFICULTY.shade, DIFFICULTY.shade + 1.0))
    across = 256 + slope * (2 * np.arange(SIDE, dtype=np.int32) - SIDE) // SIDE
    lit = pixels * np.array(LIGHT_GAINS[light], dtype=np.int32) // 256 * exposure // 256
    lit = lit * across[None, :, None] // 256
    fog = DIFFICULTY.fog if light == "fog" else 0
    return (lit * (256 - fog) + FOG_PAINT * fog) // 256


def _developed(pixels: Canvas, chance: Chance) -> Picture:
    if chance.happens(DIFFICULTY.blur):
        pixels = _blurred(_blurred(pixels, 0), 1)
    amplitude = chance.between(0.0, DIFFICULTY.noise)
    # the mean of two uniform numbers: a bell of sorts, without the logarithm a normal number needs
    grain = chance.uniform(SIDE, SIDE, 3) + chance.uniform(SIDE, SIDE, 3) - 1.0
    noisy = pixels + np.floor(grain * amplitude).astype(np.int32)
    return np.clip(noisy, 0, 255).astype(np.uint8)


def _blurred(pixels: Canvas, axis: int) -> Canvas:
    before, after = np.roll(pixels, 1, axis), np.roll(pixels, -1, axis)
    return (before + 2 * pixels + after) // 4
