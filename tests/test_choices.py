"""What records and tables say of how parameters were chosen: by which search, from how much, and by whom."""

import pytest
from click.testing import CliRunner
from made_records import made_dataset, made_record, record_of

from cmbench.agenda import planned
from cmbench.cli.main import cli
from cmbench.datasets import save_npz
from cmbench.errors import CmbenchError, CmbenchWarning
from cmbench.profile_files import profile_path, read_profile, write_profile
from cmbench.report.description import describe
from cmbench.report.layout import View
from cmbench.report.table import render
from cmbench.runner import finished
from cmbench.store import Store
from cmbench.tuning import Budget, Choice, Tuned, tune

pytest.importorskip("tomli_w")
QUICK = {"jobs": 1, "threads": 1, "memory": None, "deadline": 60}


def chosen(toy, folder, **parameters):
    """A profile in which a search chose parameters of CFA and CM-GANs; returns its path."""
    choices = {
        name: Choice(dict(held), 0.5, trials=7, failed=0, seconds=3.0, version=version)
        for name, held, version in (("cfa", parameters, "1"), ("cmgans", {"hidden": 8}, "0"))
    }
    path = folder / "mine.toml"
    write_profile(path, "mine", [Tuned("toy", toy.fingerprint, choices)], Budget(7), protocol="release")
    return path


@pytest.mark.filterwarnings("ignore::cmbench.errors.CmbenchWarning")
def test_parameters_that_are_given_in_place_of_those_of_a_search_were_not_chosen_by_it(toy, tmp_path):
    profile = chosen(toy, tmp_path, n_components=3, scaling="none")

    def tuning(**given):
        options = {"profile": profile, "store": tmp_path, "parameters": {"cfa": given}}
        (cell,) = planned(toy, ["cfa"], **options).cells
        return cell.tuning

    assert tuning()["trials"] == 7
    assert tuning(n_components=3, scaling="none")["trials"] == 7
    assert tuning(n_components=2) is None
    others = [tuning(normalise_rows=value) for value in (False, True)]
    assert sum(other is None for other in others) == 1  # one of them is the default, which was searched with


def test_what_is_given_is_no_gap_in_the_profile(toy, tmp_path, recwarn):
    planned(
        toy,
        ["cfa"],
        profile=chosen(toy, tmp_path, n_components=3),
        store=tmp_path,
        parameters={"cfa": {"n_components": 2}},
        protocol="release",
    )
    assert not [each for each in recwarn if "has nothing for" in str(each.message)]


def test_trials_that_failed_stand_beside_those_that_a_choice_was_made_from(toy, tmp_path):
    pytest.importorskip("optuna")
    tune(toy, ["cfa"], budget=Budget(2, seeds=(0,)), store=tmp_path / "tuning", **QUICK)
    path = profile_path(tmp_path / "tuning", toy.fingerprint)
    text = path.read_text()
    assert "failed = 0" in text
    path.write_text(text.replace("failed = 0", "failed = 1"))
    finished(toy, ["cfa"], profile="tuned", store=tmp_path / "runs", **QUICK)
    (record,) = Store(tmp_path / "runs").records()
    assert record["method"]["tuning"]["failed"] == 1
    assert "from 2 trials each. Trials that failed: CFA 1 of 2." in render([record])
    assert "from 2 trials, of which 1 failed" in describe(record)
    path.write_text(text.replace("failed = 0", "failed = -1"))
    with pytest.raises(CmbenchError, match=r"failed.*a whole number of 0 or more"):
        finished(toy, ["cfa"], profile="tuned", store=tmp_path / "runs", **QUICK)


def test_of_two_budgets_of_time_the_shorter_is_the_smaller_whatever_the_trials():
    slow = record_of("slow", trials=3, budget={"seconds": 600.0})
    quick = record_of("quick", trials=6, budget={"seconds": 60.0})
    text = render([slow, quick])
    assert "| quick ‡ " in text
    assert "| slow ‡ " not in text
    told = "quick 1 min of processor time (6 trials), slow 10 min of processor time (3 trials)"
    assert f"‡ Parameters chosen with unequal budgets: {told}." in text


def test_of_two_budgets_of_trials_and_time_both_count():
    budget = {"trials": 40, "seconds": 600.0}
    text = render([record_of("slow", trials=3, budget=budget), record_of("quick", trials=40, budget=budget)])
    assert "‡" not in text


def test_a_variant_is_warned_of_as_the_method_that_its_parameters_were_chosen_for(toy, tmp_path):
    options = {"profile": chosen(toy, tmp_path), "store": tmp_path, "like": "cmgans"}
    with pytest.warns(CmbenchWarning) as told:
        (cell,) = planned(toy, ["cmgans-ws"], **options).cells
    texts = " ".join(str(each.message) for each in told)
    assert "another version of the method: cmgans-ws (with 0, now" in texts
    assert "chosen under protocol release" in texts
    assert cell.tuning["like"] == "cmgans"


def test_a_dataset_under_two_names_is_searched_once(toy, tmp_path):
    pytest.importorskip("optuna")
    for name in ("first", "copy"):
        save_npz(tmp_path / f"{name}.npz", toy)
    places = [word for name in ("first", "copy") for word in ("--dataset", str(tmp_path / f"{name}.npz"))]
    out = tmp_path / "t.toml"
    search = ["--methods", "cfa", "--trials", "1", "--seeds", "0,", "--jobs", "1", "--threads", "1"]
    done = CliRunner().invoke(cli, ["tune", *places, *search, "-o", str(out), "--store", str(tmp_path / "s")])
    assert done.exit_code == 0, done.output
    told = f"{tmp_path / 'copy.npz'} has the pairs of {tmp_path / 'first.npz'}, which is searched alone"
    assert told in done.output
    assert list(read_profile(out).datasets) == [toy.fingerprint]


def test_a_table_of_standard_errors_says_nothing_of_deviations_over_splits():
    whole = made_dataset()
    drawn = {"name": whole["name"], "fingerprint": whole["fingerprint"], "seed": 1}
    split = {**whole, "name": "toy-split-1", "fingerprint": "2" * 64, "split_of": drawn}
    records = [made_record("cca"), made_record("cca", dataset=split)]
    assert "; mean ± sample standard deviation over seeds and splits): the dataset's own" in render(records)
    by_query = render(records, view=View(spread="queries"))
    assert "Splits (all pairs divided anew, by category; mean over them): the dataset's own and" in by_query
    assert "standard deviation" not in by_query
