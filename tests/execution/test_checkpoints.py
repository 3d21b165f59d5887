"""Whose the checkpoints of a cell are: those of one run, until it has ended."""

import errno
import os
import subprocess
import sys
import time

import filelock
import pytest

import cmbench
from cmbench import ownership
from cmbench.datasets.formats.numpy_files import save_npz
from cmbench.execution.checkpoints import own_checkpoints, remove_checkpoints
from cmbench.ownership import has_ended, owned_folder, workspace
from cmbench.store import Store

KEY = "0123456789abcdef"
OTHER_PROCESS = """
import sys, time
from pathlib import Path
from cmbench.execution.checkpoints import own_checkpoints
with own_checkpoints(Path(sys.argv[1]), sys.argv[2]) as folder:
    (folder / "state.pt").write_text("theirs")
    print(folder, flush=True)
    time.sleep(60)
"""
KEEPING = """
import os, time
from pathlib import Path
from cmbench.methods.contract import Method

class Keeping(Method):
    practical = ("checkpoint",)
    def __init__(self, checkpoint=None):
        self.checkpoint = checkpoint
    def fit(self, train, validation):
        state = Path(self.checkpoint) / "state.pt"
        print("at", self.checkpoint, state.exists(), flush=True)
        for _ in range(20):
            state.write_text(str(os.getpid()))
            time.sleep(0.1)
            assert state.read_text() == str(os.getpid())
        return self
    def transform_images(self, images):
        return images[:, :2]
    def transform_texts(self, texts):
        return texts[:, :2]
"""
WITHOUT_LOCKS = """
import errno, fcntl

def refused(*_):
    raise OSError(errno.ENOLCK, "No locks available")

fcntl.flock = fcntl.lockf = refused
"""


@pytest.fixture
def other(tmp_path):
    """Return the process of another run, and the folder in which it has a checkpoint."""
    command = [sys.executable, "-P", "-c", OTHER_PROCESS, str(tmp_path), KEY]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        yield process, tmp_path / process.stdout.readline().strip().rpartition(os.sep)[2]
        process.kill()


@pytest.fixture
def elsewhere(monkeypatch):
    """Return what lets this process appear as one of another machine from then on."""
    return lambda: monkeypatch.setattr(ownership, "_this_machine", lambda: "0ff1ce")


def left_by(place, text):
    with own_checkpoints(place, KEY) as folder:
        (folder / "state.pt").write_text(text)
    return folder


def test_a_run_leaves_alone_what_another_one_that_goes_on_has(tmp_path, other):
    _, theirs = other
    with own_checkpoints(tmp_path, KEY) as folder:
        assert list(folder.iterdir()) == []
        remove_checkpoints(tmp_path, {KEY})
        assert (theirs / "state.pt").read_text() == "theirs"


def test_a_run_takes_over_what_a_killed_one_had(tmp_path, other):
    process, theirs = other
    process.kill()
    process.wait()
    with own_checkpoints(tmp_path, KEY) as folder:
        assert (folder / "state.pt").read_text() == "theirs"
        assert not theirs.exists()


def test_a_run_takes_over_the_latest_of_what_is_left_in_its_own_process_too(tmp_path):
    first = left_by(tmp_path, "first")
    with own_checkpoints(tmp_path, KEY):
        (tmp_path / KEY).mkdir()  # as in earlier versions
        (tmp_path / KEY / "state.pt").write_text("second")
    assert not first.exists()
    with own_checkpoints(tmp_path, KEY) as folder:
        assert (folder / "state.pt").read_text() == "second"
    assert list(tmp_path.iterdir()) == [folder]


def test_checkpoints_of_another_machine_are_copied_until_they_have_been_quiet_for_a_week(tmp_path, elsewhere):
    theirs = left_by(tmp_path, "theirs")
    elsewhere()
    with own_checkpoints(tmp_path, KEY) as folder:
        assert (folder / "state.pt").read_text() == "theirs"
        (folder / "state.pt").write_text("mine")
        assert (theirs / "state.pt").read_text() == "theirs"
        remove_checkpoints(tmp_path, {KEY})
        assert theirs.exists()
        for path in (theirs / "state.pt", theirs):
            os.utime(path, (time.time() - 8 * 86_400,) * 2)
        remove_checkpoints(tmp_path, {"another", KEY})
        assert not theirs.exists()
        assert folder.exists()


