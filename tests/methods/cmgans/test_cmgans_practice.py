"""The practice of training CM-GANs: interruptions, devices, precision, units of features, names of rows."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from representations import represented

from cmbench.errors import MethodError
from cmbench.evaluation.evaluator import bimodal_map
from cmbench.methods.cmgans.method import CMGANs, CMGANsCAE, CMGANsPosterior
from cmbench.methods.cmgans.training import AdversarialFitting
from cmbench.methods.training.curves import CurveRecorder, DivergenceError, Spread
from cmbench.methods.training.device import DeviceRows, cpu_threads, denormals_as_zeros, fits, is_mixed
from cmbench.methods.training.loop import BestState, Checkpoint, Training
from cmbench.methods.views.scaling import Scaling
from cmbench.neural import device_called

TINY = {"embedding": 12, "hidden": 12, "discriminator_width": 8, "batch_size": 16, "device": "cpu"}
BRIEF = {**TINY, "epochs": 4, "eval_every": 3, "checkpoint_seconds": 0.0}


class KilledError(Exception):
    """Stands for the end of the process."""


@pytest.fixture
def killed_after(monkeypatch):
    """Return a function that lets a training run that many epochs and then end at once."""

    def arrange(epochs):
        original = Training._run_epoch

        def run_epoch(self, epoch):
            if epoch >= epochs:
                raise KilledError
            return original(self, epoch)

        monkeypatch.setattr(Training, "_run_epoch", run_epoch)

    yield arrange
    monkeypatch.undo()


def best_within_three_epochs(toy):
    """Return parameters and the method fitted; looked for, since processors round differently."""
    for seed in range(20):
        quick = {"learning_rate": 0.05, "generator_steps": 5, "dropout": 0.0, "epochs": 6}
        parameters = {**BRIEF, **quick, "random_state": seed}
        method = CMGANs(**parameters).fit(toy.train, toy.validation)
        if method.best_iteration_ <= 15:
            return parameters, method
    raise AssertionError("choose a setting whose best state comes within three epochs")


def test_the_best_state_from_before_the_kill_is_not_forgotten(toy, tmp_path, killed_after, monkeypatch):
    early, whole = best_within_three_epochs(toy)
    killed_after(3)
    with pytest.raises(KilledError):
        CMGANs(**early, checkpoint=tmp_path).fit(toy.train, toy.validation)
    monkeypatch.undo()
    resumed = CMGANs(**early, checkpoint=tmp_path).fit(toy.train, toy.validation)
    assert resumed.best_iteration_ == whole.best_iteration_
    assert np.array_equal(represented(whole, toy.test), represented(resumed, toy.test))


@pytest.mark.parametrize("other", [{"random_state": 1}, {"learning_rate": 2e-3}, {"epochs": 5}])
def test_a_checkpoint_serves_no_other_training(toy, tmp_path, killed_after, monkeypatch, other):
    killed_after(2)
    with pytest.raises(KilledError):
        CMGANs(**BRIEF, checkpoint=tmp_path).fit(toy.train, toy.validation)
    monkeypatch.undo()
    fresh = CMGANs(**{**BRIEF, **other}).fit(toy.train, toy.validation)
    beside = CMGANs(**{**BRIEF, **other}, checkpoint=tmp_path).fit(toy.train, toy.validation)
    assert np.array_equal(represented(fresh, toy.test), represented(beside, toy.test))
    assert len(list(tmp_path.iterdir())) == 1


def test_checkpoints_are_written_no_more_often_than_asked_for(tmp_path):
    checkpoint = Checkpoint(tmp_path / "a.pt", seconds=1000)
    assert not checkpoint.is_due()
    assert not Checkpoint(None, seconds=0).is_due()
    assert Checkpoint(tmp_path / "a.pt", seconds=0).is_due()


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(tmp_path, monkeypatch):
    checkpoint = Checkpoint(tmp_path / "a.pt", seconds=0)
    checkpoint.save({"epoch": 1})

    def fail(state, file):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        checkpoint.save({"epoch": 2})
    assert checkpoint.load() == {"epoch": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["a.pt"]


def test_a_damaged_or_dangerous_checkpoint_is_refused_by_name(tmp_path):
    path = tmp_path / "a.pt"
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(MethodError, match=r"a\.pt is not a readable checkpoint .*delete it"):
        Checkpoint(path, seconds=0).load()
    torch.save({"weights": torch.zeros(400)}, path)
    whole = path.read_bytes()
    for length in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(MethodError, match="not a readable checkpoint"):
            Checkpoint(path, seconds=0).load()
    torch.save({"epoch": Spread(1.0, 0.0)}, path)  # an object of a class, which unpickling would build
    with pytest.raises(MethodError, match="not a readable checkpoint"):
        Checkpoint(path, seconds=0).load()


def test_mixed_precision_trains_to_nearly_the_same_on_the_cpu(toy):
    exact, mixed = (
        CMGANs(**{**BRIEF, "epochs": 1}, precision=precision).fit(toy.train, toy.validation)
        for precision in ("float32", "bfloat16")
    )
    assert mixed.mixed_precision_
    assert not exact.mixed_precision_
    difference = np.abs(represented(mixed, toy.test) - represented(exact, toy.test))
    assert 0 < difference.mean() < 0.2 * np.abs(represented(exact, toy.test)).mean()


def test_without_a_gpu_everything_runs_in_float32_on_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    cpu = torch.device("cpu")
    assert device_called("auto", raising=MethodError) == cpu
    assert not is_mixed("auto", cpu)
    assert is_mixed("bfloat16", cpu)


def test_with_a_gpu_it_is_taken_and_products_are_mixed(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 2000))
    gpu = torch.device("cuda")
    assert device_called("auto", raising=MethodError) == gpu
    assert device_called("cpu", raising=MethodError) == torch.device("cpu")
    assert is_mixed("auto", gpu)
    assert not is_mixed("float32", gpu)
    assert fits(500, gpu)
    assert not fits(501, gpu)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_an_error_with_the_remedy(toy):
    with pytest.raises(MethodError, match=r"device is 'cuda', which PyTorch cannot use here .* use 'auto'"):
        CMGANs(**{**BRIEF, "device": "cuda"}).fit(toy.train, toy.validation)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpu_trains_to_a_useful_state(toy):
    method = CMGANs(**{**BRIEF, "device": "cuda", "epochs": 20}).fit(toy.train, toy.validation)
    assert method.device_ == "cuda"
    assert method.validation_map_ > 0.5


@pytest.mark.parametrize("mode", ["none", "zscore"])
@pytest.mark.parametrize("normalise_rows", [False, True])
def test_rows_kept_on_the_device_are_those_read_one_by_one_and_scaled(mode, normalise_rows):
    features = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    features[:, 2], features[7] = 3.0, 0.0
    features[7, 2] = 3.0
    scaling = Scaling.fit(features, "images", mode=mode, normalise_rows=normalise_rows)
    index = np.array([4, 4, 0, 29, 7])
    expected = scaling.apply(features[index])
    for copied in (False, True):
        given = DeviceRows(features, scaling, torch.device("cpu"), copied=copied).rows(index)
        assert given.dtype == torch.float32
        np.testing.assert_allclose(given, expected, rtol=1e-5, atol=1e-6)


def test_threads_are_recorded_and_given_back(toy, monkeypatch):
    before = torch.get_num_threads()
    seen = []
    stop = lambda self, epoch: seen.append(torch.get_num_threads()) or True  # noqa: E731 - trains nothing
    monkeypatch.setattr(Training, "_run_epoch", stop)
    method = CMGANs(**{**BRIEF, "epochs": 1}, threads=before + 1).fit(toy.train, toy.validation)
    assert seen == [method.threads_] == [before + 1]
    assert torch.get_num_threads() == before
    with pytest.raises(KilledError), cpu_threads(before + 1):
        raise KilledError
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("post", ["none", "zscore_train"])
def test_the_state_is_chosen_by_the_representations_that_are_given_out(toy, post):
    method = CMGANs(**BRIEF, post=post).fit(toy.train, toy.validation)
    images = method.transform_images(toy.validation.images)
    texts = method.transform_texts(toy.validation.texts)
    score = bimodal_map(images, texts, toy.validation.labels)
    assert max(method.curves_["validation_map"]) == pytest.approx(score)
    assert method.validation_map_ == pytest.approx(score)


def test_a_recorder_names_the_first_scalar_that_is_not_finite():
    recorder = CurveRecorder("toy")
    recorder.add(4, [("a", torch.tensor(1.0)), ("b", torch.tensor(2.0))])
    recorder.add(5, [("a", torch.tensor(1.0)), ("b", torch.tensor(float("inf")))])
    recorder.add(6, [("a", torch.tensor(float("nan")))])
    with pytest.raises(DivergenceError, match="toy: b became inf at step 5; lower learning_rate") as caught:
        recorder.flush()
    assert (caught.value.term, caught.value.step) == ("b", 5)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_scalar_that_was_not_measured_is_nan_in_its_curve():
    recorder = CurveRecorder("toy")
    recorder.point(1, {"a": 1.0})
    recorder.point(2, {"a": 2.0, "b": 3.0})
    np.testing.assert_array_equal(recorder.curves()["b"], [np.nan, 3.0])


def test_the_best_state_is_a_copy_with_running_statistics():
    network = torch.nn.BatchNorm1d(2)
    best = BestState()
    network(torch.ones(3, 2))
    best.offer(0.5, step=1, modules={"a": network})
    kept = network.running_mean.clone()
    network(9 * torch.ones(3, 2))
    assert not best.offer(0.5, step=2, modules={"a": network}), "the first of equals stays"
    assert not torch.equal(network.running_mean, kept)
    best.put_back({"a": network})
    assert torch.equal(network.running_mean, kept)


def test_the_spread_is_the_mean_deviation_and_the_mean_cosine_of_distinct_rows():
    rows = np.random.default_rng(0).normal(size=(9, 4))
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    cosines = (units @ units.T)[~np.eye(9, dtype=bool)]
    spread = Spread.of(rows)
    assert spread.cosine == pytest.approx(cosines.mean())
    assert spread.deviation == pytest.approx(rows.std(axis=0).mean())
    assert Spread.of(1e-4 * rows).collapsed
    assert Spread.of(rows + 100).collapsed
    assert not spread.collapsed


@pytest.mark.parametrize("preprocessing", ["none", "global", "zscore"])
def test_a_relative_error_is_divided_by_the_variance_of_the_training_features(toy, preprocessing):
    method = CMGANsCAE(**BRIEF, preprocessing=preprocessing)
    fitting = AdversarialFitting(method, toy.train, toy.validation, method._run(toy.train, toy.validation))
    for name, features in toy.train.views.items():
        scaled = fitting.scalings[name].apply(features)
        assert fitting.updates.objective.variances[name] == pytest.approx(scaled.var(axis=0).mean(), rel=1e-6)


def test_the_row_of_posteriors_has_a_name_of_its_own(toy):
    posterior = CMGANsPosterior(**BRIEF).fit(toy.train, toy.validation)
    by_parameter = CMGANs(**BRIEF, representation="posterior").fit(toy.train, toy.validation)
    assert np.array_equal(represented(posterior, toy.test), represented(by_parameter, toy.test))
    assert posterior.paper_name == "CM-GANs (posterior)"


@pytest.mark.parametrize("before", [False, True])
def test_what_is_too_small_for_a_float32_is_0_in_a_block_and_as_before_after_it(before):
    tiny = torch.tensor(2.0**-130)
    torch.set_flush_denormal(before)
    try:
        with denormals_as_zeros():
            assert (tiny * 1).item() == 0.0
        assert ((tiny * 1).item() == 0.0) == before
    finally:
        torch.set_flush_denormal(False)


THREADS = """
import torch
from cmbench.methods.training.device import cpu_threads, denormals_as_zeros

with denormals_as_zeros(), cpu_threads(2):
    print(torch.count_nonzero(torch.full((4_000_000,), 2.0**-130) * 1).item())
"""


def test_threads_that_start_with_a_fit_have_it_too():
    done = subprocess.run([sys.executable, "-c", THREADS], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0"]
