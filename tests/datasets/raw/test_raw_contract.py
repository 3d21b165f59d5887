"""The rules of raw datasets: what breaks one is named, all of it at once."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from cmbench.datasets.raw.contract import RawCard, RawDataset, RawPair
from cmbench.datasets.raw.pictures import PictureFile
from cmbench.errors import DatasetError

NAMES = ("cat", "dog")


def pair(id_, label, *segments):
    return RawPair(id_, PictureFile(Path(f"{id_}.jpg")), segments or ("One.",), label)


def dataset(train=(), validation=(), test=(), card=RawCard()):  # noqa: B008 - a frozen value
    train = (pair("a", 0), pair("b", 1), *train)
    return RawDataset("toy", train, (pair("c", 0), *validation), (pair("d", 1), *test), NAMES, card)


def refused(**parts):
    with pytest.raises(DatasetError) as caught:
        dataset(**parts)
    message = str(caught.value)
    assert message.startswith("raw dataset 'toy': ")
    return message


def test_a_dataset_that_keeps_the_rules_is_made():
    assert dataset().class_names == NAMES


def test_the_text_of_a_pair_is_its_segments_a_line_each():
    assert pair("a", 0, "One.", "Two.").text == "One.\nTwo."


def test_the_splits_have_the_names_of_the_file_formats():
    made = dataset()
    assert made.splits == (("train", made.train), ("val", made.validation), ("test", made.test))


def test_a_split_has_a_checksum_that_anybody_can_compute(tmp_path):
    made = dataset(train=(pair("ü", 0),))
    (tmp_path / "a.csv").write_text("d,test\nü,train\na,train\nc,val\nb,train\n", encoding="utf-8")
    sums = subprocess.run("LC_ALL=C sort a.csv | sha256sum", shell=True, cwd=tmp_path, capture_output=True)
    assert made.split_sha256 == sums.stdout.decode().split()[0]
    assert replace(made, validation=made.test, test=made.validation).split_sha256 != made.split_sha256
    assert replace(made, train=made.train[::-1]).split_sha256 == made.split_sha256


def test_pictures_are_not_opened():
    assert not dataset().train[0].picture.path.exists()


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_an_id_that_stands_twice_is_refused(split):
    assert "the id 'a' stands 2 times" in refused(**{split: (pair("a", 0),)})


@pytest.mark.parametrize("segments", [(" ",), ("", "\t\n")])
def test_a_text_that_says_nothing_is_refused(segments):
    assert "the text of 'e' is empty; leave the pair out" in refused(test=(pair("e", 0, *segments),))


def test_a_text_without_segments_is_refused():
    assert "the text of 'e' is empty" in refused(test=(replace(pair("e", 0), segments=()),))


@pytest.mark.parametrize("label", [-1, 2])
def test_a_label_outside_the_categories_is_refused(label):
    assert f"'e' has the label {label}, and there are 2 categories" in refused(train=(pair("e", label),))


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_category_that_is_not_in_training_is_refused(split):
    parts = {"validation": (pair("c", 0),), "test": (pair("d", 0),), split: (pair("e", 1),)}
    with pytest.raises(DatasetError, match="the category 'dog' has no training pair; change the split"):
        RawDataset("toy", (pair("a", 0),), parts["validation"], parts["test"], NAMES)


def test_sizes_other_than_published_are_refused():
    assert dataset(card=RawCard(sizes=(2, 1, 1))).card.sizes == (2, 1, 1)
    message = refused(card=RawCard(sizes=(2, 1, 3)))
    assert "train/val/test have 2/1/1 pairs and should have 2/1/3; get the copy again, or" in message


def test_class_sizes_other_than_published_are_refused():
    assert dataset(card=RawCard(class_sizes={"train": (1, 1), "test": (0, 1)}))
    message = refused(card=RawCard(class_sizes={"train": (1, 1), "val": (1, 4)}))
    assert "val has 0 pairs of 'dog' and should have 4" in message
    assert "train has" not in message


def test_class_sizes_may_be_those_of_two_splits():
    assert dataset(card=RawCard(class_sizes={"val and test": (1, 1)}))
    message = refused(card=RawCard(class_sizes={"val and test": (1, 3)}))
    assert "val and test has 1 pairs of 'dog' and should have 3" in message


def test_another_number_of_categories_is_refused():
    assert dataset(card=RawCard(categories=2))
    assert "there are 2 categories and should be 3" in refused(card=RawCard(categories=3))


def test_of_the_card_of_another_split_remains_what_holds_for_every_one():
    card = RawCard(
        "a", "b", "c", "d", division="e", sizes=(2, 1, 1), categories=2, class_sizes={"val": (1, 0)}
    )
    assert card.with_split_given() == RawCard("a", "b", "c", "d", categories=2)


def test_everything_that_is_broken_is_told_at_once():
    message = refused(train=(pair("a", 0), pair("e", 7, " ")), card=RawCard(sizes=(1, 1, 1)))
    for part in ("the id 'a'", "the text of 'e'", "the label 7", "4/1/1"):
        assert part in message
