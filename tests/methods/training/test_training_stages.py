"""Trainings in stages: scores with ties, curves in parallel, and what a kill leaves of them."""

import gc
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from reported_looks import looks_in

from cmbench.methods.corr_ae.method import CorrAECorr
from cmbench.methods.training import deep_method
from cmbench.methods.training.curves import CurveRecorder, in_parallel
from cmbench.methods.training.loop import BestState, Finding, Run
from cmbench.methods.training.progress import Look, reporting_to


def test_further_numbers_of_a_score_break_ties_and_nan_is_never_better():
    network = {"a": torch.nn.Linear(1, 1)}
    best = BestState()
    offers = [
        (0.5, -2.0),
        (0.5, -1.0),
        (0.5, -1.0),
        (0.4, 0.0),
        (0.5, math.nan),
        (0.6, -9.0),
        (math.nan, 0.0),
    ]
    taken = [best.offer(score, step=step, modules=network) for step, score in enumerate(offers, 1)]
    assert taken == [True, True, False, False, False, True, False]
    assert (best.score, best.step) == ((0.6, -9.0), 6)


def test_curves_in_parallel_are_joined_by_iteration():
    first, second = CurveRecorder("toy"), CurveRecorder("toy")
    first.point(2, {"a": 1.0})
    first.point(5, {"a": 2.0})
    for step in (2, 4):
        second.point(step, {"b": float(step)})
    joined = in_parallel([first, second])
    np.testing.assert_array_equal(joined["iteration"], [2, 4, 5])
    np.testing.assert_array_equal(joined["a"], [1, np.nan, 2])
    np.testing.assert_array_equal(joined["b"], [2, 4, np.nan])


def counted(run, stage="x", scores=None, *, epochs=4, log=None, pause=None):
    """Train one weight, which each of its two rounds an epoch raises by 1."""
    network = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(network.weight)
    found = None if scores is None else iter(scores)

    def step(item, norms):
        if log is not None:
            log.append(item)
        network.weight.data += 1
        return [("weight", network.weight.detach().clone().squeeze())]

    training = run.train(
        stage,
        step,
        modules={"a": network},
        optimizers={},
        draws=lambda epoch: [(epoch, 0), (epoch, 1)],
        rounds=2,
        epochs=epochs,
        look_every=3,
        patience=100,
        score=None if found is None else lambda: next(found),
        pause=pause,
    )
    return training, network


def run(path=None):
    return Run("toy", 0, checkpoint=path, seconds=1000)


def test_a_finding_names_its_own_curves_and_its_score_decides():
    findings = [
        Finding((score, -loss), {"hits": score, "loss": loss})
        for score, loss in ((0.5, 3.0), (0.5, 2.0), (0.4, 1.0))
    ]
    training, network = counted(run(), scores=findings)
    curves = training.curves.curves()
    assert curves.keys() == {"iteration", "weight", "hits", "loss"}
    assert curves["iteration"].tolist() == [3, 6, 8]
    assert curves["hits"].tolist() == [0.5, 0.5, 0.4]
    assert training.best_iteration == network.weight.item() == 6


def test_a_number_as_score_is_a_map_on_validation():
    training, network = counted(run(), scores=[0.3, 0.2, 0.1])
    assert training.curves.curves()["validation_map"].tolist() == [0.3, 0.2, 0.1]
    assert training.best_iteration == network.weight.item() == 3


@pytest.mark.parametrize("scores", [None, (0.1, 0.3, 0.2)])
def test_a_stage_that_is_complete_comes_back_as_it_ended(tmp_path, scores):
    first = run(tmp_path / "a.pt")
    whole, kept = counted(first, scores=scores)
    assert [path.name for path in tmp_path.iterdir()] == ["a-x.pt"]
    log = []
    second = run(tmp_path / "a.pt")
    again, restored = counted(second, scores=scores, log=log)
    assert not log, "nothing is trained again"
    assert restored.weight.item() == kept.weight.item() == (8 if scores is None else 6)
    assert again.best_iteration == whole.best_iteration
    assert (again.iteration, second.resumed_at, first.resumed_at) == (8, 8, 0)
    for name, values in whole.curves.curves().items():
        np.testing.assert_array_equal(again.curves.curves()[name], values, err_msg=name)
    second.complete()
    assert not list(tmp_path.iterdir())


def drawing(run, seen, *, fails_at=None, stage="x", purpose=None):
    """Train for four epochs of a round, each of which takes a number of PyTorch's own, as dropout does."""
    network = torch.nn.Linear(1, 1)

    def step(epoch, norms):
        if epoch == fails_at:
            raise KeyboardInterrupt
        seen.append(torch.rand(()).item())
        return [("weight", network.weight.detach().squeeze())]

    parts = {"modules": {"a": network}, "optimizers": {}, "draws": lambda epoch: [epoch]}
    run.train(stage, step, rounds=1, epochs=4, purpose=purpose, **parts)


