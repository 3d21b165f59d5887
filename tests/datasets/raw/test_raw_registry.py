"""Raw datasets by name, and the scenes that cmbench draws itself."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pair_tables import write_splits

from cmbench.datasets.raw import registry
from cmbench.datasets.raw.pictures import PictureFile
from cmbench.datasets.raw.preparation import checked_pictures
from cmbench.datasets.raw.registry import (
    load_raw,
    raw_dataset_cards,
    raw_dataset_names,
    raw_dataset_summaries,
)
from cmbench.datasets.scenes import collection as scenes
from cmbench.errors import DatasetError


@pytest.fixture(scope="module")
def generated():
    """What cmbench draws, once for all tests."""
    with pytest.MonkeyPatch.context() as patch:
        pairs = scenes.generate()
        patch.setattr(scenes, "generate", lambda: pairs)
        yield pairs


@pytest.fixture(scope="module")
def drawn(generated):
    return load_raw("scenes")


def test_every_raw_dataset_has_a_name_a_summary_and_a_card():
    assert raw_dataset_names() == (
        "emoji",
        "pairs_table",
        "pascal_sentence",
        "scenes",
        "wikipedia",
        "xmedianet",
    )
    assert set(raw_dataset_summaries()) == set(raw_dataset_cards()) == set(raw_dataset_names())
    assert all(summary.endswith(".") for summary in raw_dataset_summaries().values())
    assert all(
        card.obtaining and card.division and card.source != "unknown" for card in raw_dataset_cards().values()
    )


def test_the_sizes_of_the_cards_agree_with_their_class_sizes():
    cards = raw_dataset_cards()
    for name in ("scenes", "pascal_sentence"):
        sums = tuple(sum(cards[name].class_sizes[split]) for split in ("train", "val", "test"))
        assert sums == cards[name].sizes
    train, rest = (sum(sizes) for sizes in cards["wikipedia"].class_sizes.values())
    assert (train, rest) == (2173, 693) == (cards["wikipedia"].sizes[0], sum(cards["wikipedia"].sizes[1:]))


def test_the_scenes_are_the_pairs_behind_the_features(drawn):
    features = scenes.load()
    assert drawn.class_names == features.class_names
    for (split, pairs), (name, rows) in zip(drawn.splits, features.splits, strict=True):
        assert split == name
        assert [pair.id for pair in pairs] == rows.ids.tolist()
        assert [pair.label for pair in pairs] == rows.labels.tolist()


def test_the_scenes_are_the_pictures_and_captions_that_are_generated(drawn, generated):
    loaded = {pair.id: pair for _, split in drawn.splits for pair in split}
    for id_, image, caption in zip(generated.ids.tolist(), generated.images, generated.captions, strict=True):
        np.testing.assert_array_equal(loaded[id_].picture.read(), image)
        assert " ".join(loaded[id_].segments) == caption
        assert 1 <= len(loaded[id_].segments) <= 3


def test_the_scenes_may_be_divided_otherwise(drawn, tmp_path):
    card = drawn.card.with_split_given()
    swapped = replace(drawn, validation=drawn.test, test=drawn.validation, card=card)
    write_splits(tmp_path / "own.csv", swapped)
    again = load_raw("scenes", splits=tmp_path / "own.csv")
    assert again.card == card
    assert card.terms == "Apache-2.0"
    assert [pair.id for pair in again.validation] == [pair.id for pair in drawn.test]
    assert [each.split_origin for each in (drawn, again)] == ["drawn with the pairs", "file own.csv, given"]


def test_a_dataset_is_loaded_from_its_folder_and_a_split_file(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    calls = []

    class Module:
        CARD = raw_dataset_cards()["wikipedia"]

        @staticmethod
        def load(folder, splits):
            calls.append((folder, splits))

    monkeypatch.setattr(registry, "_module", lambda name: Module)
    (tmp_path / "data").mkdir()
    load_raw("wikipedia", "~/data")
    load_raw("wikipedia", tmp_path / "data", "~/own.csv")
    assert calls == [(tmp_path / "data", None), (tmp_path / "data", tmp_path / "own.csv")]


def test_a_folder_that_is_not_given_or_not_there_is_answered_with_how_to_get_the_dataset(tmp_path):
    with pytest.raises(DatasetError, match=r"'xmedianet': no folder is given; .*Apply to its authors"):
        load_raw("xmedianet")
    with pytest.raises(DatasetError, match=r"none does not exist; .*Download the dataset"):
        load_raw("wikipedia", tmp_path / "none")


def test_an_unknown_name_is_answered_with_the_nearest_and_all_known():
    with pytest.raises(DatasetError) as caught:
        load_raw("Wikipeda", Path())
    for part in ("'Wikipeda'", "did you mean 'wikipedia'?", "pascal_sentence", "pairs of your own"):
        assert part in str(caught.value)
    with pytest.raises(DatasetError) as caught:
        load_raw("flowers", Path())
    assert "did you mean" not in str(caught.value)


def test_all_pictures_that_cannot_be_read_are_told_at_once(drawn, tmp_path):
    broken = [replace(pair, picture=PictureFile(tmp_path / f"{pair.id}.jpg")) for pair in drawn.test[:2]]
    with pytest.raises(DatasetError) as caught:
        checked_pictures(replace(drawn, test=[*broken, *drawn.test[2:]]))
    assert str(caught.value).startswith("raw dataset 'scenes': ")
    assert [str(caught.value).count(pair.id) for pair in drawn.test[:3]] == [1, 1, 0]
    assert checked_pictures(drawn) is drawn


def test_importing_the_registry_imports_nothing_heavy():
    code = (
        "import sys, cmbench.datasets.raw.registry as registry; registry.raw_dataset_cards()\n"
        "print(*{'torch', 'pandas', 'sklearn', 'scipy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
