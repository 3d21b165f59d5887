"""Equal tuning: a planted optimum is found, a killed search ends like another, test pairs are not read."""

import re
import signal
import subprocess
import sys
import time
import tomllib
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

import cmbench
from cmbench.cli.tune import tune as tune_command
from cmbench.datasets import save_npz
from cmbench.datasets.contract import Dataset
from cmbench.errors import CmbenchError, ReportError
from cmbench.evaluation.protocol import get_protocol
from cmbench.methods.registry import registry
from cmbench.plan import plan
from cmbench.profile_files import Profile, read_profile
from cmbench.report.table import render
from cmbench.store import Store
from cmbench.tuning import Budget, tune, validation_only

QUICK = {"threads": 1, "memory": "none", "deadline": "60s", "jobs": 1}

PLANTED = '''
import numpy as np

from cmbench.methods.contract import Method
from cmbench.evaluation.protocol import get_protocol
from cmbench.methods.parameters import SearchRange
from cmbench.methods.training.progress import Look, report


class Planted(Method):
    """Hides the categories in noise, which is least at rate .01, width 30 and kind b."""

    tuning_space = {
        "rate": SearchRange(1e-4, 1.0, log=True),
        "width": SearchRange(1, 100, whole=True),
        "kind": ("a", "b", "c"),
    }

    def __init__(self, rate=1.0, width=1, kind="a", random_state=0):
        self.rate, self.width, self.kind, self.random_state = rate, width, kind, random_state

    def fit(self, train, validation):
        off = abs(np.log10(self.rate) + 2) + abs(self.width - 30) / 30 + (self.kind != "b")
        for epoch in range(1, 9):
            report(Look("pairs", epoch, epoch / 8 - off))
        self.noise, self.random = 0.5 * off, np.random.default_rng(self.random_state)
        goal = np.eye(train.labels.max() + 1)[train.labels]
        self.image, self.text = (np.linalg.pinv(rows) @ goal for rows in (train.images, train.texts))
        return self

    def transform_images(self, images):
        return images @ self.image + self.noise * self.random.normal(size=(len(images), self.image.shape[1]))

    def transform_texts(self, texts):
        return texts @ self.text + self.noise * self.random.normal(size=(len(texts), self.text.shape[1]))
'''


@pytest.fixture
def planted(tmp_path):
    path = tmp_path / "planted.py"
    path.write_text(PLANTED)
    return registry([path])


def test_the_validation_pairs_stand_in_for_the_test_pairs(toy):
    held_out = validation_only(toy)
    assert np.array_equal(held_out.test.images, toy.validation.images)
    assert np.array_equal(held_out.test.labels, toy.validation.labels)
    assert not set(held_out.test.ids) & set(toy.test.ids)


def without_times(choice):
    return replace(choice, seconds=0.0, tried=tuple(replace(trial, seconds=0.0) for trial in choice.tried))


def test_tuning_does_not_depend_on_the_test_pairs(toy, planted, tmp_path):
    random = np.random.default_rng(0)
    other = replace(toy.test, images=random.normal(size=toy.test.images.shape).astype(np.float32))
    changed = Dataset("toy", toy.train, toy.validation, other, toy.class_names)
    budget = Budget(2, seeds=(0,))
    there = tune(toy, ["planted"], budget=budget, store=tmp_path / "a", plugins=planted, **QUICK)
    here = tune(changed, ["planted"], budget=budget, store=tmp_path / "b", plugins=planted, **QUICK)
    there, here = (without_times(found.choices["planted"]) for found in (there, here))
    assert there == here


def test_trials_cannot_read_the_file_of_the_dataset(toy, tmp_path):
    save_npz(tmp_path / "data.npz", toy)
    look = f"""
        self.sees_ = "open"
        try:
            open({str(tmp_path / "data.npz")!r}).close()
        except PermissionError:
            self.sees_ = "closed"
        return self
"""
    path = tmp_path / "planted.py"
    path.write_text(PLANTED.replace("        return self\n", look, 1))
    dataset, budget = cmbench.load_dataset(tmp_path / "data.npz"), Budget(1, seeds=(0,))
    tune(dataset, ["planted"], budget=budget, store=tmp_path / "s", plugins=registry([path]), **QUICK)
    (record,) = Store(tmp_path / "s").records()
    if record["fence"]["files"] is None:
        pytest.skip("this kernel has no Landlock")
    assert record["fitted"]["sees_"] == "closed"


@pytest.mark.slow
def test_a_planted_optimum_of_a_plugin_is_found(toy, planted, tmp_path):
    budget = Budget(40, seeds=(0, 1))
    found = tune(toy, ["planted"], budget=budget, store=tmp_path / "s", plugins=planted, **QUICK)
    chosen = found.choices["planted"].parameters
    assert chosen["kind"] == "b"
    assert 10**-2.5 <= chosen["rate"] <= 10**-1.5
    assert 15 <= chosen["width"] <= 45
    assert 0 < found.choices["planted"].pruned < 35


