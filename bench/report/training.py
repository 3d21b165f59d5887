"""The curves of a training by iteration: losses, accuracies, norms of gradients, and MAP on validation."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import ceil
from textwrap import fill
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import Locator, LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

from cmbench.errors import ReportError
from cmbench.report.curves import ITERATION, Line, Panel, RecordedTraining, fates, one_setting, panels
from cmbench.report.figure import FONT_POINTS, STYLE, WIDTHS
from cmbench.report.lettering import folded
from cmbench.report.looks import looks
from cmbench.report.panels import POINTS, legend_shape
from cmbench.report.records import Group
from cmbench.report.settings import Setting

_PLOT, _LINE, _GAP, _EDGES = 0.85, 0.145, 0.13, 0.4  # inches of height
_MARGIN = 0.2  # inches on both sides of a text together
_AXIS, _KEY = 0.55, 0.75  # inches of an axis with its numbers, and of the key of an entry in a legend
_NARROWEST = 3.0  # inches of a panel with another beside it
_MOST_LINES = 40  # of a title or a note
_AXIS_CHARACTERS = 14  # that fit along an axis
_LINE_WIDTH, _THIN_LINE_WIDTH = 1.1, 0.6
_KEPT: dict[str, Any] = {"color": "0.4", "linestyle": (0, (4, 2))}
_KEPT_LABEL = "state kept"


def figure(trainings: Iterable[RecordedTraining], *, width: float = WIDTHS["column"]) -> Figure:
    """Return a figure of the curves of one setting: a panel for each kind, in columns where there is room.

    A curve that is alone in its panel, such as MAP on validation, has the look that its method has in every
    figure. The seeds of the setting lie over each other, a curve in the same colour for all. Vertical lines
    mark the iterations whose state was kept. What was not measured at a point is left out, and so are zeros
    on a logarithmic axis; records without curves are named below the panels.

    Parameters
    ----------
    trainings : records with their curves, of one setting
    width : inches

    Raises
    ------
    ReportError
        No record, records of more than one setting, or none that has curves.
    """
    made = list(trainings)
    setting, group = one_setting([training.record for training in made])
    drawn = [training for training in made if training.names]
    missing = fates([training for training in made if not training.names])
    if not drawn:
        raise ReportError(f"{setting.label} on {group.name} has no training curves ({missing})")
    note = _lines(f"Not drawn: {missing}", width) if missing else ""
    with mpl.rc_context(STYLE):
        return _drawn(
            drawn, _panels(setting, drawn), _lines(_title(setting, group, drawn), width), note, width
        )


def _lines(text: str, width: float) -> str:
    return "\n".join(folded(text, width=width - _MARGIN, lines=_MOST_LINES, points=FONT_POINTS))


def _panels(setting: Setting, trainings: Sequence[RecordedTraining]) -> list[Panel]:
    """Return the panels, in which curves without a label have the look of the method."""
    (look,) = looks([setting])
    own = {"colour": look.colour, "style": look.line()["linestyle"]}
    return [
        replace(panel, lines=tuple(line if line.label else replace(line, **own) for line in panel.lines))
        for panel in panels({name for training in trainings for name in training.names})
    ]


def _title(setting: Setting, group: Group, trainings: Sequence[RecordedTraining]) -> str:
    seeds = [str(training.record["seed"]) for training in trainings if training.record["seed"] is not None]
    counted = f"seed{'s' if len(seeds) > 1 else ''} {', '.join(seeds)}" if seeds else ""
    parts = [setting.label, f"{group.name} ({group.dataset['fingerprint'][:8]})", counted]
    return ", ".join(filter(None, parts))


def _drawn(
    trainings: Sequence[RecordedTraining], shown: Sequence[Panel], title: str, note: str, width: float
) -> Figure:
    columns = max(1, min(len(shown), int(width / _NARROWEST)))
    legends = _legends(trainings, shown, width / columns - _AXIS)
    height = _height(legends, columns, width / columns - _AXIS, title, note)
    drawing = Figure(figsize=(width, height), layout="constrained")
    all_axes = _axes(drawing, len(shown), columns)
    with_iterations = all(ITERATION in training.curves for training in trainings)
    for axes in all_axes[-columns:]:
        axes.tick_params(labelbottom=True)
        axes.set_xlabel(ITERATION if with_iterations else "point")
    for axes, panel, legend in zip(all_axes, shown, legends, strict=True):
        _draw_curves(axes, panel, trainings)
        _draw_axes(axes, panel)
        _draw_kept(axes, trainings)
        _draw_legend(axes, panel, legend, width / columns - _AXIS)
    drawing.align_ylabels()
    drawing.suptitle(title, fontsize=FONT_POINTS, color="0.35")
    if note:
        drawing.supxlabel(note, fontsize=FONT_POINTS)
    return drawing


def _axes(drawing: Figure, count: int, columns: int) -> list[Axes]:
    """Return the axes of so many panels in reading order, over one axis of iterations."""
    every: list[Axes] = (
        drawing.subplots(ceil(count / columns), columns, sharex=True, squeeze=False).flatten().tolist()
    )
    for unused in every[count:]:
        unused.remove()
    return every[:count]


def _legends(trainings: Sequence[RecordedTraining], shown: Sequence[Panel], width: float) -> list[list[str]]:
    """Return what the legend of each panel says, folded where it is wider than the panel."""
    with_kept = any(training.kept is not None for training in trainings)
    return [
        [*_folded(panel.labels, width), *([_KEPT_LABEL] if with_kept and at == 0 else [])]
        for at, panel in enumerate(shown)
    ]


def _draw_curves(axes: Axes, panel: Panel, trainings: Sequence[RecordedTraining]) -> None:
    for training in trainings:
        for line in panel.lines:
            if line.name in training.names:
                _draw_curve(axes, line, training, _line_width(trainings))


def _draw_curve(axes: Axes, line: Line, training: RecordedTraining, width: float) -> None:
    values = training.curves[line.name]
    measured = np.isfinite(values)
    marker = "." if measured.sum() == 1 else ""  # a line through one point is not seen
    axes.plot(training.steps[measured], values[measured], linewidth=width, marker=marker, **_look(line))


def _draw_kept(axes: Axes, trainings: Sequence[RecordedTraining]) -> None:
    for training in trainings:
        if training.kept is not None:
            axes.axvline(training.kept, linewidth=_line_width(trainings), zorder=1, **_KEPT)


def _line_width(trainings: Sequence[RecordedTraining]) -> float:
    return _LINE_WIDTH if len(trainings) == 1 else _THIN_LINE_WIDTH


def _look(line: Line) -> dict[str, Any]:
    return {"color": line.colour, "linestyle": line.style}


def _draw_axes(axes: Axes, panel: Panel) -> None:
    if panel.kind.scale == "log":
        _scale_logarithmically(axes)
    if panel.kind.limits:
        axes.set_ylim(*panel.kind.limits)
    axes.set_ylabel(fill(panel.kind.label, _AXIS_CHARACTERS))
    axes.grid(axis="y", color="0.9", linewidth=0.5)
    axes.tick_params(length=2, pad=2)
    axes.spines[["top", "right"]].set_visible(False)


def _scale_logarithmically(axes: Axes) -> None:
    """Make the axis logarithmic, if there is a positive value, with a few plain numbers along it."""
    drawn = np.concatenate([np.asarray(curve.get_ydata(), dtype=np.float64) for curve in axes.lines])
    positive = drawn[drawn > 0]
    if not positive.size:
        return
    axes.set_yscale("log", nonpositive="mask")
    axes.yaxis.set_major_locator(_ticks(positive.max() / positive.min()))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _ticks(ratio: float) -> Locator:
    """Return ticks for a logarithmic axis on which the highest value is ``ratio`` times the lowest.

    Powers of ten stand too far apart for two decades, and 1, 2, 5 for less than one of their steps.
    """
    if ratio < 5:
        return MaxNLocator(4)
    return LogLocator(subs=(1, 2, 5) if ratio < 100 else (1,))


def _draw_legend(axes: Axes, panel: Panel, labels: Sequence[str], width: float) -> None:
    """Draw the legend above the axes, where it hides no curve."""
    looks = [*(_look(line) for line in panel.lines if line.label), _KEPT]
    if labels:
        axes.legend(
            [Line2D([], [], linewidth=_LINE_WIDTH, **look) for look in looks[: len(labels)]],
            labels,
            loc="lower left",
            bbox_to_anchor=(0.0, 1.0),
            borderaxespad=0.1,
            ncols=legend_shape(labels, width)[0],
            frameon=False,
            fontsize=POINTS,
            handlelength=1.7,
            handletextpad=0.4,
            columnspacing=0.8,
            labelspacing=0.2,
        )


def _folded(labels: Sequence[str], width: float) -> list[str]:
    return [
        "\n".join(folded(label, width=width - _KEY, lines=_MOST_LINES, points=POINTS)) for label in labels
    ]


def _height(legends: Sequence[Sequence[str]], columns: int, width: float, title: str, note: str) -> float:
    """Return inches that leave each panel the same height, whatever stands around it."""
    rows = [legends[at : at + columns] for at in range(0, len(legends), columns)]
    lines = sum(max(_legend_lines(legend, width) for legend in row) for row in rows)
    lines += sum(text.count("\n") + 1 for text in (title, note) if text)
    return len(rows) * (_PLOT + _GAP) + lines * _LINE + _EDGES


def _legend_lines(labels: Sequence[str], width: float) -> int:
    """Return lines of text in a legend, each entry as high as that of the most lines."""
    return legend_shape(labels, width)[1] * max((label.count("\n") + 1 for label in labels), default=0)
