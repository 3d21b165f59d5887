"""What a training leaves through the runner: curves beside the record, checkpoints in the store."""

from pathlib import Path

import numpy as np
import pytest
from reported_looks import looks_in

import cmbench
from cmbench.errors import MethodError
from cmbench.execution.child import training_curves, work
from cmbench.execution.job import LOOKS, Job, hand_out
from cmbench.methods.cmgans.method import CMGANs
from cmbench.methods.registry import registry
from cmbench.report.settings import settings
from cmbench.store import Store

INTERRUPTED = str(Path(__file__).parents[1] / "plugins" / "interrupted.py")
SMALL = {
    "embedding": 16,
    "hidden": 16,
    "discriminator_width": 8,
    "batch_size": 8,
    "epochs": 3,
    "eval_every": 4,
    "checkpoint_seconds": 0,
}


def run(toy, name, folder, **options):
    settings = {"threads": 1, "memory": "none", "parameters": {name: SMALL}, **options}
    cmbench.run(toy, [name], store=folder, **settings)
    (record,) = Store(folder).records()
    return record


def test_the_curves_of_a_training_are_stored_with_its_record(toy, tmp_path):
    record = run(toy, "cmgans", tmp_path)
    arrays = Store(tmp_path).arrays(record)
    iterations = arrays["curve_iteration"]
    assert (np.diff(iterations) > 0).all()
    assert iterations[-1] == record["fitted"]["iterations_"]
    best = arrays["curve_validation_map"].argmax()
    assert iterations[best] == record["fitted"]["best_iteration_"]
    assert arrays["curve_validation_map"][best] == pytest.approx(record["fitted"]["validation_map_"])
    method = CMGANs(**SMALL).fit(toy.train, toy.validation)
    stored = {name for name in arrays if name.startswith("curve_")}
    assert stored == {f"curve_{key}" for key in method.curves_}


def test_a_cell_that_died_in_training_goes_on_from_its_checkpoint(toy, tmp_path):
    broken = run(toy, "interrupted", tmp_path / "broken", plugins=[INTERRUPTED])
    assert broken["status"] == "crashed"
    checkpoints = tmp_path / "broken" / ".work" / "checkpoints"
    assert len(list(checkpoints.iterdir())) == 1
    whole = run(toy, "cmgans", tmp_path / "whole")
    resumed = run(toy, "interrupted", tmp_path / "broken", plugins=[INTERRUPTED], retry_failed=True)
    assert 0 < resumed["fitted"]["resumed_at_"] < resumed["fitted"]["iterations_"]
    assert whole["fitted"]["resumed_at_"] == 0
    assert whole["fitted"]["resumed_seconds_"] == 0
    assert 0 < resumed["fitted"]["resumed_seconds_"] < resumed["durations"]["fit"]
    assert resumed["durations"]["fit"] < resumed["durations"]["total"]
    assert 0 < resumed["fitted"]["resumed_processor_seconds_"] < resumed["durations"]["processor"]
    assert resumed["map"] == whole["map"]
    assert resumed["fitted"]["best_iteration_"] == whole["fitted"]["best_iteration_"]
    assert not list(checkpoints.iterdir())
    assert resumed["method"]["parameters"]["checkpoint"] is None


def test_looks_at_validation_can_be_read_in_the_folder_of_a_cell(toy, tmp_path):
    (tmp_path / "features").mkdir()
    features = hand_out(toy, tmp_path / "features").folder
    entry = registry()["deep-sm"]
    work(Job(features, entry, entry.code_version(), {"hidden_width": 8, "epochs": 4}, []), tmp_path)
    looks = looks_in(tmp_path / LOOKS)
    assert [(look.stage, look.epoch) for look in looks] == [
        (stage, epoch) for stage in ("image", "text") for epoch in (1, 2, 3, 4)
    ]


def test_threads_and_checkpoints_have_no_part_in_the_key_of_a_cell(toy, tmp_path):
    first = run(toy, "cmgans", tmp_path)
    others = {**SMALL, "threads": 1, "checkpoint": str(tmp_path / "elsewhere"), "checkpoint_seconds": 5}
    second = run(toy, "cmgans", tmp_path, parameters={"cmgans": others})
    assert second == first
    cmbench.run(
        toy, ["cmgans"], store=tmp_path, threads=1, parameters={"cmgans": {**SMALL, "learning_rate": 0.01}}
    )
    assert len(Store(tmp_path).records()) == 2


def test_the_record_of_an_ablation_has_the_values_it_fixes(toy, tmp_path):
    parameters = run(toy, "cmgans-cae", tmp_path)["method"]["parameters"]
    assert (parameters["w_inter"], parameters["w_intra"], parameters["w_reconstruction"]) == (0, 0, 1)


class Trained:
    """Stands for a method after ``fit``."""

    def __init__(self, curves):
        self.curves_ = curves


def test_a_method_without_curves_has_none():
    assert training_curves(object()) == {}


@pytest.mark.parametrize(
    ("curves", "message"),
    [
        ([1.0, 2.0], "dictionary"),
        ({"loss": "falling"}, "dictionary of arrays of numbers"),
        ({"loss": 1.0}, "one length"),
        ({"loss": [1.0], "accuracy": [1.0, 2.0]}, "one length"),
    ],
)
def test_curves_that_are_none_are_refused(curves, message):
    with pytest.raises(MethodError, match=message):
        training_curves(Trained(curves))


def test_seeds_run_with_other_threads_are_seeds_of_one_setting(toy, tmp_path):
    run(toy, "cmgans", tmp_path)
    others = {"cmgans": {**SMALL, "threads": 1, "checkpoint_seconds": 5}}
    cmbench.run(toy, ["cmgans"], store=tmp_path, threads=1, seeds=(0, 1), parameters=others)
    (setting,) = settings(Store(tmp_path).records())
    assert [record["seed"] for record in setting.records] == [0, 1]
    assert "threads" not in setting.parameters
