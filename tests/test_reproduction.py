"""A record says how it is made again, ``show`` tells it first, and ``reproduce`` does it and compares."""

import json
import re
import shlex
import shutil

import click
import numpy as np
import pytest
from click.testing import CliRunner

import cmbench
from cmbench.cli.main import cli
from cmbench.command import command
from cmbench.datasets import save_npz
from cmbench.errors import DatasetError, MethodError, StoreError
from cmbench.methods.registry import load_method
from cmbench.profile_files import Profile
from cmbench.report.description import described
from cmbench.reproduction import reproduced, then_and_since
from cmbench.store import Store
from cmbench.tuning import Budget, tune

QUICK = {"threads": 1, "memory": "none", "deadline": "60s", "jobs": 1}

NOISY = '''
import numpy as np

from cmbench.methods.contract import Method


class Noisy(Method):
    """Random projections."""

    def __init__(self, size=3, words="auto", random_state=0):
        self.size, self.words, self.random_state = size, words, random_state

    def fit(self, train, validation):
        random = np.random.default_rng(self.random_state)
        self.to_image = random.normal(size=(train.images.shape[1], self.size))
        self.to_text = random.normal(size=(train.texts.shape[1], self.size))
        return self

    def transform_images(self, images):
        return images @ self.to_image

    def transform_texts(self, texts):
        return texts @ self.to_text
'''


@pytest.fixture(scope="module")
def place(toy, tmp_path_factory):
    """A folder with a dataset, a plugin, and a store with cells of them."""
    folder = tmp_path_factory.mktemp("place")
    save_npz(folder / "toy data.npz", toy)
    (folder / "noisy.py").write_text(NOISY)
    cmbench.run(
        folder / "toy data.npz",
        ["noisy", "cca"],
        plugins=[folder / "noisy.py"],
        parameters={"noisy": {"size": 2, "words": "12"}},
        seeds=2,
        splits=2,
        measures=["r@1"],
        store=folder / "store",
        **QUICK,
    )
    return folder


def records(place, method):
    return [record for record in Store(place / "store").records() if record["method"]["name"] == method]


def test_a_record_holds_the_whole_configuration(place):
    record = next(record for record in records(place, "noisy") if record["seed"] == 1)
    split = record["dataset"].get("split_of", {"seed": 0})["seed"]
    assert record["configuration"] == {
        "dataset": str(place / "toy data.npz"),
        "split": split,
        "method": "noisy",
        "code_version": record["method"]["code_version"],
        "plugin": str(place / "noisy.py"),
        "parameters": {"size": 2, "words": "12"},
        "seed": 1,
        "protocol": "paper",
        "measures": ["r@1"],
        "profile": None,
        "threads": 1,
    }


def test_the_command_of_records_gives_cells_with_the_same_keys(place, tmp_path):
    wanted = records(place, "noisy")
    words = shlex.split(command(wanted, store=str(tmp_path / "s")))
    assert words[:2] == ["cmbench", "run"]
    done = CliRunner().invoke(cli, [*words[1:], "--memory", "none", "--jobs", "1"])
    assert done.exit_code == 0, done.output
    again = Store(tmp_path / "s").records()
    assert {record["key"]: record["map"] for record in again} == {
        record["key"]: record["map"] for record in wanted
    }


def test_a_cell_without_a_seed_is_run_again_without_one(place, tmp_path):
    frame = cmbench.run(
        place / "toy data.npz",
        ["noisy"],
        plugins=[place / "noisy.py"],
        parameters={"noisy": {"random_state": None}},
        store=tmp_path / "store",
        **QUICK,
    )
    (record,) = Store(tmp_path / "store").records()
    assert record["seed"] is None
    words = shlex.split(command([record]))
    assert "noisy.random_state=null" in words
    done = CliRunner().invoke(cli, [*words[1:], "--store", str(tmp_path / "again")])
    assert done.exit_code == 0, done.output
    assert {each["key"] for each in Store(tmp_path / "again").records()} == set(frame["key"])


