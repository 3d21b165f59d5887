"""Two stores become one, and nothing is lost: what is new, equal, different, and replaced by what."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from made_records import failed_record, made_error, made_record

from cmbench import merging
from cmbench.cli.main import cli
from cmbench.errors import StoreError
from cmbench.execution.claims import claims_in
from cmbench.merging import compared, foreseen, merge_into
from cmbench.report.cells import stored_records
from cmbench.store import Store


def at(hour, **changes):
    return {"provenance": {"finished": f"2026-01-01T{hour:02}:00:00+00:00"}, **changes}


def arrays(value):
    return {"ap_image_to_text": np.full(10, value)}


def failed(method, hour, status="crashed"):
    return failed_record(method, status, error=made_error("Crash"), **at(hour))


@pytest.fixture
def stores(tmp_path):
    """Two stores with cells of every kind, and what should come of each."""
    here, there = Store(tmp_path / "here"), Store(tmp_path / "there")
    for method, ours, theirs in [
        ("only-here", 0.1, None),
        ("only-there", None, 0.2),
        ("equal", 0.3, 0.3),
        ("later-there", 0.4, 0.45),
        ("later-here", 0.5, 0.55),
        ("failed-here", failed("failed-here", 9), 0.6),
        ("failed-there", 0.7, failed("failed-there", 9)),
    ]:
        hours = (5, 3) if method == "later-here" else (3, 5)
        for store, value, hour in zip((here, there), (ours, theirs), hours, strict=True):
            if isinstance(value, float):
                store.put(made_record(method, value, **at(hour)), arrays(value))
            elif value is not None:
                store.put(value)
    return here, there


FATES = {
    "only-there": "new",
    "equal": "equal",
    "later-there": "replaced",
    "later-here": "kept",
    "failed-here": "replaced",
    "failed-there": "kept",
}
AFTER = {
    "only-here": 0.1,
    "only-there": 0.2,
    "equal": 0.3,
    "later-there": 0.45,
    "later-here": 0.5,
    "failed-here": 0.6,
    "failed-there": 0.7,
}


def maps(store):
    """The bi-modal MAP of each method that has one, and where the arrays agree with it."""
    found = {}
    for record in store.records():
        found[record["method"]["name"]] = record["map"] and record["map"]["bimodal_average"]
        if record["map"]:
            assert store.arrays(record)["ap_image_to_text"][0] == record["map"]["bimodal_average"]
    return found


def fates(comparison):
    return {meeting.theirs["method"]["name"]: meeting.fate for meeting in comparison.meetings}


def test_a_comparison_says_what_would_become_of_each_record_and_changes_nothing(stores):
    here, there = stores
    before = maps(here), maps(there)
    assert fates(compared(there, here)) == FATES
    assert (maps(here), maps(there)) == before
    assert not (here.folder / "replaced").exists()


def test_what_did_not_fail_stays_else_what_was_run_later_and_the_other_is_kept_aside(stores):
    here, there = stores
    before = maps(there)
    done = merge_into(there, here)
    assert fates(done) == FATES
    assert not done.is_peaceful
    assert maps(here) == AFTER
    assert maps(there) == before
    aside = {"later-there": 0.4, "later-here": 0.55, "failed-here": None, "failed-there": None}
    assert maps(Store(here.folder / "replaced" / "1")) == aside
    assert len(stored_records(here.folder)) == 7


def test_a_second_merge_finds_all_equal_but_what_lost_and_numbers_what_it_sets_aside(stores):
    here, there = stores
    merge_into(there, here)
    again = merge_into(there, here)
    assert again.count("new", "replaced") == 0
    assert {name for name, fate in fates(again).items() if fate == "kept"} == {"later-here", "failed-there"}
    assert maps(here) == AFTER
    assert sorted(path.name for path in (here.folder / "replaced").iterdir()) == ["1", "2"]


def test_more_measures_with_the_same_numbers_are_brought(tmp_path):
    here, there = Store(tmp_path / "here"), Store(tmp_path / "there")
    measured = {"measures": {"r@1": {"image_to_text": 0.5}}}
    here.put(made_record("cca", 0.5, **at(3)), arrays(0.5))
    there.put(made_record("cca", 0.5, **at(2), **measured), arrays(0.5))
    done = merge_into(there, here)
    assert (fates(done), done.is_peaceful) == ({"cca": "extended"}, True)
    assert here.records()[0]["measures"] == measured["measures"]
    assert fates(compared(there, here)) == {"cca": "equal"}
    other = {"measures": {"r@1": {"image_to_text": 0.6}}}
    there.put(made_record("cca", 0.5, **at(9), **other), arrays(0.5))
    assert fates(compared(there, here)) == {"cca": "replaced"}


def tuned(record, **tuning):
    method = {**record["method"], "tuning": {"profile": "mine", "trials": 2, **tuning}}
    return {**record, "method": method}


def measured(name, value, **changes):
    """What a record says that was measured by one more measure."""
    return {
        "measures": {name: {"image_to_text": value}},
        "measure_errors": {name: {"image_to_text": value / 10}},
        "chance": {"map": {"image_to_text": 0.3}, name: {"image_to_text": value / 100}},
        "configuration": {"measures": [name], "profile": None},
        **changes,
    }


def test_measures_of_both_are_kept_with_their_errors_chance_and_values_of_queries(tmp_path):
    here, there = Store(tmp_path / "here"), Store(tmp_path / "there")
    for store, name, value, hour in ((here, "r@1", 0.5, 3), (there, "p@10", 0.25, 2)):
        further = {f"{name}_image_to_text": np.full(10, value)}
        store.put(made_record("cca", 0.5, **at(hour), **measured(name, value)), {**arrays(0.5), **further})
    assert fates(compared(there, here)) == {"cca": "extended"}
    done = merge_into(there, here)
    assert (fates(done), done.is_peaceful, done.aside) == ({"cca": "extended"}, True, None)
    (record,) = here.records()
    assert record["measures"] == {"r@1": {"image_to_text": 0.5}, "p@10": {"image_to_text": 0.25}}
    assert record["measure_errors"] == {"r@1": {"image_to_text": 0.05}, "p@10": {"image_to_text": 0.025}}
    assert {name: values["image_to_text"] for name, values in record["chance"].items()} == {
        "map": 0.3,
        "r@1": 0.005,
        "p@10": 0.0025,
    }
    assert record["configuration"]["measures"] == ["r@1", "p@10"]
    assert set(here.arrays(record)) == {"ap_image_to_text", "r@1_image_to_text", "p@10_image_to_text"}
    assert fates(compared(there, here)) == {"cca": "equal"}


@pytest.mark.parametrize("place", ["here", "there"])
def test_how_parameters_were_chosen_is_kept_beside_further_measures(tmp_path, place):
    here, there = Store(tmp_path / "here"), Store(tmp_path / "there")
    plain, chosen = {"here": (there, here), "there": (here, there)}[place]
    chosen.put(tuned(made_record("cca", 0.5, **at(3))), arrays(0.5))
    plain.put(made_record("cca", 0.5, **at(2), **measured("p@10", 0.25)), arrays(0.5))
    assert fates(merge_into(there, here)) == {"cca": "extended"}
    (record,) = here.records()
    assert record["method"]["tuning"] == {"profile": "mine", "trials": 2}
    assert record["measures"] == {"p@10": {"image_to_text": 0.25}}
    assert fates(compared(there, here)) == {"cca": "equal"}


def test_of_two_choices_that_of_the_method_itself_stays_and_another_is_kept_aside(tmp_path):
    here, there = Store(tmp_path / "here"), Store(tmp_path / "there")
    for method, ours, theirs in [
        ("of-itself-here", {}, {"like": "cca"}),
        ("of-itself-there", {"like": "cca"}, {}),
        ("of-another-search", {"trials": 2}, {"trials": 40}),
    ]:
        for store, tuning in ((here, ours), (there, theirs)):
            record = made_record(method, 0.5, **at(3), configuration={"measures": [], "profile": None})
            store.put(tuned(record, **tuning), arrays(0.5))
    done = merge_into(there, here)
    assert fates(done) == {
        "of-itself-here": "equal",
        "of-itself-there": "extended",
        "of-another-search": "extended",
    }
    itself = {"profile": "mine", "trials": 2}
    assert tunings(here) == {
        "of-itself-here": itself,
        "of-itself-there": itself,
        "of-another-search": {**itself, "trials": 40},
    }
    assert tunings(Store(done.aside)) == {
        "of-itself-there": {**itself, "like": "cca"},
        "of-another-search": itself,
    }
    profiles = {each["method"]["name"]: each["configuration"]["profile"] for each in here.records()}
    assert profiles == {**tunings(here), "of-itself-here": None}  # nothing there was changed


def tunings(store):
    return {record["method"]["name"]: record["method"].get("tuning") for record in store.records()}


def test_a_choice_is_brought_to_a_failure_of_the_same_kind(tmp_path):
    here, there = Store(tmp_path / "here"), Store(tmp_path / "there")
    here.put(failed("cca", 3))
    there.put(tuned(failed("cca", 2)))
    assert fates(merge_into(there, here)) == {"cca": "extended"}
    assert tunings(here) == {"cca": {"profile": "mine", "trials": 2}}


def test_single_arrays_that_are_missing_here_are_brought(tmp_path):
    here, there = Store(tmp_path / "here"), Store(tmp_path / "there")
    here.put(made_record("cca", 0.5, **at(3)), arrays(0.5))
    there.put(made_record("cca", 0.5, **at(2)), {**arrays(0.25), "curve_loss": np.ones(3)})
    assert fates(merge_into(there, here)) == {"cca": "extended"}
    assert maps(here) == {"cca": 0.5}  # with the arrays of here where both have them
    assert set(here.arrays(here.records()[0])) == {"ap_image_to_text", "curve_loss"}
    assert fates(compared(there, here)) == {"cca": "equal"}


@pytest.mark.parametrize(("place", "fate"), [("here", "unreadable"), ("there", "equal")])
def test_damaged_arrays_of_equal_numbers_take_nothing_from_the_others(stores, place, fate):
    here, there = stores
    damaged = {"here": here, "there": there}[place]
    record = next(each for each in damaged.records() if each["method"]["name"] == "equal")
    damaged.arrays_path(record).write_bytes(b"PK")
    assert fates(merge_into(there, here)) == {**FATES, "equal": fate}
    assert here.find(record["key"])["map"]["bimodal_average"] == 0.3


def test_logs_and_the_code_of_plugins_come_along(tmp_path):
    here, there = Store(tmp_path / "here"), Store(tmp_path / "there")
    record = made_record("mine", 0.5, log="logs/toy/mine.log")
    record["method"]["source"] = "sources/abc"
    there.put(record, arrays(0.5))
    for name in ("logs/toy/mine.log", "sources/abc/mine.py"):
        (there.folder / name).parent.mkdir(parents=True)
        (there.folder / name).write_text(name)
    merge_into(there, here)
    for name in ("logs/toy/mine.log", "sources/abc/mine.py"):
        assert (here.folder / name).read_text() == name


def test_a_line_of_a_records_file_is_compared_like_a_file_and_stays(tmp_path, stores):
    here, there = stores
    here.pack()
    lines = (here.folder / "toy.jsonl").read_text()
    assert fates(merge_into(there, here)) == FATES
    assert maps(here) == AFTER
    assert (here.folder / "toy.jsonl").read_text() == lines


def test_a_record_whose_arrays_are_gone_is_brought_without_them(tmp_path):
    here, there = Store(tmp_path / "here"), Store(tmp_path / "there")
    there.put(made_record("cca", 0.5))
    assert merge_into(there, here).count("new") == 1
    with pytest.raises(StoreError, match="copy it from where the record came from"):
        here.arrays(here.records()[0])


def test_values_of_queries_that_are_missing_here_are_brought_and_none_are_lost(tmp_path):
    here, there = Store(tmp_path / "here"), Store(tmp_path / "there")
    measured = {"measures": {"r@1": {"image_to_text": 0.5}}}
    here.put(made_record("bare", 0.5, **at(3), **measured))
    there.put(made_record("bare", 0.5, **at(2)), arrays(0.5))
    here.put(made_record("whole", 0.25, **at(3)), arrays(0.25))
    there.put(made_record("whole", 0.25, **at(2), **measured))
    done = merge_into(there, here)
    assert (fates(done), done.is_peaceful) == ({"bare": "extended", "whole": "extended"}, True)
    assert maps(here) == {"bare": 0.5, "whole": 0.25}  # with arrays
    assert [record["measures"] for record in here.records()] == [measured["measures"]] * 2


@pytest.mark.parametrize("place", ["here", "there"])
def test_damaged_arrays_leave_their_cell_alone_and_the_others_are_merged(stores, place):
    here, there = stores
    damaged = {"here": here, "there": there}[place]
    record = next(each for each in damaged.records() if each["method"]["name"] == "later-there")
    damaged.arrays_path(record).write_bytes(b"PK")
    before = foreseen(there, here)
    done = merge_into(there, here)
    assert fates(done) == fates(before) == {**FATES, "later-there": "unreadable"}
    assert [meeting.reason for meeting in before.meetings] == [meeting.reason for meeting in done.meetings]
    assert not done.is_peaceful
    assert here.find(record["key"])["map"]["bimodal_average"] == 0.4
    assert "later-there" not in {each["method"]["name"] for each in Store(done.aside).records()}


def test_a_record_here_that_cannot_be_read_is_not_written_over(stores):
    here, there = stores
    newer = here.paths()[[path.name.startswith("later-there") for path in here.paths()].index(True)]
    newer.write_text(json.dumps({"schema": 2}))
    told = CliRunner().invoke(cli, ["merge", str(there.folder), "--store", str(here.folder), "--dry-run"])
    assert "is left alone" in told.stdout
    assert "a newer cmbench wrote it" in told.stdout
    assert "1 unreadable" in told.stdout
    assert fates(merge_into(there, here)) == {**FATES, "later-there": "unreadable"}
    assert json.loads(newer.read_text()) == {"schema": 2}


def test_what_is_no_store_is_named(stores, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(StoreError, match="empty has no records; give the folder of a store"):
        merge_into(Store(tmp_path / "empty"), stores[0])


def test_what_a_run_finishes_meanwhile_is_seen(stores, monkeypatch):
    here, there = stores
    (late,) = (record for record in there.records() if record["method"]["name"] == "only-there")
    compare = merging.compared

    def slowly(source, into):
        comparison = compare(source, into)
        into.put({**made_record("only-there", 0.9, **at(9)), "key": late["key"]}, arrays(0.9))
        return comparison

    monkeypatch.setattr(merging, "compared", slowly)
    assert fates(merge_into(there, here))["only-there"] == "kept"
    assert maps(here)["only-there"] == 0.9


def test_a_cell_that_is_running_is_left_alone(stores):
    here, there = stores
    (new,) = (record for record in there.records() if record["method"]["name"] == "only-there")
    with claims_in(here.folder.resolve() / ".work").on(new["key"]):
        done = merge_into(there, here)
    assert fates(done)["only-there"] == "running"
    assert here.find(new["key"]) is None


def test_the_command_tells_of_what_differs_and_its_status_says_so(stores):
    here, there = (str(store.folder) for store in stores)
    dry = CliRunner().invoke(cli, ["merge", there, "--store", here, "--dry-run"])
    assert dry.exit_code == 1
    assert "toy/later-there (" in dry.stdout
    assert "MAP 0.400000 here, MAP 0.450000 there; that of there was run later, and stays" in dry.stdout
    assert "crashed here, MAP 0.600000 there; that of there did not fail, and stays" in dry.stdout
    assert f"{there} into {here} (nothing is changed): 1 new, 1 equal, 4 different" in dry.stdout
    assert "of those that differ 2 would replace what was here" in dry.stdout
    done = CliRunner().invoke(cli, ["merge", there, "--store", here])
    assert done.exit_code == 1
    assert (
        f"of those that differ 2 replaced what was here; the other numbers are in {here}/replaced/1"
        in done.stdout
    )
    alone = CliRunner().invoke(cli, ["merge", there, "--store", f"{here}-new"])
    assert (alone.exit_code, alone.stdout.count("\n")) == (0, 1)
    assert "6 new, 0 equal, 0 different" in alone.stdout


def test_what_cannot_be_read_there_is_named(stores):
    here, there = stores
    there.paths()[0].write_text(json.dumps({"schema": 1}))
    told = CliRunner().invoke(cli, ["merge", str(there.folder), "--store", str(here.folder)])
    assert told.exit_code == 1
    assert "1 unreadable" in told.stdout


def test_a_store_is_not_merged_into_itself(stores):
    with pytest.raises(StoreError, match="into itself"):
        compared(stores[0], Store(stores[0].folder / ".." / "here"))
