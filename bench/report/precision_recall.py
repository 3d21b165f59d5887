"""Precision by recall, image→text and text→image, a curve for each method."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from cmbench.report.figure import STYLE, WIDTHS
from cmbench.report.kept import Kept, of_all
from cmbench.report.layout import BIMODAL
from cmbench.report.looks import looks, spread_note
from cmbench.report.panels import POINTS, add_legend, panelled
from cmbench.report.records import refuse_nothing
from cmbench.report.searches import fewer_trials_note
from cmbench.report.significance import Arrays, best_groups, marked_labels, marked_note

_TASKS = BIMODAL.columns[:2]


def figure(
    kept: Sequence[Kept],
    *,
    width: float = WIDTHS["column"],
    title: str = "",
    arrays: Arrays | None = None,
) -> Figure:
    """Return a figure with a panel for each direction and a curve for each setting.

    A curve has the mean precision in each hundredth of recall, averaged over queries and then over runs; a
    band around it is a standard deviation over runs to either side. The area under it is the MAP over
    full rankings. With ``arrays``, the ``Store(folder).arrays`` of the records, curves are thick whose MAP
    cannot be told apart from the best; see ``cmbench.report.significance.best_groups``.

    Raises
    ------
    ReportError
        Nothing finished, or a record that does not keep precision by recall.
    """
    refuse_nothing(kept)
    labels = [each.setting.label for each in kept]
    shown = [each.setting for each in kept]
    precisions = of_all(kept, lambda each: {task.key: precision(each, task.key) for task in _TASKS})
    standings = {} if arrays is None else best_groups(shown, _TASKS, arrays)
    thick = marked_labels(shown, standings)
    runs = [len(setting.finished) for setting in shown]
    told = [marked_note("Thick line", standings), spread_note("Band", runs), fewer_trials_note(shown)]
    note = " ".join(filter(None, told))
    with mpl.rc_context(STYLE):
        drawing, panels = panelled(width, len(_TASKS), labels, title=title, note=note)
        drawn = looks(shown)
        for panel, task in zip(panels, _TASKS, strict=True):
            for each, look, both in zip(kept, drawn, precisions, strict=True):
                curves = both[task.key]
                at = (np.arange(curves.shape[1]) + 0.5) / curves.shape[1]
                mean = curves.mean(axis=0)
                panel.plot(at, mean, **look.line(thick=each.setting.label in thick.get(task.key, ())))
                if len(curves) > 1:
                    spread = curves.std(axis=0, ddof=1)
                    panel.fill_between(
                        at, mean - spread, mean + spread, color=look.colour, alpha=0.15, linewidth=0
                    )
            panel.set_title(task.heading, fontsize=POINTS, loc="left")
            panel.set(xlim=(0, 1), ylim=(0, 1), xlabel="recall")
            panel.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
            panel.grid(color="0.9", linewidth=0.5)
        panels[0].set_ylabel("precision")
        add_legend(drawing, [Line2D([], [], **look.line()) for look in drawn], labels, title=title)
    return drawing


def precision(kept: Kept, task: str) -> NDArray[np.float64]:
    """Return precision by recall of every run (runs, 100)."""
    name = f"precision_by_recall_{task}"
    arrays = [
        kept.arrays(record, name, called="precision by recall")[name] for record in kept.setting.finished
    ]
    return np.stack(arrays).astype(np.float64)
