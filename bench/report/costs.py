"""MAP against what it costs: time of training, memory, and the size of the representation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import log
from statistics import median_low

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from cmbench.errors import ReportError
from cmbench.report.facts import duration, largest
from cmbench.report.figure import STYLE, WIDTHS
from cmbench.report.layout import AVERAGE, BIMODAL, Column
from cmbench.report.lettering import inches
from cmbench.report.looks import RING, Look, looks, spread_note
from cmbench.report.panels import POINTS, add_legend, panelled
from cmbench.report.records import refuse_nothing
from cmbench.report.searches import fewer_trials_note
from cmbench.report.settings import Setting
from cmbench.report.significance import Arrays, best_groups, marked_labels, marked_note


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
TIME = Quantity(
    "time of training",
    lambda setting: duration(setting, "fit"),
    seconds_text,
    (0.001, 0.01, 0.1, 1.0, 10.0, _MINUTE, 10 * _MINUTE, _HOUR, 10 * _HOUR, 100 * _HOUR),
)


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


def cost_figure(
    settings: Sequence[Setting],
    *,
    width: float = WIDTHS["column"],
    title: str = "",
    arrays: Arrays | None = None,
) -> Figure:
    """Return a figure of MAP against the time of training, and against memory.

    Points are means over runs, of memory the most; bars are the standard deviation of MAP over runs. Raises
    ``ReportError`` where nothing finished. A note tells where times were measured on several processors, or
    with other numbers of threads. With ``arrays``, the ``Store(folder).arrays`` of the records, a ring is
    around points that cannot be told apart from the best; see ``cmbench.report.significance.best_groups``.
    """
    finished = _finished(settings)
    standings = {} if arrays is None else best_groups(finished, [AVERAGE], arrays)
    told = [
        _differing_machines(finished),
        marked_note("Ring", standings),
        spread_note("Bar", map(_runs, finished)),
        fewer_trials_note(finished),
    ]
    pairs = [(TIME, AVERAGE), (MEMORY, AVERAGE)]
    note = " ".join(filter(None, told))
    ringed = marked_labels(finished, standings)
    return _drawn(finished, pairs, width=width, title=title, note=note, ringed=ringed)


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
    known = [setting for setting in finished if SIZE.read(setting) is not None]
    unknown = [setting.label for setting in finished if setting not in known]
    if not known:
        raise ReportError(
            f"the records of {', '.join(unknown)} do not hold the size of representations, since an earlier "
            "cmbench made them; run the cells again with --force"
        )
    columns = BIMODAL.columns[:2]
    standings = {} if arrays is None else best_groups(finished, columns, arrays)
    missing = f"Not drawn, size not recorded: {', '.join(unknown)}" if unknown else ""
    told = [
        marked_note("Ring", standings),
        spread_note("Bar", map(_runs, known)),
        fewer_trials_note(known),
        missing,
    ]
    note = " ".join(filter(None, told))
    pairs = [(SIZE, column) for column in columns]
    ringed = marked_labels(finished, standings)
    return _drawn(known, pairs, width=width, title=title, note=note, joined=True, ringed=ringed)


def _runs(setting: Setting) -> int:
    return len(setting.finished)


def _finished(settings: Sequence[Setting]) -> list[Setting]:
    finished = [setting for setting in settings if setting.finished]
    refuse_nothing(finished)
    return finished


def _drawn(
    settings: Sequence[Setting],
    pairs: Sequence[tuple[Quantity, Column]],
    *,
    width: float,
    title: str,
    note: str,
    ringed: Mapping[str, Sequence[str]],
    joined: bool = False,
) -> Figure:
    found = (
        _looks_of_methods(settings) if joined else dict(zip(_labels(settings), looks(settings), strict=True))
    )
    with mpl.rc_context(STYLE):
        drawing, panels = panelled(width, len(pairs), list(found), title=title, note=note)
        for panel, (quantity, column) in zip(panels, pairs, strict=True):
            for label, look in found.items():
                members = [each for each in settings if (_method(each) if joined else each.label) == label]
                _draw_points(panel, members, quantity, column, look)
                best = [each for each in members if each.label in ringed.get(column.key, ())]
                _draw_rings(panel, best, quantity, column)
            _draw_axes(panel, quantity, width / len(pairs) - _AXIS)
            panel.set_ylabel(f"MAP, {column.alone}" if column != AVERAGE else "MAP", fontsize=7)
        keys = [Line2D([], [], linestyle="none", **look.point()) for look in found.values()]
        add_legend(drawing, keys, list(found), title=title)
    return drawing


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


def _labels(settings: Sequence[Setting]) -> list[str]:
    return [setting.label for setting in settings]


def _method(setting: Setting) -> str:
    return str(setting.method["paper_name"])


def _looks_of_methods(settings: Sequence[Setting]) -> dict[str, Look]:
    firsts = {_method(setting): setting for setting in reversed(settings)}
    ordered = [firsts[name] for name in dict.fromkeys(map(_method, settings))]
    return dict(zip(map(_method, ordered), looks(ordered), strict=True))


def _differing_machines(settings: Sequence[Setting]) -> str:
    records = [record for setting in settings for record in setting.finished]
    known = (record["provenance"].get("processor") for record in records)
    machines = {processor for processor in known if processor}  # one that is not known may be any of these
    threads = sorted({record["threads"] for record in records})
    preloaded = {str(record["provenance"].get("preloaded")) for record in records}
    told = [f"on {len(machines)} kinds of processors"] if len(machines) > 1 else []
    told += [f"with {' or '.join(map(str, threads))} threads"] if len(threads) > 1 else []
    told += ["with different libraries loaded first (LD_PRELOAD)"] if len(preloaded) > 1 else []
    return f"Times are of runs {' and '.join(told)}." if told else ""