def test_seeds_and_splits_of_a_method_are_told_together_with_the_command_first(place):
    text = described(records(place, "noisy"))
    lines = text.splitlines()
    assert lines[0] == "toy / noisy  (ok)"
    assert lines[1].split()[:4] == ["run", "again", "cmbench", "run"]
    assert "--seeds 0,1 --splits 2 --measures r@1 --threads 1" in lines[1]
    assert lines[2].split(",")[0].split() == ["or", "cmbench", "reproduce", records(place, "noisy")[0]["key"]]
    assert lines[3].split(maxsplit=1) == ["changed", 'size=2 (default 3), words="12" (default "auto")']
    assert sum(line.startswith("  key ") for line in lines) == 4
    assert sum(line.startswith("  code ") for line in lines) == 1
    assert "seed 1 on split 1: " in text


def test_show_says_where_nothing_was_changed(place):
    done = CliRunner().invoke(cli, ["show", "cca", "--store", str(place / "store")])
    assert "changed nothing: all parameters are the defaults" in " ".join(done.output.split())


def test_a_default_that_moved_since_is_given_by_the_command_that_runs_a_cell_again(place, tmp_path):
    shutil.copytree(place / "store", tmp_path / "s")
    (path,) = (
        path for path in Store(tmp_path / "s").paths() if "cca" in path.name and "split" not in str(path)
    )
    record = json.loads(path.read_text())
    record["method"]["parameters"]["ridge"] = 0.25  # as if that had been the default
    path.write_text(json.dumps(record))
    done = CliRunner().invoke(cli, ["show", record["key"], "--store", str(tmp_path / "s")])
    shown = " ".join(done.output.split())
    assert "--methods cca --set cca.ridge=0.25 " in shown
    assert "default then ridge=0.25 (1e-06 today)" in shown
    (other,) = (r for r in records(place, "cca") if not r["dataset"].get("split_of"))
    done = CliRunner().invoke(cli, ["show", other["key"], "--store", str(place / "store")])
    assert "--set" not in done.output
    assert "default then" not in done.output


def test_a_cell_is_reproduced_to_the_last_bit_without_its_plugin_file_and_with_its_split(place, tmp_path):
    (tmp_path / "noisy.py").write_text(NOISY)
    store = Store(place / "store")
    drawn = next(r for r in records(place, "noisy") if r["seed"] == 1 and r["dataset"].get("split_of"))
    before = {path: path.read_bytes() for path in store.folder.rglob("*.json")}
    (place / "noisy.py").rename(place / "gone.py")
    try:
        result = reproduced(drawn, store)
    finally:
        (place / "gone.py").rename(place / "noisy.py")
    assert result.difference == 0
    assert "equal to the last bit, and so is the AP of every query" in str(result)
    assert before == {path: path.read_bytes() for path in store.folder.rglob("*.json")}


def test_a_result_that_differs_is_told_by_how_much_and_exits_with_1(place, tmp_path):
    shutil.copytree(place / "store", tmp_path / "s")
    (path,) = (
        path for path in Store(tmp_path / "s").paths() if "cca" in path.name and "split" not in str(path)
    )
    record = json.loads(path.read_text())
    record["map"]["image_to_text"] -= 0.125
    record["method"]["code_version"] = "0"
    record["provenance"]["preloaded"] = "fast.so"
    path.write_text(json.dumps(record))
    for name in path.parent.glob("cca*.npz"):
        name.unlink()
    arguments = ["reproduce", record["key"], "--store", str(tmp_path / "s")]
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 1
    assert "note: the code of the method is version 1, and the record is of version 0" in done.output
    assert "LD_PRELOAD: fast.so then, none now" in done.output
    assert "+0.12" in done.output
    assert (
        "MAPs differ by 0.12 at most; the store has no APs of single queries that can be compared"
        in done.output
    )
    assert CliRunner().invoke(cli, [*arguments, "--tolerance", "0.2"]).exit_code == 0


