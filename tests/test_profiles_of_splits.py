"""Profiles of splits: what a search chose on each split of a dataset by itself."""

import csv
import json
import re
import shlex
from io import StringIO

import pytest
from click.testing import CliRunner

from cmbench.agenda import planned
from cmbench.cli.main import cli
from cmbench.command import command
from cmbench.datasets import save_npz
from cmbench.datasets.splits import redrawn
from cmbench.profile_files import Profile, read_profile
from cmbench.records import is_trial, split_of
from cmbench.report.description import described
from cmbench.report.table import render
from cmbench.runner import finished
from cmbench.store import Store

pytest.importorskip("tomli_w")
FEW = """
from cmbench.methods.contract import Method

class Few(Method):
    tuning_space = {"kind": (1, 2)}
    def __init__(self, kind=1):
        self.kind = kind
    def fit(self, train, validation):
        return self
    def transform_images(self, images):
        return images[:, :4]
    def transform_texts(self, texts):
        return texts[:, :4]
"""
QUICK = {"threads": 1, "memory": "none", "deadline": "60s", "jobs": 1}


def chosen(components):
    return {"cca": {"parameters": {"n_components": components}, "trials": 3}}


def chosen_on_each(toy, of_own=2, of_split=3):
    split = redrawn(toy, 1).fingerprint
    tables = {toy.fingerprint: chosen(of_own), split: chosen(of_split)}
    return Profile("mine", tables, splits={split: toy.fingerprint})


def test_what_was_chosen_on_a_split_is_for_that_split(toy, tmp_path):
    cells = planned(toy, ["cca"], splits=3, profile=chosen_on_each(toy), store=tmp_path / "s").cells
    assert [cell.parameters["n_components"] for cell in cells] == [2, 3, 2]
    assert [bool(cell.tuning.get("each_split")) for cell in cells] == [True, True, False]


def test_splits_with_a_choice_each_are_one_row_that_tells_all_of_them(toy, tmp_path):
    finished(toy, ["cca"], splits=2, profile=chosen_on_each(toy), store=tmp_path, **QUICK)
    records = Store(tmp_path).records()
    text = render(records)
    assert text.count("| CCA") == 1
    assert "CCA (n_components=2/3 " in text
    assert "They were chosen on each split for itself; values stand in the order of splits." in text
    assert "own split" not in text
    (row,) = csv.DictReader(StringIO(render(records, format="csv")))
    assert json.loads(row["parameters"])["n_components"] == {"split 0": 2, "split 1": 3}
    told = described(records)
    assert 'split 0: n_components=2 (default "validation")' in told
    assert 'split 1: n_components=3 (default "validation")' in told
    assert command(records) == shlex.join(records[0]["provenance"]["command"])
    assert "--set cca.n_components=2" in command([record for record in records if not split_of(record)])


def test_a_row_of_each_split_stands_beside_one_of_the_own_split(toy, tmp_path):
    finished(toy, ["cca"], splits=2, profile=chosen_on_each(toy), store=tmp_path, **QUICK)
    own = Profile("own", {toy.fingerprint: {"cfa": {"parameters": {"n_components": 4}, "trials": 3}}})
    finished(toy, ["cfa"], splits=2, profile=own, store=tmp_path, **QUICK)
    text = render(Store(tmp_path).records())
    assert "They were chosen on each split for itself (CCA); values" in text
    assert (
        "They were chosen on the dataset's own split (CFA), whose validation pairs other splits test" in text
    )


def rows_of(records):
    """The parameter of each row and its splits, by the label."""
    rows = csv.DictReader(StringIO(render(records, format="csv")))
    return {row["label"]: (json.loads(row["parameters"])["n_components"], row["splits"]) for row in rows}


