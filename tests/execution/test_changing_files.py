"""What a run reads cannot change under it: files saved again, or written to by a method."""

from pathlib import Path

import numpy as np
import pytest

import cmbench
from cmbench.datasets.formats.numpy_files import save_folder
from cmbench.errors import DatasetError
from cmbench.execution.progress import Progress
from cmbench.store import Store

DAMAGING = Path(__file__).parents[1] / "plugins" / "damaging.py"
QUICK = {"threads": 1, "memory": "none"}


class Doing(Progress):
    """Calls something when the first cell starts."""

    def __init__(self, action):
        self.action = action

    def started(self, cell):
        action, self.action = self.action, lambda: None
        action()


@pytest.fixture
def folders(toy, tmp_path):
    """Two datasets in folders, whose categories differ so that their results do."""
    save_folder(tmp_path / "one", toy)
    save_folder(tmp_path / "two", toy)
    for part in ("train", "val", "test"):
        texts = np.load(tmp_path / "two" / f"texts_{part}.npy")
        np.save(tmp_path / "two" / f"texts_{part}.npy", texts + 1.5 * np.roll(texts, 1, axis=1))
    return [tmp_path / "one", tmp_path / "two"]


def test_files_saved_again_during_a_run_change_nothing(folders, tmp_path):
    def save_again():
        np.save(folders[0] / "labels_test.npy", np.zeros(48, dtype=np.int64))
        np.save(folders[1] / "labels_test.npy", np.zeros(3, dtype=np.int64))
        images = np.load(folders[1] / "images_test.npy")
        np.save(folders[1] / "images_test.npy", images[::-1].copy())
        np.save(folders[1] / "texts_test.npy", images[:2])  # shorter: to read what is missing would be fatal

    calm = cmbench.run(folders, ["cfa"], store=tmp_path / "calm", jobs=1, **QUICK)
    disturbed = cmbench.run(
        folders, ["cfa"], store=tmp_path / "disturbed", jobs=1, progress=Doing(save_again), **QUICK
    )
    assert list(disturbed["key"]) == list(calm["key"])
    assert list(disturbed["bimodal_average"]) == list(calm["bimodal_average"])
    assert len(set(calm["bimodal_average"])) == 2


@pytest.mark.parametrize("rows", [48, 3])
def test_a_file_that_changed_between_loading_and_running_is_named(folders, tmp_path, rows):
    dataset = cmbench.load_dataset(folders[0])
    assert dataset.fingerprint
    np.save(folders[0] / "images_test.npy", np.array(dataset.test.images[::-1][:rows]))
    with pytest.raises(DatasetError, match=r"images_test\.npy.* has changed since the dataset was loaded"):
        cmbench.run(dataset, ["cfa"], store=tmp_path / "store", **QUICK)
    assert not Store(tmp_path / "store").paths()


@pytest.mark.parametrize("fence", [True, False], ids=["fence", "no fence"])
def test_a_method_that_writes_to_shared_features_fails_and_reaches_no_other(
    toy, tmp_path, monkeypatch, fence
):
    expected = cmbench.run(toy, ["cfa"], store=tmp_path / "calm", **QUICK)
    if not fence:
        monkeypatch.setattr("cmbench.execution.fence.Fence.around", lambda *_: None)
    frame = cmbench.run(
        toy, ["damaging", "cfa"], plugins=[DAMAGING], store=tmp_path / "store", jobs=1, **QUICK
    )
    assert list(frame["status"]) == ["failed", "ok"]
    assert frame["bimodal_average"][1] == expected["bimodal_average"][0]
    records = {record["method"]["name"]: record for record in Store(tmp_path / "store").records()}
    assert fence or records["damaging"]["error"]["type"] == "SharedFeaturesError"
    assert fence or {record["fence"]["files"] for record in records.values()} == {None}
