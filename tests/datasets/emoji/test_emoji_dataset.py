"""The built-in emoji: sound features of a known origin, small pictures that belong to them, and all terms."""

import json
import re
import subprocess
import sys
from hashlib import sha256

import numpy as np
import pytest
from click.testing import CliRunner
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cmbench.cli.main import cli
from cmbench.datasets.emoji import collection, thumbnails
from cmbench.datasets.raw.contract import RawDataset, RawPair
from cmbench.datasets.raw.emoji import ALIKE, CARD
from cmbench.datasets.raw.pictures import PictureArray
from cmbench.datasets.registry import licence_file, load_dataset
from cmbench.datasets.splits import redrawn
from cmbench.execution.fence import built_in_files

FINGERPRINT = "7c64234af604b386113f0e455fd4e1769d3e6734506c7dfa4dfcf261d869204d"
SIZES = (2784, 354, 360)
STYLES = ("noto", "twemoji", "fluent")
MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def dataset():
    return load_dataset("emoji")


@pytest.fixture(scope="module")
def code_points(dataset):
    """Return the emoji of each split, with the styles it is drawn in."""
    found = []
    for _, split in dataset.splits:
        styles = {}
        for id_ in split.ids.tolist():
            style, code_point = id_.split("/")
            styles.setdefault(int(code_point, 16), []).append(style)
        found.append(styles)
    return found


def test_the_shipped_features_are_those_of_the_release(dataset):
    assert dataset.fingerprint == dataset.card.fingerprint == FINGERPRINT
    assert tuple(len(split) for _, split in dataset.splits) == dataset.card.sizes == SIZES
    assert (dataset.train.images.shape[1], dataset.train.texts.shape[1]) == (250, 300)
    assert np.bincount(dataset.train.text_groups).tolist() == [100, 100, 100]
    assert len(dataset.class_names) == 63
    assert all(np.isfinite(view).all() for _, split in dataset.splits for view in split.views.values())


def test_no_emoji_stands_in_two_splits_and_each_has_its_three_pairs(code_points):
    train, validation, test = (set(styles) for styles in code_points)
    assert train.isdisjoint(validation | test)
    assert validation.isdisjoint(test)
    assert all(sorted(drawn) == sorted(STYLES) for styles in code_points for drawn in styles.values())
    for one, other in ALIKE.items():
        assert sum({one, other} <= each for each in (train, validation, test)) == 1


def test_the_pairs_of_an_emoji_stay_together_when_pairs_are_divided_anew(dataset):
    train, validation, test = (
        {id_.partition("/")[2] for id_ in split.ids.tolist()} for _, split in redrawn(dataset, 1).splits
    )
    assert train.isdisjoint(validation | test)
    assert validation.isdisjoint(test)
    assert test != {id_.partition("/")[2] for id_ in dataset.test.ids.tolist()}


def test_the_ids_are_those_of_the_split_that_the_recipe_names(dataset):
    lines = sorted(f"{id_},{name}\n" for name, split in dataset.splits for id_ in split.ids.tolist())
    digest = sha256("".join(lines).encode()).hexdigest()
    assert json.loads(dataset.card.recipe)["split"]["sha256"] == digest


def test_the_fence_closes_the_features_and_the_small_pictures():
    assert {collection.FILE, thumbnails.FILE} <= set(built_in_files())


def test_every_category_is_in_every_split_and_no_picture_in_two(dataset):
    for _, split in dataset.splits:
        assert np.unique(split.labels).tolist() == list(range(63))
    train, validation, test = ({row.tobytes() for row in split.images} for _, split in dataset.splits)
    assert train.isdisjoint(validation | test)
    assert validation.isdisjoint(test)


def test_pictures_are_principal_components_of_the_training_pictures(dataset):
    """Centred, uncorrelated on the training pairs alone, and in the order of their variances."""
    images = dataset.train.images.astype(np.float64)
    covariance = np.cov(images, rowvar=False)
    variances = np.diag(covariance)
    assert abs(images.mean(axis=0)).max() < 1e-4 * np.sqrt(variances[0])
    assert abs(covariance - np.diag(variances)).max() < 1e-5 * variances[0]
    assert (np.diff(variances) < 1e-6 * variances[0]).all()
    others = np.cov(dataset.test.images, rowvar=False)
    assert abs(others - np.diag(np.diag(others))).max() > 1e-2 * others[0, 0]


def test_both_sides_tell_categories_better_than_guessing_and_far_from_perfectly(dataset):
    for side in ("image", "text"):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=200))
        model.fit(dataset.train.views[side], dataset.train.labels)
        accuracy = model.score(dataset.test.views[side], dataset.test.labels)
        assert 0.4 < accuracy < 0.8


