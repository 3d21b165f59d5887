"""Pictures as networks take them."""

import threading

import numpy as np
import pytest
import torch
from torch.nn import functional

from cmbench.datasets.features.pictures import (
    PictureView,
    Preprocessing,
    View,
    in_order,
    picture_batches,
)
from cmbench.datasets.raw.pictures import PictureArray, PictureFile
from cmbench.errors import DatasetError

PLAIN = Preprocessing(resize=12, crop=8, mean=(0, 0, 0), std=(1, 1, 1))


class Counted:
    """A picture that counts how often any of its kind was read."""

    lock = threading.Lock()
    read_so_far = 0

    def __init__(self, number):
        self.name, self._number = f"picture {number}", number

    def read(self):
        with Counted.lock:
            Counted.read_so_far += 1
        return np.full((12, 12, 3), self._number, dtype=np.uint8)


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(256, size=(height, width, 3), dtype=np.uint8)


def test_the_defaults_are_those_of_the_paper():
    assert (Preprocessing().resize, Preprocessing().crop) == (256, 224)
    white = Preprocessing().apply(np.full((50, 90, 3), 255, dtype=np.uint8))
    assert white.shape == (3, 224, 224)
    assert white.dtype == np.float32
    expected = [(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225]
    np.testing.assert_allclose(white[:, 17, 200], expected, rtol=1e-5)


def test_the_middle_is_cut_out_and_scaled():
    pixels = noise(12, 12)
    preprocessing = Preprocessing(12, 8, (0.1, 0.2, 0.3), (0.5, 0.6, 0.7))
    expected = np.empty((3, 8, 8))
    for channel, (mean, std) in enumerate(zip((0.1, 0.2, 0.3), (0.5, 0.6, 0.7), strict=True)):
        expected[channel] = (pixels[2:10, 2:10, channel] / 255 - mean) / std
    np.testing.assert_allclose(preprocessing.apply(pixels), expected, atol=1e-5)


def test_any_part_can_be_cut_out_and_mirrored():
    pixels = noise(12, 12)
    part = PLAIN.apply(pixels, View(top=4, left=1, mirrored=True))
    np.testing.assert_allclose(part, pixels[4:12, 1:9][:, ::-1].transpose(2, 0, 1) / 255, atol=1e-6)


@pytest.mark.parametrize("shape", [(30, 50), (7, 5)])
def test_pictures_of_any_shape_become_squares_as_pytorch_resizes_them(shape):
    pixels = noise(*shape)
    whole = Preprocessing(16, 16, (0, 0, 0), (1, 1, 1)).apply(pixels)
    expected = functional.interpolate(
        torch.from_numpy(pixels).permute(2, 0, 1)[None].float(),
        size=(16, 16),
        mode="bilinear",
        antialias=True,
    )[0]
    np.testing.assert_allclose(whole * 255, expected.numpy(), atol=1.01)  # Pillow rounds to whole numbers
    assert np.abs(whole * 255 - expected.numpy()).mean() < 0.5


def test_random_parts_lie_within_the_picture_and_differ():
    random = np.random.default_rng(0)
    views = [PLAIN.random_view(random) for _ in range(200)]
    assert {view.top for view in views} == {view.left for view in views} == set(range(5))
    assert {view.mirrored for view in views} == {True, False}


def test_batches_have_all_pictures_in_their_order():
    pictures = [Counted(number) for number in range(10)]
    batches = list(picture_batches(in_order(pictures, PLAIN, 4, start=1), PLAIN))
    assert [len(batch) for batch in batches] == [4, 4, 1]
    np.testing.assert_allclose(np.concatenate(batches)[:, 2, 3, 4] * 255, np.arange(1, 10), atol=1e-4)


def test_pictures_are_read_no_more_than_a_few_batches_ahead():
    before = Counted.read_so_far
    pictures = [Counted(number % 256) for number in range(1000)]
    batches = picture_batches(in_order(pictures, PLAIN, 5), PLAIN)
    for used in range(1, 20):
        next(batches)
        assert Counted.read_so_far - before <= (used + 2) * 5
    batches.close()


def test_threads_end_with_the_batches():
    before = threading.active_count()
    batches = picture_batches(in_order([Counted(1)] * 100, PLAIN, 5), PLAIN)
    next(batches)
    assert threading.active_count() > before
    batches.close()
    assert threading.active_count() == before


def test_no_pictures_are_no_batches():
    assert list(picture_batches(in_order([], PLAIN, 5), PLAIN)) == []


def test_a_picture_that_cannot_be_read_is_named(tmp_path):
    pictures = [Counted(0), PictureFile(tmp_path / "missing.jpg")]
    with pytest.raises(DatasetError, match=r"missing\.jpg"):
        list(picture_batches(in_order(pictures, PLAIN, 1), PLAIN))


@pytest.mark.parametrize(
    "pixels", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)]
)
def test_something_else_than_a_picture_is_named(pixels):
    with pytest.raises(DatasetError, match=r"odd one: .*pictures must be uint8"):
        PictureView(PictureArray("odd one", pixels), PLAIN.centre).read(PLAIN)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"resize": 10, "crop": 11}, "crop is 11 and resize 10"),
        ({"crop": 0}, "crop is 0"),
        ({"std": (1, 0, 1)}, "std greater than 0"),
        ({"mean": (1, 0)}, "three numbers"),
    ],
)
def test_preprocessing_that_makes_no_sense_is_refused(settings, message):
    with pytest.raises(DatasetError, match=message):
        Preprocessing(**settings)


def test_a_batch_has_at_least_one_picture():
    with pytest.raises(DatasetError, match="batch_size is 0"):
        list(in_order([Counted(0)], PLAIN, 0))
