"""Records that cannot be read: each is named with its path and what is wrong, and hides no other."""

import json
import os
import shutil
import warnings

import pytest
from click.testing import CliRunner
from made_records import made_record

from cmbench.cli.main import cli
from cmbench.errors import DamagedRecordWarning, StoreError
from cmbench.report.description import described
from cmbench.report.table import render
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
    (("durations",), None, "durations is None; it must be an object of numbers"),
    (("dataset", "class_names"), "cat", "dataset.class_names is 'cat'; it must be a list of texts"),
    (("dataset", "sizes"), {"train": 80, "test": 10}, "dataset.sizes.validation is missing"),
    (("dataset", "warnings"), None, "dataset.warnings is None; it must be a list of texts"),
    (("method", "tuning"), {"trials": 3}, "method.tuning is .* with profile, trials"),
    (("method", "tuning"), {"profile": "mine", "trials": 3, "budget": None}, "method.tuning is"),
    (("method", "defaults"), {"size": 3}, "method.parameters has no 'size', of which method.defaults has"),
    (("protocol", "keep_query"), "no", "protocol.keep_query is 'no'; it must be true or false"),
    (("chance",), {"map": {"image_to_text": None}}, "chance is"),
    (("category_map",), {"image_to_text": 0.5}, "category_map is .* an object of lists of numbers"),
    (("configuration",), None, "configuration is None; it must be an object"),
    (("provenance", "git"), {"commit": "abc"}, "provenance.git is .* an object with commit and dirty"),
    (("error",), {"type": "Error"}, "error is .* an object with type, message and traceback"),
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


REQUIRED = ["status", "map", "method", "protocol", "error", "threads"]
REQUIRED += ["dataset.class_names", "dataset.image_dimension", "method.family", "protocol.ties"]


@pytest.mark.parametrize("name", REQUIRED)
def test_a_record_without_a_field_is_named_with_the_field(store, name):
    path = store.put(a_record())
    record = a_record()
    *outer, field = name.split(".")
    held = record[outer[0]] if outer else record
    del held[field]
    path.write_text(json.dumps(record))
    with pytest.warns(DamagedRecordWarning, match=f"{name} is missing"):
        assert store.records() == []


def test_what_an_earlier_version_did_not_record_is_not_missed(store):
    record = a_record()
    for name in ("configuration", "chance", "dimension", "fence", "weights"):
        del record[name]
    for name in ("defaults", "practical", "preset"):
        del record["method"][name]
    for name in ("warnings", "notes"):
        del record["dataset"][name]
    store.put(record)
    assert store.records() == [record]
    assert "CCA  (ok)" in described([record])
    assert "CCA" in render([record])


@pytest.mark.parametrize("verb", ["table", "show", "plan"])
def test_a_verb_names_a_record_that_it_could_not_use(store, verb):
    path = store.put(a_record())
    store.put(made_record("cfa", key="00ab"))
    record = a_record()
    record["durations"] = None
    path.write_text(json.dumps(record))
    name = ["cfa"] if verb == "show" else ["--methods", "cfa"]
    with warnings.catch_warnings(record=True) as told:
        done = CliRunner().invoke(cli, [verb, *name, "--store", str(store.folder)], catch_exceptions=False)
    assert done.exit_code == 0
    damaged = [str(each.message) for each in told if each.category is DamagedRecordWarning]
    assert damaged == ([] if verb == "plan" else [str(store.read().problems[0])])


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
