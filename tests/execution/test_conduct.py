"""What a run sees of a method's conduct: test statistics, constant output, seeds forgotten, breakpoints."""

import numpy as np
import pytest

import cmbench
from cmbench.datasets.draft import Parts
from cmbench.errors import MethodError
from cmbench.execution.conduct import check_repetition, check_rows, check_spread
from cmbench.store import Store

ROWS = np.random.default_rng(0).normal(size=(50, 6)) + 2.0
WEIGHTS = np.random.default_rng(1).normal(size=(6, 4))

PLUGIN = """
import pdb
import numpy as np
from cmbench.methods import Method


class Sound(Method):
    def __init__(self, random_state=0):
        self.random_state = random_state

    def fit(self, train, validation):
        self.image_ = self.draw(train.images.shape[1])
        self.text_ = self.draw(train.texts.shape[1])
        return self

    def draw(self, width):
        return np.random.default_rng(self.random_state).normal(size=(width, 4))

    def transform_images(self, images):
        return images @ self.image_

    def transform_texts(self, texts):
        return texts @ self.text_


class Forgetful(Sound):
    def draw(self, width):
        return np.random.default_rng().normal(size=(width, 4))


class Unsteady(Forgetful):
    nonconforming = {"repeats_itself": "it draws anew on purpose"}


class Centring(Sound):
    def transform_images(self, images):
        return super().transform_images(images - images.mean(axis=0))


class Constant(Sound):
    def transform_texts(self, texts):
        return np.ones((len(texts), 4))


class Excused(Constant):
    nonconforming = {"gives_usable_representations": "a control that knows nothing"}


class Noisy(Sound):
    def transform_images(self, images):
        self.again = getattr(self, "again", np.random.default_rng(0))
        return super().transform_images(images) + self.again.normal(size=(len(images), 4))


class Stopping(Sound):
    def draw(self, width):
        breakpoint()


class Tracing(Sound):
    def draw(self, width):
        pdb.set_trace()


class Keeping(Forgetful):
    practical = ("pretrained",)

    def __init__(self, pretrained=None, random_state=0):
        self.pretrained, self.random_state = pretrained, random_state

    def draw(self, width):
        if self.pretrained is None:
            return super().draw(width)
        file = f"{self.pretrained}/{width}.npy"
        try:
            return np.load(file)
        except FileNotFoundError:
            np.save(file, super().draw(width))
        return np.load(file)
"""
EXPECTED = {
    "sound": None,
    "excused": None,
    "noisy": None,
    "unsteady": None,
    "forgetful": "two fits with the same parameters and the same seed gave other representations",
    "centring": "transform_images gives an item another representation alone than among all test items",
    "constant": "transform_texts returned the same row for each of 48 items",
    "stopping": "breakpoint() in conduct.py, line 57: a cell runs in a process of its own without a terminal",
    "tracing": "'cmbench run --debug' with the same options runs one cell",
}


def test_a_run_sees_what_makes_numbers_void_and_says_so(toy, tmp_path):
    plugin = tmp_path / "conduct.py"
    plugin.write_text(PLUGIN)
    settings = {"store": tmp_path / "store", "threads": 1, "deadline": 60, "plugins": [plugin]}
    cmbench.run(toy, list(EXPECTED), check_determinism=True, **settings)
    records = {record["method"]["name"]: record for record in Store(tmp_path / "store").records()}
    for name, message in EXPECTED.items():
        record = records[name]
        assert record["status"] == ("failed" if message else "ok"), record["error"]
        assert message is None or message in record["error"]["message"]
    assert records["sound"]["repeats"] is True
    assert "warnings" not in records["sound"]
    assert "same row for each of 48 items" in records["excused"]["warnings"][0]
    assert "another representation each time" in records["noisy"]["warnings"][0]
    assert records["unsteady"]["repeats"] is False
    assert EXPECTED["forgetful"] in records["unsteady"]["warnings"][0]


def test_a_fit_does_not_repeat_itself_by_what_it_has_left_in_a_folder(toy, tmp_path):
    plugin, folder = tmp_path / "conduct.py", tmp_path / "kept"
    plugin.write_text(PLUGIN)
    settings = {"store": tmp_path / "store", "threads": 1, "deadline": 60, "plugins": [plugin]}
    given = {"keeping": {"pretrained": str(folder)}}
    cmbench.run(toy, "keeping", parameters=given, check_determinism=True, **settings)
    (record,) = Store(tmp_path / "store").records()
    assert list(folder.iterdir())
    assert EXPECTED["forgetful"] in record["error"]["message"]


def test_a_cell_that_was_not_checked_runs_again_to_be_checked_and_then_no_more(toy, tmp_path):
    settings = {"store": tmp_path / "store", "threads": 1}
    cmbench.run(toy, "cfa", **settings)
    assert "repeats" not in Store(tmp_path / "store").records()[0]
    records = []
    for _ in range(2):
        cmbench.run(toy, "cfa", check_determinism=True, **settings)
        records += Store(tmp_path / "store").records()
    assert records[0]["repeats"] is True
    assert records[0] == records[1]


def plain(rows, parts):
    return rows @ WEIGHTS


def test_rows_that_rounding_alone_changes_pass():
    rounded = (ROWS @ WEIGHTS).astype(np.float16)
    assert check_rows(rounded, plain, ROWS, None, "images") == []


def test_dividing_by_the_norms_of_the_test_set_is_found():
    def scaled(rows, parts):
        return rows @ WEIGHTS / np.linalg.norm(rows)

    with pytest.raises(MethodError, match="statistics of the test set"):
        check_rows(scaled(ROWS, None), scaled, ROWS, None, "texts")


def test_an_item_is_mapped_with_its_own_parts():
    parts = Parts(np.repeat(ROWS, 2, axis=0).astype(np.float32), np.arange(0, 101, 2))

    def summed(rows, parts):
        return np.stack([rows[item] + parts[item].sum(axis=0) for item in range(len(rows))])

    assert check_rows(summed(ROWS, parts), summed, ROWS, parts, "images") == []


def test_equal_items_may_have_equal_representations():
    check_spread(np.ones((5, 2)), np.ones((5, 6)), "images")
    check_spread(np.ones((1, 2)), ROWS[:1], "images")
    with pytest.raises(MethodError, match="each of 50 items"):
        check_spread(np.zeros((50, 2)), ROWS, "images")


def test_on_a_gpu_rounding_is_no_difference_and_a_processor_repeats_every_bit():
    nearly = ROWS * (1 + 1e-6)
    check_repetition(ROWS, nearly, "images", exact=False)
    with pytest.raises(MethodError, match="same seed"):
        check_repetition(ROWS, nearly, "images", exact=True)
    with pytest.raises(MethodError, match="same seed"):
        check_repetition(ROWS, ROWS[::-1], "images", exact=False)
