"""What a store notes beside its records: the newest cards, the newest code, and the code of plugins."""

import os
import shutil
import warnings

import numpy as np
import pytest
from made_records import made_dataset, made_record, on_split

from cmbench import current
from cmbench.cleaning import set_aside
from cmbench.current import keep_source, newest_code, note
from cmbench.errors import CmbenchWarning, DamagedRecordWarning
from cmbench.report.cells import stored_records
from cmbench.report.table import render
from cmbench.store import Store

CARD = {"name": "toy", "image_feature": "VGG-19 fc7", "text_feature": "LDA", "source": "", "licence": ""}
FINGERPRINT = made_dataset("toy")["fingerprint"]


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def put(store, version="1-aa", *, value=0.5, key=None, finished="2026-01-01T00:00:00+00:00", **changes):
    record = made_record("mine", value, key=key or f"00{version.encode().hex()}", **changes)
    record["method"] = {**record["method"], "code_version": version}
    record["provenance"] = {**record["provenance"], "finished": finished}
    store.put(record, {"ap": np.array([value])})
    return record


def test_a_corrected_card_stands_in_records_and_tables(store):
    record = put(store, dataset=made_dataset("toy", image_feature="unknown"))
    note(store.folder, FINGERPRINT, {**CARD, "name": "wikipedia-mine"}, {})
    (found,) = store.records()
    assert found == store.find(record["key"])
    assert found["dataset"]["name"] == "wikipedia-mine"
    assert found["dataset"]["image_feature"] == "VGG-19 fc7"
    assert found["dataset"]["class_names"] == record["dataset"]["class_names"]
    text = render(stored_records(store.folder))
    assert "wikipedia-mine" in text
    assert "8-d VGG-19 fc7" in text
    np.testing.assert_array_equal(store.arrays(found)["ap"], [0.5])


def test_a_card_that_says_nothing_replaces_nothing(store):
    put(store, dataset=made_dataset("toy", image_feature="VGG-19 fc7"))
    note(store.folder, FINGERPRINT, {**CARD, "source": "a paper"}, {})
    note(store.folder, FINGERPRINT, {**CARD, "image_feature": "unknown", "source": ""}, {})
    (found,) = store.records()
    assert (found["dataset"]["image_feature"], found["dataset"]["source"]) == ("VGG-19 fc7", "a paper")


def test_other_datasets_keep_their_cards(store):
    put(store, dataset="other")
    note(store.folder, FINGERPRINT, CARD, {})
    assert store.records()[0]["dataset"]["name"] == "other"


def test_what_is_known_already_is_not_written_again(store):
    note(store.folder, FINGERPRINT, CARD, {"mine": "1-aa"})
    (path,) = (store.folder / "current").glob("*.json")
    before = path.stat().st_mtime_ns
    note(store.folder, FINGERPRINT, CARD, {"mine": "1-aa"})
    assert path.stat().st_mtime_ns == before


DAMAGED = {
    "": "Expecting value",
    "{": "Expecting property name",
    "[]": "it is list, not an object",
    '{"dataset": 5}': "dataset is 5; it must be an object",
    '{"dataset": {"name": 5}}': "dataset.name is 5; it must be a text",
    '{"dataset": {"sizes": null}}': "dataset.sizes stands in it",
    '{"code": 5}': "code is 5; it must be an object of texts",
    "[" * 100_000: "it is nested too deeply",
}


@pytest.mark.parametrize(("content", "reason"), DAMAGED.items())
def test_a_damaged_note_is_named_and_moved_aside_and_hides_no_record(store, content, reason):
    record = put(store)
    note(store.folder, FINGERPRINT, CARD, {})
    (path,) = (store.folder / "current").glob("*.json")
    path.write_text(content)
    with pytest.warns(DamagedRecordWarning, match=rf"{path.name}: .*{reason}.*'cmbench clean'") as told:
        assert store.records() == [record]
    assert len(told) == 1
    assert newest_code(store.folder, [record]) == [record]
    ((source, _),) = set_aside(store)
    assert source == path
    assert not store.read().problems


def test_a_run_writes_a_damaged_note_again(store):
    note(store.folder, FINGERPRINT, CARD, {"mine": "1-aa"})
    (path,) = (store.folder / "current").glob("*.json")
    right = path.read_text()
    path.write_text('{"code": 5}')
    note(store.folder, FINGERPRINT, CARD, {"mine": "1-aa"})
    assert path.read_text() == right


