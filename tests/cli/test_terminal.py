"""What reaches a terminal and the shell, whatever names, encodings and moments of Ctrl-C there are."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import cmbench
from cmbench.datasets.contract import Dataset
from cmbench.datasets.formats.numpy_files import save_npz
from cmbench.store import Store

ODD_NAME = "odd \x1b[2J\x07 → caf\udce9"
PLUGIN = """
import os
from cmbench.methods.contract import Method
os.chdir("/")

class Wanderer(Method):
    def fit(self, train, validation):
        print("fitted")
        return self
    def transform_images(self, images):
        return images[:, :2]
    def transform_texts(self, texts):
        return texts[:, :2]
"""


def cmbench_process(*arguments, cwd, **environment):
    command = [sys.executable, "-P", "-m", "cmbench", *map(str, arguments)]
    environment = {**os.environ, "NO_COLOR": "1", **environment}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, preexec_fn=heed_interrupts)


def heed_interrupts():
    """Undo what a shell does to background jobs, which ignore SIGINT and would hand that down."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="module")
def odd_store(toy, tmp_path_factory):
    """A store of one cell, whose dataset has escape characters and half a character in its name."""
    folder = tmp_path_factory.mktemp("odd")
    odd = Dataset(ODD_NAME, toy.train, toy.validation, toy.test, toy.class_names)
    cmbench.run(odd, ["cfa"], store=folder / "store", threads=1, memory="none")
    return folder / "store"


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8"])
@pytest.mark.parametrize("verb", [("table",), ("table", "--format", "csv"), ("show", "cfa")])
def test_any_name_is_printed_in_any_encoding(odd_store, tmp_path, verb, encoding):
    done = cmbench_process(*verb, "--store", odd_store, cwd=tmp_path, PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr.decode()
    text = done.stdout.decode(encoding)
    assert "CFA" in text
    assert not {"\x1b", "\x07"} & set(text)
    if verb[0] == "table":
        assert "caf\\udce9" in text
        assert r"odd \x1b" in text.replace("\\\\", "\\")


def test_any_name_is_written_to_a_file(odd_store, tmp_path):
    done = cmbench_process("table", "--store", odd_store, "--output", "table.md", cwd=tmp_path)
    assert done.returncode == 0, done.stderr.decode()
    assert "CFA" in (tmp_path / "table.md").read_text(encoding="utf-8")


def test_the_progress_of_a_run_holds_no_escape_characters(toy, tmp_path):
    path = tmp_path / "toy\x1b[31m.npz"
    save_npz(path, toy)
    command = ("run", "--dataset", path, "--methods", "cfa", "--store", "store", "--threads", "1")
    done = cmbench_process(*command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr.decode()
    assert b"\x1b" not in done.stdout + done.stderr


def test_a_plugin_that_changes_the_folder_moves_no_relative_path(toy, tmp_path):
    save_npz(tmp_path / "toy.npz", toy)
    (tmp_path / "wanderer.py").write_text(PLUGIN)
    command = ("run", "--plugin", "wanderer.py", "--dataset", "toy.npz", "--methods", "wanderer")
    done = cmbench_process(*command, "--store", "store", "--threads", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr.decode()
    (record,) = Store(tmp_path / "store").records()
    assert (tmp_path / "store" / record["log"]).read_text() == "fitted\n"


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file that nobody can read")
def test_a_plugin_that_cannot_be_read_is_named_and_the_others_run(tmp_path):
    done = cmbench_process("methods", "--plugin", "/proc/self/mem", cwd=tmp_path)
    assert b"Traceback" not in done.stderr
    assert b"/mem: " in done.stderr
    assert b"cannot be read" in done.stderr
    assert b"cmgans" in done.stdout


def test_an_interrupt_while_imports_go_on_gives_no_traceback(tmp_path):
    (tmp_path / "click.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    done = cmbench_process("--help", cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert done.returncode == -signal.SIGINT
    assert done.stderr == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_progress_that_cannot_be_written_does_not_end_a_run(toy, tmp_path):
    save_npz(tmp_path / "toy.npz", toy)
    command = [sys.executable, "-P", "-m", "cmbench", "run", "--dataset", str(tmp_path / "toy.npz")]
    command += ["--methods", "cca,cfa", "--store", str(tmp_path / "store"), "--threads", "1"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=full, encoding="utf-8")
    assert done.returncode == 0
    assert "CFA" in done.stdout


def test_a_reader_of_progress_that_goes_away_does_not_end_a_run(toy, tmp_path):
    save_npz(tmp_path / "toy.npz", toy)
    command = [sys.executable, "-P", "-m", "cmbench", "run", "--dataset", str(tmp_path / "toy.npz")]
    command += ["--methods", "cca,cfa", "--store", str(tmp_path / "store"), "--threads", "1"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert b"2 to run" in process.stderr.readline()
    process.stderr.close()
    assert b"CFA" in process.stdout.read()
    assert process.wait(60) == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_table_that_cannot_be_written_is_an_error_in_one_line(odd_store, tmp_path):
    command = [sys.executable, "-P", "-m", "cmbench", "table", "--store", str(odd_store)]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, encoding="utf-8")
    assert done.returncode == 1
    assert done.stderr == "cmbench: the output could not be written (No space left on device)\n"


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="no terminals to open")
def test_a_terminal_that_is_closed_does_not_end_a_run_that_ignores_hang_ups(toy, tmp_path):
    save_npz(tmp_path / "toy.npz", toy)
    ours, its = os.openpty()
    command = [sys.executable, "-P", "-m", "cmbench", "run", "--dataset", str(tmp_path / "toy.npz")]
    command += ["--methods", "cca,cfa", "--store", str(tmp_path / "store"), "--threads", "1"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=its,
        env={**os.environ, "TERM": "xterm"},
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )
    os.close(its)
    assert os.read(ours, 1)
    os.close(ours)
    assert b"CFA" in process.stdout.read()
    assert process.wait(60) == 0
