"""Memory counted as the system would charge it: without files that are mapped, and what is shared once."""

import numpy as np
import pytest

import cmbench
from cmbench.datasets.contract import Dataset
from cmbench.datasets.draft import Split
from cmbench.datasets.formats.numpy_files import save_folder
from cmbench.execution.memory import charged_bytes
from cmbench.store import Store

READING = """
import time
import numpy as np
from cmbench.methods.contract import Method

class Reading(Method):
    name = "reading"
    def fit(self, train, validation):
        self.mapped_ = isinstance(train.images, np.memmap)
        for _ in range(4):
            for start in range(0, len(train), 500):
                train.images[start:start + 500].sum()
            time.sleep(0.2)
    def transform_images(self, images): return images[:, :2]
    def transform_texts(self, texts): return texts[:, :2]
"""

SHARING = """
import os
import time
import numpy as np
from cmbench.methods.contract import Method

class Sharing(Method):
    name = "sharing"
    def fit(self, train, validation):
        self.big = np.ones(40_000_000)  # 320 MB
        for _ in range(5):
            if not os.fork():
                self.big.sum()
                time.sleep(60)
        time.sleep(3)
    def transform_images(self, images): return images[:, :2]
    def transform_texts(self, texts): return texts[:, :2]
"""


KEEPING = """
import time
from cmbench.methods.contract import Method

class Keeping(Method):
    name = "keeping"
    def fit(self, train, validation):
        with open("/dev/shm/kept", "wb") as file:
            for _ in range(400):
                file.write(bytes(1_000_000))
        time.sleep(3)
    def transform_images(self, images): return images[:, :2]
    def transform_texts(self, texts): return texts[:, :2]
"""


def only_record(folder):
    (record,) = Store(folder).records()
    return record


@pytest.mark.slow
def test_a_memory_mapped_dataset_may_be_larger_than_the_limit(toy, tmp_path):
    random = np.random.default_rng(0)
    wide = random.standard_normal((4000, 24_000), dtype=np.float32)  # 384 MB
    labels = np.arange(4000) % 4
    texts = random.standard_normal((4000, 8), dtype=np.float32)
    train = Split(wide, texts, labels, np.array([f"t{row}" for row in range(4000)]))
    others = (
        Split(wide[:n] + more, texts[:n], labels[:n], np.array([f"{name}{row}" for row in range(n)]))
        for name, n, more in (("v", 40, 1), ("e", 48, 2))  # no pair twice
    )
    save_folder(tmp_path / "wide", Dataset("wide", train, *others, toy.class_names))
    (tmp_path / "reading.py").write_text(READING)
    options = {"plugins": [tmp_path / "reading.py"], "store": tmp_path / "store", "threads": 1}
    frame = cmbench.run(str(tmp_path / "wide"), ["reading"], memory="300MB", **options)
    record = only_record(tmp_path / "store")
    assert frame["status"][0] == "ok", record["error"]
    assert record["fitted"]["mapped_"]
    assert record["peak_memory_bytes"] < 300e6 < wide.nbytes


@pytest.mark.slow
def test_an_array_that_five_forks_read_counts_once(toy, tmp_path):
    (tmp_path / "sharing.py").write_text(SHARING)
    options = {"plugins": [tmp_path / "sharing.py"], "store": tmp_path / "store", "threads": 1}
    frame = cmbench.run(toy, ["sharing"], memory="700MB", **options)
    record = only_record(tmp_path / "store")
    assert frame["status"][0] == "ok", record["error"]
    assert 320e6 < record["peak_memory_bytes"] < 700e6


def test_what_lies_unmapped_in_a_shared_memory_of_its_own_counts(toy, tmp_path):
    (tmp_path / "keeping.py").write_text(KEEPING)
    options = {"plugins": [tmp_path / "keeping.py"], "store": tmp_path / "store", "threads": 1}
    cmbench.run(toy, ["keeping"], memory="300MB", **options)
    record = only_record(tmp_path / "store")
    if record["fence"]["processes"] != "namespaces":
        pytest.skip("a cell has no shared memory of its own here")
    assert record["status"] == "out-of-memory", record["error"]
    assert 300e6 < record["peak_memory_bytes"] < 700e6


def test_a_process_that_has_ended_uses_nothing():
    assert charged_bytes([2**22 + 1]) == 0
    assert charged_bytes([]) == 0


def test_jobs_that_really_run_share_memory_and_processors(toy, tmp_path, monkeypatch):
    monkeypatch.setattr("cmbench.runner.available_cores", lambda: 6)
    monkeypatch.setattr("cmbench.limits.available_cores", lambda: 6)
    monkeypatch.setattr("cmbench.limits.default_memory", lambda jobs: 9_000_000_000 // jobs)
    cmbench.run(toy, ["cca", "cfa", "kcca"], store=tmp_path, jobs=100)
    given = {(record["limits"]["memory"], record["threads"]) for record in Store(tmp_path).records()}
    assert given == {(3_000_000_000, 2)}
