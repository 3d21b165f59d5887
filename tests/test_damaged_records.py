"""Records that cannot be read: each is named with its path and what is wrong, and hides no other."""

import json
import os
import shutil

import pytest
from made_records import made_record

from cmbench.errors import DamagedRecordWarning, StoreError
from cmbench.store import Store


def a_record(key="00aa"):
    return made_record("cca", key=key)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def changed(*names, to):
    """Return a record in which the field of that name, or within a field, is something else."""
    record = a_record()
    held = record
    for name in names[:-1]:
        held = held[name]
    held[names[-1]] = to
    return record


WRONG = [
    (("map",), None, "map is null though the cell is ok"),
    (("map", "image_to_text"), None, "map is .* it must be an object of numbers from 0 to 1"),
    (("map", "image_to_text"), 1.5, "map is"),
    (("map",), [0.5], "map is"),
    (("status",), "done", "status is 'done'; it must be one of ok, failed"),
    (("dataset",), "toy", "dataset is 'toy'; it must be an object"),
    (("dataset", "fingerprint"), 7, "dataset.fingerprint is 7; it must be a text"),
    (("method", "parameters"), [], "method.parameters is"),
    (("seed",), "0", "seed is '0'; it must be a whole number or null"),
    (("seed",), True, "seed is True"),
    (("durations",), {"total": "long"}, "durations is"),
    (("key",), "00ac", "its name does not end in its key 00ac"),
]


@pytest.mark.parametrize(("names", "to", "reason"), WRONG)
def test_a_record_of_wrong_content_is_named_with_what_is_wrong(store, names, to, reason):
    path = store.put(a_record())
    path.write_text(json.dumps(changed(*names, to=to)))
    with pytest.warns(DamagedRecordWarning, match=rf"cca-00aa\.json: .*{reason}"):
        assert store.records() == []
    with pytest.raises(StoreError, match=reason):
        store.find("00aa")


@pytest.mark.parametrize("name", ["status", "map", "method", "protocol", "error"])
def test_a_record_without_a_field_is_named_with_the_field(store, name):
    path = store.put(a_record())
    record = a_record()
    del record[name]
    path.write_text(json.dumps(record))
    with pytest.warns(DamagedRecordWarning, match=f"{name} is missing"):
        assert store.records() == []


def test_a_copy_of_a_record_beside_it_is_left_out_and_named(store):
    path = store.put(a_record())
    shutil.copy(path, path.with_name("cca-00aa_bak.json"))
    with pytest.warns(DamagedRecordWarning, match=r"cca-00aa_bak\.json: .*as if it were a copy"):
        assert store.records() == [a_record()]


def test_a_fifo_among_the_records_is_named_and_not_waited_for(store):
    path = store.put(a_record())
    os.mkfifo(path.with_name("cca-00ab.json"))
    with pytest.warns(DamagedRecordWarning, match=r"cca-00ab\.json: .*no plain file"):
        assert store.records() == [a_record()]


def test_what_cannot_be_read_is_moved_aside_and_nothing_else(store):
    bad, good = store.put(a_record()), store.put(a_record("00ab"))
    for content in ("{", "[]"):
        bad.write_text(content)
        ((source, aside),) = store.set_aside()
        assert source == bad
        assert aside.read_text() == content
    assert store.read().problems == []
    assert store.paths() == [good]
    assert len(list((store.folder / "damaged").rglob("*.json*"))) == 2
