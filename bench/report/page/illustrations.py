"""The figures of a dataset as pictures within the page, each with words for those who do not see it."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from math import ceil
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from cmbench.errors import ReportError, StoreError
from cmbench.report.layout import BIMODAL
from cmbench.report.page.content import Board, Entry

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox
    from PIL.Image import Image

DOTS_PER_INCH = 144
"""More than a screen has at the size shown, and half the bytes of what print needs."""
_SCREEN = 120  # pixels of CSS for an inch, so that letters of 8 points are as large as small print
_COLOURS = 256


@dataclass(frozen=True)
class Illustration:
    """A figure under its heading: the picture, or why there is none.

    ``source`` is the picture as an address that holds it, ``width`` in pixels of CSS; ``words`` say what it
    shows to those who do not see it; ``command`` draws it for print, or the ``part`` of it that is named, and
    is empty where none does. ``keys`` are those of its legend, for screens that do not show the picture in
    its whole width.
    """

    heading: str
    words: str
    command: str
    source: str = ""
    width: int = 0
    absent: str = ""
    keys: tuple[Key, ...] = ()
    part: str = ""


@dataclass(frozen=True)
class Key:
    """An entry of a legend: its picture as an address that holds it, the width in pixels of CSS, its text."""

    source: str
    width: int
    label: str


@dataclass(frozen=True)
class Plan:
    """A figure that is not drawn yet; see ``Illustration``."""

    heading: str
    words: str
    command: str
    draw: Callable[[], Figure]
    part: str = ""

    def illustration(self, *, figures: bool) -> Illustration:
        """Return the figure, or why there is none; without ``figures`` it is not drawn."""
        described = Illustration(self.heading, self.words, self.command, part=self.part)
        if not figures:
            instead = f"; '{self.command}' draws {self.part or 'this one'}" if self.command else ""
            return replace(described, absent=f"Figures were left out of this page{instead}.")
        try:
            drawn = self.draw()
        except (ReportError, StoreError) as error:
            return replace(described, absent=str(error))
        width = round(drawn.get_size_inches()[0] * _SCREEN)
        picture = raster(drawn)
        return replace(described, source=png_uri(picture), width=width, keys=legend_keys(drawn, picture))


def raster(figure: Figure) -> Image:
    """Return a figure as pixels; it stays drawn."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL.Image import fromarray

    from cmbench.report.figure import STYLE
    from cmbench.report.fonts import fit_fonts, quiet

    figure.set_dpi(DOTS_PER_INCH)
    canvas: Any = FigureCanvasAgg(figure)  # savefig would draw a second time, to lay out again
    with mpl.rc_context(STYLE), quiet():
        canvas.draw()
        if fonts := fit_fonts(figure, drawn=True):
            mpl.rcParams.update(fonts)
            canvas.draw()
    return fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def png_uri(picture: Image) -> str:
    """Return a picture as an address that holds it as PNG; equal pictures give equal addresses."""
    from PIL.Image import Dither

    small = BytesIO()
    picture.quantize(_COLOURS, dither=Dither.NONE).save(small, "PNG")
    return f"data:image/png;base64,{base64.b64encode(small.getvalue()).decode('ascii')}"


def legend_keys(figure: Figure, picture: Image) -> tuple[Key, ...]:
    """Return the keys of the legends of a figure, cut out of its ``raster``."""
    return tuple(
        Key(png_uri(part), round(part.width * _SCREEN / DOTS_PER_INCH), text.get_text())
        for legend in figure.legends
        for handle, text in zip(legend.legend_handles, legend.get_texts(), strict=True)
        if handle is not None
        for part in [_cut(picture, handle.get_window_extent())]
    )


def _cut(picture: Image, box: Bbox) -> Image:
    """Return what a picture holds within a box whose origin is at the bottom, with a pixel around it."""
    left, right = int(box.x0) - 1, ceil(box.x1) + 1
    return picture.crop((left, picture.height - ceil(box.y1) - 1, right, picture.height - int(box.y0) + 1))


@dataclass(frozen=True)
class CategoryTable:
    """MAP of each category in a task, a row for each: (categories, entries), None where there is no query."""

    heading: str
    categories: tuple[str, ...]
    labels: tuple[str, ...]
    rows: tuple[tuple[float | None, ...], ...]


def category_tables(board: Board) -> list[CategoryTable]:
    """Return MAP per category of the two bi-modal tasks, the mean over the runs of each entry.

    There are none where records hold no MAP per category, as where the pair itself is relevant.
    """
    tables = []
    for column in BIMODAL.columns[:2]:
        by_entry = [_by_category(entry, column.key) for entry in board.contenders]
        names = board.group.dataset["class_names"]
        if by_entry and names and all(values is not None for values in by_entry):
            columns = [values for values in by_entry if values is not None]
            rows = tuple(zip(*columns, strict=True))
            labels = tuple(entry.label for entry in board.contenders)
            tables.append(CategoryTable(column.heading, tuple(map(str, names)), labels, rows))
    return tables


def _by_category(entry: Entry, task: str) -> list[float | None] | None:
    runs = [(record.get("category_map") or {}).get(task) for record in entry.setting.finished]
    known = [run for run in runs if run]
    if len(known) < len(runs):
        return None
    return [_mean(values) for values in zip(*known, strict=True)]


def _mean(values: Sequence[float | None]) -> float | None:
    numbers = [value for value in values if value is not None]
    return fmean(numbers) if len(numbers) == len(values) else None
