"""The critical-difference diagram: average ranks of methods over datasets, and which of them differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cmbench.errors import ReportError
from cmbench.evaluation.protocol import BIMODAL_AVERAGE
from cmbench.evaluation.statistics import LEVEL, AverageRanks, ranks
from cmbench.report.figure import STYLE, WIDTHS
from cmbench.report.lettering import folded, inches
from cmbench.report.panels import POINTS
from cmbench.report.records import Group, limited_note, of_all_pairs, refuse_several_protocols
from cmbench.report.settings import competes, settings

_ROW, _LINE = 0.17, 0.145  # inches between names, and between lines of text
_BAR_ROW = 0.07  # inches between the bars of groups
_RANK, _SHORTEST = 0.16, 1.2  # inches from one number of the axis to the next at least, and of an axis
_ALL_NUMBERED = 12  # methods up to which each rank has its number


@dataclass(frozen=True)
class Ranked:
    """Methods with their ranks over datasets; those ``left_out`` did not finish on all of these.

    ``note`` names datasets that were left out.
    """

    names: tuple[str, ...]
    ranks: AverageRanks
    datasets: int
    left_out: tuple[str, ...]
    note: str = ""

    @property
    def groups(self) -> list[tuple[int, int]]:
        """First and last of methods that the critical difference spans, by places in the order of ranks."""
        limit = self.ranks.critical_difference
        if limit is None:
            return []
        average = np.sort(self.ranks.average)
        ends = [int(np.searchsorted(average, rank + limit, side="right")) - 1 for rank in average]
        spans = [(start, end) for start, end in enumerate(ends) if end > start]
        return [span for at, span in enumerate(spans) if at == 0 or span[1] > spans[at - 1][1]]


def ranked(groups: Sequence[Group]) -> Ranked:
    """Return the ranks, by mean MAP of both directions, of the methods that finished on every dataset.

    ``ReportError`` where one of these stands in several settings, where protocols differ, or fewer than two
    datasets or three methods are left: then no critical difference is defined.
    """
    refuse_several_protocols(groups)
    shown = of_all_pairs(groups, lambda group: group)
    scores = [_scores(group) for group in shown]
    names = [name for name in scores[0] if all(name in found for found in scores)] if scores else []
    if len(shown) < 2 or len(names) < 3:
        raise ReportError(
            f"{len(names)} methods finished on each of {len(shown)} datasets; ranks need three methods and "
            f"two datasets{_fewest(shown, scores)}"
        )
    for group, found in zip(shown, scores, strict=True):
        several = [name for name in names if len(found[name]) > 1]
        if several:
            raise ReportError(
                f"{group.title} has several settings of {several[0]}; leave it out with --methods, or rank "
                "stores that have one each"
            )
    everywhere = dict.fromkeys(name for found in scores for name in found)
    left_out = tuple(name for name in everywhere if name not in names)
    table = [[found[name][0] for name in names] for found in scores]
    return Ranked(tuple(names), ranks(table), len(shown), left_out, limited_note(groups, shown))


def _scores(group: Group) -> dict[str, list[float]]:
    """Return the bi-modal averages of each method's settings by its name, but for controls and bounds."""
    scores: dict[str, list[float]] = {}
    for setting in settings(group.finished):
        score = setting.score(BIMODAL_AVERAGE) if competes(setting) else None
        if score is not None:
            scores.setdefault(setting.method["paper_name"], []).append(score.mean)
    return scores


def _fewest(groups: Sequence[Group], scores: Sequence[Mapping[str, object]]) -> str:
    """Return which of more than two datasets has the fewest methods, and what leaves it out."""
    if len(groups) < 3:
        return ""
    counts = [len(found) for found in scores]
    return f"; {groups[counts.index(min(counts))].name} has {min(counts)}: choose others with --dataset"


