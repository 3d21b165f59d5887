"""What a child leaves behind is read as something that anybody may have written."""

import json
import runpy
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import cmbench
from cmbench.disk import remove_folder
from cmbench.errors import MethodError
from cmbench.execution import workplace
from cmbench.execution.child_process import Ended
from cmbench.execution.evaluating import TimeLimitError, time_limit
from cmbench.execution.outcome import described, log_tail, read_outcome
from cmbench.limits import Limits
from cmbench.store import Store

LEAVING = Path(__file__).parents[1] / "plugins" / "leaving.py"
OK = runpy.run_path(str(LEAVING))["OK"]
MESSAGE = {"type": "E", "message": "m", "traceback": "t"}


def record_of(toy, folder, **parameters):
    frame = cmbench.run(
        toy,
        ["leaving"],
        plugins=[LEAVING],
        parameters={"leaving": parameters},
        store=folder,
        threads=1,
        memory="1GB",
        deadline=60,
    )
    assert len(frame) == 1
    (record,) = Store(folder).records()
    return record


def changed(**values):
    return json.dumps({**OK, **values})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ("[1, 2]", "holds [1, 2] (list)"),
        ("null", "holds None"),
        ("[" * 100_000, "not JSON"),
        ("{}", "without 'status'"),
        (changed(status=["ok"]), "'status' is ['ok']"),
        (changed(status="splendid"), "'status' is 'splendid'"),
        (changed(status="failed"), "without 'error'"),
        (json.dumps({"status": "failed", "error": "no"}), "'error' is 'no'"),
        (json.dumps({"status": "failed", "error": {**MESSAGE, "message": 3}}), "'error' is"),
        (json.dumps({"status": "ok"}), "without 'durations'"),
        (changed(durations={"fit": -1, "transform": 0}), "'durations' is"),
        (changed(durations={"fit": "1", "transform": 0}), "'durations' is"),
        (changed(durations={"fit": 1}), "'durations' is"),
        (changed(fitted=[]), "'fitted' is []"),
        (changed(fitted={"a_": {"b": 1}}), "'fitted' is"),
        (changed(fitted={"a_": float("nan")}), "not JSON"),
        (changed(fitted={"a_": 10**400}), "'fitted' is"),
        (changed(peak_memory_bytes=True), "'peak_memory_bytes' is True"),
        (changed(weights=-1), "'weights' is -1"),
        (changed(warnings=["odd", 1]), "'warnings' is"),
        (changed(warnings=["odd"] * 21), "'warnings' is"),
        (changed(peak_memory_bytes=10**30), "'peak_memory_bytes' is"),
        (changed(accelerator={"name": "x"}), "'accelerator' is"),
        (changed(transductive=0), "'transductive' is 0"),
    ],
)
def test_an_outcome_of_wrong_content_is_named(tmp_path, text, message):
    (tmp_path / "outcome.json").write_text(text)
    with pytest.raises(MethodError) as raised:
        read_outcome(tmp_path)
    assert message in str(raised.value)


def test_an_outcome_as_it_should_be_is_read_without_what_nobody_asked_for(tmp_path):
    (tmp_path / "outcome.json").write_text(changed(key="another cell's"))
    assert read_outcome(tmp_path) == OK


@pytest.mark.parametrize(
    ("parameters", "status", "message"),
    [
        ({}, "ok", None),
        ({"outcome": "[]"}, "failed", "not an object"),
        ({"way": "fifo"}, "failed", "outcome.json as something else than a plain file"),
        ({"way": "folder"}, "failed", "outcome.json as something else than a plain file"),
        ({"way": "link_to_itself"}, "failed", "no readable outcome.json"),
        ({"way": "huge"}, "failed", "outcome.json of 1000000000000 bytes"),
        ({"way": "representations_fifo"}, "failed", "texts.npy as something else than a plain file"),
        ({"way": "representations_linked"}, "failed", "texts.npy as something else than a plain file"),
        ({"way": "representations_that_claim_a_terabyte"}, "failed", "does not hold what its header says"),
        ({"way": "wide_representations"}, "failed", "have 5000000 columns; at most 65536"),
        ({"way": "curves_over_the_labels"}, "failed", "other arrays than its curves"),
        ({"way": "bomb_of_curves"}, "failed", "curves.npz of 8"),
        ({"way": "nested"}, "ok", None),
        ({"way": "nothing"}, "crashed", "without leaving a result"),
    ],
    ids=lambda value: value.get("way", "plain") if isinstance(value, dict) else "",
)
def test_what_a_method_leaves_neither_ends_nor_hangs_a_run(toy, tmp_path, parameters, status, message):
    record = record_of(toy, tmp_path, **parameters)
    assert record["status"] == status, record["error"]
    assert message is None or message in record["error"]["message"]
    assert not list((tmp_path / ".work").glob("run-*"))


