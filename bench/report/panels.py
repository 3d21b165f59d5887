"""Panels side by side, or one below the other where the figure is narrow, with one legend above them."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cmbench.report.figure import FONT_POINTS
from cmbench.report.lettering import folded, inches

POINTS = FONT_POINTS - 1.0
"""Of labels, ticks and legends: 7 points are read in print."""
_LINE = 0.145  # inches for a line of text
_KEY = 0.5  # inches for the key of a legend's entry, and the gaps around it
_NARROWEST = 1.55  # inches of a panel with another beside it
_MARGIN = 0.12  # inches on both sides together


def panelled(
    width: float,
    count: int,
    labels: Sequence[str],
    *,
    plot_height: float = 1.55,
    note: str = "",
    title: str = "",
    share_y: bool = True,
) -> tuple[Figure, list[Axes]]:
    """Return a figure of so many inches with its panels, in reading order, with room for a legend.

    ``note`` stands below, folded to the width. ``title`` and ``labels`` are those that ``add_legend`` will be
    given, which stand above.
    """
    beside = panels_beside(width, count)
    rows = ceil(count / beside)
    titles = _title_lines(title, width)
    notes = folded(note, width=width - _MARGIN, lines=12, points=POINTS)
    lines = len(titles) + len(notes) + legend_shape(labels, width)[1]
    height = rows * (plot_height + 0.45) + lines * _LINE + 0.1
    drawing = Figure(figsize=(width, height), layout="constrained")
    grid = drawing.subplots(rows, beside, squeeze=False, sharey=share_y)
    panels: list[Axes] = grid.flatten().tolist()
    for unused in panels[count:]:
        unused.remove()
    if notes:
        drawing.supxlabel("\n".join(notes), fontsize=POINTS, x=0.01, ha="left", color="0.35")
    for panel in panels[:count]:
        panel.tick_params(labelsize=POINTS, length=2, pad=2)
        panel.spines[["top", "right"]].set_visible(False)
        panel.xaxis.label.set_fontsize(POINTS)
        panel.yaxis.label.set_fontsize(POINTS)
        panel.title.set_fontsize(POINTS)
    return drawing, panels[:count]


def panels_beside(width: float, count: int) -> int:
    """Return how many of so many panels stand side by side on that many inches, in rows as even as can be.

    >>> panels_beside(7.0, 4), panels_beside(7.0, 5), panels_beside(3.3, 5)
    (4, 3, 2)
    """
    rows = ceil(count / max(1, int(width / _NARROWEST)))
    return ceil(count / rows)


def legend_shape(labels: Sequence[str], width: float) -> tuple[int, int]:
    """Return columns and lines of a legend across so many inches."""
    if not labels:
        return 1, 0
    entry = max(inches(label, POINTS) for label in labels) + _KEY
    columns = max(1, min(len(labels), int((width - 2 * _MARGIN) / entry)))
    lines = ceil(len(labels) / columns)
    return ceil(len(labels) / lines), lines


def _title_lines(title: str, width: float) -> list[str]:
    return folded(title, width=width - 3 * _MARGIN, lines=3, points=POINTS)


def add_legend(drawing: Figure, keys: Sequence[Artist], labels: Sequence[str], *, title: str = "") -> None:
    """Add the legend above the panels, and above it the title in grey."""
    width = float(drawing.get_size_inches()[0])
    columns, _ = legend_shape(labels, width)
    legend = drawing.legend(
        list(keys),
        list(labels),
        loc="outside upper center",
        ncols=columns,
        frameon=False,
        fontsize=POINTS,
        handlelength=2.2,
        handletextpad=0.4,
        columnspacing=0.8,
        labelspacing=0.25,
        title="\n".join(_title_lines(title, width)) or None,
        title_fontsize=POINTS,
    )
    legend.get_title().set_color("0.35")
