"""The store: pairs of files that appear together or not at all, merge by copying, and say what is wrong."""

import contextlib
import itertools
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from cmbench.errors import StoreError
from cmbench.store import SCHEMA, Store, matching, read_record

AP = np.array([0.25, 0.5, 1.0])


def a_record(key="00aa", *, dataset="toy", method="cca", **fields):
    return {
        "schema": SCHEMA,
        "key": key,
        "status": "ok",
        "dataset": {"name": dataset},
        "method": {"name": method},
        **fields,
    }


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def files_of(store):
    return sorted(path.name for path in store.folder.rglob("*") if path.is_file())


def test_what_was_put_is_found_with_its_arrays(store):
    record = a_record(map={"image_to_text": 0.5})
    path = store.put(record, {"ap": AP})
    assert read_record(path) == store.find("00aa") == record
    assert store.records() == [record]
    np.testing.assert_array_equal(store.arrays(record)["ap"], AP)
    assert store.find("00ab") is None
    assert store.find("aa") is None


def test_a_store_that_is_not_there_is_empty_and_reading_does_not_make_it(store):
    assert (store.records(), store.paths(), store.find("00aa")) == ([], [], None)
    assert not store.folder.exists()


class Killed(BaseException):
    """Stands for a kill: nothing may catch it but what runs whatever happens."""


def kill_at(step, monkeypatch, suffixes=(".json", ".npz")):
    """Let the file system end the writer at its ``step``-th change of names; return how many there were."""
    steps = itertools.count(1)
    passed = []

    def dying(original):
        def change(*arguments, **options):
            if Path(arguments[0]).suffix not in suffixes:
                return original(*arguments, **options)
            passed.append(next(steps))
            if passed[-1] >= step:
                raise Killed
            return original(*arguments, **options)

        return change

    for name in ("replace", "rename", "unlink"):  # pathlib goes through these
        monkeypatch.setattr(os, name, dying(getattr(os, name)))
    return passed


@pytest.mark.parametrize("new_arrays", [{"ap": AP * 0.5}, None])
@pytest.mark.parametrize("step", range(1, 9))
def test_a_writer_killed_at_any_step_leaves_no_record_or_a_matching_pair(
    step, new_arrays, store, monkeypatch
):
    old, new = a_record(map=1), a_record(map=2, status="ok" if new_arrays else "failed")
    store.put(old, {"ap": AP})
    with monkeypatch.context() as patch:
        passed = kill_at(step, patch)
        try:
            store.put(new, new_arrays)
        except Killed:
            pass
        else:
            assert len(passed) < step, "the kill came, but nothing was raised"
    found = store.find("00aa")
    assert store.records() == ([] if found is None else [found])
    if found == old:
        np.testing.assert_array_equal(store.arrays(found)["ap"], AP)
    elif found == new and new_arrays:
        np.testing.assert_array_equal(store.arrays(found)["ap"], AP * 0.5)
    elif found == new:
        with pytest.raises(StoreError):
            store.arrays(found)
    else:
        assert found is None
    store.put(new, new_arrays)
    assert store.records() == [new]


def test_the_kills_of_the_test_before_fall_on_every_step(store, monkeypatch):
    store.put(a_record(), {"ap": AP})
    with monkeypatch.context() as patch:
        passed = kill_at(10**6, patch)
        store.put(a_record(map=2), {"ap": AP})
    assert 4 <= len(passed) < 8


