"""MAP against what it costs: time, memory, and the size of the representation."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import log
from statistics import median_low

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from cmbench.errors import ReportError
from cmbench.report.facts import duration, largest, unequal_times
from cmbench.report.figure import STYLE, WIDTHS, title_of
from cmbench.report.layout import AVERAGE, BIMODAL, Column
from cmbench.report.lettering import folded, inches
from cmbench.report.looks import RING, Look, looks, spread_note
from cmbench.report.panels import POINTS, add_legend, panelled, panels_beside
from cmbench.report.records import (
    Group,
    limited_note,
    of_all_pairs,
    refuse_nothing,
    refuse_several_protocols,
)
from cmbench.report.searches import fewer_trials_note
from cmbench.report.settings import Setting
from cmbench.report.settings import settings as settings_of
from cmbench.report.significance import Arrays, Standing, best_groups, marked_labels, marked_note


@dataclass(frozen=True)
class Quantity:
    """What stands along the axis of a panel: how to read it of a setting, and how its ticks are written."""

    label: str
    read: Callable[[Setting], float | None]
    written: Callable[[float], str]
    ticks: tuple[float, ...]
    base: float = 10.0


def seconds_text(seconds: float) -> str:
    """Return a time in the unit that suits it.

    >>> [seconds_text(each) for each in (0.01, 1.0, 120.0, 7200.0)]
    ['0.01 s', '1 s', '2 min', '2 h']
    """
    for unit, size in (("h", 3600.0), ("min", 60.0)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"


def bytes_text(size: float) -> str:
    """Return an amount of memory in the unit that suits it.

    >>> bytes_text(2e8), bytes_text(1.5e9)
    ('200 MB', '1.5 GB')
    """
    return f"{size / 1e9:.3g} GB" if size >= 1e9 else f"{size / 1e6:.3g} MB"


_MINUTE, _HOUR = 60.0, 3600.0
_TIMES = (0.001, 0.01, 0.1, 1.0, 10.0, _MINUTE, 10 * _MINUTE, _HOUR, 10 * _HOUR, 100 * _HOUR)
TIME = Quantity("time of training", lambda setting: duration(setting, "fit"), seconds_text, _TIMES)
PROCESSOR = Quantity(
    "time of a processor", lambda setting: duration(setting, "processor"), seconds_text, _TIMES
)
TIMES = {"clock": TIME, "processor": PROCESSOR}
"""What ``cmbench plot costs --time`` takes: that of the clock is longer beside other work, and that of a
processor, of a whole cell, knows nothing of a GPU."""


def _memory(setting: Setting) -> float | None:
    """Return the most that a run took; None where that of one is not known, which is 0."""
    is_known = all(record["peak_memory_bytes"] for record in setting.finished)
    return largest(setting, "peak_memory_bytes") if is_known else None


MEMORY = Quantity(
    "memory at most",
    _memory,
    bytes_text,
    tuple(step * 10.0**power for power in range(6, 13) for step in (1, 3)),
)


def _dimension(setting: Setting) -> float | None:
    """Return the median over the finished records, the lower one of two; None where one lacks it."""
    sizes = [size for record in setting.finished if (size := record.get("dimension")) is not None]
    return median_low(sizes) if sizes and len(sizes) == len(setting.finished) else None


SIZE = Quantity(
    "size of the representation",
    _dimension,
    lambda size: f"{size:g}",
    tuple(2.0**power for power in range(17)),
    base=2.0,
)
_GAP = 0.06  # inches between the texts of ticks
_AXIS = 0.55  # inches that a panel is wider than its axis
_HEIGHT = 1.55  # inches of an axis
_LINE = 0.14  # inches of a line of a title


@dataclass(frozen=True)
class _Panel:
    """The settings of a panel, what is drawn of them, and the labels of those with a ring."""

    settings: Sequence[Setting]
    quantity: Quantity
    column: Column
    ringed: Collection[str]
    title: str = ""

    @cached_property
    def drawn(self) -> list[Setting]:
        """The settings whose records hold the quantity."""
        return [setting for setting in self.settings if self.quantity.read(setting) is not None]

    @property
    def missing(self) -> str:
        """What says which settings are not drawn."""
        unknown = [setting.label for setting in self.settings if self.quantity.read(setting) is None]
        where = f" on {self.title}" if self.title else ""
        return (
            f"Not drawn{where}, {self.quantity.label} not recorded: {', '.join(unknown)}." if unknown else ""
        )


def cost_figure(
    settings: Sequence[Setting],
    *,
    width: float = WIDTHS["column"],
    title: str = "",
    arrays: Arrays | None = None,
    time: Quantity = TIME,
) -> Figure:
    """Return a figure of MAP against time, and against memory.

    Points are means over runs, of memory the most; bars are the standard deviation of MAP over runs. Raises
    ``ReportError`` where nothing finished, or no record holds the time or the memory. Notes tell where times
    were measured on several processors, or with other numbers of threads, and which settings are not drawn
    for want of the number. With ``arrays``, the ``Store(folder).arrays`` of the records, a ring is
    around points that cannot be told apart from the best; see ``cmbench.report.significance.best_groups``.
    """
    finished = _finished(settings)
    standings = _standings(finished, [AVERAGE], arrays)
    ringed = marked_labels(finished, standings).get(AVERAGE.key, ())
    panels = [_Panel(finished, quantity, AVERAGE, ringed) for quantity in (time, MEMORY)]
    note = _note(panels, standings, unequal_times(finished))
    return _drawn(panels, width=width, title=title, note=note)


def costs_of_datasets(
    groups: Sequence[Group],
    *,
    width: float = WIDTHS["page"],
    arrays: Arrays | None = None,
    time: Quantity = TIME,
) -> Figure:
    """Return a figure of MAP against time with a panel for each dataset.

    Points, bars, rings and notes are those of ``cost_figure``. First tries on a part of the pairs are left
    out where there are two others. Raises ``ReportError`` where protocols differ, nothing finished on a
    dataset, or no record holds the time.
    """
    refuse_several_protocols(groups)
    shown = of_all_pairs(groups, lambda group: group)
    panels: list[_Panel] = []
    tested: dict[str, Standing] = {}
    for group in shown:
        refuse_nothing(group.finished, group.title)
        finished = _finished(settings_of(group.finished))
        standings = _standings(finished, [AVERAGE], arrays)
        ringed = marked_labels(finished, standings).get(AVERAGE.key, ())
        panels.append(_Panel(finished, time, AVERAGE, ringed, title_of(group)))
        tested.update((group.title, standing) for standing in standings.values())
    differing = unequal_times([each for panel in panels for each in panel.settings])
    note = _note(panels, tested, differing, limited_note(groups, shown))
    return _drawn(panels, width=width, title="", note=note)


def size_figure(
    settings: Sequence[Setting],
    *,
    width: float = WIDTHS["column"],
    title: str = "",
    arrays: Arrays | None = None,
) -> Figure:
    """Return a figure of MAP against the number of dimensions of the common space, in both directions.

    Points are at the median of runs, the lower one of two. Settings of one method that differ are joined by a
    line. Records of earlier versions do not hold the number; settings of these alone are named below, and
    ``ReportError`` is raised where there is nothing else. With ``arrays`` there are rings as in
    ``cost_figure``, in each panel those of its direction.
    """
    finished = _finished(settings)
    columns = BIMODAL.columns[:2]
    standings = _standings(finished, columns, arrays)
    ringed = marked_labels(finished, standings)
    panels = [_Panel(finished, SIZE, column, ringed.get(column.key, ())) for column in columns]
    note = _note(panels, standings)
    return _drawn(panels, width=width, title=title, note=note, joined=True)


def _finished(settings: Sequence[Setting]) -> list[Setting]:
    finished = [setting for setting in settings if setting.finished]
    refuse_nothing(finished)
    return finished


def _standings(
    settings: Sequence[Setting], columns: Sequence[Column], arrays: Arrays | None
) -> dict[str, Standing]:
    return {} if arrays is None else best_groups(settings, columns, arrays)


def _note(
    panels: Sequence[_Panel], standings: Mapping[str, Standing], before: str = "", after: str = ""
) -> str:
    """Return what stands below: what rings and bars are, which searches were shorter, and what is missing."""
    runs = [len(each.finished) for panel in panels for each in panel.drawn]
    shorter = {panel.title: fewer_trials_note(panel.drawn) for panel in panels}
    searches = [f"{title}: {note}" if title and note else note for title, note in shorter.items()]
    missing = dict.fromkeys(panel.missing for panel in panels)
    told = [before, marked_note("Ring", standings), spread_note("Bar", runs), *searches, *missing, after]
    return " ".join(filter(None, told))


def _drawn(panels: Sequence[_Panel], *, width: float, title: str, note: str, joined: bool = False) -> Figure:
    """Return the figure of these panels; ``joined`` draws the settings of a method as one line."""
    named = _method if joined else _label
    firsts: dict[str, Setting] = {}
    panels = _measured(panels)
    for panel in panels:
        for setting in panel.drawn:
            firsts.setdefault(named(setting), setting)
    found = dict(zip(firsts, looks(list(firsts.values())), strict=True))
    alike = len({panel.title for panel in panels}) == 1
    length = width / panels_beside(width, len(panels)) - _AXIS
    titles = [folded(panel.title, width=length, lines=3, points=POINTS) for panel in panels]
    height = _HEIGHT + max(map(len, titles)) * _LINE
    with mpl.rc_context(STYLE):
        drawing, axes = panelled(
            width, len(panels), list(found), title=title, note=note, share_y=alike, plot_height=height
        )
        for panel, drawn, lines in zip(panels, axes, titles, strict=True):
            for label, look in found.items():
                members = [each for each in panel.drawn if named(each) == label]
                _draw_points(drawn, members, panel.quantity, panel.column, look)
                best = [each for each in members if each.label in panel.ringed]
                _draw_rings(drawn, best, panel.quantity, panel.column)
            _draw_axes(drawn, panel.quantity, length)
            drawn.set_ylabel(f"MAP, {panel.column.alone}", fontsize=7)
            drawn.set_title("\n".join(lines), fontsize=POINTS)
        keys = [Line2D([], [], linestyle="none", **look.point()) for look in found.values()]
        add_legend(drawing, keys, list(found), title=title)
    return drawing


def _measured(panels: Sequence[_Panel]) -> list[_Panel]:
    """Return the panels that have something to show; ``ReportError``, which says what to do, without any."""
    measured = [panel for panel in panels if panel.drawn]
    if not measured:
        labels = dict.fromkeys(setting.label for panel in panels for setting in panel.settings)
        clock = "draw that of the clock (--time clock), or " if panels[0].quantity is PROCESSOR else ""
        raise ReportError(
            f"the records of {', '.join(labels)} do not hold the {panels[0].quantity.label}, since an "
            f"earlier cmbench made them; {clock}run the cells again with --force"
        )
    return measured


def _draw_points(
    panel: Axes, settings: Sequence[Setting], quantity: Quantity, column: Column, look: Look
) -> None:
    """Draw the settings of a method, those of more than one joined in the order of the quantity."""
    points = []
    for setting in settings:
        place, score = quantity.read(setting), setting.score(column.key)
        if place is not None and score is not None:
            points.append((place, score.mean, score.deviation or 0.0))
    if not points:
        return
    places, means, deviations = zip(*sorted(points), strict=True)
    style = {**look.point(), **look.line()} if len(points) > 1 else {**look.point(), "linestyle": "none"}
    errors = deviations if any(deviations) else None
    panel.errorbar(places, means, yerr=errors, ecolor="0.3", elinewidth=0.7, capsize=1.5, **style)


def _draw_rings(panel: Axes, settings: Sequence[Setting], quantity: Quantity, column: Column) -> None:
    for setting in settings:
        place, score = quantity.read(setting), setting.score(column.key)
        if place is not None and score is not None:
            panel.plot(place, score.mean, **RING)


def _draw_axes(panel: Axes, quantity: Quantity, length: float) -> None:
    panel.set_xscale("log", base=quantity.base)
    panel.margins(x=0.12)
    left, right = panel.get_xlim()
    if sum(left <= tick <= right for tick in quantity.ticks) < 2:  # all points are close to each other
        quantity = replace(quantity, ticks=tuple(LogLocator(quantity.base, "all").tick_values(left, right)))
        if sum(left <= tick <= right for tick in quantity.ticks) < 2:
            quantity = replace(quantity, ticks=tuple(MaxNLocator(4).tick_values(left, right)))
    shown = _apart(quantity, left, right, length)
    panel.set_xticks(shown, [quantity.written(tick) for tick in shown])
    panel.xaxis.set_minor_locator(NullLocator())
    panel.set_xlabel(quantity.label)
    panel.grid(color="0.9", linewidth=0.5)
    panel.set_axisbelow(True)


def _apart(quantity: Quantity, left: float, right: float, length: float) -> list[float]:
    """Return ticks of a logarithmic axis of so many inches whose texts do not touch.

    They are taken from one end on, that from which there are more, or as many that span more of the axis.
    """
    seen = [tick for tick in quantity.ticks if left <= tick <= right]
    places = {tick: log(tick / left) / log(right / left) * length for tick in seen}
    halves = {tick: inches(quantity.written(tick), POINTS) / 2 for tick in seen}

    def taken(ticks: Sequence[float]) -> list[float]:
        shown: list[float] = []
        for tick in ticks:
            gaps = (abs(places[tick] - places[each]) - halves[tick] - halves[each] for each in shown)
            if all(gap >= _GAP for gap in gaps):
                shown.append(tick)
        return sorted(shown)

    ends = [taken(seen), taken(seen[::-1])]
    return max(ends, key=lambda shown: (len(shown), shown[-1] / shown[0] if shown else 0.0))


def _label(setting: Setting) -> str:
    return setting.label


def _method(setting: Setting) -> str:
    return str(setting.method["paper_name"])
