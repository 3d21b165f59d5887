"""What methods retrieve for single queries: as lists, and with pictures where these are at hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cmbench.errors import ReportError, StoreError
from cmbench.records import split_of
from cmbench.report.examples import Example, Ranked, examples
from cmbench.report.kept import settings_on_one_split
from cmbench.report.layout import BIMODAL
from cmbench.report.page.content import Board, Entry
from cmbench.report.page.illustrations import Illustration, Plan
from cmbench.report.page.plans import plot_command
from cmbench.report.page.sources import Study
from cmbench.report.page.troubles import storing_commands
from cmbench.report.settings import Setting
from cmbench.report.significance import Arrays

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TASKS = tuple(column.key for column in BIMODAL.columns[:2])
METHODS, QUERIES, ITEMS = 3, 2, 5


@dataclass(frozen=True, eq=False)
class Retrieved:
    """Examples of a board, or why there are none; ``picture`` has them with their pictures and texts.

    ``sentence`` says which queries they are of; ``commands`` store what is missing for examples.
    """

    examples: tuple[Example, ...] = ()
    absent: str = ""
    picture: Illustration | None = None
    sentence: str = ""
    commands: tuple[str, ...] = ()


def retrieved(board: Board, study: Study, *, folders: Mapping[str, Path], figures: bool) -> Retrieved:
    """Return the queries at which the best method is most ahead of the worst that keeps rankings.

    Shown are the first runs of the two best methods and the worst on a split that all three have finished.
    ``folders`` are those of raw pairs, by the names of datasets; what comes with cmbench needs none.
    """
    keeping = [entry.setting for entry in _ranked(board) if _run(entry.setting, study.arrays)]
    shown = keeping if len(keeping) <= METHODS else [*keeping[: METHODS - 1], keeping[-1]]
    try:
        runs = [run for each in settings_on_one_split(shown) if (run := _run(each, study.arrays))]
        if not runs or len(runs) < len(shown):
            absent = "No rankings are stored beside these records."
            return Retrieved(absent=absent, commands=storing_commands(board.contenders, study))
        contrast = runs[0].label, runs[-1].label
        found = examples(runs, TASKS, contrast=contrast, number=QUERIES, top=ITEMS)
    except ReportError as error:
        return Retrieved(absent=str(error))
    folder = folders.get(board.group.dataset["name"])
    plan = _plan(board, found, folder, _command(board, study, shown, folder))
    sentence = _sentence(found, split_of(runs[0].record))
    return Retrieved(tuple(found), "", plan.illustration(figures=figures), sentence)


def _sentence(found: Sequence[Example], split: int) -> str:
    """Return by what the queries were chosen, the best method against the worst, and what is shown."""
    best, worst = found[0].answers[0], found[0].answers[-1]
    which, whose = f"{best.label} has its lowest AP", "it finds"
    if best is not worst:
        behind = any(example.answers[0].ap <= example.answers[-1].ap for example in found)
        which = f"{best.label} is most ahead of {worst.label}{', or least behind it' if behind else ''}"
        whose = "each method finds"
    categories = ", each of another category as long as there are any" if found[0].query.category else ""
    where = f" on split {split}" if split else ""
    return (
        f"The queries of each direction at which {which}{categories}, and the {len(best.items)} items that "
        f"{whose} most similar, in its first finished run{where}."
    )


def _ranked(board: Board) -> list[Entry]:
    """Return the entries with results of both directions, the best first."""
    means = {
        entry: [score.mean for task in TASKS if (score := entry.setting.score(task)) is not None]
        for entry in board.contenders
    }
    whole = [entry for entry in means if len(means[entry]) == len(TASKS)]
    return sorted(whole, key=lambda entry: -sum(means[entry]))


def _run(setting: Setting, arrays: Arrays) -> Ranked | None:
    """Return the first run of a setting, or None where its rankings are not stored."""
    record = setting.finished[0]
    try:
        held = arrays(record)
    except StoreError:
        return None
    needed = (f"{kind}_{task}" for kind in ("ap", "first", "query_rows") for task in TASKS)
    return Ranked(setting.label, record, held) if all(name in held for name in needed) else None


def _command(board: Board, study: Study, shown: Sequence[Setting], folder: Path | None) -> str:
    """Return the command that draws these settings, the first against the last."""
    names = [each.method["name"] for each in shown]
    ends = [name if names.count(name) == 1 else each.label for name, each in zip(names, shown, strict=True)]
    contrast = f"{ends[0]},{ends[-1]}"
    options = ["--contrast", contrast] if len(shown) > 1 and contrast.count(",") == 1 else []
    options += [] if folder is None else ["--pairs", str(folder)]
    return plot_command("examples", board, study, shown, options=options)


def _plan(board: Board, found: Sequence[Example], folder: Path | None, command: str) -> Plan:
    name = board.group.dataset["name"]

    def draw() -> Figure:
        from cmbench.report.example_figure import figure, shown_ids
        from cmbench.report.raw_pairs import raw_pairs

        try:
            pairs = raw_pairs(board.group.dataset, shown_ids(found), folder)
        except ReportError:
            if folder is not None:
                raise
            raise ReportError(
                f"Not all the pictures and texts of {name} are built in; "
                f"the option --pairs {name}=FOLDER of 'cmbench report' draws the examples with them."
            ) from None
        return figure(found, pairs)

    words = "The queries listed below with their pictures and texts, and what each method retrieved."
    return Plan("With pictures and texts", words, command, draw)