def test_a_record_that_cannot_be_written_leaves_the_earlier_one_in_place(store):
    old = a_record(map=1)
    store.put(old, {"ap": AP})
    with pytest.raises(ValueError, match="JSON"):
        store.put(a_record(map=float("nan")), {"ap": AP * 0})
    with pytest.raises(ValueError, match="allow_pickle"):
        store.put(a_record(map=2), {"ap": np.array([object()])})
    assert store.records() == [old]
    np.testing.assert_array_equal(store.arrays(old)["ap"], AP)
    assert files_of(store) == ["cca-00aa.json", "cca-00aa.npz"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_nan_and_infinity_are_never_written(store, value):
    with pytest.raises(ValueError, match="JSON"):
        store.put(a_record(map={"image_to_text": value}))
    assert files_of(store) == []


def test_a_cell_that_now_fails_loses_the_arrays_of_its_earlier_success(store):
    store.put(a_record(), {"ap": AP})
    store.put(a_record(status="failed"))
    assert files_of(store) == ["cca-00aa.json"]


def test_a_cell_has_one_record_also_when_its_dataset_got_another_name(store):
    store.put(a_record(dataset="wiki"), {"ap": AP})
    store.put(a_record(dataset="wikipedia"), {"ap": AP})
    assert [record["dataset"]["name"] for record in store.records()] == ["wikipedia"]
    assert files_of(store) == ["cca-00aa.json", "cca-00aa.npz"]


def test_two_keys_of_one_method_stand_side_by_side(store):
    store.put(a_record("00aa"))
    store.put(a_record("100aa"))
    assert [record["key"] for record in store.records()] == ["00aa", "100aa"]


def test_records_are_text_that_version_control_can_compare(store):
    path = store.put(a_record(map={"b": 1, "a": {"d": 2, "c": 3}}, zebra="Größe →"))
    text = path.read_text(encoding="utf-8")
    assert "Größe →" in text
    assert text.endswith("}\n")
    assert len(text.splitlines()) > 10
    pairs = json.loads(text, object_pairs_hook=lambda items: [key for key, _ in items])
    assert pairs == sorted(pairs)
    store.put(dict(reversed(a_record(map={"a": {"c": 3, "d": 2}, "b": 1}, zebra="Größe →").items())))
    assert path.read_text(encoding="utf-8") == text


def test_text_that_is_no_unicode_is_kept_and_the_file_is_valid_json(store):
    record = a_record(error={"message": "no such file: 'caf\udce9.npz'"})
    path = store.put(record)
    path.read_bytes().decode("utf-8")
    assert store.records() == [record]


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b'{"schema": 1, "key": "00', b"\xff\xfe\x00", b"[]", b"null", b'{"schema": 99}', b"{}"],
)
def test_a_damaged_record_is_named_with_the_remedy(store, content):
    path = store.put(a_record())
    path.write_bytes(content)
    for read in (store.records, lambda: store.find("00aa"), lambda: read_record(path)):
        with pytest.raises(StoreError, match=r"cca-00aa\.json: .*(restore|delete)"):
            read()


def test_a_record_of_another_schema_says_which(store):
    path = store.put({**a_record(), "schema": 7})
    with pytest.raises(StoreError, match=f"has schema 7, this cmbench reads {SCHEMA}"):
        read_record(path)