def test_a_fifo_in_the_place_of_a_note_is_named_and_not_waited_for(store):
    record = put(store)
    (store.folder / "current").mkdir()
    os.mkfifo(store.folder / "current" / "00.json")
    with pytest.warns(DamagedRecordWarning, match="no plain file"):
        assert store.records() == [record]


def shown(store, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CmbenchWarning)
        return [record["method"]["code_version"] for record in stored_records(store.folder, **options)]


def test_tables_show_the_newest_code_of_a_method_and_say_what_they_leave_out(store):
    put(store, "1-aa", value=0.25)
    put(store, "1-bb", value=0.75, finished="2026-01-02T00:00:00+00:00")
    other = made_record("cca", 0.5)
    store.put(other)
    with pytest.warns(CmbenchWarning, match=r"1 cell\(s\) of other code .* \(mine\).*--all-versions"):
        records = stored_records(store.folder)
    assert [record["key"] for record in records] == [other["key"], "00312d6262"]
    assert shown(store, all_versions=True) == ["1", "1-aa", "1-bb"]
    assert "0.750" in render(records)
    assert "0.250" not in render(records)


def test_code_that_was_changed_back_is_the_newest(store):
    put(store, "1-aa")
    put(store, "1-bb", finished="2026-01-02T00:00:00+00:00")
    assert shown(store) == ["1-bb"]
    note(store.folder, FINGERPRINT, CARD, {"mine": "1-aa"})
    assert shown(store) == ["1-aa"]
    note(store.folder, FINGERPRINT, CARD, {"mine": "1-cc", "cca": "7"})  # nothing of it is finished yet
    assert shown(store) == ["1-bb"]


def test_the_newest_code_is_chosen_for_each_dataset_and_protocol(store):
    put(store, "1-aa", key="00a1")
    put(store, "1-bb", key="00b1", dataset="other")
    put(store, "1-cc", key="00c1", protocol="release", finished="2027-01-01T00:00:00+00:00")
    assert sorted(shown(store)) == ["1-aa", "1-bb", "1-cc"]
    assert newest_code(store.folder, []) == []


def test_the_newest_code_is_chosen_for_all_splits_of_a_dataset_together(store):
    """One split of other code would else stand in a row of its own, and no split have every method."""
    old, new = (
        {**made_record("mine", 0.5, key=key), "provenance": {"finished": f"2026-01-0{day}"}}
        for key, day in (("00a1", 1), ("00b1", 2))
    )
    for record, version in ((old, "1-aa"), (on_split(old, 1), "1-aa"), (new, "1-bb")):
        store.put({**record, "method": {**record["method"], "code_version": version}})
    assert shown(store) == ["1-bb"]
    note(store.folder, FINGERPRINT, CARD, {"mine": "1-aa"})  # what a run of any split notes
    assert shown(store) == ["1-aa", "1-aa"]


def test_stores_that_are_copied_together_keep_their_notes(store, tmp_path):
    put(store)
    note(store.folder, FINGERPRINT, {**CARD, "name": "right"}, {})
    shutil.copytree(store.folder, tmp_path / "copy")
    assert Store(tmp_path / "copy").records()[0]["dataset"]["name"] == "right"


def test_the_code_of_a_plugin_is_kept_once_for_each_version(store):
    files = {"lib/helper.py": b"value = 1\n", "mine.py": b"import lib.helper\n"}
    keep_source(store.folder, "1-abcdef012345", files)
    folder = store.folder / "sources" / "abcdef012345"
    kept = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*.py")}
    assert {name: path.read_bytes() for name, path in kept.items()} == files
    before = kept["mine.py"].stat().st_mtime_ns
    keep_source(store.folder, "2-abcdef012345", files)
    assert kept["mine.py"].stat().st_mtime_ns == before
    assert [path.name for path in (store.folder / "sources").iterdir()] == ["abcdef012345"]


def test_code_that_is_too_large_is_named_and_the_rest_kept(store, monkeypatch):
    monkeypatch.setattr(current, "LARGEST_SOURCE", 100)
    files = {"data.py": b"x" * 90, "mine.py": b"y" * 20, "small.py": b"z"}
    with pytest.warns(CmbenchWarning, match=r"does not keep data\.py; its key covers them all the same"):
        keep_source(store.folder, "1-abcdef012345", files)
    folder = store.folder / "sources" / "abcdef012345"
    assert sorted(path.name for path in folder.iterdir()) == ["LEFT_OUT.txt", "mine.py", "small.py"]
    assert "data.py (90 bytes)" in (folder / "LEFT_OUT.txt").read_text()