def test_an_ap_that_is_there_in_one_run_alone_is_a_difference(place, tmp_path):
    shutil.copytree(place / "store", tmp_path / "s")
    store = Store(tmp_path / "s")
    record = next(each for each in store.records() if each["method"]["name"] == "cca")
    arrays = store.arrays(record)
    arrays["ap_image_to_text"][0] = np.nan
    store.put(record, arrays)
    found = reproduced(record, store)
    assert found.difference == float("inf")
    assert "MAPs differ by 0 at most, and some queries have an AP in one of the runs alone" in str(found)


def test_damaged_arrays_are_named_and_not_said_to_be_lacking(place, tmp_path):
    shutil.copytree(place / "store", tmp_path / "s")
    store = Store(tmp_path / "s")
    record = next(each for each in store.records() if each["method"]["name"] == "cca")
    store.arrays_path(record).write_bytes(b"PK\x03\x04xx")
    found = reproduced(record, store)
    assert found.largest is None
    assert any("npz: cannot be read (" in note for note in found.notes)


def test_what_keeps_a_cell_from_being_reproduced_is_named_with_the_remedy(place, toy, tmp_path):
    store = Store(place / "store")
    record = next(r for r in records(place, "cca") if not r["dataset"].get("split_of"))
    elsewhere = {**record, "configuration": {**record["configuration"], "dataset": str(place / "gone.npz")}}
    with pytest.raises(DatasetError, match=r"gone\.npz.*give the place of the dataset with --dataset"):
        reproduced(elsewhere, store)
    assert reproduced(elsewhere, store, dataset=place / "toy data.npz").difference == 0
    with pytest.raises(DatasetError, match="other arrays"):
        reproduced(record, store, dataset="scenes")
    with pytest.raises(StoreError, match=r"has no result to compare \(timeout\)"):
        reproduced({**record, "status": "timeout"}, store)
    unknown = {**record, "method": {**record["method"], "name": "another"}}
    with pytest.raises(MethodError, match=r"--plugin FILE\.py"):
        reproduced(unknown, store)
    renamed = {**record, "method": {**record["method"], "parameters": {"components": 3}}}
    git = {"commit": "0123456789abcdef", "dirty": True}
    renamed["provenance"] = {**record["provenance"], "git": git}
    of_commit = "of commit 0123456789ab with local changes$"
    with pytest.raises(MethodError, match=f"cannot be run with today's code .*{of_commit}"):
        reproduced(renamed, store)


def read(verb, arguments):
    """Parse the arguments of a verb as those of a command line, which raises ``click.UsageError``."""
    parent = click.Context(cli, **cli.context_settings)
    cli.get_command(parent, verb).make_context(verb, list(arguments), parent=parent)


def test_a_cell_without_a_result_is_told_with_a_command_that_its_verb_knows(place):
    store = Store(place / "store")
    record = next(r for r in records(place, "cca") if not r["dataset"].get("split_of"))
    trial = {**record, "dataset": {**record["dataset"], "name": "toy (validation)"}}
    words = ["cmbench", "tune", "--trials", "3"]
    searched = {**trial, "provenance": {**record["provenance"], "command": words}}
    from_python = {**trial, "provenance": {**record["provenance"], "command": ["search.py"]}}

    def remedy(record, status):
        error = {"message": "no categories"}
        with pytest.raises(StoreError) as refused:
            reproduced({**record, "status": status, "error": error}, store)
        return str(refused.value).partition("; ")[2]

    advice = remedy(record, "failed")
    assert advice.endswith(f" --store {store.folder} --retry-failed")
    name, *arguments = shlex.split(advice.partition("run it: cmbench ")[2])
    read(name, arguments)
    assert remedy(searched, "failed") == "run it: cmbench tune --trials 3 --retry-failed"
    assert remedy(searched, "pruned") == "run it: cmbench tune --trials 3 --no-pruning"
    for option in ("--retry-failed", "--no-pruning"):
        read("tune", [option])
    assert remedy(from_python, "pruned") == "run again what made it, with pruning=False: search.py"
    assert remedy(record, "left-out") == "its method cannot run on its dataset: no categories"


