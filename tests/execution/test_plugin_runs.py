"""Cells of plugins of several files: run again when their code changes, and only then."""

from dataclasses import replace

import pytest

import cmbench
from cmbench.datasets.draft import Card
from cmbench.report.cells import stored_records
from cmbench.report.table import render
from cmbench.store import Store

PLUGIN = """
from cmbench.methods.contract import Method
from helper import columns

class Mine(Method):
    def fit(self, train, validation):
        from lib.late import name
        import sys
        self.name_, self.folder_on_path_ = name, any(entry.endswith({folder!r}) for entry in sys.path)
        return self
    def transform_images(self, images):
        return images[:, :columns]
    def transform_texts(self, texts):
        return texts[:, :columns]
"""


@pytest.fixture
def place(toy, tmp_path):
    """Return a function that runs the plugin and gives (its finished cell, how many cells the store has)."""
    folder = tmp_path / "plugins"
    (folder / "lib").mkdir(parents=True)
    (folder / "mine.py").write_text(PLUGIN.format(folder="plugins"))
    (folder / "helper.py").write_text("columns = 2\n")
    (folder / "lib" / "late.py").write_text("name = 'late'\n")
    (folder / "unrelated.py").write_text("# nothing\n")

    def run(dataset=toy, **options):
        options = {"threads": 1, "memory": "none", "deadline": "120s", "store": tmp_path / "store"} | options
        frame = cmbench.run(dataset, "mine", plugins=[folder / "mine.py"], **options)
        store = Store(tmp_path / "store")
        return store.find(frame["key"][0]), len(store.records())

    run.folder, run.store = folder, Store(tmp_path / "store")
    return run


def test_an_edit_of_what_a_plugin_loads_runs_its_cells_again_and_another_does_not(place):
    first, count = place()
    assert (first["status"], count) == ("ok", 1), first["error"]
    assert first["fitted"] == {"name_": "late", "folder_on_path_": True}
    (place.folder / "unrelated.py").write_text("# something else\n")
    assert place() == (first, 1)
    (place.folder / "helper.py").write_text("columns = 3\n")
    second, count = place()
    assert (second["status"], count) == ("ok", 2)
    assert second["map"] != first["map"]
    (place.folder / "lib" / "late.py").write_text("name = 'else'\n")
    third, count = place()
    assert (third["fitted"]["name_"], count) == ("else", 3)
    for record, columns in ((first, 2), (second, 3)):
        kept = place.store.folder / record["method"]["source"]
        names = sorted(path.relative_to(kept).as_posix() for path in kept.rglob("*.py"))
        assert names == ["helper.py", "lib/late.py", "mine.py"]
        assert (kept / "helper.py").read_text() == f"columns = {columns}\n"


def test_code_that_was_changed_back_is_not_run_again_and_is_the_newest(place):
    first, _ = place()
    (place.folder / "helper.py").write_text("columns = 3\n")
    place()
    (place.folder / "helper.py").write_text("columns = 2\n")
    assert place() == (first, 2)
    with pytest.warns(UserWarning, match="all-versions"):
        (shown,) = stored_records(place.store.folder)
    assert shown["key"] == first["key"]


def test_a_corrected_card_is_taken_over_without_running_again(place, toy):
    first, _ = place()
    card = Card(image_feature="VGG-19 fc7", text_feature="word CNN")
    again, count = place(replace(toy, name="wikipedia-mine", card=card))
    assert count == 1
    assert again["provenance"] == first["provenance"]
    text = render(stored_records(place.store.folder))
    assert "### wikipedia-mine (" in text
    assert "12-d VGG-19 fc7; texts: 8-d word CNN" in text
