"""Trainings on pictures that are interrupted: they go on, end as they would have, or say why not."""

import os
import runpy
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cmbench.datasets.features.backbones import load_backbone
from cmbench.datasets.features.fine_tuning import fine_tune
from cmbench.datasets.features.image_training import LabelledPictures
from cmbench.datasets.features.pictures import Preprocessing
from cmbench.datasets.features.weights import hash_of_weights, write_weights
from cmbench.errors import DatasetError

PICTURES = runpy.run_path(str(Path(__file__).with_name("test_image_fine_tuning.py")))
SETTINGS = replace(PICTURES["SETTINGS"], learning_rate=0.3)

KILLED = """
import os, runpy, signal, sys
from pathlib import Path

space = runpy.run_path(sys.argv[1])
def kill(epoch, of):
    print(epoch, of, flush=True)
    if epoch == 3:
        os.kill(os.getpid(), signal.SIGKILL)

space["fine_tune"](
    space["start"](), *space["data"](), space["SETTINGS"], checkpoint=Path(sys.argv[2]), progress=kill
)
"""


class Stopped(Exception):
    """Raised to interrupt a training."""


class Unreadable:
    """A picture that must not be read."""

    def __init__(self, picture):
        self.name, self.identity = picture.name, picture.identity

    def read(self):
        raise AssertionError(f"{self.name} was read")


def start(seed=0):
    return PICTURES["tiny"](seed)


def data():
    return PICTURES["stripes"](64, seed=1), PICTURES["stripes"](40, seed=2)


def unreadable(labelled):
    return LabelledPictures([Unreadable(each) for each in labelled.pictures], labelled.labels)


def stop_after(epochs):
    def progress(epoch, of):
        if epoch == epochs:
            raise Stopped

    return progress


def interrupted(path, epochs, settings=SETTINGS):
    with pytest.raises(Stopped):
        fine_tune(start(), *data(), settings, checkpoint=path, progress=stop_after(epochs))
    return path


def assert_same(one, other):
    assert one.record == other.record
    assert one.backbone.weights_hash == other.backbone.weights_hash
    assert hash_of_weights(one.categories) == hash_of_weights(other.categories)


@pytest.fixture(scope="module")
def undisturbed():
    return fine_tune(start(), *data(), SETTINGS)


def test_a_checkpoint_changes_nothing(tmp_path, undisturbed):
    told = []
    tuned = fine_tune(
        start(),
        *data(),
        SETTINGS,
        checkpoint=tmp_path / "deep" / "c.pt",
        progress=lambda *numbers: told.append(numbers),
    )
    assert_same(tuned, undisturbed)
    assert told == [(epoch, 6) for epoch in range(1, 7)]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["c.pt"]


@pytest.mark.parametrize("epochs", range(1, 7))
def test_after_any_epoch_it_goes_on_and_ends_the_same(tmp_path, undisturbed, epochs):
    path = interrupted(tmp_path / "c.pt", epochs)
    told = []
    tuned = fine_tune(
        start(), *data(), SETTINGS, checkpoint=path, progress=lambda epoch, of: told.append(epoch)
    )
    assert told == list(range(epochs + 1, 7))
    assert_same(tuned, undisturbed)


def test_it_returns_to_a_best_state_from_long_before_the_interruption(tmp_path):
    train, validation = data()
    wrong = LabelledPictures(validation.pictures, 1 - validation.labels)  # the more is learnt, the worse
    expected = fine_tune(start(), train, wrong, SETTINGS)
    assert expected.record.best_epoch < 3
    with pytest.raises(Stopped):
        fine_tune(start(), train, wrong, SETTINGS, checkpoint=tmp_path / "c.pt", progress=stop_after(4))
    assert_same(fine_tune(start(), train, wrong, SETTINGS, checkpoint=tmp_path / "c.pt"), expected)


def test_after_a_kill_it_goes_on_and_ends_with_the_same_weights(tmp_path, undisturbed):
    path = tmp_path / "c.pt"
    command = [sys.executable, "-P", "-c", KILLED, __file__, str(path)]
    threads = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    killed = subprocess.run(command, capture_output=True, text=True, env=threads, timeout=120)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert killed.stdout.split("\n") == ["1 6", "2 6", "3 6", ""]
    assert_same(fine_tune(start(), *data(), SETTINGS, checkpoint=path), undisturbed)


def test_an_epoch_that_was_not_finished_is_trained_again(tmp_path, undisturbed):
    train, validation = data()
    path = interrupted(tmp_path / "c.pt", 2)
    half = [*train.pictures[:32], *(Unreadable(each) for each in train.pictures[32:])]
    with pytest.raises(AssertionError, match="was read"):
        fine_tune(start(), LabelledPictures(half, train.labels), validation, SETTINGS, checkpoint=path)
    assert_same(fine_tune(start(), train, validation, SETTINGS, checkpoint=path), undisturbed)


