"""MAP per category where bars would not fit a width: points in rows, or what is left of 200 categories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, TypeAlias

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from cmbench.report.figure import STYLE
from cmbench.report.lettering import folded, inches, shortened
from cmbench.report.looks import RING, Look, spread_note
from cmbench.report.panels import POINTS, add_legend, legend_shape, panelled
from cmbench.report.significance import Standing, marked_note

Floats: TypeAlias = NDArray[np.float64]

HIGHEST = 9.6
"""Inches; no page of a journal is higher."""
_BLOCK = 3.2  # inches of a column of rows, at least
_ROWS = (0.2, 0.084)  # inches of a row, at most and at least, which is 6 points
_SMALL = 6.0  # points of names where there are many
_LONGEST_NAME = 1.05  # inches
_LINE, _GAP, _FOOT = 0.13, 0.1, 0.36
_NAMED = 3  # categories that are named, where there is no room for all


@dataclass(frozen=True)
class Bars:
    """What is drawn: by task the means and deviations (c + 1,) of each setting, the last for all queries."""

    names: tuple[str, ...]
    labels: tuple[str, ...]
    looks: tuple[Look, ...]
    means: Mapping[str, Sequence[Floats]]
    deviations: Mapping[str, Sequence[Floats]]
    top: float
    best: Mapping[str, Sequence[str]]
    """By task: the labels of those whose average cannot be told apart from the best."""
    tested: Mapping[str, Standing]
    runs: tuple[int, ...]
    """How many of each setting."""


def fitting(bars: Bars, headings: Mapping[str, str], *, width: float, title: str, note: str) -> Figure:
    """Return the figure with all names where a page is high enough for it, else without them.

    In the one, rings are around averages that cannot be told apart from the best, in the other, curves of
    these are thick.
    """
    told = [marked_note("Ring", bars.tested), spread_note("Coloured line", bars.runs), note]
    plan = _Plan.of(bars, width, title, _joined(*told))
    with mpl.rc_context(STYLE):
        if plan.height <= HIGHEST:
            return _dots(bars, headings, plan)
        marked = marked_note("Thick line", bars.tested)
        return _spread(bars, headings, width=width, title=title, note=_joined(marked, note))


def _joined(*notes: str) -> str:
    return " ".join(filter(None, notes))


@dataclass(frozen=True)
class _Plan:
    """Inches of the rows and of what stands around them."""

    width: float
    blocks: int
    per_block: int
    row: float
    name: float
    titles: tuple[str, ...]
    notes: tuple[str, ...]
    legend_lines: int

    @classmethod
    def of(cls, bars: Bars, width: float, title: str, note: str) -> _Plan:
        blocks = max(1, min(int(width / _BLOCK), ceil(len(bars.names) / 25)))
        per_block = ceil(len(bars.names) / blocks)
        titles = folded(title, width=width - 3 * _GAP, lines=3, points=POINTS)
        notes = folded(note, width=width - _GAP, lines=12, points=POINTS)
        lines = legend_shape(bars.labels, width)[1]
        around = (len(titles) + len(notes) + lines + 1) * _LINE + _FOOT + _GAP
        row = float(np.clip((HIGHEST - around) / per_block, _ROWS[1], _ROWS[0]))
        points = cls.points_of(row)
        name = min(_LONGEST_NAME, max(inches(name, points) for name in bars.names) + 0.02)
        return cls(width, blocks, per_block, row, name, tuple(titles), tuple(notes), lines)

    @staticmethod
    def points_of(row: float) -> float:
        return float(np.clip(row * 72 * 0.95, _SMALL, POINTS))

    @property
    def top(self) -> float:
        """Inches above the rows."""
        return (len(self.titles) + self.legend_lines + 1) * _LINE + _GAP

    @property
    def height(self) -> float:
        return self.top + self.per_block * self.row + _FOOT + len(self.notes) * _LINE

    @property
    def panel(self) -> float:
        """Inches of the panel of a task in a block."""
        return (self.width / self.blocks - self.name - 2.5 * _GAP) / 2


def _dots(bars: Bars, headings: Mapping[str, str], plan: _Plan) -> Figure:
    drawing = Figure(figsize=(plan.width, plan.height))
    for block in range(plan.blocks):
        part = slice(block * plan.per_block, (block + 1) * plan.per_block)
        names = bars.names[part]
        for at, (task, heading) in enumerate(headings.items()):
            left = block * plan.width / plan.blocks + plan.name + _GAP + at * (plan.panel + _GAP)
            high = len(names) * plan.row
            bottom = plan.height - plan.top - high
            sizes = (left / plan.width, bottom / plan.height, plan.panel / plan.width, high / plan.height)
            panel = drawing.add_axes(sizes)
            _draw_rows(panel, bars, task, part)
            if part.stop >= len(bars.names):
                _draw_rings(panel, bars, task, row=len(names) - 1)
            _draw_axes(
                panel, names, plan, is_first=at == 0, is_end=part.stop >= len(bars.names), top=bars.top
            )
            if block == 0 or plan.blocks > 1:
                panel.set_title(heading, fontsize=POINTS, loc="left", pad=3)
    keys = [Line2D([], [], linestyle="none", **look.point()) for look in bars.looks]
    add_legend(drawing, keys, bars.labels, title=" ".join(plan.titles))
    for at, line in enumerate(plan.notes):
        place = (len(plan.notes) - 1 - at) * _LINE + 0.03
        drawing.text(0.06, place, line, fontsize=POINTS, color="0.35", transform=drawing.dpi_scale_trans)
    return drawing


def _draw_rows(panel: Axes, bars: Bars, task: str, part: slice) -> None:
    means = np.stack(bars.means[task])[:, part]
    rows = np.arange(means.shape[1])
    known = ~np.isnan(means).all(axis=0)
    panel.hlines(
        rows[known],
        np.nanmin(means[:, known], axis=0),
        np.nanmax(means[:, known], axis=0),
        color="0.8",
        lw=0.6,
    )
    for mean, deviation, look in zip(means, bars.deviations[task], bars.looks, strict=True):
        spread = deviation[part]
        if not np.isnan(spread).all():
            panel.hlines(rows, mean - spread, mean + spread, color=look.colour, lw=0.8, alpha=0.7)
        point = {**look.point(), "markersize": 3.4, "markeredgewidth": 0.4}
        panel.plot(mean, rows, linestyle="none", clip_on=False, zorder=3, **point)


def _draw_rings(panel: Axes, bars: Bars, task: str, *, row: int) -> None:
    """Draw a ring around the averages, which stand in the last row, of the settings that are best."""
    for label, mean in zip(bars.labels, bars.means[task], strict=True):
        if label in bars.best.get(task, ()):
            panel.plot(mean[-1], row, **{**RING, "markersize": 6.4, "clip_on": False})


def _draw_axes(
    panel: Axes, names: Sequence[str], plan: _Plan, *, is_first: bool, is_end: bool, top: float
) -> None:
    points = plan.points_of(plan.row)
    panel.set(ylim=(len(names) - 0.5, -0.5), xlim=(0, top))
    texts = [shortened(name, width=plan.name, points=points) for name in names] if is_first else []
    panel.set_yticks(range(len(names)), texts or [""] * len(names), fontsize=points)
    panel.tick_params(axis="y", length=0, pad=2)
    middle = round(top / 2, 2)
    panel.set_xticks([0, middle, top], ["0", f"{middle:g}", f"{top:g}"], fontsize=POINTS)
    first, _, last = panel.get_xticklabels()
    first.set_horizontalalignment("left")  # so that the ends of two panels do not touch
    last.set_horizontalalignment("right")
    panel.tick_params(axis="x", length=2, pad=2)
    panel.set_xlabel("MAP", fontsize=POINTS, labelpad=1)
    panel.grid(axis="x", color="0.9", linewidth=0.5)
    panel.set_axisbelow(True)
    panel.spines[["top", "right", "left"]].set_visible(False)
    if is_end and len(names) > 1:
        panel.axhline(len(names) - 1.5, color="0.5", linewidth=0.6, linestyle="--")
        if is_first:
            panel.get_yticklabels()[-1].set_fontweight("bold")


def _spread(bars: Bars, headings: Mapping[str, str], *, width: float, title: str, note: str) -> Figure:
    """Return a curve for each setting: the MAPs of its categories, from the highest to the lowest."""
    count = len(bars.names) - 1
    told = [f"{count} categories, of each method from its best to its worst."]
    told += [_extremes(bars, task, heading) for task, heading in headings.items()]
    told += [f"For all names, draw it wider than {width:g} inches."]
    drawing, panels = panelled(
        width, len(headings), bars.labels, title=title, note=" ".join([*told, note]).strip()
    )
    for panel, (task, heading) in zip(panels, headings.items(), strict=True):
        for label, mean, look in zip(bars.labels, bars.means[task], bars.looks, strict=True):
            falling = np.sort(mean[:-1][~np.isnan(mean[:-1])])[::-1]
            panel.plot(
                np.arange(1, len(falling) + 1), falling, **look.line(thick=label in bars.best.get(task, ()))
            )
        panel.set_title(heading, fontsize=POINTS, loc="left")
        panel.set(xlim=(1, count), ylim=(0, bars.top), xlabel="category, by rank")
        panel.grid(color="0.9", linewidth=0.5)
    panels[0].set_ylabel("MAP")
    keys: list[Any] = [Line2D([], [], **look.line()) for look in bars.looks]
    add_legend(drawing, keys, bars.labels, title=title)
    return drawing


def _extremes(bars: Bars, task: str, heading: str) -> str:
    """Return which categories are the easiest and the hardest on average over the settings."""
    mean = np.nanmean(np.stack([means[:-1] for means in bars.means[task]]), axis=0)
    order = [at for at in np.argsort(-mean, kind="stable").tolist() if not np.isnan(mean[at])]
    best, worst = (", ".join(bars.names[at] for at in part) for part in (order[:_NAMED], order[-_NAMED:]))
    return f"{heading}: easiest {best}; hardest {worst}."
