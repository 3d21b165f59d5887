"""``cmbench run --debug`` as somebody at a terminal uses it, and what it refuses."""

import os
import select
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner

from cmbench.cli.main import cli
from cmbench.datasets.formats.numpy_files import save_npz

PLUGIN = """
from cmbench.methods import Method


class Faulty(Method):
    def fit(self, train, validation):
        answer = 40
        breakpoint()
        self.answer_ = answer
        return self

    def transform_images(self, images):
        wrong = images[:, 0] / self.answer_
        return wrong @ images[:3]

    def transform_texts(self, texts):
        return texts
"""
SECONDS = 120


class Terminal:
    """A program at a terminal of its own: what it writes, and what is typed."""

    def __init__(self, command, folder):
        self._ours, theirs = os.openpty()
        self.process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder)
        os.close(theirs)
        self._text, self._seen = "", 0

    def wait_for(self, text):
        """Read until the program has written ``text`` since what was waited for last; return what is new."""
        end, start = time.monotonic() + SECONDS, self._seen
        while text not in self._text[start:]:
            assert time.monotonic() < end, self._text
            if select.select([self._ours], [], [], 1)[0]:
                try:
                    self._text += os.read(self._ours, 4096).decode()
                except OSError:  # it has ended
                    break
        assert text in self._text[start:], self._text
        self._seen = self._text.index(text, start) + len(text)
        return self._text[start : self._seen]

    def type(self, line):
        os.write(self._ours, line.encode() + b"\n")


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="Windows has no pseudo-terminals")
def test_a_breakpoint_and_an_error_are_debugged_at_a_terminal(toy, tmp_path):
    save_npz(tmp_path / "toy.npz", toy)
    (tmp_path / "faulty.py").write_text(PLUGIN)
    options = "--plugin faulty.py --methods faulty --dataset toy.npz --store s"
    command = [sys.executable, "-P", "-m", "cmbench", "run", "--debug", *options.split()]
    program = Terminal(command, tmp_path)
    assert "without the fence around test labels" in " ".join(program.wait_for("(Pdb)").split())
    program.type("p answer + 2")
    program.wait_for("42")
    program.type("answer = 10")
    program.type("c")
    program.wait_for("pdb at ValueError")
    program.wait_for("(Pdb)")
    program.type("p wrong.shape, self.answer_")
    program.wait_for("((48,), 10)")
    program.type("q")
    program.wait_for("1 of 1 cells failed; nothing is stored")
    assert program.process.wait(SECONDS) == 1
    assert not (tmp_path / "s").exists()


def test_a_cell_without_faults_runs_to_its_table_and_is_not_stored(toy, tmp_path):
    save_npz(tmp_path / "toy.npz", toy)
    arguments = ["run", "--debug", "--methods", "cfa", "--dataset", str(tmp_path / "toy.npz")]
    result = CliRunner().invoke(cli, [*arguments, "--store", str(tmp_path / "store")])
    assert result.exit_code == 0, result.output
    assert "| CFA" in result.output
    assert not (tmp_path / "store").exists()


def test_several_cells_are_refused_by_name(toy, tmp_path):
    save_npz(tmp_path / "toy.npz", toy)
    arguments = ["run", "--debug", "--methods", "cca,cfa", "--dataset", str(tmp_path / "toy.npz")]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 1
    assert "debugging runs one cell, and 2 are chosen: toy cca, toy cfa" in str(result.exception)


def test_a_limited_run_is_a_dataset_of_its_own_and_shows_what_methods_print(toy, tmp_path):
    save_npz(tmp_path / "toy.npz", toy)
    (tmp_path / "loud.py").write_text(
        PLUGIN.replace("breakpoint()", "print('learning from', len(train), 'pairs')").replace(
            "wrong @ images[:3]", "images"
        )
    )
    arguments = ["run", "--limit", "8", "--verbose", "--plugin", str(tmp_path / "loud.py")]
    arguments += ["--methods", "faulty", "--dataset", str(tmp_path / "toy.npz")]
    result = CliRunner().invoke(cli, [*arguments, "--store", str(tmp_path / "store")])
    assert "toy-limit-8 faulty | learning from 8 pairs" in result.output
    assert "### toy-limit-8 (" in result.output
