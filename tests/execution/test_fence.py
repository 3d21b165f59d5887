"""What a method's process may see and change: ways to test labels, tried with the fence up."""

import os
import sys
from pathlib import Path

import pytest

import cmbench
import cmbench.datasets
from cmbench.datasets.formats.numpy_files import save_folder, save_npz
from cmbench.datasets.splits import redrawn
from cmbench.execution import linux
from cmbench.execution.fence import rules_of
from cmbench.store import Store

BURGLAR = Path(__file__).parents[1] / "plugins" / "burglar.py"


def fence_there_is():
    try:
        return sys.platform == "linux" and linux.landlock_version() >= 1
    except OSError:
        return False


fenced = pytest.mark.skipif(not fence_there_is(), reason="this kernel has no Landlock")


@pytest.fixture(scope="module")
def found(toy, tmp_path_factory):
    """Return what the burglar got by a way, tried on a dataset in a folder and a store with a result."""
    place = tmp_path_factory.mktemp("b")
    save_folder(place / "data", toy)
    store = Store(place / "store")
    cmbench.run(str(place / "data"), ["cca"], store=store.folder, threads=1)

    def tried(way, target="", *, name="burglar", status="ok", given=None, **options):
        target = str(place / target)
        told = {name: {"way": way, "target": target, "process": os.getpid(), **(given or {})}}
        frame = cmbench.run(
            str(place / "data"),
            [name],
            store=store.folder,
            plugins=[BURGLAR],
            parameters=told,
            threads=1,
            **options,
        )
        record = store.find(frame["key"][0])
        assert record["status"] == status, record["error"]
        return record["fitted"]["got_"] if status == "ok" else record["error"]["message"], record["fence"]

    tried.store = store
    return tried


@fenced
def test_no_way_to_the_labels_is_open(found):
    record = found.store.paths()[0].relative_to(found.store.folder.parent)
    ways = [
        ("read_file", "data/labels_test.npy"),
        ("read_file", record),
        ("read_file", record.with_suffix(".npz")),
        ("load_built_in", ""),
        ("read_in_another_program", "data/labels_test.npy"),
        ("link_for_the_parent", "data/labels_test.npy"),
        ("command_of_the_run", ""),
        ("open_files_of_the_run", ""),
        ("folder_of_the_run", ""),
        ("memory_of_the_run", ""),
        ("trace_the_run", ""),
        ("mount_over", ""),
    ]
    got = {(way, str(target)): found(way, target)[0] for way, target in ways}
    assert {way: text for way, text in got.items() if not text.startswith("closed: ")} == {}


def test_without_a_fence_the_ways_are_open_and_the_record_says_so(found, monkeypatch):
    """So that the test before means something."""
    monkeypatch.setattr("cmbench.execution.fence.Fence.around", lambda *_: None)
    got, fence = found("read_in_another_program", "data/labels_train.npy")
    assert got == f"{(found.store.folder.parent / 'data/labels_train.npy').stat().st_size} bytes"
    assert fence["files"] is None


@fenced
def test_what_is_not_a_methods_own_cannot_be_changed(found):
    record = found.store.paths()[0].relative_to(found.store.folder.parent)
    ways = [
        "write_shared_features",
        "replace_shared_features",
        "forge_a_record",
        "change_the_code",
        "end_the_run",
    ]
    got = {way: found(way, record)[0] for way in ways}
    assert {way: text for way, text in got.items() if not text.startswith("closed: ")} == {}


@fenced
def test_the_record_says_that_the_fence_was_up_and_ordinary_work_goes_on(found):
    got, fence = found("work_as_usual")
    assert got == "Name:"
    assert fence["files"] == f"Landlock {linux.landlock_version()}"
    assert fence["processes"] in ("namespaces", "subreaper")


@fenced
def test_a_cell_cannot_reach_the_checkpoints_of_another(found):
    other = found.store.folder / ".work/checkpoints/0123456789abcdef/cmgans-state.pt"
    other.parent.mkdir(parents=True)
    other.write_text("state")
    ways = ["read_file", "change_the_checkpoint_of_another", "leave_a_checkpoint_for_another"]
    target = other.relative_to(found.store.folder.parent)
    got = {way: found(way, target, name="checkpoint-burglar")[0] for way in ways}
    assert {way: text for way, text in got.items() if not text.startswith("closed: ")} == {}
    assert other.read_text() == "state"
    other.unlink()
    other.parent.rmdir()


@fenced
def test_a_folder_that_a_parameter_names_opens_nothing_that_is_closed(found):
    place = found.store.folder.parent
    record = found.store.paths()[0].relative_to(place)
    before = sorted(path.name for path in (place / "data").iterdir())
    ways = [
        ("read_file", "data/labels_test.npy", {"pretrained": place / "data"}),
        ("read_file", "data/labels_test.npy", {"pretrained": place}),
        ("read_file", "data/labels_test.npy", {"checkpoint": place / "data"}),
        ("load_built_in", "", {"pretrained": Path(cmbench.datasets.__path__[0], "scenes")}),
        ("forge_a_record", record, {"pretrained": (place / record).parent}),
        ("forge_a_record", record, {"checkpoint": found.store.folder}),
        ("change_the_code", "", {"pretrained": Path(cmbench.__path__[0])}),
    ]
    got = []
    for way, target, folders in ways:
        given = {name: str(folder) for name, folder in folders.items()}
        text, _ = found(way, target, name="naming-burglar", given=given, force=True)
        got.append((way, folders, text))
    assert [one for one in got if not one[2].startswith("closed: ")] == []
    assert sorted(path.name for path in (place / "data").iterdir()) == before


