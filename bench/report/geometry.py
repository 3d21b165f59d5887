"""How large a per-category figure must be for its bars and labels to stay legible."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, radians, sin

from cmbench.report.drawing import FONT_POINTS

LABEL_ANGLE = 45
LONGEST_LABEL = 24  # characters; longer names are cut, so that they do not eat the plot

_CHARACTER = 0.6 * FONT_POINTS / 72  # inches, a generous mean for DejaVu Sans
_BAR = 0.036  # inches, the narrowest bar
_LABEL_STEP = 0.21  # inches between labels at 45 degrees that do not touch at 8 points
_MARGIN = 0.8  # inches for the axis with its label
_WIDEST, _NARROWEST = 12.0, 6.5
_PLOT_HEIGHT = 1.35
_LINE = 0.2  # inches for a line of the legend or a title
GROUP_SHARE = 0.8
"""The part of a group's width its bars take; the rest is the gap to the next group."""


@dataclass(frozen=True)
class Geometry:
    """Inches and counts: ``rows`` panels per task, ``per_row`` groups of bars in each."""

    width: float
    height: float
    rows: int
    per_row: int
    legend_columns: int

    @property
    def line_characters(self) -> int:
        """How many characters surely fit on a line across the figure."""
        return int(self.width / _CHARACTER)


def geometry(bars: int, groups: Sequence[str], legend: Sequence[str]) -> Geometry:
    """Return the size for groups of so many bars under these labels, with this legend.

    A figure grows to 12 inches in width first; then its panels wrap into rows of equal length.

    >>> geometry(3, ["art", "biology"], ["CCA", "JRL", "CCL"]).rows
    1
    """
    step = max(_LABEL_STEP, bars * _BAR / GROUP_SHARE)
    rows = ceil(len(groups) * step / (_WIDEST - _MARGIN))
    per_row = ceil(len(groups) / rows)
    width = max(_NARROWEST, per_row * step + _MARGIN)
    legend_lines = _legend_lines(legend, width)
    columns = ceil(len(legend) / legend_lines)
    labels = max(map(len, groups)) * _CHARACTER * sin(radians(LABEL_ANGLE)) + 0.1
    height = 2 * rows * (_PLOT_HEIGHT + labels) + 2 * _LINE + (legend_lines + 1) * _LINE
    return Geometry(width, height, rows, per_row, columns)


def shortened(name: str) -> str:
    """Return a category's name, cut to ``LONGEST_LABEL`` characters.

    >>> shortened("Foundation and Primer, Kajal and Eyeliner")
    'Foundation and Primer, …'
    """
    return name if len(name) <= LONGEST_LABEL else name[: LONGEST_LABEL - 1] + "…"


def _legend_lines(legend: Sequence[str], width: float) -> int:
    """Return the lines of a legend whose columns are as wide as its longest entry, with its colour key."""
    entry = max(map(len, legend)) * _CHARACTER + 0.6
    return ceil(len(legend) / max(1, int(width / entry)))