def test_a_choice_made_anew_is_a_row_of_its_own_and_takes_nothing_from_the_earlier_one(toy, tmp_path):
    first, second = chosen_on_each(toy), chosen_on_each(toy, 4, 3)
    for profile in (first, second):
        ran = finished(toy, ["cca"], splits=2, profile=profile, store=tmp_path, **QUICK)
    records = Store(tmp_path).records()
    assert len(records) == 3
    rows = rows_of(records)
    assert sorted(map(str, rows.values())) == [
        "({'split 0': 2, 'split 1': 3}, '2')",
        "({'split 0': 4, 'split 1': 3}, '2')",
    ]
    assert all(re.fullmatch(r"CCA \(chosen=on each split, profile mine, choice \w{8}\)", row) for row in rows)
    assert rows_of(ran) == {"CCA": ({"split 0": 4, "split 1": 3}, "2")}
    assert described(records).count("changed") == 4
    again = finished(toy, ["cca"], splits=2, profile=first, store=tmp_path, **QUICK)
    assert rows_of(again) == {"CCA": ({"split 0": 2, "split 1": 3}, "2")}
    assert rows_of(Store(tmp_path).records()) == rows


def test_a_run_with_a_choice_on_each_split_leaves_the_cells_of_earlier_rows_to_them(toy, tmp_path):
    given = {"parameters": {"cca": {"n_components": 3}}, "splits": 2, "store": tmp_path, **QUICK}
    before = rows_of(finished(toy, ["cca"], **given))
    assert before == {"CCA": (3, "2")}
    finished(toy, ["cca"], splits=2, profile=chosen_on_each(toy), store=tmp_path, **QUICK)
    rows = rows_of(Store(tmp_path).records())
    assert rows.pop("CCA (chosen=on each split, profile mine)") == ({"split 0": 2, "split 1": 3}, "2")
    assert list(rows.values()) == [(3, "2")]
    assert rows_of(finished(toy, ["cca"], **given)) == before


def test_variants_have_what_was_chosen_for_the_method_on_each_split(toy, tmp_path):
    split = redrawn(toy, 1).fingerprint
    tables = {
        fingerprint: {"cmgans": {"parameters": {"hidden": hidden}, "trials": 7}}
        for fingerprint, hidden in ((toy.fingerprint, 8), (split, 16))
    }
    profile = Profile("mine", tables, splits={split: toy.fingerprint})
    options = {"splits": 2, "profile": profile, "like": "cmgans", "store": tmp_path / "s"}
    cells = planned(toy, ["cmgans", "cmgans-ws"], **options).cells
    assert [cell.parameters["hidden"] for cell in cells if cell.method.name == "cmgans-ws"] == [8, 16]
    assert all(cell.tuning["each_split"] for cell in cells)


def test_each_split_has_a_search_of_its_own_that_runs_and_trials_can_be_repeated(toy, tmp_path, monkeypatch):
    pytest.importorskip("optuna")
    monkeypatch.chdir(tmp_path)
    save_npz("toy.npz", toy)
    (tmp_path / "few.py").write_text(FEW)
    common = ["--dataset", "toy.npz", "--methods", "few", "--plugin", "few.py", "--threads", "1"]
    searched = invoked(["tune", *common, "--trials", "1", "--splits", "2", "-o", "mine.toml"])
    assert "toy (split 1), trial 1" in searched
    profile, split = read_profile("mine.toml"), redrawn(toy, 1)
    assert set(profile.datasets) == {toy.fingerprint, split.fingerprint}
    assert profile.splits == {split.fingerprint: toy.fingerprint}
    for name in ("mine.toml", "tuned"):
        shown = invoked(["run", *common, "--profile", name, "--splits", "2"])
        assert "chosen on each split for itself" in " ".join(shown.split())
    trials = Store("results/tuning").records()
    assert sorted(split_of(record) for record in trials) == [0, 1]
    assert all(is_trial(record) for record in trials)
    (of_split,) = (record["key"] for record in trials if split_of(record))
    invoked(["reproduce", of_split, "--store", "results/tuning"])  # exit status 0: to the last bit


def invoked(arguments):
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 0, done.output
    return done.output
