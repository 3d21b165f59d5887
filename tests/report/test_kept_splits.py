"""Figures of single test pairs show all methods on one split, though the store has several."""

import numpy as np
import pytest
from click.testing import CliRunner
from made_records import made_dataset, made_record

from cmbench.cli.main import cli
from cmbench.errors import ReportError
from cmbench.records import split_of
from cmbench.report.kept import Kept, on_one_split
from cmbench.report.settings import settings
from cmbench.store import Store

DATASET = made_dataset(class_names=["cat", "dog"])
FINISHED = {"cca": (1, 2, 3), "jrl": (2, 3), "cfa": (3, 2)}


def on_split(method, split, **changes):
    drawn = {"name": "toy", "fingerprint": DATASET["fingerprint"], "seed": split}
    name, fingerprint = f"toy split {split}", f"{split:064x}"
    dataset = {**DATASET, "name": name, "fingerprint": fingerprint, "split_of": drawn}
    return made_record(method, 0.25 * split, dataset=dataset, **changes)


def arrays(split):
    """The space of a split, in which the first coordinate tells which it is."""
    values = np.column_stack([np.full(8, split), np.arange(8.0)])
    held = {"labels": np.array([0, 0, 1, 1]), "component_rows": np.arange(4), "component_values": values}
    return held | {"component_share": np.array([0.6, 0.4])}


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path / "store")
    for method, splits in FINISHED.items():
        for split in splits:
            made.put(on_split(method, split), arrays(split))
    made.put({**on_split("jrl", 1), "status": "timeout"})
    return made


def kept(store):
    return [Kept(store, setting) for setting in settings(store.records())]


def test_all_methods_are_shown_on_the_first_split_that_all_have_finished(store):
    shown = on_one_split(kept(store))
    assert sorted(each.setting.method["name"] for each in shown) == sorted(FINISHED)
    for each in shown:
        assert [split_of(record) for record in each.setting.records] == [2]
        assert each.store.arrays(each.setting.finished[0])["component_values"][0, 0] == 2


def test_methods_without_a_split_in_common_are_refused_with_what_each_has(store):
    store.put(on_split("kcca", 1), arrays(1))
    with pytest.raises(
        ReportError,
        match=r"no split is finished for all.*JRL: 2, 3; KCCA: 1; CFA: 2, 3; CCA: 1, 2, 3.*--methods",
    ):
        on_one_split(kept(store))
    assert on_one_split([]) == []


def test_the_figure_of_the_space_says_which_split_it_shows(store, tmp_path):
    words = ["plot", "space", "--store", store.folder, "-o", tmp_path / "space.svg"]
    result = CliRunner().invoke(cli, [*map(str, words)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "toy, split 2" in (tmp_path / "space.svg").read_text()