def test_what_dropout_draws_depends_on_the_epoch_and_is_the_same_after_a_kill(tmp_path):
    whole, before, after, other = [], [], [], []
    torch.manual_seed(7)
    torch.nn.Linear(1, 1)
    outside = torch.rand(3)
    torch.manual_seed(7)
    drawing(run(), whole)
    assert torch.equal(torch.rand(3), outside), "the caller's numbers are left alone"
    eager = replace(run(tmp_path / "a.pt"), seconds=0)
    with pytest.raises(KeyboardInterrupt):
        drawing(eager, before, fails_at=2)
    drawing(replace(eager, stages=[]), after)
    drawing(replace(run(), seed=1), other)
    assert before + after == whole
    assert len(set(whole)) == 4
    assert not set(other) & set(whole)


def test_what_dropout_draws_is_the_same_in_stages_of_one_purpose():
    first, second, alone = [], [], []
    drawing(run(), first, stage="20-0.1", purpose="pairs")
    drawing(run(), second, stage="50-0.1", purpose="pairs")
    drawing(run(), alone, stage="20-0.1")
    assert first == second
    assert not set(alone) & set(first)


def test_a_training_that_pauses_ends_as_if_it_had_not():
    scores = [0.3, 0.9, 0.2, 0.1, 0.5]
    whole, straight = counted(run(), scores=scores, epochs=6)
    paused = run()
    training, network = counted(paused, scores=scores, epochs=6, pause=3)
    assert (network.weight.item(), training.iteration, training.epoch) == (6, 6, 3)
    assert training.score_at(3) == 0.9
    assert training.score_at(2) == 0.3
    paused.go_on(training)
    assert network.weight.item() == straight.weight.item() == 6, "the state of the best look"
    assert training.iteration == whole.iteration == 12
    for name, values in whole.curves.curves().items():
        np.testing.assert_array_equal(training.curves.curves()[name], values, err_msg=name)


def test_stages_have_files_of_their_own_and_rounds_spared_add_up(tmp_path):
    first = run(tmp_path / "a.pt")
    for name, epochs in (("x", 4), ("y", 2)):
        counted(first, name, epochs=epochs)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-x.pt", "a-y.pt"]
    again = run(tmp_path / "a.pt")
    weights = [counted(again, name, epochs=epochs)[1].weight.item() for name, epochs in (("x", 4), ("y", 2))]
    assert weights == [8, 4]
    assert again.resumed_at == 12


def test_without_a_folder_stages_leave_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    whole = run()
    counted(whole)
    whole.complete()
    assert not list(tmp_path.iterdir())


def test_each_look_at_validation_is_a_line_that_can_be_read_while_training_goes_on(tmp_path):
    file, seen = tmp_path / "looks.jsonl", []

    def scores():
        for score in (0.3, 0.5, 0.1):
            seen.append(looks_in(file))
            yield score

    with reporting_to(file):
        counted(run().part("first"), scores=scores())
    looks = [Look("first_x", 1.5, 0.3), Look("first_x", 3.0, 0.5), Look("first_x", 4.0, 0.1)]
    assert seen == [looks[:number] for number in range(3)]
    assert looks_in(file) == looks
    counted(run(), scores=[0.9, 0.9, 0.9])
    assert looks_in(file) == looks, "outside of the block nothing is reported"


def test_a_training_that_goes_on_reports_the_looks_of_the_earlier_process_first(tmp_path):
    with reporting_to(tmp_path / "first"):
        counted(run(tmp_path / "a.pt"), scores=[0.3, 0.5, 0.1])
    with reporting_to(tmp_path / "second"):
        counted(run(tmp_path / "a.pt"), scores=[])
    assert len(looks_in(tmp_path / "first")) == 3
    assert looks_in(tmp_path / "second") == looks_in(tmp_path / "first")


@pytest.mark.parametrize("hidden", [8, 2048])
def test_a_fit_of_large_networks_leaves_nothing_of_its_training(toy, hidden, monkeypatch):
    monkeypatch.setattr(deep_method, "LARGE", 100_000)
    small = {"code": 64, "embedding": 64, "alpha": 0.5, "rbm_epochs": 1, "epochs": 1}
    gc.collect()
    gc.disable()
    try:
        CorrAECorr(hidden=hidden, gaussian_rate=1e-4, **small).fit(toy.train, toy.validation)
        left = [each for each in gc.get_objects() if isinstance(each, torch.optim.Optimizer)]
    finally:
        gc.enable()
    assert bool(left) == (hidden == 8)