def test_representations_that_take_more_than_the_limit_are_not_evaluated(toy, tmp_path):
    plugin = tmp_path / "wide.py"
    plugin.write_text(
        "import numpy as np\n"
        "from cmbench.methods.contract import Method\n"
        "class Wide(Method):\n"
        "    def fit(self, train, validation): return self\n"
        "    def transform_images(self, images): return images[:, :1] * np.ones((1, 60_000))\n"
        "    def transform_texts(self, texts): return texts[:, :1] * np.ones((1, 60_000))\n"
    )
    options = {"plugins": [plugin], "store": tmp_path / "store", "threads": 1, "memory": "250MB"}
    cmbench.run(toy, ["wide"], **options)
    (record,) = Store(tmp_path / "store").records()
    assert record["status"] == "out-of-memory"
    assert "evaluating 48 x 60000" in record["error"]["message"]


def test_an_exception_whose_text_raises_another_is_described():
    class Unspeakable(Exception):
        def __str__(self):
            raise RuntimeError("no")

    told = described(Unspeakable())
    assert told["type"] == "Unspeakable"
    assert told["message"] == "its text cannot be had: RuntimeError in its __str__"


def test_an_evaluation_ends_when_its_time_is_over(toy):
    def evaluate_for_ever():
        while True:
            cmbench.evaluate(toy.test.images[:, :8], toy.test.texts, toy.test.labels)

    start = time.monotonic()
    with pytest.raises(TimeLimitError, match="of the deadline"), time_limit(0.2):
        evaluate_for_ever()
    assert time.monotonic() - start < 20
    cmbench.evaluate(toy.test.images[:, :8], toy.test.texts, toy.test.labels)


def test_a_log_that_is_gone_is_said_to_be(tmp_path):
    assert "no readable log.txt" in log_tail(tmp_path / "log.txt")
    (tmp_path / "log.txt").write_text("a" * 50_000 + "end")
    assert log_tail(tmp_path / "log.txt") == "a" * 7997 + "end"


def test_deeply_nested_folders_are_removed(tmp_path, monkeypatch):
    deep = tmp_path / "deep"
    deep.mkdir()
    (deep / "file").write_text("")
    monkeypatch.chdir(deep)
    for _ in range(3000):
        Path("d").mkdir()
        Path("d", "file").write_text("")
        monkeypatch.chdir("d")
    monkeypatch.chdir(tmp_path)
    remove_folder(deep)
    assert not deep.exists()


def test_representations_come_back_as_they_were_written(tmp_path):
    from cmbench.execution.outcome import read_representations

    for array in (
        np.arange(12.0).reshape(4, 3),
        np.asfortranarray(np.arange(12, dtype=np.float32).reshape(4, 3)),
    ):
        np.save(tmp_path / "images.npy", array)
        read = read_representations(tmp_path, "images", 4, most_bytes=None)
        np.testing.assert_array_equal(read, array)
        assert read.dtype == array.dtype
        assert read.flags.f_contiguous == array.flags.f_contiguous


@pytest.mark.parametrize(
    ("kind", "fence", "is_told"),
    [("PermissionError", "Landlock 7", True), ("PermissionError", None, False), ("E", "Landlock 7", False)],
)
def test_a_method_that_meets_the_fence_is_told_of_it(tmp_path, kind, fence, is_told):
    left = {
        "status": "failed",
        "error": {**MESSAGE, "type": kind},
        "peak_memory_bytes": 1,
        "accelerator": None,
    }
    (tmp_path / "outcome.json").write_text(json.dumps(left))
    ended = Ended("exited", 1, 1.0, 1, {"files": fence, "processes": None})
    features = SimpleNamespace(folder=tmp_path, is_unchanged=lambda: True)
    limits = Limits(None, None, 1)
    outcome = workplace._outcome(ended, features, tmp_path, limits=limits, log=tmp_path / "log")
    assert (outcome.status, outcome.error["type"]) == ("failed", kind)
    assert outcome.error["message"].startswith("m")
    assert ("a run closes the files of its datasets" in outcome.error["message"]) == is_told
