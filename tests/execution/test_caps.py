"""What a method prints, raises and leaves is kept up to a length, and nothing waits for an answer."""

import time
from pathlib import Path

import numpy as np
import pytest
from ordinary_user import as_ordinary_user
from scipy.sparse import csr_array

import cmbench
from cmbench.datasets.contract import Dataset
from cmbench.datasets.draft import Card
from cmbench.errors import MethodError
from cmbench.execution import child_process
from cmbench.execution.child import as_array
from cmbench.execution.child_process import KEPT_OF_LOG, LONGEST_LOG, cap_log
from cmbench.execution.outcome import LONGEST_TEXT, shortened
from cmbench.execution.record import MOST_FITTED, split_in
from cmbench.store import Store

HOSTILE = str(Path(__file__).parents[1] / "plugins" / "hostile.py")


def record_of(toy, method, folder):
    cmbench.run(toy, [method], store=folder, plugins=[HOSTILE], threads=1, memory="none", deadline="60s")
    (record,) = Store(folder).records()
    return record


@pytest.mark.parametrize(
    ("method", "error"), [("asksforinput", "EOFError"), ("stopsinthedebugger", "NoDebuggerError")]
)
def test_a_method_that_asks_fails_at_once(toy, tmp_path, method, error):
    start = time.monotonic()
    record = record_of(toy, method, tmp_path)
    assert (record["status"], record["error"]["type"]) == ("failed", error)
    assert time.monotonic() - start < 30


def test_a_log_keeps_its_beginning_and_its_end_and_says_what_is_left_out(toy, tmp_path):
    record = record_of(toy, "talkswithoutend", tmp_path)
    log = (tmp_path / record["log"]).read_text()
    assert record["status"] == "ok"
    assert len(log) <= LONGEST_LOG
    assert log.startswith("the first line\n")
    assert log.rstrip().endswith("the last line")
    assert "bytes left out" in log


def test_a_log_that_is_cut_while_it_grows_gets_what_is_appended_afterwards(tmp_path):
    log = tmp_path / "log"
    with log.open("ab", buffering=0) as output:
        output.write(b"a" * LONGEST_LOG + b"b" * KEPT_OF_LOG)
        cap_log(log)
        output.write(b"afterwards")
    content = log.read_bytes()
    assert content.startswith(b"a" * KEPT_OF_LOG + b"\n[cmbench: %d bytes" % (LONGEST_LOG - KEPT_OF_LOG))
    assert content.endswith(b"]\n" + b"b" * KEPT_OF_LOG + b"afterwards")


def test_a_log_that_its_method_has_closed_is_cut_all_the_same(tmp_path):
    log = tmp_path / "log"
    log.write_bytes(b"a" * (LONGEST_LOG + 1))
    log.chmod(0)
    as_ordinary_user("from cmbench.execution.child_process import cap_log; cap_log(Path(argument))", log)
    assert log.stat().st_mode & 0o777 == 0o600
    assert log.stat().st_size < LONGEST_LOG


def test_a_short_log_and_one_that_is_gone_stay_so(tmp_path):
    cap_log(tmp_path / "gone")
    assert not (tmp_path / "gone").exists()
    (tmp_path / "log").write_bytes(b"c" * LONGEST_LOG)
    cap_log(tmp_path / "log")
    assert (tmp_path / "log").read_bytes() == b"c" * LONGEST_LOG
    assert child_process.KEPT_OF_LOG * 2 < LONGEST_LOG


def test_a_message_of_a_hundred_megabytes_leaves_a_small_record(toy, tmp_path):
    record = record_of(toy, "raisesatlength", tmp_path)
    message = record["error"]["message"]
    assert message.startswith("beginning xxx")
    assert message.endswith("xxx end")
    assert "characters left out" in message
    (path,) = Store(tmp_path).paths()
    assert path.stat().st_size < 3 * LONGEST_TEXT


@pytest.mark.parametrize(
    ("returned", "told"),
    [
        (None, "returned None; it must return an array of real numbers"),
        (
            csr_array(np.eye(2)),
            "returned a csr_array; it must return an array of real numbers; make it dense with .to",
        ),
        (np.ma.masked_array(np.eye(2), np.eye(2)), "returned a masked array; fill what is masked"),
        (np.array(["a"]), "returned <U1 values"),
        ([None, 1.0], "returned object values"),
    ],
)
def test_what_is_no_array_of_numbers_is_named(returned, told):
    with pytest.raises(MethodError, match="transform_images") as error:
        as_array(returned, "images")
    assert told in str(error.value)


def test_five_million_broadcast_columns_are_refused_within_little_memory(toy, tmp_path):
    record = record_of(toy, "spreadswide", tmp_path)
    error = record["error"]
    assert (record["status"], error["type"]) == ("failed", "MethodError")
    assert "transform_images returned 5000000 columns; at most 65536 are evaluated" in error["message"]
    assert record["peak_memory_bytes"] < 500_000_000  # as floats they would be 960 MB


def test_fitted_values_are_kept_up_to_a_number_and_a_length(toy, tmp_path):
    record = record_of(toy, "fitsalot", tmp_path)
    assert record["status"] == "ok"
    assert len(record["fitted"]) == MOST_FITTED + 1
    assert record["fitted"]["left_out"] == "4001 more values"
    assert len(record["fitted"]["story_"]) < LONGEST_TEXT + 100


def test_a_text_that_fits_is_kept_as_it_is():
    assert shortened("z" * LONGEST_TEXT) == "z" * LONGEST_TEXT


DEEP = '{"split": ' + "[" * 5000 + "]" * 5000 + "}"


@pytest.mark.parametrize(
    "recipe",
    [
        DEEP,
        '{"split": ' + "[" * 500 + "]" * 500 + "}",
        '{"split": NaN}',
        '{"split": {"seed": 1e999}}',
        '{"split": [' + "1," * 20_000 + "1]}",
        "[]",
        "{",
    ],
    ids=["deeper than Python goes", "deep", "NaN", "infinity", "long", "a list", "half"],
)
def test_a_split_that_no_record_can_hold_is_left_out(recipe):
    assert split_in(recipe) is None


def test_a_split_is_kept_as_it_is():
    assert split_in('{"split": {"seed": 3, "sizes": [1, 2]}}') == {"seed": 3, "sizes": [1, 2]}


@pytest.mark.parametrize("recipe", [DEEP, '{"split": NaN}'], ids=["deep", "NaN"])
def test_such_a_recipe_does_not_end_the_run(toy, tmp_path, recipe):
    card = Card(image_feature="deep", text_feature="LDA", source="", licence="", recipe=recipe)
    odd = Dataset("toy", toy.train, toy.validation, toy.test, toy.class_names, card)
    frame = cmbench.run(odd, ["cfa"], store=tmp_path, threads=1, memory="none")
    assert list(frame["status"]) == ["ok"]
    assert Store(tmp_path).records()[0]["dataset"]["split"] is None
