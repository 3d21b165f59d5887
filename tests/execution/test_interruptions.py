"""Runs that are interrupted or killed: no process stays behind, and nothing finished is lost."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

import cmbench
from cmbench.datasets.formats.numpy_files import save_npz
from cmbench.store import Store

PLUGINS = Path(__file__).parents[1] / "plugins"
HOSTILE, FORKING = str(PLUGINS / "hostile.py"), str(PLUGINS / "forking.py")


@pytest.fixture
def toy_file(toy, tmp_path):
    path = tmp_path / "toy.npz"
    save_npz(path, toy)
    return path


def test_an_interrupt_ends_the_children_and_keeps_what_is_finished(toy_file, tmp_path):
    process, store = started_run(toy_file, tmp_path, "cfa,hangs")
    wait_for(lambda: len(store.paths()) == 1 and child_of(process) is not None)
    child = child_of(process)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert not psutil.pid_exists(child)
    assert [record["method"]["name"] for record in store.records()] == ["cfa"]
    assert "the same command goes on from there" in process.stderr.read().decode()
    assert not list((store.folder / ".work").glob("run-*"))


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_hang_up_ends_a_run_as_an_interrupt_does(toy_file, tmp_path, number):
    process, store = started_run(toy_file, tmp_path, "forking", FORKING)
    wait_for(lambda: len(processes_of(store)) >= 4)
    process.send_signal(number)
    assert process.wait(60) == 130
    assert processes_of(store) == []
    assert not list((store.folder / ".work").glob("run-*"))


def test_a_run_that_is_told_to_ignore_hang_ups_goes_on(toy_file, tmp_path):
    process, _ = started_run(toy_file, tmp_path, "cfa", ignored=signal.SIGHUP)
    wait_for(lambda: child_of(process) is not None)
    process.send_signal(signal.SIGHUP)
    assert process.wait(60) == 0


@pytest.mark.slow
def test_fifty_kills_of_a_run_leave_no_process_behind(toy_file, tmp_path):
    random = np.random.default_rng()
    for kill in range(50):
        process, store = started_run(toy_file, tmp_path, "forking", FORKING)
        if kill % 5:  # at any moment of a start, and else when everything is up
            time.sleep(random.uniform(0.5, 6.0))
        else:
            wait_for(lambda store=store: len(processes_of(store)) >= 5, seconds=60)
        process.kill()
        process.wait()
        wait_for(lambda store=store: not processes_of(store), seconds=5)


def test_what_a_killed_run_left_is_removed_though_nothing_is_to_be_run(toy, tmp_path):
    cmbench.run(toy, ["cfa"], store=tmp_path, threads=1)
    abandoned = tmp_path / ".work" / "run-abandoned"
    abandoned.mkdir()
    cmbench.run(toy, ["cfa"], store=tmp_path, threads=1)
    assert not abandoned.exists()


KILLED_WHILE_WRITING = """
import os, sys
from pathlib import Path
from cmbench.disk import replacing

Path.replace = lambda *_: os._exit(9)  # at the last moment, as a SIGKILL might
with replacing(Path(sys.argv[1])) as record, replacing(Path(sys.argv[2])) as arrays:
    record.write_text("{")
    arrays.write_text("PK")
"""


def test_what_a_killed_run_had_begun_to_write_is_removed_unless_it_may_still_be_written(toy, tmp_path):
    cmbench.run(toy, ["cca"], store=tmp_path, threads=1)
    (record,) = Store(tmp_path).paths()
    places = [str(record), str(record.with_suffix(".01234567.npz"))]
    there = set(tmp_path.rglob("*"))
    done = subprocess.run([sys.executable, "-P", "-c", KILLED_WHILE_WRITING, *places])
    begun = set(record.parent.iterdir()) - there
    assert (done.returncode, len(begun)) == (9, 2)
    cmbench.run(toy, ["cca"], store=tmp_path, threads=1)
    assert begun < set(record.parent.iterdir())
    for path in begun:
        os.utime(path, (time.time() - 3700,) * 2)
    cmbench.run(toy, ["cca"], store=tmp_path, threads=1)
    assert set(tmp_path.rglob("*")) == there


def test_a_killed_run_takes_its_children_along_and_the_next_clears_up(toy, toy_file, tmp_path):
    process, store = started_run(toy_file, tmp_path, "hangs")
    wait_for(
        lambda: child_of(process) is not None and list((store.folder / ".work").glob("run-*/*/job.json"))
    )
    time.sleep(0.5)
    child = child_of(process)
    process.kill()
    process.wait()
    wait_for(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE)
    assert list((store.folder / ".work").glob("run-*"))
    cmbench.run(toy, ["cfa"], store=store.folder, threads=1, memory="none")
    assert not list((store.folder / ".work").glob("run-*"))


@pytest.mark.slow
def test_a_run_killed_ten_times_ends_as_an_undisturbed_one(toy_file, tmp_path):
    from cmbench.report.table import render

    random = np.random.default_rng()
    for _ in range(10):
        process, store = started_run(toy_file, tmp_path / "killed", "cca,cfa,kcca")
        time.sleep(random.uniform(0.3, 4.0))
        process.kill()
        process.wait()
    finish, store = started_run(toy_file, tmp_path / "killed", "cca,cfa,kcca")
    assert finish.wait(120) == 0
    other, undisturbed = started_run(toy_file, tmp_path / "calm", "cca,cfa,kcca")
    assert other.wait(120) == 0
    assert render(store.records()) == render(undisturbed.records())


def started_run(dataset, folder, methods, plugin=HOSTILE, ignored=None):
    store = Store(folder / "results")
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-P", "-m", "cmbench", "run", "--dataset", str(dataset), "--methods", methods]
    command += ["--store", str(store.folder), "--plugin", plugin, "--threads", "1", "--memory", "none"]
    environment = {**os.environ, "NO_COLOR": "1"}
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment,
        preexec_fn=lambda: heed_signals(ignored),
    )
    return process, store


def heed_signals(ignored):
    """Undo what a shell does to background jobs, which ignore SIGINT and would hand that down."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN if number == ignored else signal.SIG_DFL)


def processes_of(store):
    """Return the processes that a cell of the store has started, by the path in their command lines."""
    work = str(store.folder / ".work")
    named = psutil.process_iter(["pid", "cmdline"])
    return [each.pid for each in named if any(work in word for word in each.info["cmdline"] or ())]


def child_of(process):
    found = [
        child
        for child in psutil.Process(process.pid).children()
        if "cmbench.execution.keeper" in child.cmdline()
    ]
    return found[0].pid if found else None


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        threading.Event().wait(0.05)