@pytest.mark.parametrize("damage", ["missing", "empty", "half", "text", "pickle"])
def test_damaged_arrays_are_named_with_the_remedy(store, damage, tmp_path):
    record = a_record()
    arrays = store.put(record, {"ap": np.arange(1000.0)}).with_suffix(".npz")
    whole = arrays.read_bytes()
    np.save(tmp_path / "pickle.npy", np.array([{}], dtype=object), allow_pickle=True)
    contents = {
        "empty": b"",
        "half": whole[: len(whole) // 2],
        "text": b"no archive at all",
        "pickle": (tmp_path / "pickle.npy").read_bytes(),
    }
    arrays.unlink()
    if damage in contents:
        arrays.write_bytes(contents[damage])
    with pytest.raises(StoreError, match=r"cca-00aa\.npz: cannot be read .*--force"):
        store.arrays(record)


def test_copying_the_files_of_two_stores_together_merges_them(tmp_path):
    one, other = Store(tmp_path / "one"), Store(tmp_path / "other")
    one.put(a_record("01", map=1), {"ap": AP})
    one.put(a_record("02", dataset="scenes", map=2), {"ap": AP * 2})
    other.put(a_record("03", map=3), {"ap": AP * 3})
    other.put(a_record("01", map=1), {"ap": AP})
    shutil.copytree(other.folder, one.folder, dirs_exist_ok=True)
    assert [record["map"] for record in one.records()] == [2, 1, 3]
    for record in one.records():
        np.testing.assert_array_equal(one.arrays(record)["ap"], AP * record["map"])


def test_the_order_of_records_does_not_depend_on_when_they_were_put(tmp_path):
    records = [
        a_record(f"0{i}", dataset=name, method=m) for i, (name, m) in enumerate(("ax", "bx", "ay", "by"))
    ]
    forward, backward = Store(tmp_path / "forward"), Store(tmp_path / "backward")
    for record in records:
        forward.put(record)
    for record in reversed(records):
        backward.put(record)
    assert forward.records() == backward.records()
    assert [(r["dataset"]["name"], r["method"]["name"]) for r in forward.records()] == [
        ("a", "x"),
        ("a", "y"),
        ("b", "x"),
        ("b", "y"),
    ]


ODD = [
    "a/b",
    "../../etc/passwd",
    "..",
    ".hidden",
    "two words",
    "Größe 図",
    "a\\b",
    "x" * 300,
    "図" * 300,
    "",
    "\udce9",
]


@pytest.mark.parametrize("name", ODD)
def test_odd_names_stay_within_the_store_and_keep_their_spelling(store, name):
    record = a_record(dataset=name, method=name)
    path = store.put(record, {"ap": AP})
    log = store.log_path(name, name, "00aa")
    log.write_text("it works")
    assert path.resolve().is_relative_to(store.folder.resolve() / "cells")
    assert log.resolve().is_relative_to(store.folder.resolve() / "logs")
    assert not any(part.startswith(".") for part in path.relative_to(store.folder).parts)
    assert store.records() == [record] == [store.find("00aa")]
    np.testing.assert_array_equal(store.arrays(record)["ap"], AP)
    assert store.relative(log) == log.relative_to(store.folder).as_posix()


def test_names_that_give_one_file_name_do_not_overwrite_each_other(store):
    store.put(a_record("01", dataset="a/b", map=1))
    store.put(a_record("02", dataset="a b", map=2))
    assert [record["map"] for record in store.records()] == [1, 2]


def test_a_half_written_file_is_not_a_record(store):
    path = store.put(a_record())
    path.with_name(".cca-00ab.4711.json").write_text("{")
    assert len(store.records()) == 1


RECORDS = [
    a_record("01", map=1),
    a_record("02", dataset="a/b", map=2),
    a_record("03", method="cfa", map=3, zebra="Größe →"),
    a_record("04", method="cca", error={"message": "one\u2028two\x85three\nfour 'caf\udce9'"}),
    a_record("101", map=5),
]


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
    assert files_of(store)[:2] == ["a_b.jsonl", "cca-01.npz"]
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
    packed.put(a_record("01", map=10), {"ap": AP * 10})
    assert packed.find("01")["map"] == 10
    assert [record["map"] for record in packed.records() if record["key"] == "01"] == [10]
    assert len(packed.records()) == len(RECORDS)
    packed.pack()
    assert packed.find("01")["map"] == 10
    assert len(packed.records()) == len(RECORDS)
    assert (packed.folder / "toy.jsonl").read_text().count('"key": "01"') == 1


def test_a_cell_of_a_records_file_that_now_fails_loses_its_arrays(packed):
    packed.put(a_record("01", status="failed"))
    assert "cca-01.npz" not in files_of(packed)
    assert packed.find("01")["status"] == "failed"


def test_of_two_lines_about_a_cell_the_last_counts_in_the_order_of_file_names(packed):
    later = json.dumps(a_record("01", map=7)) + "\n"
    (packed.folder / "toy.jsonl").open("a").write(later)
    assert packed.find("01")["map"] == 7
    (packed.folder / "zoo.jsonl").write_text(later.replace("7", "8"))
    (packed.folder / "aaa.jsonl").write_text(later.replace("7", "9"))
    assert packed.find("01")["map"] == 8
    assert [record["map"] for record in packed.records() if record["key"] == "01"] == [8]
    packed.pack()
    assert [name for name in files_of(packed) if name.endswith("jsonl")] == ["a_b.jsonl", "toy.jsonl"]
    assert packed.find("01")["map"] == 8


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
    with pytest.raises(StoreError, match=r"toy\.jsonl(, line 2)?: .*(restore|delete)"):
        packed.records()


def test_a_half_written_records_file_holds_no_records(packed):
    (packed.folder / ".toy.4711.jsonl").write_text("{")
    assert len(packed.records()) == len(RECORDS)


def test_cells_are_matched_by_method_by_dataset_and_method_and_by_key():
    records = [a_record("0123"), a_record("0145", method="cfa"), a_record("89ab", dataset="scenes")]

    def keys(text):
        return [record["key"] for record in matching(records, text)]

    assert keys("cca") == ["0123", "89ab"]
    assert keys("scenes/cca") == ["89ab"]
    assert keys("01") == ["0123", "0145"]
    assert keys("0145") == ["0145"]
    assert keys("123") == []
    assert keys("scenes") == []


def test_a_method_whose_name_is_also_the_start_of_a_key_is_the_method():
    records = [a_record("0123", method="cca"), a_record("cca9", method="kcca")]
    assert [record["key"] for record in matching(records, "cca")] == ["0123"]
    assert [record["key"] for record in matching(records, "cca9")] == ["cca9"]


def test_a_folder_that_cannot_be_written_is_an_error_with_the_remedy(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match=r"cannot be written .*choose another place"):
        Store(tmp_path / "file").put(a_record())
