"""How many cells run at the same time, and with how many threads."""

import pytest

import cmbench
from cmbench.execution.progress import Progress
from cmbench.store import Store

QUICK = {"threads": 1, "memory": "none"}


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


class Watching(Progress):
    """Notes what a run tells of its progress."""

    def __init__(self):
        self.seen = []

    def started(self, cell):
        self.seen.append("started")

    def finished(self, cell, record, log):
        self.seen.append("finished")


def test_two_cells_run_side_by_side_when_asked(toy, store):
    watching = Watching()
    cmbench.run(toy, ["cca", "cfa", "kcca"], store=store.folder, jobs=2, progress=watching, **QUICK)
    assert watching.seen[:2] == ["started", "started"]
    assert sorted(watching.seen) == ["finished"] * 3 + ["started"] * 3


@pytest.mark.parametrize(
    ("processors", "methods", "together", "threads"),
    [(1, 2, 1, 1), (2, 2, 2, 1), (8, 2, 2, 4), (8, 1, 1, 8)],
)
def test_two_cells_share_the_processors_unless_told_otherwise(
    toy, store, monkeypatch, processors, methods, together, threads
):
    for user in ("runner", "limits"):
        monkeypatch.setattr(f"cmbench.{user}.available_cores", lambda: processors)
    watching = Watching()
    names = ["cca", "cfa"][:methods]
    cmbench.run(toy, names, store=store.folder, memory="none", progress=watching)
    assert watching.seen[: together + 1].count("started") == together
    assert {record["threads"] for record in store.records()} == {threads}


def test_what_a_run_had_not_finished_gets_as_many_threads_when_it_goes_on(toy, store, monkeypatch):
    for user in ("runner", "limits"):
        monkeypatch.setattr(f"cmbench.{user}.available_cores", lambda: 8)
    cmbench.run(toy, ["cca", "cfa"], store=store.folder, memory="none")
    (record,) = (path for path in store.paths() if path.name.startswith("cfa"))
    record.unlink()
    cmbench.run(toy, ["cca", "cfa"], store=store.folder, memory="none")
    assert [record["threads"] for record in store.records()] == [4, 4]
