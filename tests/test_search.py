"""The search for the parameters of one method: an optimum is found, and no setting is tried twice."""

import sys
from inspect import Parameter, Signature

import numpy as np
import pytest

from cmbench.errors import CmbenchError
from cmbench.methods.parameters import SearchRange
from cmbench.search import Search, Trial


def space(**values):
    """Return what a search asks of a method, whose parameters have the first of their values by default."""
    names = {name: each.low if isinstance(each, SearchRange) else each[0] for name, each in values.items()}
    arguments = [Parameter(name, Parameter.KEYWORD_ONLY, default=value) for name, value in names.items()]
    return type("Toy", (), {"name": "toy", "tuning_space": values, "__signature__": Signature(arguments)})


SPACE = space(a=SearchRange(-5.0, 5.0), b=("x", "y"), c=SearchRange(1, 1000, log=True, whole=True))


def searched(trials, *, failing=lambda parameters: False):
    search = Search(SPACE)
    for _ in range(trials):
        setting = search.next()
        full = {"a": -5.0, "b": "x", "c": 1, **setting}
        score = -((full["a"] - 2) ** 2) - (full["b"] == "x") - abs(np.log10(full["c"]) - 1.5)
        search.add(Trial(setting, None if failing(full) else score, 1.0))
    return search


def test_the_defaults_are_tried_first():
    assert Search(SPACE).next() == {}


def test_an_optimum_of_three_parameters_is_found():
    search = searched(80)
    scores = [trial.score for trial in search.trials]
    assert np.mean(scores[40:]) > np.mean(scores[:20]) + 5  # it is drawn towards the optimum, and not by luck
    best = search.best(1)[0].parameters
    assert best["a"] == pytest.approx(2, abs=0.7)
    assert best["b"] == "y"
    assert 10 <= best["c"] <= 100


def test_the_same_outcomes_lead_to_the_same_trials():
    assert searched(15).trials == searched(15).trials


def test_a_setting_is_not_tried_twice_and_a_small_space_ends():
    search, tried = Search(space(b=("x", "y", "z"))), []
    while (setting := search.next()) is not None:
        tried.append(setting)
        search.add(Trial(setting, 0.5, 1.0))
    assert sorted(map(str, tried)) == ["{'b': 'y'}", "{'b': 'z'}", "{}"]  # the first of which {} is


def test_every_setting_of_a_small_space_is_tried_though_the_sampler_keeps_to_a_few_of_them():
    search, tried = Search(space(b=("x", "y", "z"), c=SearchRange(1, 9, whole=True), d=(True, False))), []
    while (setting := search.next()) is not None:
        assert not search.exhausted
        tried.append(setting)
        search.add(Trial(setting, float(setting == {}), 1.0))
    assert search.exhausted
    assert len({str(setting) for setting in tried}) == len(tried) == 3 * 9 * 2


def test_a_continuous_space_has_no_end():
    assert not searched(20).exhausted


def test_a_method_without_a_search_space_has_one_trial():
    search = Search(space())
    search.add(Trial(search.next(), 0.5, 1.0))
    assert search.exhausted
    assert search.next() is None


def test_settings_that_failed_are_no_candidates():
    search = searched(30, failing=lambda full: full["b"] == "y")
    assert search.best(1)[0].parameters.get("b", "x") == "x"


def test_the_best_come_in_order():
    search = Search(space(b=("x", "y", "z")))
    while (setting := search.next()) is not None:
        search.add(Trial(setting, {"x": 0.9, "y": 0.7, "z": 0.8}[setting.get("b", "x")], 1.0))
    assert [trial.parameters for trial in search.best(3)] == [{}, {"b": "z"}, {"b": "y"}]


def test_without_optuna_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(CmbenchError, match=r"cmbench\[tune\]"):
        Search(SPACE)
