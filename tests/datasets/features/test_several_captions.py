"""Features of pairs that share a picture or have several categories."""

from dataclasses import replace

import numpy as np
import pytest

from cmbench.datasets.features.extraction import FIRST_CATEGORY, extract_features
from cmbench.datasets.features.recipe import ImageRecipe, Recipe, TextRecipe
from cmbench.datasets.features.word_cnn import WordCNNSettings, WordCNNShape
from cmbench.datasets.raw.contract import RawDataset, RawPair
from cmbench.datasets.raw.pictures import PictureArray

SHAPE = WordCNNShape(widths=(1, 2), maps=4)
RECIPE = Recipe(
    ImageRecipe("small-cnn", "random", device="cpu", batch_size=7),
    TextRecipe(dimension=6, settings=WordCNNSettings(SHAPE, epochs=2, batch=8)),
)
CAPTIONS = 3


def captions(split, pictures, further=()):
    """Three captions of each picture; a picture of an odd number is of the second category."""
    random = np.random.default_rng(pictures)
    pairs = []
    for number in range(pictures):
        picture = PictureArray(f"{split}-{number}", random.integers(0, 255, (20, 20, 3)).astype(np.uint8))
        for line in range(CAPTIONS):
            text = (f"A {'cat' if number % 2 else 'dog'} number {number} at {line}.",)
            pairs.append(RawPair(f"{picture.name}#{line}", picture, text, number % 2, further))
    return pairs


@pytest.fixture(scope="module")
def raw():
    splits = [captions(split, size) for split, size in (("train", 8), ("val", 4), ("test", 4))]
    return RawDataset("captions", *splits, ("dog", "cat"))


def test_pairs_of_one_picture_say_so_by_the_id_of_the_first(raw, tmp_path):
    dataset = extract_features(raw, RECIPE, tmp_path)
    assert dataset.test.image_ids.tolist() == [f"test-{row // CAPTIONS}#0" for row in range(12)]
    assert len(np.unique(dataset.test.pictures)) == 4


def test_pairs_with_pictures_of_their_own_say_nothing(raw, tmp_path):
    alone = replace(
        raw, **{name: list(getattr(raw, name))[::CAPTIONS] for name in ("train", "validation", "test")}
    )
    assert extract_features(alone, RECIPE, tmp_path).train.image_ids is None


def test_several_categories_become_a_matrix_and_the_card_says_what_networks_learnt(raw, tmp_path):
    train = [replace(pair, further=(2,)) if row % 2 else pair for row, pair in enumerate(raw.train)]
    several = replace(raw, train=train, class_names=("dog", "cat", "small"))
    dataset = extract_features(several, RECIPE, tmp_path)
    assert dataset.train.labels[:5].tolist() == [[1, 0, 0], [1, 0, 1], [1, 0, 0], [0, 1, 1], [0, 1, 0]]
    assert dataset.card.notes == (FIRST_CATEGORY,)
