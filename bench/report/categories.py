"""MAP per category as grouped bars, image→text and text→image: Figure 6 of the CM-GANs paper."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, radians, sin
from textwrap import fill
from typing import Any
from unicodedata import east_asian_width

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from cmbench.errors import ReportError
from cmbench.report.figure import FONT_POINTS, STYLE
from cmbench.report.layout import BIMODAL
from cmbench.report.records import Group, Record, Setting, failures_text, only_group, select, settings

FILLS: tuple[tuple[str, str], ...] = (
    # Colours after Okabe & Ito. Plain fills differ in lightness by 15 or more (CIE L*).
    ("#0B3C6F", ""),
    ("#F0E442", ""),
    ("#D55E00", ""),
    # Hatches are black, so they go on light and middle colours.
    ("#A6DBF5", "//////"),
    ("#FFFFFF", "......"),
    ("#E69F00", ""),
    ("#009E73", "xxxxxx"),
    ("#EBC4DA", "------"),
    ("#000000", ""),
    ("#FFFFFF", "\\\\\\\\\\\\"),
    ("#EBC4DA", "......"),
    ("#F0E442", "xxxxxx"),
    ("#E69F00", "//////"),
    ("#A6DBF5", "xxxxxx"),
    ("#FFFFFF", "------"),
    ("#009E73", "......"),
)
"""Fill colour and hatch of each bar of a group, from the left."""
AVERAGE = "average"
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
_PLOT_HEIGHT = 1.35
_LINE = 0.2  # inches for a line of the legend or a title


def figure(records: Iterable[Record], *, methods: Sequence[str] | None = None) -> Figure:
    """Return a figure of MAP per category: a panel per task, a group of bars per category.

    A bar is a setting (a method with its parameters), averaged over its seeds, in the order of tables.
    The last group, ``average``, is the MAP over all queries, the number in the tables. Many categories wrap
    into several rows of panels. Cells that failed are named under the panels.

    Parameters
    ----------
    records : records of one dataset under one protocol
    methods : names or paper names of the methods to draw; all by default

    Raises
    ------
    ReportError
        No record, records that cannot be compared, an unknown method, nothing finished, or more
        settings than a reader can tell apart.
    """
    group = only_group(select(list(records), methods=methods or ()))
    all_settings = settings(group.records)
    bars = [setting for setting in all_settings if setting.finished]
    if not bars:
        raise ReportError(f"no cell of {group.title} finished, so there is nothing to draw")
    if len(bars) > len(FILLS):
        raise ReportError(
            f"{len(bars)} bars per category are too many to tell apart; name at most {len(FILLS)} methods"
        )
    with mpl.rc_context(STYLE):
        return _drawn(group, bars, [setting for setting in all_settings if setting.failed])


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


def geometry(bars: int, groups: Sequence[str], legend: Sequence[str]) -> Geometry:
    """Return the size of a figure with ``bars`` bars in each of these groups, and with this legend.

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


def _drawn(group: Group, bars: Sequence[Setting], failed: Sequence[Setting]) -> Figure:
    names = [*map(shortened, group.dataset["class_names"]), AVERAGE]
    legend = [setting.label for setting in bars]
    size = geometry(len(bars), names, legend)
    drawing = Figure(figsize=(size.width, size.height), layout="constrained")
    panels: list[Axes] = drawing.subplots(2 * size.rows, 1, sharey=True).tolist()
    heights = {task: [_heights(setting, task) for setting in bars] for task in _TASKS}
    for (task, heading), rows in zip(_TASKS.items(), (panels[: size.rows], panels[size.rows :]), strict=True):
        _draw_task(rows, heading, names, heights[task], size)
    panels[0].set_title(group.title, loc="right", color="0.35")
    panels[0].set_ylim(0, _top(heights))
    keys = [Patch(**_look(at)) for at in range(len(bars))]
    drawing.legend(keys, legend, loc="outside upper center", ncols=size.legend_columns, frameon=False)
    if failed:
        fates = "; ".join(f"{setting.label}, {failures_text(setting)}" for setting in failed)
        text = fill(f"Not drawn: {fates}", size.line_characters)
        drawing.supxlabel(text, fontsize=FONT_POINTS)
    return drawing


def _heights(setting: Setting, task: str) -> NDArray[np.float64]:
    """Return the MAP of each category and of all queries (c + 1,), NaN for a category without queries."""
    rows = [[*record["category_map"][task], record["map"][task]] for record in setting.finished]
    heights: NDArray[np.float64] = np.asarray(rows, dtype=np.float64).mean(axis=0)
    return heights


def _draw_task(
    panels: Sequence[Axes],
    heading: str,
    names: Sequence[str],
    heights: Sequence[NDArray[np.float64]],
    size: Geometry,
) -> None:
    for row, panel in enumerate(panels):
        part = slice(row * size.per_row, (row + 1) * size.per_row)
        panel.set_title(heading if row == 0 else f"{heading}, continued", loc="left")
        _draw_bars(panel, [height[part] for height in heights])
        _draw_axes(panel, names[part], size.per_row)


def _draw_bars(panel: Axes, heights: Sequence[NDArray[np.float64]]) -> None:
    width = GROUP_SHARE / len(heights)
    for at, height in enumerate(heights):
        centres = np.arange(len(height)) + (at - (len(heights) - 1) / 2) * width
        panel.bar(centres, height, width, zorder=2, **_look(at))


def _look(at: int) -> dict[str, Any]:
    """Return how the bar with this number in its group looks."""
    colour, hatch = FILLS[at]
    return {"facecolor": colour, "hatch": hatch, "edgecolor": "black", "linewidth": 0.3}


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


def _top(heights: Mapping[str, Sequence[NDArray[np.float64]]]) -> float:
    """Return the next tenth above the highest bar."""
    highest = max(float(np.nanmax(height)) for rows in heights.values() for height in rows)
    return max(0.1, ceil(highest * 10) / 10)