def test_what_is_shipped_is_small():
    assert collection.FILE.stat().st_size <= 8 * MEGABYTE
    assert thumbnails.FILE.stat().st_size <= MEGABYTE


def test_the_command_that_made_the_features_is_that_of_their_card(dataset):
    documented = re.search(r"(cmbench features extract .*?) -o", collection.__doc__, re.DOTALL).group(1)
    recipe = dataset.card.recipe
    assert "--backbone efficientnet-lite0" in documented
    assert '"backbone": "efficientnet-lite0"' in recipe
    assert "--image-components 250" in documented
    assert '"components": 250' in recipe
    assert "--threads 1" in documented
    assert '"threads": 1' in recipe


def test_the_card_names_every_source_and_its_terms(dataset):
    for name in ("Noto", "Twemoji", "Fluent", "CLDR", "emojilib", "emojibase", "Unicode"):
        assert name in dataset.card.source
    for words in (
        "Noto SIL OFL",
        "Twemoji CC BY 4.0",
        "Fluent MIT",
        "CLDR Unicode",
        "emojilib MIT",
        "emojibase MIT",
    ):
        assert words in dataset.card.licence
    assert (dataset.card.source, dataset.card.licence) == (CARD.source, CARD.terms)
    assert "250 principal components of the training pictures" in dataset.card.image_feature


def test_the_terms_in_full_lie_beside_the_features():
    text = licence_file("emoji").read_text(encoding="utf-8")
    for words in (
        "https://creativecommons.org/licenses/by/4.0/",
        "Copyright 2019 Twitter, Inc and other contributors",
        "Changed as said above",
        "SIL OPEN FONT LICENSE Version 1.1",
        "Copyright (c) Microsoft Corporation",
        "Copyright (c) 2014 Mu-An Chiou",
        "Miles Johnson",
        "Permission is hereby granted, free of charge",
        "1991-2022 Unicode, Inc. All rights reserved",
    ):
        assert words in text
    assert licence_file("scenes") is None


def test_info_tells_the_terms_and_how_to_get_the_raw_pairs():
    result = CliRunner().invoke(cli, ["datasets", "info", "emoji"])
    assert result.exit_code == 0
    text = " ".join(result.output.split())
    assert "pairs 2784 train, 354 val, 360 test" in text
    assert "Twemoji CC BY 4.0" in text
    assert "LICENCES.txt" in result.output.replace("\n", "").replace(" ", "")
    assert "raw pairs Fetch the packages fonts-noto-color-emoji" in text
    assert "raw pairs" not in CliRunner().invoke(cli, ["datasets", "info", "scenes"]).output


def test_small_pictures_and_texts_are_those_of_the_test_pairs(dataset):
    held = thumbnails.thumbnails()
    names = [dataset.class_names[label] for label in dataset.test.labels]
    assert list(held) == dataset.test.ids.tolist()
    assert [pair.category for pair in held.values()] == names
    assert all(pair.picture.shape == (96, 96, 3) for pair in held.values())
    assert all(pair.picture.std() > 5 for pair in held.values())
    assert held["noto/1f605"].text == "grinning face with sweat\ncold, face, open, smile, sweat"


def raw_dataset():
    """Return 22 test pairs in four colours, on the right half of pictures that are twice as wide as high."""
    colours = [(250, 0, 0), (0, 250, 0), (0, 0, 250), (90, 90, 90)]
    pairs = []
    for number, colour in enumerate(colours * 7):
        pixels = np.full((100, 200, 3), 255, dtype=np.uint8)
        pixels[:, 100:] = colour
        pairs.append(
            RawPair(str(number), PictureArray(str(number), pixels), (f"text {number}", "more"), number % 2)
        )
    return RawDataset("toy", pairs[22:24], pairs[24:], pairs[:22], ("even", "odd")), colours


def test_small_pictures_come_back_as_they_were_written(tmp_path):
    raw, colours = raw_dataset()
    thumbnails.write(tmp_path / "small.npz", raw)
    held = thumbnails.thumbnails(tmp_path / "small.npz")
    assert [(id_, pair.text, pair.category) for id_, pair in held.items()] == [
        (str(number), f"text {number}\nmore", ("even", "odd")[number % 2]) for number in range(22)
    ]
    for number, pair in enumerate(held.values()):  # the last two are in a second row of the sheet
        np.testing.assert_allclose(pair.picture[48, 72], colours[number % 4], atol=3)
        assert (pair.picture[48, 10] == 255).all()
        assert (pair.picture[10, 72] == 255).all()


def test_loading_imports_neither_pytorch_nor_scikit_learn():
    code = (
        "import sys; from cmbench.datasets.registry import load_dataset; load_dataset('emoji'); "
        "sys.exit(bool({'torch', 'sklearn'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-P", "-c", code], check=False).returncode == 0
