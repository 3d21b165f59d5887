"""Several runs on one store: none fits a cell of another's, and every table is right."""

import errno
import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest

import cmbench
from cmbench.agenda import planned
from cmbench.datasets.formats.numpy_files import save_npz
from cmbench.execution import claims as claims_module
from cmbench.execution.claims import claims_in
from cmbench.execution.ledger import Ledger
from cmbench.execution.progress import Progress
from cmbench.pruning import PruningRule
from cmbench.store import Store

PLUGIN = """
import os, time
from cmbench.methods.contract import Method

class {name}(Method):
    def __init__(self, size=2, random_state=0):
        self.size, self.random_state = size, random_state
    def fit(self, train, validation):
        print("fitted", os.getpid(), flush=True)
        time.sleep({seconds})
        return self
    def transform_images(self, images):
        return images[:, : self.size] + 0.01 * self.random_state
    def transform_texts(self, texts):
        return texts[:, : self.size]
"""
OTHER_PROCESS = """
import sys, time
from pathlib import Path
from cmbench.execution.claims import claims_in
with claims_in(Path(sys.argv[1])).on(sys.argv[2]) as ours:
    print(ours, flush=True)
    time.sleep(float(sys.argv[3]))
"""


def claimed_elsewhere(folder, key, seconds=60):
    """Start a process that claims a cell; return it and whether it got the claim."""
    command = [sys.executable, "-P", "-c", OTHER_PROCESS, str(folder), key, str(seconds)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    return process, process.stdout.readline().strip() == "True"


def test_a_claim_keeps_other_processes_off_this_cell_alone(tmp_path):
    with claims_in(tmp_path).on("00aa") as ours:
        assert ours
        for key, theirs in (("00aa", False), ("00ab", True)):
            process, got = claimed_elsewhere(tmp_path, key, 0)
            assert process.wait(30) == 0
            assert got == theirs


def test_a_claim_keeps_the_threads_of_one_process_apart(tmp_path):
    with claims_in(tmp_path).on("00aa"), claims_in(tmp_path).on("00aa") as again:
        assert not again
    with claims_in(tmp_path).on("00aa") as free:
        assert free


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
def test_a_claim_ends_with_its_process_however_it_ends(tmp_path, ending):
    process, got = claimed_elsewhere(tmp_path, "00aa")
    assert got
    with claims_in(tmp_path).on("00aa") as ours:
        assert not ours
    process.send_signal(ending)
    process.wait()
    with claims_in(tmp_path).on("00aa") as ours:
        assert ours


def test_a_claim_is_not_lost_when_the_file_is_asked_for_again(tmp_path):
    with claims_in(tmp_path).on("00aa"):
        with claims_in(tmp_path).on("00ab"):
            pass
        process, got = claimed_elsewhere(tmp_path, "00aa", 0)
        process.wait()
        assert not got


def test_a_drive_without_locks_grants_every_claim_and_warns_once(tmp_path, monkeypatch):
    def refused(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(claims_module.fcntl, "lockf", refused)
    claims = claims_in(tmp_path)
    with pytest.warns(UserWarning, match="has no locks"), claims.on("00aa") as ours:
        assert ours
    with claims.on("00ab") as ours:
        assert ours


def test_what_another_run_has_finished_is_run_again_where_it_is_not_what_was_asked_for(toy, tmp_path):
    def is_run(cell, **options):
        ledger = Ledger(Store(tmp_path), Progress(), {}, **options)
        with ledger.turn_of(cell) as is_wanted:
            return is_wanted

    (cell,) = planned(toy, ["cfa"], store=tmp_path).cells
    cmbench.run(toy, ["cfa"], store=tmp_path, threads=1)
    assert not is_run(cell)
    assert is_run(cell, twice=True)
    assert is_run(replace(cell, measures=("p@1",)))
    (record,) = Store(tmp_path).records()
    Store(tmp_path).put({**record, "status": "pruned"})
    assert is_run(cell)
    assert not is_run(replace(cell, rule=PruningRule()))


@pytest.fixture
def place(toy, tmp_path):
    """A folder with a dataset file and two plugins, a quick one and one of half a second."""
    save_npz(tmp_path / "toy.npz", toy)
    for name, seconds in (("Quick", 0), ("Slow", 0.5)):
        (tmp_path / f"{name.lower()}.py").write_text(PLUGIN.format(name=name, seconds=seconds))
    return tmp_path


def started(place, store, *, seeds, methods="slow,cfa", options=()):
    command = [sys.executable, "-P", "-m", "cmbench", "run", "--dataset", "toy.npz", "--methods", methods]
    for plugin in ("quick", "slow"):
        command += ["--plugin", f"{plugin}.py"]
    command += ["--seeds", seeds, "--store", store, "--threads", "1", "--memory", "none", *options]
    return subprocess.Popen(
        command, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    )


def fitted(place, store):
    """Return how often the cells of a store were fitted, from what their logs say."""
    logs = (place / store / "logs").rglob("slow-*.log")
    return [len(re.findall("^fitted", log.read_text(), re.MULTILINE)) for log in logs]


def test_two_runs_at_once_share_the_cells_and_print_the_same_table(place):
    runs = [started(place, "shared", seeds="0,1,2") for _ in range(2)]
    tables = [run.communicate(timeout=300)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    assert tables[0] == tables[1]
    assert "Seeds: 3 (mean" in tables[0]
    assert fitted(place, "shared") == [1, 1, 1]
    assert len(Store(place / "shared").records()) == 4


def test_a_run_takes_over_what_a_killed_one_had_claimed(place):
    killed = started(place, "store", seeds="0,1,2,3")
    while not list((place / "store" / "logs").rglob("slow-*.log")):
        time.sleep(0.02)
    waiting = started(place, "store", seeds="0,1,2,3")
    time.sleep(0.5)
    killed.kill()
    killed.communicate()
    table = waiting.communicate(timeout=300)[0]
    assert waiting.returncode == 0
    assert "Seeds: 4 (mean" in table


@pytest.mark.parametrize("force", [False, True])
def test_a_record_that_another_run_finished_meanwhile_is_not_computed_again(toy, place, monkeypatch, force):
    """The other run finishes all cells after this one has planned them."""
    from cmbench.execution import local, workplace

    options = {"store": place / "store", "threads": 1, "memory": "none"}
    if force:
        cmbench.run(toy, ["cfa"], **options)
    before = [path.read_text() for path in Store(place / "store").paths()]

    def run_after_another(executor, cells):
        other = threading.Thread(target=original, args=(executor, cells))
        other.start()
        other.join()
        monkeypatch.setattr(workplace, "run_child", None)  # would be called to compute one again
        original(executor, cells)

    original = local.LocalExecutor.run
    monkeypatch.setattr(local.LocalExecutor, "run", run_after_another)
    frame = cmbench.run(toy, ["cfa"], force=force, **options)
    assert list(frame["status"]) == ["ok"]
    assert [path.read_text() for path in Store(place / "store").paths()] != before


@pytest.mark.slow
def test_four_runs_at_once_fit_each_cell_once_and_print_right_tables_in_fourteen_rounds(place):
    alone = started(place, "alone", seeds="0,1,2,3,4", methods="quick,cca,cfa")
    right = alone.communicate(timeout=600)[0]
    assert "Seeds: 5 (mean" in right
    for number in range(14):
        store = f"round-{number}"
        runs = [started(place, store, seeds="0,1,2,3,4", methods="quick,cca,cfa") for _ in range(4)]
        said = [run.communicate(timeout=600) for run in runs]
        tables = [table for table, _ in said]
        assert [run.returncode for run in runs] == [0] * 4, (number, [errors for _, errors in said])
        assert tables == [right] * 4, number
        logs = list((place / store / "logs").rglob("quick-*.log"))
        assert len(logs) == 5
        assert all(len(re.findall("^fitted", log.read_text(), re.MULTILINE)) == 1 for log in logs), number