def test_a_complete_checkpoint_gives_the_result_without_reading_a_picture(tmp_path, undisturbed):
    path = tmp_path / "c.pt"
    fine_tune(start(), *data(), SETTINGS, checkpoint=path)
    before = path.read_bytes()
    again = fine_tune(start(), *map(unreadable, data()), SETTINGS, checkpoint=str(path))
    assert_same(again, undisturbed)
    assert path.read_bytes() == before


def test_a_training_that_stopped_early_is_complete(tmp_path):
    settings = replace(SETTINGS, epochs=50, patience=2, learning_rate=1e-6)
    path = tmp_path / "c.pt"
    tuned = fine_tune(start(), *data(), settings, checkpoint=path)
    assert tuned.record.stopped
    assert_same(fine_tune(start(), *map(unreadable, data()), settings, checkpoint=path), tuned)


def test_other_random_numbers_are_left_alone_when_it_goes_on(tmp_path):
    path = interrupted(tmp_path / "c.pt", 5)
    begin = start()
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    fine_tune(begin, *data(), SETTINGS, checkpoint=path)
    assert torch.equal(torch.rand(1), expected)


def other_labels(train, validation):
    return LabelledPictures(train.pictures, 1 - train.labels), validation


def other_pictures(train, validation):
    return train, LabelledPictures(validation.pictures[::-1], validation.labels)


OTHERS = {
    r"learning_rate is 0\.3 there and 0\.2 here": {"settings": replace(SETTINGS, learning_rate=0.2)},
    "epochs is 6 there and 7 here": {"settings": replace(SETTINGS, epochs=7)},
    "seed is 0 there and 1 here": {"settings": replace(SETTINGS, seed=1)},
    "augmented is True there and False here": {"settings": replace(SETTINGS, augmented=False)},
    "weights is .* there": {"begin": start(seed=3)},
    r"preprocessing is \{'resize': 18, ": {"begin": replace(start(), preprocessing=Preprocessing(20, 16))},
    "training labels is .* there": {"change": other_labels},
    "identity of validation pictures is .* there": {"change": other_pictures},
}


@pytest.fixture(scope="module")
def of_one_epoch(tmp_path_factory):
    return interrupted(tmp_path_factory.mktemp("one") / "c.pt", 1)


@pytest.mark.parametrize("message", OTHERS)
def test_a_checkpoint_of_another_training_is_refused_and_unchanged(of_one_epoch, message):
    other = {"begin": start(), "settings": SETTINGS, "change": lambda *both: both, **OTHERS[message]}
    before = of_one_epoch.read_bytes()
    with pytest.raises(DatasetError, match=rf"c\.pt is of another training: .*{message}.*delete this one"):
        fine_tune(other["begin"], *other["change"](*data()), other["settings"], checkpoint=of_one_epoch)
    assert of_one_epoch.read_bytes() == before


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_damaged_checkpoint_is_named(tmp_path, of_one_epoch, share):
    content = of_one_epoch.read_bytes()
    (tmp_path / "c.pt").write_bytes(content[: int(share * len(content))])
    with pytest.raises(DatasetError, match=r"c\.pt is no checkpoint that can be read safely .*delete"):
        fine_tune(start(), *data(), SETTINGS, checkpoint=tmp_path / "c.pt")


def test_a_file_of_weights_is_no_checkpoint(tmp_path):
    write_weights(tmp_path / "w.pth", {"a": torch.zeros(2)})
    with pytest.raises(DatasetError, match=r"w\.pth is no checkpoint of a training on pictures; name"):
        fine_tune(start(), *data(), SETTINGS, checkpoint=tmp_path / "w.pth")


def test_nothing_in_a_checkpoint_is_executed(tmp_path):
    torch.save({"key": Touches(tmp_path / "touched"), "origin": {}, "state": {}}, tmp_path / "c.pt")
    with pytest.raises(DatasetError, match="safely"):
        fine_tune(start(), *data(), SETTINGS, checkpoint=tmp_path / "c.pt")
    assert not (tmp_path / "touched").exists()


class Touches:
    """An object that makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_weights_that_are_also_the_best_are_written_once(of_one_epoch):
    state = torch.load(of_one_epoch, weights_only=True)["state"]
    places = {each.data_ptr() for name in ("weights", "best weights") for each in state[name].values()}
    assert len(places) == len(state["weights"]) > 10


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_it_goes_on_with_the_same_random_numbers(tmp_path):
    begin = load_backbone("small-cnn", "random", "cuda", seed=1)
    settings = replace(SETTINGS, learning_rate=0.01, precision="float32")
    whole = fine_tune(begin, *data(), settings).record.curves["training_loss"]
    with pytest.raises(Stopped):
        fine_tune(begin, *data(), settings, checkpoint=tmp_path / "c.pt", progress=stop_after(3))
    resumed = fine_tune(begin, *data(), settings, checkpoint=tmp_path / "c.pt").record.curves["training_loss"]
    assert resumed == pytest.approx(whole, rel=1e-4)
