"""A merge that is killed wherever it is: what it brought is whole, and the next merge brings the rest."""

import shutil

import numpy as np
import pytest
from made_records import made_record

from cmbench.merging import merge_into
from cmbench.store import Store

NAMES = ("logs/toy/mine.log", "sources/abc/mine.py")


@pytest.fixture
def stores(tmp_path):
    """A store with nothing, and one with a record, its log and the code of its plugin."""
    here, there = Store(tmp_path / "here"), Store(tmp_path / "there")
    record = made_record("mine", 0.5, log=NAMES[0])
    record["method"]["source"] = "sources/abc"
    there.put(record, {"ap_image_to_text": np.full(10, 0.5)})
    for name in NAMES:
        (there.folder / name).parent.mkdir(parents=True)
        (there.folder / name).write_text(name)
    return here, there


def texts(store):
    return [(store.folder / name).read_text() if (store.folder / name).exists() else "" for name in NAMES]


@pytest.mark.parametrize(("place", "killed_in"), [(shutil, "copyfile"), (shutil, "copytree"), (Store, "put")])
def test_a_record_is_there_only_with_its_log_and_code(stores, monkeypatch, place, killed_in):
    here, there = stores

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(place, killed_in, killed)
        with pytest.raises(KeyboardInterrupt):
            merge_into(there, here)
    assert here.records() == []
    merge_into(there, here)
    assert texts(here) == [*NAMES]


def test_what_an_earlier_merge_left_behind_is_brought_by_the_next(stores):
    here, there = stores
    merge_into(there, here)
    shutil.rmtree(here.folder / "sources")
    shutil.rmtree(here.folder / "logs")
    assert merge_into(there, here).count("equal") == 1
    assert texts(here) == [*NAMES]


def test_a_log_that_is_there_stays_where_the_records_are_equal(stores):
    here, there = stores
    merge_into(there, here)
    (here.folder / NAMES[0]).write_text("of here")
    merge_into(there, here)
    assert texts(here) == ["of here", NAMES[1]]
