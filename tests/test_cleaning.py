"""Cleaning a store: failed and replaced cells go with all that is theirs, running and finished ones stay."""

import sys

import numpy as np
import pytest
from click.testing import CliRunner
from made_records import failed_record, made_record

from cmbench.cleaning import removals, remove, running, unused_sources
from cmbench.cli.main import cli
from cmbench.current import keep_source
from cmbench.ownership import workspace
from cmbench.store import Store


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def put(store, key, version, *, status="ok", day=1, **changes):
    make = made_record if status == "ok" else failed_record
    changes |= {} if status == "ok" else {"status": status}
    record = make("mine", key=key, **changes)
    record["method"] |= {"code_version": version, "source": f"sources/{version.rpartition('-')[2]}"}
    record["provenance"] = {**record["provenance"], "finished": f"2026-01-{day:02}T00:00:00+00:00"}
    log = store.log_path("toy", "mine", key)
    log.write_text("printed")
    record["log"] = store.relative(log)
    store.put(record, {"ap": np.zeros(2)} if status == "ok" else None)
    keep_source(store.folder, version, {"mine.py": version.encode()})
    return record


def keys(store):
    return sorted(removal.record["key"] for removal in removals(store))


def test_failed_cells_and_those_of_replaced_code_may_go(store):
    put(store, "00a1", "1-aa", day=1)
    put(store, "00b1", "1-bb", day=2)
    put(store, "00c1", "1-bb", status="timeout", seed=1, parameters={"random_state": 1})
    put(store, "00d1", "1-aa", parameters={"size": 7})  # no newer code has been run for this setting
    put(store, "00e1", "1-aa", protocol="release")
    assert keys(store) == ["00a1", "00c1"]
    reasons = {removal.record["key"]: removal.reason for removal in removals(store)}
    assert reasons == {"00a1": "code 1-aa has been replaced by 1-bb", "00c1": "timeout"}


def test_newer_code_that_failed_replaces_nothing(store):
    put(store, "00a1", "1-aa", day=1)
    put(store, "00b1", "1-bb", day=2, status="failed")
    assert keys(store) == ["00b1"]


def test_each_seed_and_dataset_is_a_cell_of_its_own(store):
    put(store, "00a1", "1-aa", seed=0, parameters={"random_state": 0})
    put(store, "00b1", "1-bb", seed=1, parameters={"random_state": 1}, day=2)
    put(store, "00c1", "1-bb", dataset="other", seed=0, parameters={"random_state": 0}, day=2)
    assert keys(store) == []
    put(store, "00d1", "1-bb", seed=0, parameters={"random_state": 0}, day=2)
    assert keys(store) == ["00a1"]


def clean(store, *arguments):
    return CliRunner().invoke(cli, ["clean", "--store", str(store.folder), *arguments])


def files_of(store):
    return sorted(path.relative_to(store.folder).as_posix() for path in store.folder.rglob("*.*"))


def test_what_goes_is_listed_and_goes_with_arrays_log_and_code(store):
    put(store, "00a1", "1-aa", day=1)
    put(store, "00b1", "1-bb", day=2)
    before = files_of(store)
    shown = clean(store, "--dry-run")
    assert shown.exit_code == 0
    assert files_of(store) == before
    assert "toy/mine (00a1): code 1-aa has been replaced by 1-bb" in shown.output
    assert "sources/aa: code that no cell is left of" in shown.output
    assert "would remove 1 cell(s)" in shown.output
    done = clean(store)
    assert "removed 1 cell(s)" in done.output
    kept = [name for name in before if "00a1" not in name and "sources/aa" not in name]
    assert files_of(store) == [name for name in kept if name != "sources/aa/mine.py"]
    assert "nothing to remove" in clean(store).output


def test_cells_that_are_running_are_left_alone(store):
    put(store, "00a1", "1-aa", status="failed")
    put(store, "00b1", "1-aa", status="failed")
    (removal, _) = removals(store)
    with workspace(store.folder / ".work") as work:
        (work / "00a1").mkdir()
        assert keys(store) == ["00b1"]
        assert not remove(store, removal)
        assert unused_sources(store, removals(store)) == []
        clean(store)
        assert [record["key"] for record in store.records()] == ["00a1"]
    assert keys(store) == ["00a1"]  # the run is over


def test_what_an_ended_run_left_and_nobody_can_remove_is_not_running(tmp_path, monkeypatch):
    (tmp_path / ".work" / "run-left" / "0123456789abcdef").mkdir(parents=True)
    monkeypatch.setattr("cmbench.ownership.remove_folder", lambda folder: None)
    assert running(tmp_path) == set()


def test_a_cell_that_has_been_run_again_meanwhile_stays(store):
    put(store, "00a1", "1-aa", status="failed")
    (removal,) = removals(store)
    put(store, "00a1", "1-aa")
    assert not remove(store, removal)
    assert store.find("00a1")["status"] == "ok"


def test_a_terminal_is_asked_and_may_refuse(store, monkeypatch):
    put(store, "00a1", "1-aa", status="failed")
    asked = []

    def refuse(text, **options):
        asked.append(text)
        raise KeyboardInterrupt

    monkeypatch.setattr("click.confirm", refuse)
    monkeypatch.setattr("cmbench.cli.clean.sys", type("sys", (), {"stdin": Terminal()}))
    clean(store)
    assert asked == [f"Remove 1 cell(s) from {store.folder}?"]
    assert store.find("00a1")
    clean(store, "--yes")
    assert not store.find("00a1")
    assert sys.stdin is not None


class Terminal:
    def isatty(self):
        return True


def test_lines_of_records_files_stay(store):
    put(store, "00a1", "1-aa", status="failed")
    store.pack()
    assert keys(store) == []
