"""What a run tells: plain lines where nobody watches, a live display on a terminal."""

import re
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

import pytest
from made_records import failed_record, made_error, made_record
from rich.console import Console

from cmbench.execution import progress as progress_module
from cmbench.execution.following import Step
from cmbench.execution.progress import (
    Clock,
    LiveDisplay,
    PlainLines,
    Progress,
    planned_text,
    progress_for,
    result_text,
)
from cmbench.limits import Limits

LIMITS = Limits(60.0, None, 2)
LOG = Path("results/logs/toy/cca-00aa.log")
CONTROL = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


@dataclass(frozen=True)
class FakeCell:
    label: str = "toy cca"
    key: str = field(default="00aa")


def good(seconds=2.0, bimodal=0.4321):
    return made_record(value=bimodal, durations={"total": seconds})


def bad(message="NaN in row 3", status="failed"):
    error = made_error("EvaluationError", message=message)
    return failed_record(status=status, error=error, durations={"total": 75.0})


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test sets."""

    class Time:
        now = 1000.0

    monkeypatch.setattr(progress_module.time, "monotonic", lambda: Time.now)
    return Time


def plain():
    return Console(file=StringIO(), width=40, _environ={})


def terminal():
    return Console(
        file=StringIO(),
        force_terminal=True,
        width=100,
        legacy_windows=False,
        _environ={"TERM": "xterm-256color"},
    )


def written(console):
    return CONTROL.sub("", console.file.getvalue())


def test_where_nobody_watches_there_are_plain_lines_and_on_a_terminal_a_display():
    assert isinstance(progress_for(plain()), PlainLines)
    assert isinstance(progress_for(terminal()), LiveDisplay)
    dumb = Console(file=StringIO(), force_terminal=True, _environ={"TERM": "dumb"})
    assert isinstance(progress_for(dumb), PlainLines)


def test_every_cell_has_a_line_when_it_starts_and_one_when_it_ends(clock):
    console = plain()
    told = PlainLines(console)
    one, two = FakeCell("toy cca"), FakeCell("toy kcca seed 1", "11bb")
    told.planned([one, two], 3, LIMITS)
    told.started(one)
    clock.now += 30
    told.finished(one, good(), LOG)
    told.started(two)
    clock.now += 60
    told.finished(two, bad(), LOG)
    told.closed()
    assert written(console).splitlines() == [
        "5 cells: 3 in the store, 2 to run; each with deadline 1 min, no memory limit, 2 thread(s)",
        "started  toy cca",
        "finished toy cca: MAP 0.432 in 2.0 s   [1 of 2, 30 s gone, about 30 s left]",
        "started  toy kcca seed 1",
        "finished toy kcca seed 1: FAILED after 1 min 15 s: EvaluationError: NaN in row 3 "
        f"(log: {LOG})   [2 of 2, 1 min 30 s gone]",
    ]


def test_plain_lines_hold_no_control_characters():
    console = plain()
    told = PlainLines(console)
    told.planned([FakeCell()], 0, LIMITS)
    told.finished(FakeCell(), good(), LOG)
    assert "\x1b" not in console.file.getvalue()
    assert "\r" not in console.file.getvalue()


MARKED_UP = ["[bold]not bold[/bold]", "[/] stray", ":bug: :x:", "shape (3, 4) [1:2]", "C:\\new", "😀 図"]


@pytest.mark.parametrize("message", MARKED_UP)
@pytest.mark.parametrize(("display", "console"), [(PlainLines, plain), (LiveDisplay, terminal)])
def test_messages_are_told_as_they_are_and_never_taken_for_markup(display, console, message):
    console = console()
    told, cell = display(console), FakeCell("toy [red]cca[/red] :bug:")
    told.planned([cell], 0, LIMITS)
    told.started(cell)
    told.finished(cell, bad(message), LOG)
    told.closed()
    assert message in written(console)
    assert "toy [red]cca[/red] :bug:" in written(console)


def test_a_running_cell_is_shown_as_it_is_called():
    console = terminal()
    told, cell = LiveDisplay(console), FakeCell("toy [red]cca[/red]")
    told.planned([cell], 0, LIMITS)
    told.started(cell)
    told._display.refresh()
    assert "toy [red]cca[/red]" in written(console)
    told.closed()


def test_a_live_display_shows_cells_through_a_whole_run(clock):
    console = terminal()
    told = LiveDisplay(console)
    cells = [FakeCell(f"toy method{i}", f"key{i}") for i in range(3)]
    told.planned(cells, 1, LIMITS)
    told.started(cells[0])
    told.started(cells[1])
    clock.now += 10
    told._display.refresh()
    assert "method0" in written(console)
    assert "method1" in written(console)
    told.finished(cells[1], good(bimodal=0.111), LOG)
    told.finished(cells[0], bad(status="timeout"), LOG)
    told._display.refresh()
    assert "2/3" in written(console)
    assert "2 of 3, 10 s gone, about 5.0 s left" in written(console)
    told.started(cells[2])
    told.finished(cells[2], good(), LOG)
    told.closed()
    text = written(console)
    assert "4 cells: 1 in the store, 3 to run" in text
    assert "toy method1: MAP 0.111" in text
    assert "toy method0: TIMEOUT after 1 min 15 s" in text
    assert not told._display.live.is_started


STEP = Step(("loss 0.7", "loss [red]0.5"), "pairs", 12.0, 60, 0.4321)


def test_the_bar_of_a_cell_shows_its_epochs_and_the_last_line_it_printed():
    console = terminal()
    told, cell = LiveDisplay(console), FakeCell()
    told.planned([cell], 0, LIMITS)
    told.started(cell)
    told.advanced(cell, STEP)
    told._display.refresh()
    assert "12/60" in written(console)
    assert "loss [red]0.5" in written(console)
    assert "loss 0.7" not in written(console)
    told.advanced(cell, Step((), "pairs", 13.0, 60, 0.5))
    told._display.refresh()
    assert "pairs, validation 0.500" in written(console)
    told.closed()


@pytest.mark.parametrize(("display", "console"), [(PlainLines, plain), (LiveDisplay, terminal)])
@pytest.mark.parametrize("verbose", [True, False])
def test_all_lines_are_shown_on_request(display, console, verbose):
    console = console()
    told, cell = display(console, verbose=verbose), FakeCell()
    told.planned([cell], 0, LIMITS)
    told.started(cell)
    told.advanced(cell, STEP)
    told.closed()
    assert ("toy cca | loss 0.7" in written(console)) is verbose


def test_a_display_can_be_closed_in_the_middle_and_twice():
    told = LiveDisplay(terminal())
    told.planned([FakeCell()], 0, LIMITS)
    told.started(FakeCell())
    told.closed()
    told.closed()
    assert not told._display.live.is_started


@pytest.mark.parametrize(("display", "console"), [(PlainLines, plain), (LiveDisplay, terminal)])
def test_with_nothing_to_run_there_is_one_line_and_no_display(display, console):
    console = console()
    told = display(console)
    told.planned([], 7, LIMITS)
    told.closed()
    assert written(console).splitlines() == ["7 cells: all are in the store, 0 to run"]


def test_a_failure_names_its_log_and_a_success_its_map():
    assert result_text(bad(), LOG) == (f"FAILED after 1 min 15 s: EvaluationError: NaN in row 3 (log: {LOG})")
    assert result_text(bad(status="out-of-memory"), LOG).startswith("OUT-OF-MEMORY after")
    assert result_text(good(), LOG) == "MAP 0.432 in 2.0 s"


FOUR = [FakeCell(key=str(number)) for number in range(4)]


def test_the_time_left_follows_from_the_cells_done(clock):
    told = Clock()
    told.start(FOUR)
    assert told.text() == "0 of 4, 0.0 s gone"
    told.begin(FOUR[0])
    clock.now += 20
    told.count(FOUR[0])
    assert told.text() == "1 of 4, 20 s gone, about 1 min left"
    told.start(FOUR[:2])
    assert told.text().startswith("0 of 2, 0.0 s gone")


def test_the_time_left_follows_from_earlier_records_and_how_far_off_they_were(clock):
    told = Clock()
    told.expect({"0": 100.0, "1": 10.0, "2": 10.0}, 2)  # nothing is known of the fourth: the mean, 40
    told.start(FOUR)
    assert told.left() == 160 / 2
    told.begin(FOUR[1])
    told.begin(FOUR[0])
    clock.now += 20
    assert told.left() == 80  # the longest; together they are 130, two at a time
    told.count(FOUR[1])  # it took twice as long as expected
    assert told.left() == 2 * 100 - 20
    told.begin(FOUR[2])
    told.begin(FOUR[3])
    told.count(FOUR[2])
    told.count(FOUR[3])
    clock.now += 80
    told.count(FOUR[0])
    assert told.left() == 0


def test_the_longest_cell_that_runs_is_the_least_time_left():
    told = Clock()
    told.expect({"0": 1000.0, "1": 1.0}, 8)
    told.start(FOUR[:2])
    told.begin(FOUR[0])
    assert told.left() == pytest.approx(1000, rel=0.01)


def test_silence_is_silent(capsys):
    told = Progress()
    told.planned([FakeCell()], 0, LIMITS)
    told.started(FakeCell())
    told.advanced(FakeCell(), STEP)
    told.finished(FakeCell(), good(), LOG)
    told.closed()
    assert capsys.readouterr() == ("", "")


def test_what_is_planned_is_counted():
    assert planned_text(2, 3, LIMITS).startswith("5 cells: 3 in the store, 2 to run")
    assert planned_text(1, 0, LIMITS).startswith("1 cell: 0 in the store")
    assert planned_text(0, 3, LIMITS) == "3 cells: all are in the store, 0 to run"
    assert planned_text(0, 0, LIMITS) == "0 cells to run"


def test_cells_that_are_left_out_are_not_told_as_stored():
    assert planned_text(3, 0, LIMITS, 1).startswith("4 cells: 0 in the store, 3 to run, 1 left out; each")
    assert planned_text(0, 3, LIMITS, 1) == "4 cells: 3 in the store, 0 to run, 1 left out"