def test_a_record_of_an_earlier_version_has_a_command_too(place):
    record = dict(next(r for r in records(place, "cca") if not r["dataset"].get("split_of")))
    method = {
        name: value for name, value in record["method"].items() if name not in ("defaults", "practical")
    }
    earlier = {**record, "method": method}
    del earlier["configuration"]
    words = shlex.split(command([earlier]))
    assert words[2:6] == ["--dataset", "toy", "--methods", "cca"]
    assert "cca.n_components=validation" in words
    assert "changed" not in described([earlier])


def test_results_load_as_a_frame_with_a_row_for_each_cell(place):
    frame = cmbench.load_results(place / "store")
    assert len(frame) == 6
    noisy = frame[frame["method"] == "noisy"]
    assert sorted(zip(noisy["split"], noisy["seed"], strict=True)) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert set(frame["trials"]) == {0}
    assert (frame["weights"] > 0).all()
    means = {record["key"]: record["map"]["bimodal_average"] for record in Store(place / "store").records()}
    np.testing.assert_array_equal(frame["bimodal_average"], [means[key] for key in frame["key"]])


def test_a_cell_is_the_same_to_the_last_bit_when_it_is_run_again(toy, tmp_path):
    """Networks are trained, and initial weights, batches and dropout drawn."""
    found = []
    for name in ("first", "second"):
        cmbench.run(
            toy,
            ["deep-sm"],
            parameters={"deep-sm": {"hidden_width": 16, "epochs": 3, "device": "cpu"}},
            seeds=[3],
            store=tmp_path / name,
            **QUICK,
        )
        (record,) = Store(tmp_path / name).records()
        found.append((record["map"], record["fitted"], Store(tmp_path / name).arrays(record)))
    assert found[0][:2] == found[1][:2]
    for name, values in found[0][2].items():
        np.testing.assert_array_equal(values, found[1][2][name])


def test_a_limited_dataset_is_limited_again(place, tmp_path):
    cmbench.run(place / "toy data.npz", ["cca"], limit=40, store=tmp_path / "s", **QUICK)
    (record,) = Store(tmp_path / "s").records()
    assert f"--dataset '{place / 'toy data.npz'}' --limit 40 " in command([record])
    assert reproduced(record, Store(tmp_path / "s")).difference == 0


def test_a_trial_of_a_search_is_reproduced_and_shows_the_command_of_the_search(place, tmp_path):
    pytest.importorskip("optuna")
    dataset = cmbench.load_dataset(place / "toy data.npz")
    tune(dataset, ["cca"], budget=Budget(1), store=tmp_path / "s", **QUICK)
    (record,) = Store(tmp_path / "s").records()
    assert command([record]) == shlex.join(record["provenance"]["command"])
    assert re.search("  trial +of the search below", described([record]))
    assert reproduced(record, Store(tmp_path / "s")).difference == 0


def test_show_says_from_how_many_trials_parameters_were_chosen(place, tmp_path):
    entry = {"parameters": {"n_components": 2}, "trials": 7}
    dataset = cmbench.load_dataset(place / "toy data.npz")
    profile = Profile("mine", {dataset.fingerprint: {"cca": entry}})
    cmbench.run(dataset, ["cca"], profile=profile, store=tmp_path / "s", **QUICK)
    (record,) = Store(tmp_path / "s").records()
    assert cmbench.load_results(tmp_path / "s")[["profile", "trials"]].to_numpy().tolist() == [["mine", 7]]
    assert re.search("  chosen +on validation pairs, profile mine, from 7 trials", described([record]))
    assert f"--dataset '{place / 'toy data.npz'}' " in command([record])


def test_parameters_that_came_after_a_record_change_nothing_when_it_is_made_again():
    recorded = {"generator_steps": 5, "epochs": 200}  # of CM-GANs when there was no dropout
    assert then_and_since("cmgans", recorded) == {**recorded, "dropout": 0.0}
    assert load_method("cmgans").dropout > 0
    assert then_and_since("gone", recorded) == recorded