def test_every_trial_is_in_the_store_and_the_best_have_all_seeds(toy, planted, tmp_path):
    found = tune(
        toy, ["planted"], budget=Budget(3, seeds=(0, 1)), store=tmp_path / "s", plugins=planted, **QUICK
    )
    records = Store(tmp_path / "s").records()
    settings = [record for record in records if record["method"]["name"] == "planted"]
    assert sum(record["seed"] == 0 for record in settings) == 3
    assert sum(record["seed"] == 1 for record in settings) == 3
    assert found.choices["planted"].trials == 3
    spent = sum(record["durations"]["processor"] for record in settings)
    assert found.choices["planted"].seconds == pytest.approx(spent)
    assert all(record["dataset"]["name"] == "toy (validation)" for record in records)
    assert not any("is the test set" in text for record in records for text in record["dataset"]["warnings"])


def test_the_best_of_all_methods_are_repeated_together(toy, planted, tmp_path, monkeypatch):
    asked = []

    def noted(dataset, methods, **options):
        asked.append((methods, len(options["seeds"])))
        return cmbench.run(dataset, methods, **options)

    monkeypatch.setattr("cmbench.tuning.run", noted)
    tune(toy, ["planted", "ridge"], budget=Budget(2), store=tmp_path, plugins=planted, **QUICK)
    both = ["planted", "ridge"]
    assert asked == [(both, 1)] * 2 + [(both, 3)] * 2


def test_a_second_search_runs_nothing(toy, planted, tmp_path):
    budget, store, lines = Budget(2, seeds=(0,)), tmp_path / "s", []
    first = tune(toy, ["planted"], budget=budget, store=store, plugins=planted, told=lines.append, **QUICK)
    assert [line.split(":")[0] for line in lines] == [
        "  toy (validation) planted seed 0",
        "toy, trial 1",
        "  toy (validation) planted seed 0",
        "toy, trial 2",
        "toy",
    ]
    chosen = first.choices["planted"]
    assert re.fullmatch(rf"toy: planted gets .* \({chosen.score:.3f} on validation; 2 trials\)", lines[-1])
    written = {path: path.stat().st_mtime_ns for path in store.rglob("*.json")}
    assert tune(toy, ["planted"], budget=budget, store=store, plugins=planted, **QUICK) == first
    assert {path: path.stat().st_mtime_ns for path in store.rglob("*.json")} == written


def test_a_budget_of_processor_time_ends_the_search(toy, planted, tmp_path):
    budget = Budget(None, seconds=1e-3, seeds=(0,))
    found = tune(toy, ["planted"], budget=budget, store=tmp_path / "s", plugins=planted, **QUICK)
    assert found.choices["planted"].trials == 1


BROKEN = PLANTED.replace("Planted", "Broken").replace("return self\n", "raise ValueError('no')\n", 1)


def test_a_method_of_which_every_trial_fails_is_named_and_the_others_get_their_choice(toy, tmp_path):
    (tmp_path / "broken.py").write_text(BROKEN)
    options = {"plugins": registry([tmp_path / "broken.py"]), "store": tmp_path / "s", **QUICK}
    lines = []
    found = tune(toy, ["broken", "cfa"], budget=Budget(2, seeds=(0,)), told=lines.append, **options)
    assert set(found.choices) == {"cfa"}
    assert found.failures["broken"].reasons == ("ValueError: no",)
    assert any("broken gets nothing: all 2 trials failed (ValueError: no)." in line for line in lines)
    (place,) = (tmp_path / "s" / "profiles").iterdir()
    (table,) = tomllib.loads(place.read_text())["datasets"].values()
    assert [trial["error"] for trial in table["failed"]["broken"]["tried"]] == ["ValueError: no"] * 2
    assert set(read_profile(place).datasets[toy.fingerprint]) == {"cfa"}


def test_a_method_that_only_fails_does_not_go_on_until_a_long_time_is_spent(toy, tmp_path, monkeypatch):
    monkeypatch.setattr("cmbench.search.HOPELESS", 2)
    (tmp_path / "broken.py").write_text(BROKEN)
    options = {"plugins": registry([tmp_path / "broken.py"]), "store": tmp_path / "s", **QUICK}
    by_time = tune(toy, ["broken"], budget=Budget(None, seconds=3600.0, seeds=(0,)), **options)
    assert len(by_time.failures["broken"].tried) == 2
    by_number = tune(toy, ["broken"], budget=Budget(3, seeds=(0,)), **options)
    assert len(by_number.failures["broken"].tried) == 3


