"""MAP per category as grouped bars, image→text and text→image: Figure 6 of the CM-GANs paper."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, radians, sin
from textwrap import fill
from unicodedata import east_asian_width

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from cmbench.errors import ReportError
from cmbench.records import Record
from cmbench.report.category_dots import Bars, fitting
from cmbench.report.figure import FONT_POINTS, STYLE, WIDTHS, title_of
from cmbench.report.layout import BIMODAL
from cmbench.report.looks import MOST_BARS, looks, spread_note
from cmbench.report.records import Group, only_group, refuse_nothing, select
from cmbench.report.searches import fewer_trials_note
from cmbench.report.settings import Setting, failures_text, settings
from cmbench.report.significance import Arrays, Standing, best_groups, marked_labels, marked_note

AVERAGE = "average"
MARK = "▼"
"""Over average bars that cannot be told apart from the best."""
LABEL_ANGLE = 45
LONGEST_LABEL = 24  # characters; longer names are cut, so that they leave room for the bars
GROUP_SHARE = 0.8
"""The part of a group's width its bars take; the rest is the gap to the next group."""
_TASKS = {column.key: column.heading for column in BIMODAL.columns[:2]}
_CHARACTER = 0.6 * FONT_POINTS / 72  # inches, a generous mean for DejaVu Sans
_BAR = 0.036  # inches, the narrowest bar
_LABEL_STEP = 0.21  # inches between labels at 45 degrees that do not touch at 8 points
_MARGIN = 0.8  # inches for the axis with its label
_WIDEST, _NARROWEST = 12.0, 6.5
_MANY = 5  # bars of a category, of which nobody reads more than two rows
_PLOT_HEIGHT = 1.35
_MARK_POINTS = 3.2  # no wider than the narrowest bar
_LINE = 0.2  # inches for a line of the legend or a title


def figure(
    records: Iterable[Record],
    *,
    methods: Sequence[str] | None = None,
    width: float | None = None,
    arrays: Arrays | None = None,
) -> Figure:
    """Return a figure of MAP per category: a panel per task, a group of bars per category.

    A bar is a setting (a method with its parameters), averaged over its seeds, in the order of tables; a line
    on it is the standard deviation over seeds, to either side. The last group, ``average``, is the MAP over
    all queries, the number in the tables. Many categories wrap into several rows of panels. Cells that failed
    are named under the panels.

    In a ``width`` that is given, categories that would wrap have a row each instead, with a point for each
    setting; so they have on a page where none is given and five bars or more of each category would wrap
    into more than two rows. Where a page is not high enough for so many rows, there is a curve for each
    setting of the MAPs of its categories, and the easiest and the hardest are named.

    Parameters
    ----------
    records : records of one dataset under one protocol
    methods : names or paper names of the methods to draw; all by default
    width : inches; by default what the bars need, up to 12, or a page
    arrays : ``Store(folder).arrays`` of the store the records are from. With it, averages that cannot be told
        apart from the best have a mark, or a ring, or a thick curve; see
        ``cmbench.report.significance.best_groups``

    Raises
    ------
    ReportError
        No record, records that cannot be compared, an unknown method, nothing finished, or more
        settings than a reader can tell apart.
    """
    group = only_group(select(list(records), methods=methods or ()))
    all_settings = settings(group.records)
    bars = [setting for setting in all_settings if setting.finished]
    refuse_nothing(bars, group.title)
    if len(bars) > MOST_BARS:
        raise ReportError(
            f"{len(bars)} bars per category are too many to tell apart; name at most {MOST_BARS} methods"
        )
    note = _note(all_settings)
    drawn = _bars(group, bars, _standings(bars, arrays))
    if width is None and len(bars) >= _MANY and geometry(len(bars), drawn.names, drawn.labels).rows > 2:
        width = WIDTHS["page"]
    if width is not None and geometry(len(bars), drawn.names, drawn.labels, width=width).rows > 1:
        return fitting(drawn, _TASKS, width=width, title=title_of(group), note=note)
    with mpl.rc_context(STYLE):
        return _drawn(group, drawn, note, width)


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
        """How many characters fit on a line across the figure, whatever they are."""
        return int(self.width / _CHARACTER)


