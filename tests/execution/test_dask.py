"""Cells on the workers of a Dask cluster: the same records, limits and care as on this machine."""

import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest

from cmbench.datasets.formats.numpy_files import save_npz
from cmbench.errors import ExecutionError
from cmbench.execution import worker
from cmbench.execution.dask import DaskExecutor, travelling
from cmbench.execution.progress import Progress
from cmbench.execution.worker import digest_of, kept_features
from cmbench.runner import finished
from cmbench.store import Store
from cmbench.tuning import Budget, tune

distributed = pytest.importorskip("distributed")
from dask_cluster import dask_cluster, wait_until  # noqa: E402 - only where Dask is installed

PLUGIN = """
import os, sys, time
import numpy as np
from cmbench.methods.contract import Method
from cmbench.methods.training.progress import Look, report
from beside import width

class Does(Method):
    way: str = ""
    path: str = ""
    seconds: float = 0.0
    random_state: int = 0

    def fit(self, train, validation):
        print("fitting", self.random_state, flush=True)
        time.sleep(self.seconds)
        if self.way == "raises":
            raise ValueError("it does not work")
        if self.way == "tells":
            report(Look("pairs", 3, 0.25))
            time.sleep(2)
        if self.way == "leaves":
            os._exit(3)
        if self.way == "eats":
            self.eaten = np.ones(400_000_000)
        if self.way == "looks":
            self.seen_ = ",".join(map(attempt, self.path.split(":")))
        return self

    def transform_images(self, images):
        return images[:, self.random_state:self.random_state + width]

    def transform_texts(self, texts):
        return texts[:, self.random_state:self.random_state + width]

def attempt(path):
    try:
        open(path, "rb").read(1)
        return "read"
    except OSError as error:
        return type(error).__name__
"""


@pytest.fixture
def plugin(tmp_path):
    folder = tmp_path / "plugin"
    folder.mkdir()
    (folder / "beside.py").write_text("width = 2\n")
    path = folder / "does.py"
    path.write_text(PLUGIN)
    return path