def figure(found: Ranked, *, width: float | None = None) -> Figure:
    """Return the diagram of Demšar (2006): methods along their average ranks, best on the left.

    Bars join methods whose ranks differ by less than the critical difference of Nemenyi's test (5 %), which
    is drawn above. The p of Friedman's test stands below; where it is above 5 %, ranks may differ by chance.
    Without a ``width`` it is that of a column, or what names and ranks need. ``ReportError`` for one on which
    the ranks have no room between the names.
    """
    order = np.argsort(found.ranks.average, kind="stable")
    names = [found.names[at] for at in order]
    width = _fitting(names, width)
    average = found.ranks.average[order]
    notes = folded(_note(found), width=width - 0.12, lines=6, points=POINTS)
    half = (len(names) + 1) // 2
    bars = len(found.groups) * _BAR_ROW
    height = 0.62 + bars + half * _ROW + 0.1 + len(notes) * _LINE + 0.05
    with mpl.rc_context(STYLE):
        drawing = Figure(figsize=(width, height))
        axes = drawing.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, width), ylim=(height, 0))  # inches from the upper left corner
        axes.set_axis_off()
        scale = _Scale.of(width, names)
        line = 0.5
        _draw_scale(axes, scale, found, line)
        for at, (start, last) in enumerate(found.groups):
            level = line + 0.1 + at * _BAR_ROW
            ends = [scale(average[start]) - 0.03, scale(average[last]) + 0.03]
            axes.plot(ends, [level, level], color="black", linewidth=2.2, solid_capstyle="butt")
        for at, (name, rank) in enumerate(zip(names, average, strict=True)):
            is_left = at < half
            row = at if is_left else len(names) - 1 - at
            level = line + 0.12 + bars + (row + 0.5) * _ROW
            end = scale.left - 0.06 if is_left else scale.right + 0.06
            axes.plot([scale(rank), scale(rank), end], [line, level, level], color="0.25", linewidth=0.6)
            text = f"{name} {rank:.2f}" if is_left else f"{rank:.2f} {name}"
            place = end - 0.03 if is_left else end + 0.03
            axes.text(place, level, text, fontsize=POINTS, ha="right" if is_left else "left", va="center")
        for at, text in enumerate(notes):
            top = height - 0.05 - (len(notes) - 1 - at) * _LINE
            axes.text(0.06, top, text, fontsize=POINTS, color="0.35", va="bottom")
    return drawing


def _fitting(names: Sequence[str], width: float | None) -> float:
    """Return the width of the diagram in inches."""
    between = _RANK if len(names) <= _ALL_NUMBERED else _RANK / 2
    needed = sum(_rooms(names)) + max(_SHORTEST, (len(names) - 1) * between)
    if width is None:
        return max(WIDTHS["column"], needed)
    if width < needed:
        raise ReportError(
            f"on {width:g} inches there is no room for the ranks between the names of {len(names)} methods; "
            f"give a --width of {needed + 0.05:.1f} inches or more, or fewer --methods"
        )
    return width


def _rooms(names: Sequence[str]) -> list[float]:
    """Return what the names of the better and of the other half need on their sides, in inches."""
    half = (len(names) + 1) // 2
    return [
        max(inches(f"{name} 00.00", POINTS) for name in part) + 0.2 for part in (names[:half], names[half:])
    ]


@dataclass(frozen=True)
class _Scale:
    """Where a rank is, in inches: rank 1 at ``left``, that of the last method at ``right``."""

    left: float
    right: float
    count: int

    @classmethod
    def of(cls, width: float, names: Sequence[str]) -> _Scale:
        """Return the scale between the names, those of the better half on the left."""
        left, right = _rooms(names)
        return cls(left, width - right, len(names))

    def __call__(self, rank: float) -> float:
        return self.left + (rank - 1) / (self.count - 1) * (self.right - self.left)


def _draw_scale(axes: Axes, scale: _Scale, found: Ranked, line: float) -> None:
    axes.plot([scale.left, scale.right], [line, line], color="black", linewidth=0.8)
    step = 1 if scale.count <= _ALL_NUMBERED else 2
    for rank in range(1, scale.count + 1):
        axes.plot([scale(rank)] * 2, [line, line - 0.05], color="black", linewidth=0.6)
        if (rank - 1) % step == 0:
            axes.text(scale(rank), line - 0.07, str(rank), fontsize=POINTS, ha="center", va="bottom")
    limit = found.ranks.critical_difference
    if limit is not None:
        ends = [scale(1), scale(min(1 + limit, scale.count))]
        axes.plot(ends, [0.2, 0.2], color="black", linewidth=1.2, marker="|", markersize=4)
        axes.text(
            sum(ends) / 2, 0.16, f"critical difference {limit:.2f}", fontsize=POINTS, ha="center", va="bottom"
        )


def _note(found: Ranked) -> str:
    p = found.ranks.p
    parts = [f"Average ranks by bi-modal average MAP over {found.datasets} datasets."]
    if p is not None:
        verdict = "" if p <= LEVEL else ": these ranks may differ by chance alone"
        parts.append(f"Friedman p = {p:.3f}{verdict}." if p >= 0.001 else "Friedman p < 0.001.")
    if found.left_out:
        parts.append(f"Not on all datasets: {', '.join(found.left_out)}.")
    return " ".join(filter(None, [*parts, found.note]))