def geometry(
    bars: int, groups: Sequence[str], legend: Sequence[str], *, width: float | None = None
) -> Geometry:
    """Return the size of a figure with ``bars`` bars in each of these groups, and with this legend.

    A figure grows to 12 inches in width first, unless it has a ``width``; then its panels wrap into rows of
    equal length.

    >>> geometry(3, ["art", "biology"], ["CCA", "JRL", "CCL"]).rows
    1
    """
    step = max(_LABEL_STEP, bars * _BAR / GROUP_SHARE)
    rows = ceil(len(groups) * step / ((width or _WIDEST) - _MARGIN))
    per_row = ceil(len(groups) / rows)
    width = width or max(_NARROWEST, per_row * step + _MARGIN)
    legend_lines = _legend_lines(legend, width)
    columns = ceil(len(legend) / legend_lines)
    labels = max(map(text_width, groups)) * _CHARACTER * sin(radians(LABEL_ANGLE)) + 0.1
    height = 2 * rows * (_PLOT_HEIGHT + labels) + 2 * _LINE + (legend_lines + 1) * _LINE
    return Geometry(width, height, rows, per_row, columns)


def text_width(text: str) -> int:
    """Return how many Latin characters are as wide as the text; a Chinese one counts twice.

    >>> text_width("art"), text_width("\u52a8\u7269")
    (3, 4)
    """
    return sum(2 if east_asian_width(character) in "FW" else 1 for character in text)


def shortened(name: str) -> str:
    """Return a category's name, cut to ``LONGEST_LABEL`` characters.

    >>> shortened("Foundation and Primer, Kajal and Eyeliner")
    'Foundation and Primer, …'
    """
    return name if len(name) <= LONGEST_LABEL else name[: LONGEST_LABEL - 1] + "…"


def _legend_lines(legend: Sequence[str], width: float) -> int:
    """Return the lines of a legend whose columns are as wide as its longest entry, with its colour key."""
    entry = max(map(text_width, legend)) * _CHARACTER + 0.6
    return ceil(len(legend) / max(1, int(width / entry)))


def _bars(group: Group, settings: Sequence[Setting], tested: Mapping[str, Standing]) -> Bars:
    names = [*map(shortened, group.dataset["class_names"]), AVERAGE]
    values = {task: [_values(setting, task) for setting in settings] for task in _TASKS}
    means = {task: [rows.mean(axis=0) for rows in of_task] for task, of_task in values.items()}
    deviations = {task: [_deviation(rows) for rows in of_task] for task, of_task in values.items()}
    return Bars(
        names=tuple(names),
        labels=tuple(setting.label for setting in settings),
        looks=tuple(looks(settings)),
        means=means,
        deviations=deviations,
        top=_top(
            mean + np.nan_to_num(deviation)
            for task in _TASKS
            for mean, deviation in zip(means[task], deviations[task], strict=True)
        ),
        best=marked_labels(settings, tested),
        tested=tested,
        runs=tuple(len(setting.finished) for setting in settings),
    )


def _standings(settings: Sequence[Setting], arrays: Arrays | None) -> dict[str, Standing]:
    return {} if arrays is None else best_groups(settings, BIMODAL.columns[:2], arrays)


def _values(setting: Setting, task: str) -> NDArray[np.float64]:
    """Return the MAP of each category and of all queries (runs, c + 1), NaN for one without queries."""
    rows = [[*record["category_map"][task], record["map"][task]] for record in setting.finished]
    return np.asarray(rows, dtype=np.float64)