@pytest.fixture(scope="module")
def threads_cluster(tmp_path_factory):
    """The address of two workers that are threads of this process; cells have processes as ever."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CMBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        cluster = distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=False, protocol="tcp", dashboard_address=None
        )
        with cluster:
            yield cluster.scheduler_address


def of_does(records):
    return {record["method"]["parameters"]["way"]: record for record in records}


def run_does(toy, plugin, store, *, scheduler=None, way="", **options):
    place = {"executor": "dask", "scheduler": scheduler} if scheduler else {}
    parameters = {"does": {"way": way, **options.pop("does", {})}}
    return finished(
        toy, ["does"], plugins=[plugin], parameters=parameters, store=store, threads=1, **place, **options
    )


def test_cells_on_workers_have_the_results_of_local_ones_and_say_where_they_ran(
    toy, tmp_path, plugin, threads_cluster
):
    (local,) = run_does(toy, plugin, tmp_path / "local")
    for way in ("", "raises", "leaves"):
        run_does(toy, plugin, tmp_path / "dask", way=way, scheduler=threads_cluster)
    store = Store(tmp_path / "dask")
    far = of_does(store.records())
    assert far[""]["map"] == local["map"]
    near_arrays = Store(tmp_path / "local").arrays(local)
    arrays = store.arrays(far[""])
    assert set(arrays) == set(near_arrays)
    assert all(np.array_equal(arrays[name], near_arrays[name]) for name in arrays)
    assert {way: record["status"] for way, record in far.items()} == {
        "": "ok",
        "raises": "failed",
        "leaves": "crashed",
    }
    assert far["raises"]["error"]["message"] == "it does not work"
    assert far["leaves"]["error"]["exit_status"] == 3
    for record in far.values():
        place = record["provenance"]["worker"]
        assert place["address"].startswith("tcp://")
        assert record["provenance"]["packages"]["numpy"] == np.__version__
        assert (store.folder / record["log"]).read_text().startswith("fitting 0")
        assert record["fence"] == Store(tmp_path / "local").records()[0]["fence"]
    assert "worker" not in Store(tmp_path / "local").records()[0]["provenance"]
    assert not list(worker._folder().glob("run-*"))


class Heard(Progress):
    """Progress that keeps what it is told of cells that run, and when they end."""

    def __init__(self):
        self.told = []

    def advanced(self, cell, step):
        self.told.append((cell.key, step))

    def finished(self, cell, record, log):
        self.told.append((cell.key, None))


def test_what_a_method_prints_and_how_far_it_has_come_is_told_while_it_runs(
    toy, tmp_path, plugin, threads_cluster
):
    heard = Heard()
    (record,) = run_does(toy, plugin, tmp_path / "s", way="tells", scheduler=threads_cluster, progress=heard)
    keys, steps = zip(*heard.told, strict=True)
    assert set(keys) == {record["key"]}
    assert steps[-1] is None  # nothing is told of a cell that has ended
    assert "fitting 0" in [line for step in steps[:-1] for line in step.lines]
    assert ("pairs", 3.0, 0.25) in [(step.stage, step.epoch, step.score) for step in steps[:-1]]


def test_what_is_hidden_from_a_method_here_is_hidden_there(toy, tmp_path, plugin, threads_cluster):
    save_npz(tmp_path / "toy.npz", toy)
    others = (
        tmp_path / "store" / "record",
        worker._folder() / "features" / "other" / "a.npy",
        tmp_path / "free",
    )
    for path in others:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("something")
    paths = [tmp_path / "toy.npz", *others]
    (record,) = run_does(
        tmp_path / "toy.npz",
        plugin,
        tmp_path / "store",
        way="looks",
        scheduler=threads_cluster,
        does={"path": ":".join(map(str, paths))},
    )
    record = Store(tmp_path / "store").find(record["key"])
    if record["fence"]["files"] is None:
        pytest.skip("this kernel has no Landlock")
    assert record["fitted"]["seen_"] == "PermissionError,PermissionError,PermissionError,read"


def test_a_search_on_workers_ends_as_one_on_this_machine(toy, tmp_path, threads_cluster):
    pytest.importorskip("optuna")
    found = []
    for place in ({}, {"executor": "dask", "scheduler": threads_cluster}):
        budget, store = Budget(2, seeds=(0,)), tmp_path / f"store{len(found)}"
        (choice,) = tune(toy, ["cfa"], budget=budget, store=store, threads=1, **place).choices.values()
        found.append([(trial.parameters, trial.score) for trial in choice.tried])
    assert found[0] == found[1]
    assert all(record["provenance"]["worker"] for record in Store(tmp_path / "store1").records())


def test_features_that_were_damaged_on_a_worker_are_sent_again(toy, tmp_path, plugin, threads_cluster):
    run_does(toy, plugin, tmp_path / "first", scheduler=threads_cluster)
    kept = (path for path in (worker._folder() / "features").iterdir() if len(path.name) == 32)
    (folder,) = (path for path in kept if len(np.load(path / "images_test.npy")) == len(toy.test))
    assert digest_of(folder) == folder.name
    (folder / "images_test.npy").chmod(0o644)
    with (folder / "images_test.npy").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"!")
    worker._checked.clear()
    assert kept_features(folder.name) is None
    (record,) = run_does(toy, plugin, tmp_path / "second", scheduler=threads_cluster)
    assert record["map"] == Store(tmp_path / "first").records()[0]["map"]
    assert digest_of(folder) == folder.name


def test_a_cell_that_is_cancelled_is_ended_and_its_claim_given_back(
    toy, tmp_path, plugin, threads_cluster, monkeypatch
):
    def interrupting(executor, client):
        if list((tmp_path / "store" / "logs").rglob("*.log")) or began():
            raise KeyboardInterrupt
        return original(executor, client)

    def began():
        return any("fitting" in log.read_text() for log in worker._folder().glob("run-*/log"))

    original = DaskExecutor._capacity
    monkeypatch.setattr(DaskExecutor, "_capacity", interrupting)
    with pytest.raises(KeyboardInterrupt):
        run_does(
            toy, plugin, tmp_path / "store", scheduler=threads_cluster, does={"seconds": 60}, seeds=3, jobs=2
        )
    wait_until(lambda: not list(worker._folder().glob("run-*")), 20)
    assert not Store(tmp_path / "store").records()
    monkeypatch.undo()


def test_another_cmbench_on_a_worker_is_refused(toy, tmp_path, plugin, threads_cluster, monkeypatch):
    monkeypatch.setattr("cmbench.execution.dask.code_of_cmbench", lambda: "another")
    with pytest.raises(ExecutionError, match="another cmbench than this run"):
        run_does(toy, plugin, tmp_path / "store", scheduler=threads_cluster)


def command(place, *arguments, seeds="1,", store="store", **does):
    settings = [part for name, value in does.items() for part in ("--set", f"does.{name}={value}")]
    return [
        *(sys.executable, "-P", "-m", "cmbench", "run", "--dataset", "toy.npz", "--plugin", "plugin/does.py"),
        *("--methods", "does", "--seeds", seeds, "--store", store, "--threads", "1", *settings, *arguments),
    ]


@pytest.fixture
def place(toy, tmp_path, plugin):
    save_npz(tmp_path / "toy.npz", toy)
    return tmp_path


def printed(place, *arguments, status=0, **options):
    done = subprocess.run(command(place, *arguments, **options), cwd=place, capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    return done.stdout


@pytest.mark.slow
def test_four_workers_give_the_same_table_as_this_machine_byte_for_byte(place):
    with dask_cluster(place / "cluster", 4) as cluster:
        there = ("--executor", "dask", "--scheduler", str(cluster.file))
        methods = ("--methods", "does,cca,cfa,lgcfl,deep-sm", "--set", "deep-sm.epochs=2")
        local = printed(place, *methods, seeds="3", store="local")
        assert printed(place, *methods, *there, seeds="3", store="dask") == local
        for way, limits in {
            "raises": (),
            "leaves": (),
            "eats": ("--memory", "1GB"),
            "": ("--deadline", "2s", "--set", "does.seconds=60"),
        }.items():
            one = printed(place, *limits, store="local", way=way, status=1)
            assert printed(place, *limits, *there, store="dask", way=way, status=1) == one
        assert outcomes(place / "dask") == outcomes(place / "local")
        assert len({address(record) for record in Store(place / "dask").records()}) == 4


def outcomes(folder):
    """Return how each cell ended, without what differs from run to run."""
    said = {}
    for record in Store(folder).records():
        error = record["error"] or {}
        message = re.sub(r"at [\d.]+ GB", "", error.get("message", ""))
        said[record["key"]] = (record["status"], record["map"], error.get("type"), message)
    return said


def address(record):
    return record["provenance"]["worker"]["address"]


@pytest.mark.slow
def test_five_workers_killed_in_the_middle_of_a_run_lose_nothing(place):
    right = printed(place, seeds="7", store="local", seconds=6)
    with dask_cluster(place / "cluster", 4) as cluster:
        there = ("--executor", "dask", "--scheduler", str(cluster.file))
        run = subprocess.Popen(
            command(place, *there, seeds="7", store="dask", seconds=6),
            cwd=place,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        killed = set()
        while len(killed) < 5:
            victims = [process for process in busy_workers(cluster) if process.pid not in killed]
            assert run.poll() is None, f"it ended after {len(killed)} kills"
            if victims:
                victims[0].kill()
                killed.add(victims[0].pid)
            time.sleep(1)
        table, errors = run.communicate(timeout=300)
        assert run.returncode == 0, errors
    assert table == right
    assert [record["status"] for record in Store(place / "dask").records()] == ["ok"] * 7


def busy_workers(cluster):
    """Return the workers that run a cell now."""
    return [process for process in cluster.worker_processes() if any(map(is_keeper, children(process)))]


def children(process):
    try:
        return process.children()
    except psutil.NoSuchProcess:
        return []


def is_keeper(process):
    try:
        return "cmbench.execution.keeper" in " ".join(process.cmdline())
    except psutil.NoSuchProcess:  # a zombie as well
        return False


@pytest.mark.slow
def test_a_cell_whose_workers_die_once_too_often_becomes_a_record_that_says_so(place):
    with dask_cluster(place / "cluster", 1, SCHEDULER__ALLOWED_FAILURES="0") as cluster:
        there = ("--executor", "dask", "--scheduler", str(cluster.file))
        run = subprocess.Popen(command(place, *there, seconds=60), cwd=place, stderr=subprocess.DEVNULL)
        for _ in range(3):
            wait_until(lambda: busy_workers(cluster), 60)
            busy_workers(cluster)[0].kill()
            wait_until(lambda: not busy_workers(cluster), 60)
        assert run.wait(60) == 1
    (record,) = Store(place / "store").records()
    assert (record["status"], record["error"]["type"]) == ("crashed", "WorkersLost")
    assert "3 workers in a row" in record["error"]["message"]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_ends_before_its_cells_leaves_nothing_on_workers(place, number):
    with dask_cluster(place / "cluster", 2) as cluster:
        there = ("--executor", "dask", "--scheduler", str(cluster.file))
        run = subprocess.Popen(command(place, *there, seeds="2", seconds=90), cwd=place)
        wait_until(lambda: len(busy_workers(cluster)) == 2, 60)
        run.send_signal(number)
        assert run.wait(30) == (-number if number == signal.SIGKILL else 130)
        wait_until(lambda: not busy_workers(cluster), 15)
        wait_until(lambda: not list((place / "cluster" / "cache" / "worker").glob("run-*")), 15)
        assert not [
            process for process in psutil.process_iter() if is_keeper(process) and is_of(place, process)
        ]
        printed(place, *there, seeds="2", seconds=0)
    assert not list((place / "store" / ".work").glob("run-*"))


def is_of(place, process):
    return str(place) in " ".join(process.cmdline())


def test_an_installed_method_does_not_travel_and_a_plugin_does(toy, plugin):
    from cmbench.agenda import planned
    from cmbench.methods.registry import registry

    available = registry([plugin])
    cells = planned(toy, ["cca", "does"], plugins=available).cells
    assert travelling(cells[0]) == ({}, "")
    sources, name = travelling(cells[1])
    assert (sorted(sources), name) == (["beside.py", "does.py"], "does.py")