def test_a_folder_of_its_own_that_a_parameter_names_is_open(found):
    place = found.store.folder.parent
    given = {"pretrained": str(place / "own" / "shared"), "checkpoint": str(place / "own" / "unfinished")}
    assert found("write_to_its_folders", name="naming-burglar", given=given)[0] == "written"
    assert (place / "own" / "shared" / "own.txt").read_text() == "mine"


def test_a_cell_finds_its_own_checkpoints_until_it_is_done(found):
    folder = found.store.folder / ".work/checkpoints"

    def failing(**options):
        return found("fail_with_a_checkpoint", name="checkpoint-burglar", status="failed", **options)[0]

    assert failing() == "found []"
    assert failing(retry_failed=True) == "found ['state.pt']"
    (own,) = folder.iterdir()
    assert [path.name for path in own.iterdir()] == ["state.pt"]
    assert found("keep_a_checkpoint", name="checkpoint-burglar")[0] == "['state.pt']"
    assert list(folder.iterdir()) == [own]


PLUGIN = """
from pathlib import Path

from cmbench.methods.contract import Method


class Neighbour(Method):
    name = "neighbour"

    def fit(self, train, validation):
        from helper import outcome_of  # only now, when the fence is up

        here = Path(__file__).parent
        self.got_ = ", ".join(outcome_of(here / name) for name in ("helper.py", "data.npz", "notes.txt"))
        return self

    def transform_images(self, images):
        return images[:, :2]

    def transform_texts(self, texts):
        return texts[:, :2]
"""
HELPER = """
def outcome_of(path):
    try:
        path.read_bytes()
    except OSError:
        return "closed"
    try:
        path.open("ab").close()
    except OSError:
        return "read only"
    return "open"
"""


@fenced
def test_modules_beside_a_plugin_can_be_read_where_dataset_and_store_lie_in_the_same_folder(toy, tmp_path):
    save_npz(tmp_path / "data.npz", toy)
    for name, text in (("neighbour.py", PLUGIN), ("helper.py", HELPER), ("notes.txt", "of somebody else")):
        (tmp_path / name).write_text(text)
    plugins = [tmp_path / "neighbour.py"]
    cmbench.run(str(tmp_path / "data.npz"), ["neighbour"], store=tmp_path, plugins=plugins, threads=1)
    (record,) = Store(tmp_path).records()
    assert record["status"] == "ok", record["error"]
    assert record["fitted"]["got_"] == "read only, closed, closed"


@fenced
def test_the_file_of_a_dataset_is_closed_where_a_run_is_given_what_was_made_of_it(toy, tmp_path):
    save_npz(tmp_path / "data.npz", toy)
    (tmp_path / "neighbour.py").write_text(PLUGIN)
    (tmp_path / "helper.py").write_text(HELPER)
    dataset = redrawn(cmbench.load_dataset(tmp_path / "data.npz"), 1)
    cmbench.run(dataset, ["neighbour"], store=tmp_path / "s", plugins=[tmp_path / "neighbour.py"], threads=1)
    (record,) = Store(tmp_path / "s").records()
    assert record["fitted"]["got_"].split(", ")[1] == "closed", record["fitted"]


def test_what_is_marked_has_its_rule_in_a_folder_with_too_many_entries_to_allow_each(tmp_path, monkeypatch):
    monkeypatch.setattr("cmbench.execution.fence._MOST_ENTRIES", 2)
    for name in ("plugin.py", "data.npz", "other"):
        (tmp_path / name).touch()
    marks = {str(tmp_path / "plugin.py"): linux.READ, str(tmp_path / "data.npz"): 0}
    rights = linux.READ & linux.FILE_RIGHTS
    assert list(rules_of(marks, str(tmp_path))) == [(str(tmp_path / "plugin.py"), rights)]


@pytest.mark.parametrize(
    ("marks", "path", "rights"),
    [
        ({}, "store/record", linux.ALL),
        ({"store": 0}, "store/record", 0),
        ({"store": 0}, "beside", linux.ALL),
        ({"store": 0, "store/work/cell": linux.ALL}, "store/work/cell/new", linux.ALL),
        ({"store": 0, "store/work/cell": linux.ALL}, "store/work/other", 0),
        ({"store": 0, "store/work": linux.READ, "store/work/cell": 0}, "store/work/cell", 0),
        ({"store": linux.READ, "store/work/cell": linux.ALL}, "store/record", linux.READ),
    ],
)
def test_rules_give_each_path_the_rights_of_the_nearest_mark_above_it(tmp_path, marks, path, rights):
    for name in ("beside", "store/record", "store/work/cell/new", "store/work/other"):
        (tmp_path / name).mkdir(parents=True)
    rules = rules_of({str(tmp_path / name): mark for name, mark in marks.items()}, str(tmp_path))
    given = 0
    for place, allowed in rules:
        given |= allowed if (tmp_path / path).is_relative_to(place) else 0
    assert given == rights
