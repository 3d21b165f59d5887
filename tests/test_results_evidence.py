"""Whether the evidence of the tuned runs is whole, and whether what contradicts it would be told."""

import json
import tomllib
from copy import deepcopy
from pathlib import Path

import evidence
import pytest

from cmbench.store import Store

ROOT = Path(__file__).resolve().parents[1]
RESULTS, PROFILES = ROOT / "results", ROOT / "bench" / "tuned"
SEEDS = (0, 1, 2)
EMOJI = PROFILES / "7c64234af604b386113f0e455fd4e176.toml"


def test_the_committed_page_is_what_profiles_trials_and_runs_say_and_nothing_contradicts_it():
    page, wrong = evidence.evidence(RESULTS, PROFILES)
    assert not wrong
    assert page == (RESULTS / "tuned" / "evidence.md").read_text("utf-8")


@pytest.fixture(scope="module")
def of_emoji():
    """The profile, the trials and the runs of the dataset."""
    dataset = tomllib.loads(EMOJI.read_text("utf-8"))["datasets"]["emoji"]
    log = evidence.read_log(RESULTS / "tuned" / "searches" / "emoji.tar.xz")
    runs = [
        each
        for each in Store(RESULTS / "tuned").records()
        if evidence.is_of(each, dataset["fingerprint"]) and each["protocol"]["name"] == "paper"
    ]
    return dataset["methods"], log, runs


@pytest.fixture
def of_acmr(of_emoji):
    """What there is of one method, which may be changed."""
    methods, log, runs = deepcopy(of_emoji)
    named = [[each for each in records if each["method"]["name"] == "acmr"] for records in (log, runs)]
    return methods["acmr"], *named


def test_every_trial_of_a_search_that_trains_is_drawn_again(of_acmr):
    entry, log, runs = of_acmr
    row = evidence.row("acmr", entry, SEEDS, log, runs)
    assert (row.trials, row.logged, row.drawn, row.runs, row.best, row.wrong) == (20, 20, 20, 5, True, ())


def test_a_trial_with_another_map_than_its_record_is_told_and_ends_what_is_drawn(of_acmr):
    entry, log, runs = of_acmr
    number = next(
        number for number, trial in enumerate(entry["tried"]) if number and "validation_map" in trial
    )
    entry["tried"][number]["validation_map"] += 1e-4
    row = evidence.row("acmr", entry, SEEDS, log, runs)
    assert row.drawn == number
    assert "1 of 20 trials have no record" in row.wrong
    assert any("1 records are of no trial of the profile" in text for text in row.wrong)


def test_what_was_chosen_must_be_the_best_on_validation_pairs(of_acmr):
    entry, log, runs = of_acmr
    chosen = [record for record in log if evidence.has(record, entry["parameters"])]
    assert len(chosen) == 3
    for record in chosen:
        record["map"]["bimodal_average"] -= 0.05
    row = evidence.row("acmr", entry, SEEDS, log, runs)
    assert "another setting has a higher mean on validation pairs" in row.wrong


def test_runs_with_other_parameters_than_those_chosen_are_told(of_acmr):
    entry, log, runs = of_acmr
    runs[0]["method"]["parameters"]["learning_rate"] *= 2
    row = evidence.row("acmr", entry, SEEDS, log, runs)
    assert (row.runs, row.runs_in_all) == (4, 5)
    assert row.wrong == ("1 runs have other parameters than those chosen",)


def test_trials_that_were_ranked_on_other_pairs_are_told(of_emoji):
    _, log, runs = of_emoji
    assert not list(evidence.wrong_pairs("emoji", log, runs))
    asked = json.loads(json.dumps(log[:2]))
    asked[0]["dataset"]["fingerprint"] = runs[0]["dataset"]["fingerprint"]
    asked[0]["dataset"]["sizes"] = runs[0]["dataset"]["sizes"]
    assert list(evidence.wrong_pairs("emoji", asked, runs)) == [
        "trials are of 2 sets of pairs",
        "trials are of other pairs than the validation pairs",
        "trials were ranked on test pairs",
        "trials have 2784/354/360 pairs",
    ]
