"""Regions of pictures: where they are, what they are called, and how often a picture is decoded."""

import math
import threading
import time

import numpy as np
import pytest
from PIL import Image

from cmbench.datasets.features.backbones import load_backbone
from cmbench.datasets.features.image_features import extract_image_features
from cmbench.datasets.features.pictures import KEPT, Preprocessing, in_order, picture_batches, regions_of
from cmbench.datasets.raw.pictures import PictureArray, PictureFile
from cmbench.errors import DatasetError


class Counted:
    """A picture that counts how often it is decoded."""

    def __init__(self, name, height=6, width=4, *, seconds=0.0):
        self.name = self.identity = name
        self.decoded, self._seconds = 0, seconds
        random = np.random.default_rng(len(name))
        self.pixels = random.integers(256, size=(height, width, 3), dtype=np.uint8)

    def read(self):
        self.decoded += 1
        time.sleep(self._seconds)
        return self.pixels


def numbered(height, width):
    """Return a picture whose every pixel has another colour."""
    numbers = np.arange(height * width, dtype=np.uint32).reshape(height, width, 1)
    return PictureArray("p", (numbers // (1, 256, 65536) % 256).astype(np.uint8))


def by_hand(pixels):
    """Return the five regions, each by loops over its pixels."""
    height, width = pixels.shape[:2]
    high, wide = math.ceil(height / 2), math.ceil(width / 2)
    low, right = height - high, width - wide
    corners = [(0, 0), (0, right), (low, 0), (low, right), (math.floor(low / 2), math.floor(right / 2))]
    return [
        np.array([[pixels[top + row, left + column] for column in range(wide)] for row in range(high)])
        for top, left in corners
    ]


@pytest.mark.parametrize("size", [(6, 8), (5, 7), (4, 9), (1, 1), (1, 6), (7, 1), (2, 2), (3, 3), (300, 2)])
def test_regions_are_the_quarters_and_the_centre(size):
    picture = numbered(*size)
    regions = [region.read() for region in regions_of(picture)]
    assert len(regions) == 5
    for region, expected in zip(regions, by_hand(picture.pixels), strict=True):
        assert region.dtype == np.uint8
        np.testing.assert_array_equal(region, expected)


def test_regions_of_a_small_picture_written_out():
    picture = PictureArray("p", np.dstack([np.arange(15).reshape(3, 5)] * 3).astype(np.uint8))
    read = [region.read()[:, :, 0].tolist() for region in regions_of(picture)]
    assert read == [
        [[0, 1, 2], [5, 6, 7]],
        [[2, 3, 4], [7, 8, 9]],
        [[5, 6, 7], [10, 11, 12]],
        [[7, 8, 9], [12, 13, 14]],
        [[1, 2, 3], [6, 7, 8]],
    ]


def test_quarters_cover_every_pixel():
    picture = numbered(7, 9)
    quarters = [region.read().reshape(-1, 3) for region in regions_of(picture)[:4]]
    seen = {tuple(colour) for colour in np.concatenate(quarters).tolist()}
    assert seen == {tuple(colour) for colour in picture.pixels.reshape(-1, 3).tolist()}


def test_names_say_which_region_of_which_picture():
    names = [region.name for region in regions_of(PictureFile("a/b.jpg"))]
    assert names == [f"a/b.jpg#region {number} of 5" for number in range(1, 6)]


def test_a_region_can_be_changed_without_changing_the_others():
    picture = numbered(4, 4)
    before = picture.pixels.copy()
    first = regions_of(picture)[0].read()
    first[:] = 0
    np.testing.assert_array_equal(picture.pixels, before)
    np.testing.assert_array_equal(regions_of(picture)[4].read(), by_hand(before)[4])


def test_a_picture_is_decoded_once_for_its_five_regions():
    pictures = [Counted(f"{number}") for number in range(20)]
    for picture in pictures:
        for region in regions_of(picture):
            region.read()
    assert [picture.decoded for picture in pictures] == [1] * 20


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_threads_that_read_batches_decode_each_picture_once(batch_size):
    pictures = [Counted("p" * number, seconds=0.002) for number in range(1, 13)]
    regions = [region for picture in pictures for region in regions_of(picture)]
    preprocessing = Preprocessing(4, 4)
    views = in_order(regions, preprocessing, batch_size)
    batches = np.concatenate(list(picture_batches(views, preprocessing)))
    expected = [preprocessing.apply(part) for picture in pictures for part in by_hand(picture.pixels)]
    np.testing.assert_array_equal(batches, np.stack(expected))
    assert [picture.decoded for picture in pictures] == [1] * 12


def test_many_threads_at_once_decode_one_picture_once():
    picture = Counted("slow", seconds=0.05)
    start = threading.Barrier(5)

    def read(region):
        start.wait()
        region.read()

    threads = [threading.Thread(target=read, args=(region,)) for region in regions_of(picture)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert picture.decoded == 1


def test_a_picture_that_changes_is_decoded_again(tmp_path):
    path = tmp_path / "p.png"
    regions = regions_of(PictureFile(path))
    for grey in (10, 200):
        Image.new("RGB", (4, 4), (grey, grey, grey)).save(path)
        assert {int(value) for region in regions for value in region.read().ravel()} == {grey}


def test_no_more_than_a_few_pictures_are_kept():
    pictures = [Counted(f"{number}") for number in range(KEPT + 1)]
    for picture in pictures:
        regions_of(picture)[0].read()
    for picture in pictures:
        regions_of(picture)[1].read()
    assert [picture.decoded for picture in pictures] == [2] * len(pictures)


def test_two_pictures_of_one_name_are_not_confused():
    one, other = (PictureArray("same", np.full((2, 2, 3), grey, dtype=np.uint8)) for grey in (1, 2))
    pairs = zip(regions_of(one), regions_of(other), strict=True)
    assert [(first.read()[0, 0, 0], second.read()[0, 0, 0]) for first, second in pairs] == [(1, 2)] * 5


def test_a_picture_that_cannot_be_read_says_so_for_each_region(tmp_path):
    (tmp_path / "p.jpg").write_bytes(b"nothing")
    for region in regions_of(PictureFile(tmp_path / "p.jpg")):
        with pytest.raises(DatasetError, match=r"p\.jpg: no picture can be read"):
            region.read()


def test_an_interrupted_extraction_of_regions_goes_on(tmp_path):
    backbone = load_backbone("small-cnn", "random", "cpu", seed=1)
    pictures = [Counted("p" * number, 20, 20) for number in range(1, 5)]
    regions = [region for picture in pictures for region in regions_of(picture)]
    whole = extract_image_features(regions, backbone, tmp_path / "whole", batch_size=4)
    parts = [part for picture in pictures for part in by_hand(picture.pixels)]
    prepared = np.stack([backbone.preprocessing.apply(part) for part in parts])
    np.testing.assert_allclose(whole, backbone.features(prepared), rtol=1e-5, atol=1e-6)

    def stop(done, total):
        if done >= 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract_image_features(regions, backbone, tmp_path / "again", batch_size=4, progress=stop)
    again = extract_image_features(regions, backbone, tmp_path / "again", batch_size=4)
    np.testing.assert_array_equal(again, whole)
