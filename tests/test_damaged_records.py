"""Records that cannot be read: each is named with its path and what is wrong, and hides no other."""

import json
import os
import shutil
import warnings

import numpy as np
import pytest
from click.testing import CliRunner
from made_records import failed_record, made_record

from cmbench.cleaning import set_aside
from cmbench.cli.main import cli
from cmbench.errors import DamagedRecordWarning, StoreError
from cmbench.evaluation.protocol import BIMODAL_TASKS
from cmbench.merging import merge_into
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
    (("measures",), None, "measures is None; it must be an object"),
    (("category_map",), {"image_to_text": 0.5}, "category_map is .* an object of lists of numbers"),
    (("configuration",), None, "configuration is None; it must be an object"),
    (("provenance", "git"), {"commit": "abc"}, "provenance.git is .* an object with commit and dirty"),
    (("error",), {"type": "Error"}, "error is .* an object with type, message and traceback"),
    (("key",), "00ac", "its name does not end in its key 00ac"),
    (("key",), "../00aa", "key is '../00aa'; it must be a text of hexadecimal digits"),
    (("dataset", "fingerprint"), "../x", "dataset.fingerprint is '../x'; it must be a text of hexadecimal"),
    (("log",), "../precious.txt", "log is .* it must be a path below the folder logs of the store"),
    (("log",), "logs/../../precious.txt", "log is"),
    (("log",), "/etc/passwd", "log is"),
    (("log",), "cells/toy/cfa-00ab.json", "log is"),
    (("log",), "logs", "log is"),
    (("method", "source"), "../zz", "method.source is .* below the folder sources of the store, or null"),
    (("method", "source"), "sources\\..\\..\\zz", "method.source is"),
    (("durations", "total"), 10**309, "it holds a number of 310 digits; 308 are the most"),
    (("method", "parameters"), {"size": 10**400}, "it holds a number of 401 digits"),
    (("peak_memory_bytes",), 10**400, "it holds a number of 401 digits"),
    (("method", "tuning"), {"profile": "p", "trials": 3, "earlier": 5}, "method.tuning is .* earlier ones"),
    (("method", "tuning"), {"profile": "p", "trials": 3, "earlier": [5]}, "method.tuning is"),
    (("method", "tuning"), {"profile": "p", "trials": 3, "failed": "q"}, "method.tuning is"),
    (("method", "tuning"), {"profile": "p", "trials": 3, "like": 5}, "method.tuning is"),
    (("map",), dict.fromkeys([*BIMODAL_TASKS, "bimodal_average"], 0.5), "map has no image_to_all"),
    (("category_map",), {"image_to_text": [0.5, None]}, "category_map has no text_to_image"),
    (("category_map", "image_to_text"), [0.5], "category_map has not one number for each of the 2"),
    (("gallery",), {"image_to_text": 10}, "gallery has no text_to_image"),
    (("queries",), {"a": 1}, "queries is {'a': 1}; it must have the tasks image_to_text, text_to_image"),
]


@pytest.mark.parametrize(("names", "to", "reason"), WRONG)
def test_a_record_of_wrong_content_is_named_with_what_is_wrong(store, names, to, reason):
    path = store.put(a_record())
    path.write_text(json.dumps(changed(*names, to=to)))
    with pytest.warns(DamagedRecordWarning, match=rf"cca-00aa\.json: .*{reason}"):
        assert store.records() == []
    with pytest.raises(StoreError, match=reason):
        store.find("00aa")


def test_a_number_that_no_float_holds_is_named(store):
    path = store.put(a_record())
    path.write_text(path.read_text().replace('"fitted": {}', '"fitted": {"loss_": 1e999}'))
    with pytest.warns(DamagedRecordWarning, match=r"it holds '1e999', which is larger than any number here"):
        assert store.records() == []


@pytest.mark.parametrize("where", ["../precious.txt", "{outside}/precious.txt"])
def test_neither_cleaning_nor_merging_touches_files_outside_a_store(store, tmp_path, where):
    precious = tmp_path / "precious.txt"
    precious.write_text("mine")
    path = store.put(failed_record("cca", key="00aa"))
    path.write_text(json.dumps(failed_record("cca", key="00aa", log=where.format(outside=tmp_path))))
    (tmp_path / "other" / "store").mkdir(parents=True)
    (tmp_path / "other" / "precious.txt").write_text("theirs")
    shutil.copytree(store.folder, tmp_path / "other" / "store", dirs_exist_ok=True)
    merge_into(Store(tmp_path / "other" / "store"), Store(tmp_path / "new"))
    assert precious.read_text() == "mine"
    done = CliRunner().invoke(cli, ["clean", "--yes", "--store", str(store.folder)])
    assert done.exit_code == 0
    assert precious.read_text() == "mine"


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


@pytest.mark.parametrize("values", [np.ones(50), np.array(["a"] * 10), np.ones((10, 2))])
def test_arrays_that_do_not_fit_their_record_are_named_and_leave_a_table_untested(store, values):
    fitting = {f"ap_{task}": np.linspace(0, 1, 10) for task in BIMODAL_TASKS}
    for method, changes in (("cca", {"ap_image_to_text": values}), ("cfa", {})):
        store.put(made_record(method), {**fitting, **changes})
    with pytest.raises(
        StoreError, match=r"npz: cannot be read \(ap_image_to_text is .* each of the 10 queries"
    ):
        store.arrays(store.records()[0])
    text = render(store.records(), arrays=store.arrays)
    assert "was not tested (" in text
    assert "npz: cannot be read (ap_image_to_text is " in text
    assert "are stored" not in text


def test_a_fifo_in_the_place_of_arrays_is_named_and_not_waited_for(store):
    record = a_record()
    path = store.put(record).with_suffix(".npz")
    os.mkfifo(path)
    with pytest.raises(StoreError, match=r"npz: cannot be read \(it is no plain file\)"):
        store.arrays(record)


def test_a_store_that_cannot_be_cleaned_is_named(store):
    path = store.put(a_record())
    path.write_text("{")
    (store.folder / "damaged").write_text("a file")
    done = CliRunner().invoke(cli, ["clean", "--yes", "--store", str(store.folder)])
    assert isinstance(done.exception, StoreError)
    assert "damaged" in str(done.exception)
    assert "cannot be written" in str(done.exception)


def test_what_cannot_be_read_is_moved_aside_and_nothing_else(store):
    bad, good = store.put(a_record()), store.put(a_record("00ab"))
    for content in ("{", "[]"):
        bad.write_text(content)
        ((source, aside),) = set_aside(store)
        assert source == bad
        assert aside.read_text() == content
    assert store.read().problems == []
    assert store.paths() == [good]
    assert len(list((store.folder / "damaged").rglob("*.json*"))) == 2
