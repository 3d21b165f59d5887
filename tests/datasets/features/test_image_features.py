"""Features of many pictures: batches, an interrupted extraction that goes on, and what is refused."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from cmbench.datasets.features.backbones import Backbone, load_backbone
from cmbench.datasets.features.image_features import ARRAY, STATE, FeatureRows, extract_image_features
from cmbench.datasets.features.pictures import Preprocessing
from cmbench.datasets.raw.pictures import PictureArray, PictureFile
from cmbench.errors import DatasetError

KILLED = """
import os, signal, sys
import numpy as np
from cmbench.datasets.features.backbones import load_backbone
from cmbench.datasets.features.image_features import extract_image_features
from cmbench.datasets.raw.pictures import PictureArray

def noise(number):
    pixels = np.random.default_rng(number).integers(256, size=(20, 20, 3), dtype=np.uint8)
    return PictureArray(f"picture {number}", pixels)

def kill(done, total):
    print(done, flush=True)
    if done >= 12:
        os.kill(os.getpid(), signal.SIGKILL)

backbone = load_backbone("small-cnn", "random", "cpu", seed=1)
extract_image_features([noise(n) for n in range(26)], backbone, sys.argv[1], batch_size=4, progress=kill)
"""


def noise(number):
    pixels = np.random.default_rng(number).integers(256, size=(20, 20, 3), dtype=np.uint8)
    return PictureArray(f"picture {number}", pixels)


class Unreadable:
    """A picture that must not be read."""

    def __init__(self, picture):
        self.name, self.identity = picture.name, picture.identity

    def read(self):
        raise AssertionError(f"{self.name} was read")


class Stopped(Exception):
    """Raised to interrupt an extraction."""


def stop_after(pictures):
    def progress(done, total):
        if done >= pictures:
            raise Stopped

    return progress


@pytest.fixture(scope="module")
def pictures():
    return [noise(number) for number in range(26)]


@pytest.fixture(scope="module")
def backbone():
    return load_backbone("small-cnn", "random", "cpu", seed=1)


@pytest.fixture(scope="module")
def expected(pictures, backbone):
    rows = [backbone.features(backbone.preprocessing.apply(each.read())[None]) for each in pictures]
    return np.concatenate(rows)


@pytest.mark.parametrize("batch_size", [1, 7, 26, 100])
def test_features_do_not_depend_on_the_batch(tmp_path, pictures, backbone, expected, batch_size):
    features = extract_image_features(pictures, backbone, tmp_path, batch_size=batch_size)
    assert features.dtype == np.float32
    assert isinstance(features, np.memmap)
    np.testing.assert_allclose(features, expected, rtol=1e-5, atol=1e-6)
    assert expected.std(axis=0).max() > 0.001


def test_progress_is_told_after_each_batch(tmp_path, pictures, backbone):
    told = []
    extract_image_features(
        pictures, backbone, tmp_path, batch_size=10, progress=lambda *numbers: told.append(numbers)
    )
    assert told == [(10, 26), (20, 26), (26, 26)]


def test_a_second_call_reads_no_picture(tmp_path, pictures, backbone, expected):
    extract_image_features(pictures, backbone, tmp_path)
    again = extract_image_features([Unreadable(each) for each in pictures], backbone, tmp_path)
    np.testing.assert_allclose(again, expected, rtol=1e-5, atol=1e-6)


def test_an_interrupted_extraction_reads_only_what_is_missing(tmp_path, pictures, backbone, expected):
    with pytest.raises(Stopped):
        extract_image_features(pictures, backbone, tmp_path, batch_size=5, progress=stop_after(10))
    rest = [*(Unreadable(each) for each in pictures[:10]), *pictures[10:]]
    features = extract_image_features(rest, backbone, tmp_path, batch_size=3)
    np.testing.assert_allclose(features, expected, rtol=1e-5, atol=1e-6)


def test_a_picture_that_was_replaced_after_an_interruption_is_noticed(tmp_path, backbone):
    files = [PictureFile(tmp_path / f"{number}.png") for number in range(4)]
    for number, each in enumerate(files):
        Image.fromarray(noise(number).pixels).save(each.path)
    with pytest.raises(Stopped):
        extract_image_features(files, backbone, tmp_path / "w", batch_size=2, progress=stop_after(2))
    Image.fromarray(noise(9).pixels).save(files[0].path)
    with pytest.raises(DatasetError, match=r"identity of pictures is .* delete this one to start anew"):
        extract_image_features(files, backbone, tmp_path / "w", batch_size=2)


def test_after_a_kill_it_goes_on_and_ends_with_the_same_array(tmp_path, pictures, backbone):
    undisturbed = extract_image_features(pictures, backbone, tmp_path / "calm", batch_size=4)
    folder = tmp_path / "killed"
    command = [sys.executable, "-P", "-c", KILLED, str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    killed = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert killed.stdout.split() == ["4", "8", "12"]
    assert json.loads((folder / STATE).read_text())["done"] == 12
    seen = []
    features = extract_image_features(
        pictures, backbone, folder, batch_size=4, progress=lambda done, total: seen.append(done)
    )
    assert seen == [16, 20, 24, 26]
    np.testing.assert_array_equal(features, undisturbed)


def test_rows_that_were_half_written_are_written_again(tmp_path, pictures, backbone, expected):
    with pytest.raises(Stopped):
        extract_image_features(pictures, backbone, tmp_path, batch_size=5, progress=stop_after(10))
    with (tmp_path / ARRAY).open("ab") as file:
        file.write(b"x" * 1001)
    features = extract_image_features(pictures, backbone, tmp_path, batch_size=5)
    np.testing.assert_allclose(features, expected, rtol=1e-5, atol=1e-6)


def test_an_incomplete_array_cannot_be_mistaken_for_a_whole_one(tmp_path, pictures, backbone):
    with pytest.raises(Stopped):
        extract_image_features(pictures, backbone, tmp_path, batch_size=5, progress=stop_after(10))
    with pytest.raises(ValueError, match="mmap"):
        np.load(tmp_path / ARRAY, mmap_mode="r")


def test_a_folder_of_another_origin_is_refused_and_unchanged(tmp_path, pictures, backbone):
    extract_image_features(pictures, backbone, tmp_path)
    before = (tmp_path / ARRAY).read_bytes(), (tmp_path / STATE).read_bytes()
    other = load_backbone("small-cnn", "random", "cpu", seed=2)
    resized = load_backbone("small-cnn", "random", "cpu", seed=1, preprocessing={"resize": 60})
    with pytest.raises(
        DatasetError, match=r"another origin: backbone is .* seed 1.* there and .* seed 2.*weights"
    ):
        extract_image_features(pictures, other, tmp_path)
    with pytest.raises(DatasetError, match=r"preprocessing is .*; give another folder"):
        extract_image_features(pictures, resized, tmp_path)
    with pytest.raises(DatasetError, match="identity of pictures"):
        extract_image_features(pictures[::-1], backbone, tmp_path)
    with pytest.raises(DatasetError, match="number of pictures is 26 there and 25 here"):
        extract_image_features(pictures[:25], backbone, tmp_path)
    assert before == ((tmp_path / ARRAY).read_bytes(), (tmp_path / STATE).read_bytes())


def test_an_array_of_somebody_else_is_not_overwritten(tmp_path, pictures, backbone):
    np.save(tmp_path / ARRAY, np.ones(3))
    with pytest.raises(DatasetError, match="not ours to overwrite"):
        extract_image_features(pictures, backbone, tmp_path)
    assert np.load(tmp_path / ARRAY).tolist() == [1, 1, 1]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"key": 1}'])
def test_a_damaged_state_is_named(tmp_path, pictures, backbone, text):
    extract_image_features(pictures, backbone, tmp_path)
    (tmp_path / STATE).write_text(text)
    with pytest.raises(DatasetError, match=rf"{STATE} cannot be read"):
        extract_image_features(pictures, backbone, tmp_path)


def test_an_array_that_lost_rows_is_named(tmp_path, pictures, backbone):
    extract_image_features(pictures, backbone, tmp_path)
    os.truncate(tmp_path / ARRAY, 2000)
    with pytest.raises(DatasetError, match="fewer than the 26 rows"):
        extract_image_features(pictures, backbone, tmp_path)


def test_a_killed_start_begins_anew(tmp_path):
    with FeatureRows(tmp_path, rows=2, width=3, origin={"a": 1}):
        pass
    (tmp_path / ARRAY).unlink()
    with FeatureRows(tmp_path, rows=2, width=3, origin={"a": 1}) as rows:
        rows.append(np.arange(6, dtype=np.float32).reshape(2, 3))
        assert rows.array().tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"precision": "bfloat16"}, "precision is 'bfloat16' and the device cpu"),
        ({"precision": "half"}, "precision is 'half'; use 'auto'"),
        ({"batch_size": 0}, "batch_size is 0"),
    ],
)
def test_settings_that_cannot_be_met_are_refused(tmp_path, pictures, backbone, settings, message):
    with pytest.raises(DatasetError, match=message):
        extract_image_features(pictures, backbone, tmp_path, **settings)


def test_no_pictures_are_refused(tmp_path, backbone):
    with pytest.raises(DatasetError, match="no pictures"):
        extract_image_features([], backbone, tmp_path)


def test_features_that_are_not_finite_are_refused_with_the_picture(tmp_path, pictures):
    def broken(images):
        return torch.where(images[:, :1, 0, 0] == images[3, 0, 0, 0], torch.nan, 1.0)

    backbone = Backbone("broken", broken, Preprocessing(20, 20), 1, "0", torch.device("cpu"))
    with pytest.raises(DatasetError, match="picture 3: broken gives features that are not finite"):
        extract_image_features(pictures, backbone, tmp_path, batch_size=8)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_mixed_precision_is_close(tmp_path, pictures, expected):
    backbone = load_backbone("small-cnn", "random", "cuda", seed=1)
    exact = extract_image_features(pictures, backbone, tmp_path / "32", precision="float32")
    np.testing.assert_allclose(exact, expected, rtol=1e-2, atol=1e-2)
    mixed = extract_image_features(pictures, backbone, tmp_path / "16", precision="auto")
    np.testing.assert_allclose(mixed, expected, rtol=0.1, atol=0.1)
