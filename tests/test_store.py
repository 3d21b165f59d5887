"""The store: pairs of files that appear together or not at all, merge by copying, and say what is wrong."""

import itertools
import json
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from killed_writers import Killed, kill_at
from made_records import made_error, made_record
from store_files import files_of

from cmbench.errors import DamagedRecordWarning, StoreError
from cmbench.schema import SCHEMA
from cmbench.store import Store, matching

AP = np.array([0.25, 0.5, 1.0])


def a_record(key="00aa", *, dataset="toy", method="cca", **fields):
    return made_record(method, key=key, dataset=dataset, **fields)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def test_what_was_put_is_found_with_its_arrays(store):
    record = a_record(mark={"image_to_text": 0.5})
    path = store.put(record, {"ap": AP})
    assert json.loads(path.read_text()) == store.find("00aa") == record
    assert store.records() == [record]
    np.testing.assert_array_equal(store.arrays(record)["ap"], AP)
    assert store.find("00ab") is None
    assert store.find("aa") is None


def test_a_store_that_is_not_there_is_empty_and_reading_does_not_make_it(store):
    assert (store.records(), store.paths(), store.find("00aa")) == ([], [], None)
    assert not store.folder.exists()


@pytest.mark.parametrize("new_arrays", [{"ap": AP * 0.5}, None])
@pytest.mark.parametrize("step", range(1, 9))
def test_a_writer_killed_at_any_step_leaves_the_earlier_or_the_new_pair(step, new_arrays, store, monkeypatch):
    old = a_record(durations={"total": 1.0})
    new = a_record(durations={"total": 2.0}, status="ok" if new_arrays else "failed")
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
    assert store.records() == [found]
    if found == old:
        np.testing.assert_array_equal(store.arrays(found)["ap"], AP)
    elif found == new and new_arrays:
        np.testing.assert_array_equal(store.arrays(found)["ap"], AP * 0.5)
    else:
        assert found == new
        with pytest.raises(StoreError):
            store.arrays(found)
    store.put(new, new_arrays)
    assert store.records() == [new]


def test_the_kills_of_the_test_before_fall_on_every_step(store, monkeypatch):
    store.put(a_record(), {"ap": AP})
    with monkeypatch.context() as patch:
        passed = kill_at(10**6, patch)
        store.put(a_record(durations={"total": 2.0}), {"ap": AP})
    assert 3 <= len(passed) < 8


def test_a_reader_finds_the_record_at_every_moment_while_it_is_replaced(store):
    """With the dataset's name changing too: the record then moves from one folder to another."""
    store.put(a_record(), {"ap": AP})
    done, problems, looked = threading.Event(), [], itertools.count()

    def look():
        while not done.is_set():
            next(looked)
            found, (listed,) = store.find("00aa"), store.records()
            if found is None or len(Store(store.folder).read_summaries().records) != 1:
                problems.append((found, listed))

    with ThreadPoolExecutor(2) as readers:
        looking = [readers.submit(look) for _ in range(2)]
        try:
            for number in range(150):
                store.put(a_record(dataset=("wiki", "toy")[number % 2], mark=number), {"ap": AP})
        finally:
            done.set()
        for reader in looking:
            reader.result()
    assert problems == []
    assert next(looked) > 50


def test_the_arrays_of_another_run_of_the_cell_are_never_taken_for_the_record_s_own(store):
    old, new = (a_record(durations={"total": seconds}) for seconds in (1.0, 2.0))
    store.put(old, {"ap": AP})
    store.put(new, {"ap": AP * 0.5})
    np.testing.assert_array_equal(store.arrays(new)["ap"], AP * 0.5)
    with pytest.raises(StoreError, match="cannot be read"):
        store.arrays(old)


def test_arrays_of_a_store_of_an_earlier_version_are_found(store):
    record = a_record()
    path = store.put(record, {"ap": AP})
    store.arrays_path(record).rename(path.with_suffix(".npz"))
    np.testing.assert_array_equal(store.arrays(record)["ap"], AP)
    store.put(record, {"ap": AP * 0.5})
    np.testing.assert_array_equal(store.arrays(record)["ap"], AP * 0.5)
    assert files_of(store) == ["cca-00aa.RESULT.npz", "cca-00aa.json"]


