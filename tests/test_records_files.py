"""Records files: one for each dataset, a record a line, beside records that have a file of their own."""

import contextlib
import json
import os

import numpy as np
import pytest
from killed_writers import Killed, kill_at
from made_records import made_error, made_record
from store_files import files_of

from cmbench.cleaning import set_aside
from cmbench.errors import DamagedRecordWarning, StoreError
from cmbench.store import Store

AP = np.array([0.25, 0.5, 1.0])


def a_record(key="00aa", *, dataset="toy", method="cca", **fields):
    return made_record(method, key=key, dataset=dataset, **fields)


RECORDS = [
    a_record("01", mark=1),
    a_record("02", dataset="a/b", mark=2),
    a_record("03", method="cfa", mark=3, zebra="Größe →"),
    a_record("04", method="cca", error=made_error(message="one\u2028two\x85three\nfour 'caf\udce9'")),
    a_record("101", mark=5),
]


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture
def packed(store):
    """A store whose records are all in records files; ``01`` has its arrays, too."""
    for record in RECORDS:
        store.put(record, {"ap": AP} if record["key"] == "01" else None)
    store.pack()
    return store


def test_packing_loses_no_record_and_no_array_and_keeps_their_order(store):
    for record in RECORDS:
        store.put(record, {"ap": AP * int(record["key"])})
    before = store.records()
    store.pack()
    assert files_of(store)[:2] == ["a_b.jsonl", "cca-01.RESULT.npz"]
    assert not store.paths()
    assert store.records() == before
    assert {record["key"]: record for record in before} == {record["key"]: record for record in RECORDS}
    for record in RECORDS:
        assert store.find(record["key"]) == record
        np.testing.assert_array_equal(store.arrays(record)["ap"], AP * int(record["key"]))
    assert store.find("1") is store.find("0") is None


def test_a_records_file_has_one_sorted_line_a_record_and_packing_again_changes_nothing(packed):
    path = packed.folder / "toy.jsonl"
    content = path.read_bytes()
    lines = content.decode("utf-8").split("\n")
    assert [json.loads(line)["key"] for line in lines[:-1]] == ["01", "04", "101", "03"]
    assert lines[-1] == ""
    assert "Größe →" in lines[3]
    for line in lines[:-1]:
        keys = json.loads(line, object_pairs_hook=lambda items: [key for key, _ in items])
        assert keys == sorted(keys)
    assert packed.pack() == [packed.folder / "a_b.jsonl", path]
    assert path.read_bytes() == content


def test_a_record_of_its_own_counts_before_a_line_and_takes_its_place_when_packed(packed):
    packed.put(a_record("01", mark=10), {"ap": AP * 10})
    assert packed.find("01")["mark"] == 10
    assert [record["mark"] for record in packed.records() if record["key"] == "01"] == [10]
    assert len(packed.records()) == len(RECORDS)
    packed.pack()
    assert packed.find("01")["mark"] == 10
    assert len(packed.records()) == len(RECORDS)
    assert (packed.folder / "toy.jsonl").read_text().count('"key": "01"') == 1


def test_a_cell_of_a_records_file_that_now_fails_loses_its_arrays(packed):
    packed.put(a_record("01", status="failed"))
    assert "cca-01.RESULT.npz" not in files_of(packed)
    assert packed.find("01")["status"] == "failed"


def test_of_two_lines_about_a_cell_the_last_counts_in_the_order_of_file_names(packed):
    later = json.dumps(a_record("01", mark=7)) + "\n"
    (packed.folder / "toy.jsonl").open("a").write(later)
    assert packed.find("01")["mark"] == 7
    (packed.folder / "zoo.jsonl").write_text(later.replace("7", "8"))
    (packed.folder / "aaa.jsonl").write_text(later.replace("7", "9"))
    assert packed.find("01")["mark"] == 8
    assert [record["mark"] for record in packed.records() if record["key"] == "01"] == [8]
    packed.pack()
    assert [name for name in files_of(packed) if name.endswith("jsonl")] == ["a_b.jsonl", "toy.jsonl"]
    assert packed.find("01")["mark"] == 8


@pytest.mark.parametrize("step", range(1, 9))
def test_packing_killed_at_any_step_loses_no_record(step, store, monkeypatch):
    for record in RECORDS:
        store.put(record)
    before = store.records()
    with monkeypatch.context() as patch, contextlib.suppress(Killed):
        kill_at(step, patch, suffixes=(".json", ".jsonl"))
        store.pack()
    assert store.records() == before


@pytest.mark.parametrize("line", ["{", "<<<<<<< HEAD", "[]", '{"schema": 99}', "\xff"])
def test_a_damaged_line_is_named_with_its_number_and_the_remedy(packed, line):
    path = packed.folder / "toy.jsonl"
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([lines[0], line.encode("latin-1"), *lines[1:]]))
    with pytest.warns(DamagedRecordWarning, match=r"toy\.jsonl, line 2: .*cmbench clean"):
        assert len(packed.records()) == len(RECORDS)
    with pytest.raises(StoreError, match=r"toy\.jsonl, line 2"):
        packed.pack()
    set_aside(packed)
    assert len(packed.records()) == len(RECORDS)
    assert path.read_bytes() == b"\n".join(lines)
    assert (packed.folder / "damaged" / "toy.jsonl").read_bytes() == line.encode("latin-1") + b"\n"


def test_a_line_that_ends_early_leaves_the_others_where_they_are(packed):
    path = packed.folder / "toy.jsonl"
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([lines[0].replace(b"toy", b"t\ry", 1), *lines[1:]]))
    assert b"\r" in path.read_bytes()
    ((_, aside),) = set_aside(packed)
    assert path.read_bytes() == b"\n".join(lines[1:])
    assert aside.read_bytes() == lines[0].replace(b"toy", b"t\ry", 1) + b"\n"
    assert packed.read().problems == []


def test_a_records_file_with_the_ends_of_lines_of_windows_is_read(packed):
    path = packed.folder / "toy.jsonl"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n") + b"\r\n")
    assert len(packed.records()) == len(RECORDS)


def test_a_fifo_as_a_records_file_is_named_and_not_waited_for(packed):
    os.mkfifo(packed.folder / "other.jsonl")
    with pytest.warns(DamagedRecordWarning, match=r"other\.jsonl: .*no plain file"):
        assert len(packed.records()) == len(RECORDS)


def test_a_half_written_records_file_holds_no_records(packed):
    (packed.folder / ".toy.4711.jsonl").write_text("{")
    assert len(packed.records()) == len(RECORDS)
