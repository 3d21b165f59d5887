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

HOSTILE = str(Path(__file__).parents[1] / "plugins" / "hostile.py")


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
    assert process.wait(20) == 130
    assert not psutil.pid_exists(child)
    assert [record["method"]["name"] for record in store.records()] == ["cfa"]
    assert "the same command goes on from there" in process.stderr.read().decode()
    assert not list((store.folder / ".work").glob("run-*"))


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


def started_run(dataset, folder, methods):
    store = Store(folder / "results")
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-P", "-m", "cmbench", "run", "--dataset", str(dataset), "--methods", methods]
    command += ["--store", str(store.folder), "--plugin", HOSTILE, "--threads", "1", "--memory", "none"]
    environment = {**os.environ, "NO_COLOR": "1"}
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment,
        preexec_fn=heed_interrupts,
    )
    return process, store


def heed_interrupts():
    """Undo what a shell does to background jobs, which ignore SIGINT and would hand that down."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def child_of(process):
    found = [
        child
        for child in psutil.Process(process.pid).children()
        if "cmbench.execution.child" in child.cmdline()
    ]
    return found[0].pid if found else None


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        threading.Event().wait(0.05)
