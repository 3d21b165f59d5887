"""MAP on validation over the course of training, all methods in one figure."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from cmbench.errors import ReportError
from cmbench.report.figure import STYLE
from cmbench.report.looks import looks
from cmbench.report.panels import add_legend, panelled
from cmbench.report.settings import Setting

_THIN = 0.7  # points, where the runs of several seeds lie over each other


def figure(curves: Sequence[tuple[Setting, Sequence[NDArray[np.float64]]]], *, width: float) -> Figure:
    """Return a figure with a line for each run; the methods differ in length, so it is shares of training.

    Parameters
    ----------
    curves : each setting with those of its runs, real (2, points): share of training and MAP
    width : inches

    Raises
    ------
    ReportError
        No curve at all.
    """
    if not curves:
        raise ReportError(
            "No training curves with MAP on validation are stored; deep methods keep them when they are run"
        )
    labels = [setting.label for setting, _ in curves]
    drawn = looks([setting for setting, _ in curves])
    with mpl.rc_context(STYLE):
        drawing, (panel,) = panelled(width, 1, labels, plot_height=2.2)
        for (_, runs), look in zip(curves, drawn, strict=True):
            for share, values in runs:
                panel.plot(share, values, **{**look.line(), "linewidth": _THIN if len(runs) > 1 else 1.1})
        panel.set(xlim=(0, 1), xlabel="share of training", ylabel="MAP on validation")
        panel.xaxis.set_major_formatter(PercentFormatter(1))
        panel.grid(color="0.9", linewidth=0.5)
        add_legend(drawing, [Line2D([], [], **look.line()) for look in drawn], labels)
    return drawing
