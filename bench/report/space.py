"""The common space in two dimensions: test items, their categories by colour and modalities by shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from cmbench.errors import ReportError
from cmbench.report.figure import STYLE, WIDTHS
from cmbench.report.kept import Kept
from cmbench.report.lettering import shortened
from cmbench.report.panels import POINTS, add_legend, panelled
from cmbench.report.records import refuse_nothing

Projection: TypeAlias = Literal["pca", "tsne"]
Floats: TypeAlias = NDArray[np.float64]

COLOURS = (
    "#332288",
    "#88CCEE",
    "#117733",
    "#DDCC77",
    "#CC6677",
    "#AA4499",
    "#44AA99",
    "#882255",
    "#999933",
    "#000000",
)
"""Paul Tol's muted scheme, and black: as many as people tell apart, whatever their sight."""
OTHERS = "0.82"
SHAPES = {"image": "o", "text": "^"}
_LEAST_PERPLEXITY, _PERPLEXITY = 2.0, 30.0
_LABEL = 1.25  # inches of a category's name in the legend


@dataclass(frozen=True)
class Points:
    """Test items of a run: ``places`` (2 m, 2), images and then texts; ``labels`` (m,) or (m, c) of pairs."""

    label: str
    places: Floats
    labels: NDArray[np.int64]
    axes: tuple[str, str]


def points(kept: Kept, projection: Projection = "pca") -> Points:
    """Return the items of the first run of a setting in two dimensions.

    ``pca`` takes the first two principal axes of the representations at unit length. ``tsne`` embeds
    up to 50 of them by scikit-learn's t-SNE, which keeps neighbours together; its distances between groups
    mean nothing. Raises ``ReportError`` where the record does not keep the space.
    """
    record = kept.setting.finished[0]
    arrays = kept.arrays(record, "component_values", called="picture of the common space")
    values = arrays["component_values"].astype(np.float64)
    labels = np.asarray(arrays["labels"][arrays["component_rows"]], dtype=np.int64)
    if projection == "tsne":
        return Points(kept.setting.label, _embedded(values), labels, ("t-SNE", "t-SNE"))
    places = np.zeros((len(values), 2))
    places[:, : values.shape[1]] = values[:, :2]
    shares = [*arrays["component_share"][:2].tolist(), 0.0][:2]
    names = (f"axis 1 ({shares[0]:.0%} of variance)", f"axis 2 ({shares[1]:.0%})")
    return Points(kept.setting.label, places, labels, names)


def _embedded(values: Floats) -> Floats:
    from sklearn.manifold import TSNE  # takes a second to import, and only this needs it

    perplexity = min(_PERPLEXITY, max(_LEAST_PERPLEXITY, (len(values) - 1) / 3))
    embedding = TSNE(perplexity=perplexity, init="pca", random_state=0)
    with threadpool_limits(
        1
    ):  # its threads wait for each other by spinning, which on a busy machine is for ever
        return np.asarray(embedding.fit_transform(values), dtype=np.float64)


def figure(
    spaces: Sequence[Points],
    class_names: Sequence[str],
    *,
    coloured: Sequence[str] = (),
    width: float = WIDTHS["column"],
    title: str = "",
) -> Figure:
    """Return a figure with a panel for each method.

    Parameters
    ----------
    spaces : of test pairs of one dataset
    class_names : the categories, as labels count them
    coloured : names of the categories that have colours; by default the first ten. Others are grey, and a
        note says so. Of an item of several categories, the first that has a colour counts.
    width : inches
    """
    refuse_nothing(spaces)
    numbers = _numbers(class_names, coloured)
    names = [shortened(class_names[number], width=_LABEL, points=POINTS) for number in numbers]
    note = (
        ""
        if len(numbers) in (0, len(class_names))
        else f"Grey: the other {len(class_names) - len(numbers)} categories."
    )
    keys = [
        Line2D([], [], color="0.4", linestyle="none", markersize=3.5, marker=shape)
        for shape in SHAPES.values()
    ]
    keys += [
        Line2D([], [], color=colour, linestyle="none", marker="s", markersize=4)
        for colour in COLOURS[: len(names)]
    ]
    labels = [*SHAPES, *names]
    with mpl.rc_context(STYLE):
        side = _panel_height(width, len(spaces))
        drawing, panels = panelled(
            width, len(spaces), labels, plot_height=side, title=title, note=note, share_y=False
        )
        for panel, each in zip(panels, spaces, strict=True):
            _draw(panel, each, numbers)
        add_legend(drawing, keys, labels, title=title)
    return drawing


def _panel_height(width: float, count: int) -> float:
    beside = max(1, min(count, int(width / 1.55)))
    return min(3.0, width / beside - 0.35)


def _numbers(class_names: Sequence[str], coloured: Sequence[str]) -> list[int]:
    if not coloured:
        return list(range(min(len(class_names), len(COLOURS))))
    unknown = [name for name in coloured if name not in class_names]
    if unknown:
        raise ReportError(f"no category {unknown[0]!r}; the categories are {', '.join(class_names)}")
    if len(coloured) > len(COLOURS):
        raise ReportError(
            f"{len(coloured)} colours cannot be told apart; name at most {len(COLOURS)} categories"
        )
    return [list(class_names).index(name) for name in coloured]


def _draw(panel: Axes, space: Points, numbers: Sequence[int]) -> None:
    count = len(space.labels)
    belongs = [
        space.labels == number if space.labels.ndim == 1 else space.labels[:, number] > 0
        for number in numbers
    ]
    place = np.full(count, -1)
    for at, rows in reversed([*enumerate(belongs)]):
        place[rows] = at
    sides = {"image": space.places[:count], "text": space.places[count:]}
    size = 9.0 if count <= 150 else 4.0
    for at in (-1, *range(len(numbers))):
        look: dict[str, Any] = {
            "color": OTHERS if at < 0 else COLOURS[at],
            "linewidths": 0,
            "zorder": 1 + (at >= 0),
        }
        for modality, rows in sides.items():
            chosen = rows[place == at]
            if len(chosen):
                panel.scatter(chosen[:, 0], chosen[:, 1], s=size, marker=SHAPES[modality], alpha=0.8, **look)
    panel.set_xticks([])
    panel.set_yticks([])
    panel.set_aspect("equal", adjustable="datalim")
    panel.set_title(space.label, fontsize=POINTS, loc="left")
    panel.set_xlabel(space.axes[0])
    panel.set_ylabel(space.axes[1])
