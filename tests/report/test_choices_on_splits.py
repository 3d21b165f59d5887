"""Rows of what was chosen on each split: which records stand in them, and what they say of the searches."""

import csv
from io import StringIO

import pytest
from made_records import made_dataset, made_record

from cmbench.choices import says_more, united_choices
from cmbench.records import split_of
from cmbench.report.searches import tuning_of
from cmbench.report.settings import settings
from cmbench.report.table import render

DATASET = made_dataset()
FIRST, SECOND = {"each_split": "first"}, {"each_split": "second"}


def record(split, width, value=0.5, *, hour=1, **changes):
    """A cell of CCA on a split."""
    dataset = DATASET
    if split:
        drawn = {"name": "toy", "fingerprint": DATASET["fingerprint"], "seed": split}
        dataset = {**DATASET, "name": f"toy {split}", "fingerprint": f"{split:064x}", "split_of": drawn}
    finished = {"finished": f"2026-01-01T{hour:02}:00:00+00:00"}
    made = made_record("cca", value, dataset=dataset, parameters={"width": width}, provenance=finished)
    return {**made, **changes}


def chosen(made, *choices):
    """The record with what it tells of its choices, the latest first."""
    latest, *earlier = [choice and {"profile": "mine", "trials": 2, **choice} for choice in choices]
    tuning = {**latest, "earlier": earlier} if earlier else latest
    return {**made, "method": {**made["method"], "tuning": tuning}}


def rows(records):
    """The widths of each row by split, smaller ones first."""
    return sorted(
        [(split_of(each), each["method"]["parameters"]["width"]) for each in setting.records]
        for setting in settings(records)
    )


def test_of_two_choices_with_one_profile_each_has_a_row_with_a_label_of_its_own():
    shared = chosen(record(1, 3), SECOND, FIRST)
    records = [chosen(record(0, 1), FIRST), chosen(record(0, 2), SECOND), shared]
    assert rows(records) == [[(0, 1), (1, 3)], [(0, 2), (1, 3)]]
    text = render(records)
    for digest in ("first", "second"):
        assert f"CCA (chosen=on each split, profile mine, choice {digest})" in text
    assert rows(records[1:]) == [[(0, 2), (1, 3)]]  # the first choice has nothing alone


def test_of_records_that_do_not_tell_which_choices_belong_together_the_newest_do():
    old = {"each_split": True}
    records = [
        chosen(record(split, width, hour=hour), old)
        for split, width, hour in [(0, 1, 1), (0, 2, 2), (1, 1, 1)]
    ]
    assert rows(records) == rows(records[::-1]) == [[(0, 1), (1, 1)], [(0, 2), (1, 1)]]
    text = render(records)
    assert "CCA (chosen=on each split, profile mine)" in text
    assert "CCA (width=1)" in text


@pytest.mark.parametrize("choice", [True, "first"])
def test_a_choice_of_the_same_parameters_stands_in_the_row_of_other_splits_with_them(choice):
    records = [
        record(0, 1),
        chosen(record(0, 2), {"each_split": choice}),
        chosen(record(1, 1), {"each_split": choice}),
    ]
    assert rows(records) == [[(0, 1), (1, 1)], [(0, 2), (1, 1)]]
    assert rows([records[0], records[2]]) == [[(0, 1), (1, 1)]]
    (setting,) = settings([records[0], records[2]])
    assert not tuning_of(setting)
    assert rows(records[1:]) == [[(0, 2), (1, 1)]]


def test_records_that_were_all_chosen_since_stand_in_the_row_that_they_had():
    records = [
        chosen(record(0, 1), FIRST, {}),
        chosen(record(1, 1), SECOND, {}),
        chosen(record(1, 2), FIRST),
        chosen(record(0, 2), SECOND),
    ]
    assert rows(records) == [[(0, 1), (1, 1)], [(0, 1), (1, 2)], [(0, 2), (1, 1)]]


def test_a_row_of_several_searches_says_what_each_of_them_has_had():
    many = {"trials": 4, "failed": 1, "budget": {"trials": 4}, "exhausted": True}
    few = {"trials": 1, "failed": 2, "budget": {"trials": 1}, "version": "2"}
    records = [chosen(record(0, 1), {**FIRST, **many}), chosen(record(1, 2), {**FIRST, **few})]
    text = render(records)
    assert "profile mine, with budgets that differ (trials: CCA 1 to 4)." in text
    assert "Trials that failed: CCA 3 of 5." in text
    assert "another version of the method: CCA (with 2, the row is of 1)" in text
    (row,) = csv.DictReader(StringIO(render(records, format="csv")))
    assert (row["trials"], row["exhausted"], row["budget"]) == ("1", "False", "")
    alike = [chosen(record(split, 1), {**FIRST, **many}) for split in (0, 1)]
    (setting,) = settings(alike)
    assert tuning_of(setting) == {"profile": "mine", **FIRST, **many, "failed": 2}


def test_a_row_to_whose_parameters_two_searches_came_names_both():
    plain = {"trials": 2, "budget": {"trials": 2}}
    records = [
        chosen(record(0, 1), {**FIRST, **plain}, {"profile": "other", "trials": 3}),
        chosen(record(1, 1), {**FIRST, **plain}),
        chosen(record(2, 1), plain),
    ]
    text = render(records)
    assert "validation pairs, profiles mine, other, with budgets that differ (trials: CCA 2 to 3)" in text


def test_searches_on_splits_within_one_time_say_how_many_trials_each_had():
    within = {"budget": {"seconds": 600.0}}
    tries = zip((0, 1), (FIRST, FIRST), (5, 9), strict=True)
    records = [chosen(record(split, 1), {**each, **within, "trials": count}) for split, each, count in tries]
    assert "within 10 min of processor time each (trials: CCA 5 to 9)." in render(records)


PLAIN, LENT = {"profile": "mine", "trials": 2}, {"profile": "mine", "trials": 2, "like": "kcca"}
ANEW = {"profile": "mine", "trials": 9}


@pytest.mark.parametrize(
    ("known", "tuning", "said"),
    [
        (None, PLAIN, PLAIN),
        (PLAIN, ANEW, ANEW),
        (PLAIN, LENT, PLAIN),
        (LENT, PLAIN, PLAIN),
        (None, {**PLAIN, **FIRST}, {**PLAIN, **FIRST, "earlier": [{}]}),
        ({**PLAIN, **FIRST}, {**ANEW, **FIRST}, {**ANEW, **FIRST}),
        ({**PLAIN, **FIRST}, {**PLAIN, **SECOND}, {**PLAIN, **SECOND, "earlier": [{**PLAIN, **FIRST}]}),
        ({**PLAIN, **FIRST}, {**LENT, **FIRST}, {**PLAIN, **FIRST, "earlier": [{**LENT, **FIRST}]}),
        ({**PLAIN, **FIRST, "earlier": [{}]}, PLAIN, {**PLAIN, "earlier": [{**PLAIN, **FIRST}]}),
    ],
)
def test_a_record_tells_of_one_choice_for_each_row_that_it_stands_in(known, tuning, said):
    assert united_choices(tuning, known) == said
    assert says_more(tuning, known) == (said != known)
    assert united_choices(tuning, said) == united_choices(said, said) == said
    assert not says_more(tuning, said)
    assert not says_more(said, said)
