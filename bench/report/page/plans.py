"""Which figures a dataset has on the page, and what stands for them in words and as a command."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cmbench.errors import ReportError, StoreError
from cmbench.records import Record, split_of
from cmbench.report.layout import AVERAGE
from cmbench.report.looks import MOST_BARS
from cmbench.report.page.content import Board, Entry, Overall
from cmbench.report.page.illustrations import Plan
from cmbench.report.page.sources import Study
from cmbench.report.settings import Setting
from cmbench.report.significance import Arrays
from cmbench.store import Store

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_IN_ALL = 600
"""Of a task; more take seconds to draw, and several screens."""
WIDTH = 6.5  # inches
_LINES = "Thin lines are one standard deviation over seeds and splits to either side."
_BANDS = "Bands are one standard deviation over seeds and splits to either side."


def plans(board: Board, study: Study, arrays: Arrays) -> list[Plan]:
    """Return the figures of a board, none of them drawn; ``arrays`` are those of the study, read once."""
    return [
        _categories(board, study, arrays),
        _precision_recall(board, study, arrays),
        _validation(board, study, arrays),
        _costs(board, study, arrays),
    ]


def plot_command(
    figure: str, board: Board, study: Study, shown: Sequence[Setting], *, options: Sequence[str] = ()
) -> str:
    """Return the ``cmbench plot`` that draws these settings of a board, with more options of that figure."""
    group = board.group
    is_divided = any(map(split_of, group.records))  # each split has a fingerprint of its own
    dataset = group.dataset["name"] if is_divided else group.dataset["fingerprint"][:8]
    words = ["--dataset", dataset, "--protocol", group.protocol["name"]]
    if study.choice.methods or len(shown) < len(board.contenders):
        words += ["--methods", ",".join(dict.fromkeys(each.method["name"] for each in shown))]
    return shlex.join(["cmbench", "plot", figure, *words, *options, *_place(study, group.records)])


def _place(study: Study, records: Sequence[Record]) -> list[str]:
    """Return the options by which a figure finds all records of a study."""
    store = study.store_of(records)
    versions = ["--all-versions"] if study.choice.all_versions else []
    return versions if store is None else [*versions, "--store", store]


def rank_plan(overall: Overall, study: Study) -> Plan:
    """Return the diagram of average ranks over datasets."""

    def draw() -> Figure:
        from cmbench.report.rank_figure import figure, ranked

        return figure(ranked([board.group for board in overall.boards]), width=WIDTH)

    group = overall.boards[0].group
    choice = replace(study.choice, protocol=group.protocol["name"], all_versions=False)
    command = ["cmbench", "plot", "ranks", *choice.options, *_place(study, group.records)]
    words = "Methods along average ranks by bi-modal average MAP, with bars over what cannot be told apart."
    return Plan("Average ranks", words, shlex.join(command), draw)


def _categories(board: Board, study: Study, arrays: Arrays) -> Plan:
    """Return MAP per category as bars: Figure 6 of the paper, if there are at most ``MOST_IN_ALL`` of them.

    Of more methods than can be told apart by their bars the best are drawn, by the bi-modal average.
    """
    shown = sorted(board.contenders, key=_lowest_first)[-MOST_BARS:]
    shown = [entry for entry in board.contenders if entry in shown]
    command = plot_command("categories", board, study, [entry.setting for entry in shown])

    def draw() -> Figure:
        from cmbench.report.categories import figure

        categories = len(board.group.dataset["class_names"])
        if len(shown) * categories > MOST_IN_ALL:
            raise ReportError(
                f"{len(shown)} methods on {categories} categories are too many bars to read here; the tables "
                f"below hold the numbers, and '{command}' draws them"
            )
        return figure([record for entry in shown for record in entry.setting.records], arrays=arrays)

    best = f", the best {len(shown)} of {len(board.contenders)}" if len(shown) < len(board.contenders) else ""
    words = (
        f"Bars of the MAP of each category for {_labels(shown)}; the tables below hold the numbers. {_LINES}"
    )
    return Plan(f"MAP per category{best}", words, command, draw)


def _lowest_first(entry: Entry) -> float:
    score = entry.setting.score(AVERAGE.key)
    return score.mean if score else -1.0


def _precision_recall(board: Board, study: Study, arrays: Arrays) -> Plan:
    def draw() -> Figure:
        from cmbench.report.kept import Kept
        from cmbench.report.precision_recall import figure

        kept = [
            Kept(_ReadStore(study.folder_of(entry.setting.records[0]), arrays), entry.setting)
            for entry in board.contenders
        ]
        return figure(kept, width=WIDTH, arrays=arrays)

    words = f"Curves of precision by recall in both directions for {_labels(board.contenders)}. {_BANDS}"
    command = plot_command("precision-recall", board, study, _settings(board))
    return Plan("Precision by recall", words, command, draw)


def _validation(board: Board, study: Study, arrays: Arrays) -> Plan:
    def draw() -> Figure:
        from cmbench.report.page.validation import figure

        curves = [(entry.setting, _curves(entry.setting.finished, arrays)) for entry in board.contenders]
        return figure([each for each in curves if each[1]], width=WIDTH)

    words = "MAP on validation pairs over the course of training, a line for each run of a deep method."
    deep = next((entry.setting for entry in board.contenders if entry.family == "deep"), None)
    if deep is None:
        return Plan("Training", words, "", draw)
    store = study.store_of(deep.records)
    keys = [*(record["key"] for record in deep.finished), *([] if store is None else ["--store", store])]
    command = shlex.join(["cmbench", "plot", "training", *keys])
    return Plan("Training", words, command, draw, part=f"all curves of {deep.label} alone")


def _curves(records: Sequence[Record], arrays: Arrays) -> list[NDArray[np.float64]]:
    """Return for each run with a curve its share of training and MAP on validation (2, points)."""
    found = []
    for record in records:
        try:
            held = arrays(record)
        except StoreError:
            continue  # nothing is stored beside it
        values = held.get("curve_validation_map")
        if values is not None and np.isfinite(values).any():
            steps = held.get("curve_iteration", np.arange(1.0, len(values) + 1))
            measured = np.isfinite(values)
            found.append(np.stack([steps[measured] / steps[-1], values[measured]]))
    return found


def _costs(board: Board, study: Study, arrays: Arrays) -> Plan:
    def draw() -> Figure:
        from cmbench.report.costs import cost_figure

        return cost_figure(_settings(board), width=WIDTH, arrays=arrays)

    shown = _labels(board.contenders)
    words = f"MAP against time of training and against memory for {shown}; see the table. {_LINES}"
    return Plan("MAP against costs", words, plot_command("costs", board, study, _settings(board)), draw)


class _ReadStore(Store):
    """A store whose arrays were read before."""

    def __init__(self, folder: Path, read: Arrays) -> None:
        super().__init__(folder)
        self._read = read

    def arrays(self, record: Record) -> dict[str, NDArray[Any]]:
        held: Mapping[str, NDArray[Any]] = self._read(record)
        return dict(held)


def _labels(entries: Sequence[Entry]) -> str:
    return ", ".join(entry.label for entry in entries)


def _settings(board: Board) -> list[Setting]:
    return [entry.setting for entry in board.contenders]