def test_a_link_in_the_place_of_checkpoints_is_not_taken_for_them(tmp_path):
    """A method may have left it in a place of its own, to have the run move what it may not read."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "labels.npy").touch()
    (tmp_path / "place").mkdir()
    (tmp_path / "place" / KEY).symlink_to(tmp_path / "data")
    with own_checkpoints(tmp_path / "place", KEY) as folder:
        assert list(folder.iterdir()) == []
    assert (tmp_path / "data" / "labels.npy").exists()


def test_a_folder_that_holds_nothing_in_the_end_is_removed(tmp_path):
    with own_checkpoints(tmp_path, KEY):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_got_the_number_of_an_ended_one_owns_nothing(tmp_path):
    with owned_folder(tmp_path, "run-") as folder:
        pass
    named = folder.rename(tmp_path / folder.name.replace(f"-{os.getpid()}-", f"-{os.getppid()}-"))
    assert not has_ended(named)
    os.utime(named, (time.time() - 400 * 86_400,) * 2)  # long before this machine's processes
    assert has_ended(named)


def test_a_workspace_of_another_machine_stays_until_it_is_unlocked_and_quiet(tmp_path, elsewhere):
    with workspace(tmp_path) as theirs:
        elsewhere()
        with workspace(tmp_path):
            assert theirs.exists()
        for path in (*theirs.iterdir(), theirs):
            os.utime(path, (time.time() - 8 * 86_400,) * 2)
        with workspace(tmp_path):
            assert theirs.exists()  # because of its lock
        theirs = theirs.rename(tmp_path / f"{theirs.name[:-6]}ffffff")
    for path in (*theirs.iterdir(), theirs):
        os.utime(path, (time.time() - 8 * 86_400,) * 2)
    with workspace(tmp_path):
        assert not theirs.exists()


def test_there_are_workspaces_on_a_drive_without_locks(tmp_path, monkeypatch):
    def refused(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(filelock._unix.fcntl, "flock", refused)
    with workspace(tmp_path) as first, workspace(tmp_path) as second:
        assert first.exists()
        assert second.exists()
    assert list(tmp_path.iterdir()) == []


def test_runs_of_one_cell_without_a_common_claim_train_each_in_a_folder_of_its_own(toy, tmp_path):
    """Two on a drive without locks, and one of another store whose user named the same place."""
    save_npz(tmp_path / "toy.npz", toy)
    (tmp_path / "keeping.py").write_text(KEEPING)
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_LOCKS)
    place = tmp_path / "store" / ".work" / "checkpoints"
    elsewhere = ["--set", f"keeping.checkpoint={place}"]
    runs = [started(tmp_path, *run) for run in (("store", []), ("store", []), ("other", elsewhere))]
    told = [run.communicate(timeout=300) for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0], told
    assert len({table for table, _ in told}) == 1
    assert list(place.iterdir()) == []


def started(folder, store, settings):
    command = [sys.executable, "-P", "-m", "cmbench", "run", "--dataset", "toy.npz", "--methods", "keeping"]
    command += ["--plugin", "keeping.py", "--store", store, "--threads", "1", "--memory", "none"]
    command += settings
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_checkpoints_of_a_finished_cell_go_when_a_run_starts(toy, tmp_path):
    cmbench.run(toy, ["cfa"], store=tmp_path, threads=1)
    (key,) = (record["key"] for record in Store(tmp_path).records())
    place = tmp_path / ".work" / "checkpoints"
    for name in (key, KEY):
        (place / f"{name}.0ff1ce-1-000000").mkdir(parents=True)
        os.utime(place / f"{name}.0ff1ce-1-000000", (0, 0))
    cmbench.run(toy, ["cfa"], store=tmp_path, threads=1)
    assert [path.name for path in place.iterdir()] == [f"{KEY}.0ff1ce-1-000000"]