def test_the_command_writes_the_profile_of_the_others_and_its_exit_status_tells_of_the_failure(toy, tmp_path):
    save_npz(tmp_path / "toy.npz", toy)
    (tmp_path / "broken.py").write_text(BROKEN)
    place, missing = tmp_path / "p.toml", tmp_path / "missing" / "p.toml"
    command = [
        "--dataset",
        str(tmp_path / "toy.npz"),
        "--plugin",
        str(tmp_path / "broken.py"),
        "--trials",
        "1",
    ]
    command += ["--store", str(tmp_path / "s"), "--seeds", "1", "--threads", "1", "--jobs", "1"]

    def tuned(methods, output):
        return CliRunner().invoke(tune_command, [*command, "--methods", methods, "--output", str(output)])

    alone = tuned("broken", place)
    assert (alone.exit_code, place.exists()) == (1, False)
    assert f"nothing was chosen, so that no {place} is written" in alone.stderr
    assert tuned("identity", place).exit_code == 1  # left out: widths differ
    beside = tuned("broken,cfa", place)
    assert beside.exit_code == 1
    assert "no parameters were chosen for broken on toy: all trials failed" in beside.stderr
    assert set(read_profile(place).datasets[toy.fingerprint]) == {"cfa"}
    assert tuned("cfa", place).exit_code == 0
    assert isinstance(tuned("cfa", missing).exception, ReportError)


@pytest.mark.parametrize("wrong", [{"trials": None}, {"trials": 0}, {"seeds": ()}])
def test_a_budget_for_nothing_is_refused(wrong):
    with pytest.raises(CmbenchError):
        Budget(**wrong)


def sorted_records(folder):
    """Return what does not depend on the clock in the records of a store."""
    return [
        [record[name] for name in ("key", "status", "seed", "map")] + [record.get("looks")]
        for record in Store(folder).records()
    ]


@pytest.mark.slow
def test_a_search_killed_five_times_ends_as_an_undisturbed_one(toy, tmp_path):
    save_npz(tmp_path / "toy.npz", toy)
    (tmp_path / "planted.py").write_text(PLANTED)

    def command(store, output):
        options = ["--dataset", "toy.npz", "--methods", "planted,cfa", "--plugin", "planted.py"]
        budget = ["--trials", "12", "--seeds", "0,1", "--threads", "1", "--jobs", "1", "--memory", "none"]
        return [
            sys.executable,
            "-P",
            "-m",
            "cmbench",
            "tune",
            *options,
            *budget,
            "--store",
            store,
            "-o",
            output,
        ]

    subprocess.run(command("whole", "whole.toml"), cwd=tmp_path, check=True, capture_output=True)
    for seconds in (3.0, 5.0, 4.0, 6.0, 2.5):
        process = subprocess.Popen(command("killed", "killed.toml"), cwd=tmp_path, stderr=subprocess.DEVNULL)
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (tmp_path / "killed.toml").exists()
    subprocess.run(command("killed", "killed.toml"), cwd=tmp_path, check=True, capture_output=True)
    whole, killed = (read_profile(tmp_path / f"{name}.toml").datasets for name in ("whole", "killed"))
    without_times = [
        {method: {**entry, "processor_seconds": 0} for method, entry in table.items()}
        for profile in (whole, killed)
        for table in profile.values()
    ]
    assert without_times[0] == without_times[1]
    assert without_times[0]["planted"]["pruned"] > 0
    whole, killed = (sorted_records(tmp_path / name) for name in ("whole", "killed"))
    assert whole == killed


def test_a_run_takes_parameters_from_a_profile_and_the_table_says_so(toy, tmp_path):
    def entry(**parameters):
        return {"parameters": parameters, "trials": 7, "failed": 0}

    methods = {"cca": entry(n_components=2), "cfa": entry(scaling="center")}
    profile = Profile("tuned", {toy.fingerprint: methods})
    store = tmp_path / "s"
    cmbench.run(toy, ["cca", "cfa"], store=store, parameters={"cca": {"n_components": 2}}, **QUICK)
    cmbench.run(toy, ["cca", "cfa", "rcca"], store=store, profile=profile, **QUICK)
    records = [record for record in Store(store).records() if record["method"].get("tuning")]
    chosen = {record["method"]["name"]: record["method"]["parameters"] for record in records}
    assert chosen["cca"]["n_components"] == 2
    assert chosen["cfa"]["scaling"] == "center"
    tuning = {"profile": "tuned", "trials": 7}
    assert [record["method"]["tuning"] for record in records] == [tuning, tuning]
    assert "profile tuned, from 7 trials each" in render(records)
    unequal = render(Store(store).records())
    assert "Unequal budgets" in unequal
    assert "rCCA none (defaults or given)" in unequal


def test_given_parameters_go_before_those_of_a_profile(toy, tmp_path):
    table = {"cca": {"parameters": {"n_components": 2}, "trials": 7, "failed": 0}}
    profile = Profile("tuned", {toy.fingerprint: table})
    cells = plan(
        [toy],
        [(registry()["cca"], {"n_components": 3})],
        seeds=[0],
        protocol=get_protocol("paper"),
        profile=profile,
    )
    assert cells[0].parameters["n_components"] == 3