def test_a_record_that_cannot_be_written_leaves_the_earlier_one_in_place(store):
    old = a_record(mark=1)
    store.put(old, {"ap": AP})
    with pytest.raises(StoreError, match="JSON"):
        store.put(a_record(mark=float("nan")), {"ap": AP * 0})
    with pytest.raises(ValueError, match="allow_pickle"):
        store.put(a_record(mark=2), {"ap": np.array([object()])})
    assert store.records() == [old]
    np.testing.assert_array_equal(store.arrays(old)["ap"], AP)
    assert files_of(store) == ["cca-00aa.RESULT.npz", "cca-00aa.json"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_nan_and_infinity_are_never_written(store, value):
    with pytest.raises(StoreError, match="JSON"):
        store.put(a_record(mark={"image_to_text": value}))
    assert files_of(store) == []


def test_a_cell_that_now_fails_loses_the_arrays_of_its_earlier_success(store):
    store.put(a_record(), {"ap": AP})
    store.put(a_record(status="failed"))
    assert files_of(store) == ["cca-00aa.json"]


def test_a_cell_has_one_record_also_when_its_dataset_got_another_name(store):
    store.put(a_record(dataset="wiki"), {"ap": AP})
    store.put(a_record(dataset="wikipedia"), {"ap": AP})
    assert [record["dataset"]["name"] for record in store.records()] == ["wikipedia"]
    assert files_of(store) == ["cca-00aa.RESULT.npz", "cca-00aa.json"]


def test_two_keys_of_one_method_stand_side_by_side(store):
    store.put(a_record("00aa"))
    store.put(a_record("100aa"))
    assert [record["key"] for record in store.records()] == ["00aa", "100aa"]


def test_records_are_text_that_version_control_can_compare(store):
    path = store.put(a_record(mark={"b": 1, "a": {"d": 2, "c": 3}}, zebra="Größe →"))
    text = path.read_text(encoding="utf-8")
    assert "Größe →" in text
    assert text.endswith("}\n")
    assert len(text.splitlines()) > 10
    pairs = json.loads(text, object_pairs_hook=lambda items: [key for key, _ in items])
    assert pairs == sorted(pairs)
    store.put(dict(reversed(a_record(mark={"a": {"c": 3, "d": 2}, "b": 1}, zebra="Größe →").items())))
    assert path.read_text(encoding="utf-8") == text


def test_text_that_is_no_unicode_is_kept_and_the_file_is_valid_json(store):
    record = a_record(error=made_error(message="no such file: 'caf\udce9.npz'"))
    path = store.put(record)
    path.read_bytes().decode("utf-8")
    assert store.records() == [record]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b'{"schema": 1, "key": "00',
        b"\xff\xfe\x00",
        b"[]",
        b"null",
        b'{"schema": 99}',
        b"{}",
        b'{"a": ' * 100_000,
        b"NaN",
    ],
    ids=range(10),
)
def test_a_damaged_record_is_named_with_the_remedy(store, content):
    path = store.put(a_record())
    store.put(a_record("00ab"))
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"cca-00aa\.json: .*cmbench clean"):
        store.find("00aa")
    for listed in (store.records, store.summaries):
        with pytest.warns(DamagedRecordWarning, match=r"cca-00aa\.json: .*cmbench clean"):
            assert [record["key"] for record in listed()] == ["00ab"]


def test_a_record_of_another_schema_says_which(store):
    store.put({**a_record(), "schema": 7})
    with pytest.raises(StoreError, match=f"has schema 7, and this cmbench reads {SCHEMA}: a newer cmbench"):
        store.find("00aa")


@pytest.mark.parametrize("damage", ["missing", "empty", "half", "text", "pickle"])
def test_damaged_arrays_are_named_with_the_remedy(store, damage, tmp_path):
    record = a_record()
    store.put(record, {"ap": np.arange(1000.0)})
    arrays = store.arrays_path(record)
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
    with pytest.raises(StoreError, match=r"cca-00aa\.\w+\.npz: cannot be read .*--force"):
        store.arrays(record)


def test_copying_the_files_of_two_stores_together_merges_them(tmp_path):
    one, other = Store(tmp_path / "one"), Store(tmp_path / "other")
    one.put(a_record("01", mark=1), {"ap": AP})
    one.put(a_record("02", dataset="scenes", mark=2), {"ap": AP * 2})
    other.put(a_record("03", mark=3), {"ap": AP * 3})
    other.put(a_record("01", mark=1), {"ap": AP})
    shutil.copytree(other.folder, one.folder, dirs_exist_ok=True)
    assert [record["mark"] for record in one.records()] == [2, 1, 3]
    for record in one.records():
        np.testing.assert_array_equal(one.arrays(record)["ap"], AP * record["mark"])


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
    store.put(a_record("01", dataset="a/b", mark=1))
    store.put(a_record("02", dataset="a b", mark=2))
    assert [record["mark"] for record in store.records()] == [1, 2]


def test_a_half_written_file_is_not_a_record(store):
    path = store.put(a_record())
    path.with_name(".cca-00ab.4711.json").write_text("{")
    assert len(store.records()) == 1


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
