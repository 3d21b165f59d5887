"""What a running cell tells: lines printed, and looks at validation."""

import json

import pytest

from cmbench.execution.following import Follower, Step


@pytest.fixture
def cell(tmp_path):
    """The follower of a cell, its log, and the file of its looks."""
    follower = Follower(tmp_path / "cell.log", tmp_path)
    follower.end()
    return follower, tmp_path / "cell.log", tmp_path / "looks.jsonl"


def test_lines_are_told_once_when_they_are_complete(cell):
    follower, log, _ = cell
    assert follower.step() is None
    log.write_text("one\n\ntwo\nthr")
    assert follower.step() == Step(("one", "two"))
    assert follower.step() is None
    log.write_text("one\n\ntwo\nthree\n 40%|##\r 80%|####\r100%|#####\n")
    assert follower.step().lines == ("three", " 40%|##", " 80%|####", "100%|#####")


def test_a_log_that_was_cut_or_has_grown_a_lot_is_followed_from_its_end(cell):
    follower, log, _ = cell
    log.write_text("x" * 60 + "\n" + "y\n" * 100_000)
    assert 30_000 < len(follower.step().lines) < 33_000
    log.write_text("anew\n")
    follower.step()
    log.write_text("anew\nagain\n")
    assert follower.step().lines == ("again",)


def test_the_latest_look_at_validation_is_told(cell):
    follower, _, looks = cell
    rows = [{"stage": "pairs", "epoch": 1.0 * epoch, "score": 0.1 * epoch, "epochs": 60} for epoch in (1, 2)]
    looks.write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"sta')
    step = follower.step()
    assert (step.stage, step.epoch, step.epochs, step.score) == ("pairs", 2.0, 60, 0.2)
    look = '{"stage": "pairs", "epoch": %s, "score": %s, "epochs": %s}\n'
    endless = [look % numbers for numbers in (("1e999", 1, 1), (1, "1e999", 1), (1, 1, "1e999"))]
    for text in ("nonsense\n", "[1]\n", '{"stage": "pairs"}\n', *endless):
        looks.write_text(text)
        assert follower.step() is None


def test_files_of_a_running_cell_are_looked_at_now_and_then_only(tmp_path):
    log, follower = tmp_path / "cell.log", Follower(tmp_path / "cell.log", tmp_path)
    log.write_text("one\n")
    assert follower.step() is None