def _deviation(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sample standard deviation over runs, NaN where there is one run alone."""
    alone = np.full(rows.shape[1], np.nan)
    return np.asarray(rows.std(axis=0, ddof=1)) if len(rows) > 1 else alone


def _note(settings: Sequence[Setting]) -> str:
    """Return what is not drawn, and which of what is drawn had fewer trials than others."""
    failed = [setting for setting in settings if setting.unfinished]
    fates = "; ".join(f"{setting.label}, {failures_text(setting)}" for setting in failed)
    fewer = fewer_trials_note([setting for setting in settings if setting.finished])
    return "\n".join(filter(None, [fewer, f"Not drawn: {fates}" if fates else ""]))


def _drawn(group: Group, bars: Bars, note: str, width: float | None) -> Figure:
    size = geometry(len(bars.labels), bars.names, bars.labels, width=width)
    drawing = Figure(figsize=(size.width, size.height), layout="constrained")
    panels: list[Axes] = drawing.subplots(2 * size.rows, 1, sharey=True).tolist()
    for (task, heading), rows in zip(_TASKS.items(), (panels[: size.rows], panels[size.rows :]), strict=True):
        _draw_task(rows, heading, bars, task, size)
        _draw_marks(rows[-1], bars, task)
    panels[0].set_ylim(0, bars.top)
    keys = [Patch(**look.bar()) for look in bars.looks]
    legend = drawing.legend(
        keys, bars.labels, loc="outside upper center", ncols=size.legend_columns, frameon=False
    )
    legend.set_title(title_of(group))
    legend.get_title().set(size=FONT_POINTS, color="0.35")
    note = "\n".join(filter(None, [marked_note(MARK, bars.tested), spread_note("Line", bars.runs), note]))
    if note:
        note = "\n".join(fill(line, size.line_characters) for line in note.splitlines())
        drawing.supxlabel(note, fontsize=FONT_POINTS)
    return drawing


def _draw_task(panels: Sequence[Axes], heading: str, bars: Bars, task: str, size: Geometry) -> None:
    for row, panel in enumerate(panels):
        part = slice(row * size.per_row, (row + 1) * size.per_row)
        panel.set_title(heading if row == 0 else f"{heading}, continued", loc="left")
        _draw_bars(panel, bars, task, part)
        _draw_axes(panel, bars.names[part], size.per_row)


def _draw_bars(panel: Axes, bars: Bars, task: str, part: slice) -> None:
    width = GROUP_SHARE / len(bars.labels)
    rows = zip(bars.means[task], bars.deviations[task], bars.looks, strict=True)
    for at, (mean, deviation, look) in enumerate(rows):
        height, spread = mean[part], deviation[part]
        centres = np.arange(len(height)) + (at - (len(bars.labels) - 1) / 2) * width
        panel.bar(centres, height, width, zorder=2, **look.bar())
        if not np.isnan(spread).all():
            for colour, thickness in (("white", 1.5), ("black", 0.6)):  # seen on dark fills too
                panel.vlines(centres, height - spread, height + spread, color=colour, lw=thickness, zorder=3)


def _draw_marks(panel: Axes, bars: Bars, task: str) -> None:
    """Draw a mark over the averages, the last group of bars, of the settings that are best."""
    count, group = len(bars.labels), len(panel.get_xticks()) - 1
    for at, (mean, deviation) in enumerate(zip(bars.means[task], bars.deviations[task], strict=True)):
        if bars.labels[at] in bars.best.get(task, ()):
            place = group + (at - (count - 1) / 2) * GROUP_SHARE / count
            panel.annotate(
                MARK,
                (place, float(mean[-1] + np.nan_to_num(deviation[-1]))),
                xytext=(0, 1),
                textcoords="offset points",
                ha="center",
                va="bottom",
                fontsize=_MARK_POINTS,
                annotation_clip=False,
            )


def _draw_axes(panel: Axes, names: Sequence[str], per_row: int) -> None:
    panel.set_xlim(-0.6, per_row - 0.4)
    panel.set_xticks(range(len(names)), names, rotation=LABEL_ANGLE, ha="right", rotation_mode="anchor")
    panel.tick_params(axis="x", length=2, pad=2)
    panel.set_ylabel("MAP")
    panel.grid(axis="y", color="0.85", linewidth=0.5, zorder=0)
    panel.spines[["top", "right"]].set_visible(False)
    if names[-1] == AVERAGE:
        panel.get_xticklabels()[-1].set_fontweight("bold")
        panel.axvline(len(names) - 1.5, color="0.5", linewidth=0.6, linestyle="--")


def _top(heights: Iterable[NDArray[np.float64]]) -> float:
    """Return the next tenth above the highest bar and the line on it, at most 1."""
    highest = max(float(np.nanmax(height)) for height in heights)
    return min(1.0, max(0.1, ceil(highest * 10) / 10))
