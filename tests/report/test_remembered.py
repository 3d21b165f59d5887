"""Verdicts of tests that a store remembers: the same marks without reading arrays, as long as these stay."""

import json

import numpy as np
import pytest
from made_records import TASKS, made_record

from cmbench.report import remembered, significance
from cmbench.report.layout import COLUMNS
from cmbench.report.remembered import Remembering
from cmbench.report.settings import settings
from cmbench.report.significance import best_groups
from cmbench.store import Store

SEEDS, PAIRS = 3, 60


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A store of three settings of three seeds each, which is worth remembering."""
    monkeypatch.setattr(remembered, "_WORTH_REMEMBERING", 8)
    random, store = np.random.default_rng(0), Store(tmp_path)
    for number, method in enumerate(("cca", "cfa", "kcca")):
        for seed in range(SEEDS):
            key = f"{number}{seed}".rjust(16, "0")
            record = made_record(method, 0.5, seed=seed, key=key, queries=dict.fromkeys(TASKS, PAIRS))
            store.put(record, {**values(random, 0.2 * (number > 1)), "curve_loss": np.zeros(3)})
    return store


def values(random, less):
    return {f"ap_{task}": np.clip(random.uniform(0.4, 0.6, PAIRS) - less, 0, 1) for task in TASKS}


def marks(store):
    """Return the standing of every column, as a process finds it that has read nothing yet."""
    return best_groups(settings(store.records()), COLUMNS, Remembering(Store(store.folder)))


@pytest.fixture
def tests(monkeypatch):
    """A list that grows with each test that is made."""
    made, compare = [], significance.compare_all
    monkeypatch.setattr(significance, "compare_all", lambda held: made.append(len(held)) or compare(held))
    return made


def test_a_second_table_of_the_same_arrays_has_the_same_marks_without_a_test(store, tests):
    expected = best_groups(settings(store.records()), COLUMNS, store.arrays)
    marked = zip(settings(store.records()), expected[COLUMNS[0].key].marks, strict=True)
    assert {row.label: mark.best for row, mark in marked} == {"CCA": True, "CFA": True, "KCCA": False}
    tests.clear()
    assert marks(store) == expected
    assert tests == [3] * len(COLUMNS)
    assert marks(store) == expected
    assert len(tests) == len(COLUMNS)


def test_other_arrays_or_other_rows_are_tested_anew(store, tests):
    marks(store)
    record = store.records()[-1]
    store.put(record, values(np.random.default_rng(1), 0))
    changed = marks(store)
    assert len(tests) == 2 * len(COLUMNS)
    assert changed == best_groups(settings(store.records()), COLUMNS, store.arrays)
    store.remove(record)
    marks(store)
    assert len(tests) == 4 * len(COLUMNS)


def test_arrays_that_are_gone_are_missed_whatever_is_remembered(store):
    marks(store)
    store.arrays_path(store.records()[0]).unlink()
    assert marks(store)[COLUMNS[0].key].untested == "no values per query are stored of CCA"


@pytest.mark.parametrize("content", ["", "[]", '{"a": 1}', "\x00"])
def test_what_cannot_be_read_is_found_again(store, tests, content):
    expected = marks(store)
    place = store.folder / ".work" / "verdicts.json"
    place.write_text(content)
    assert marks(store) == expected
    assert len(json.loads(place.read_text())) == len(COLUMNS)


def test_a_few_runs_leave_nothing_behind(store, monkeypatch):
    monkeypatch.setattr(remembered, "_WORTH_REMEMBERING", 9)
    marks(store)
    assert not (store.folder / ".work").exists()
