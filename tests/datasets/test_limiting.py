"""A few pairs of a dataset: their number, their categories, and what they belong to."""

from dataclasses import replace

import numpy as np
import pytest

from cmbench.datasets.draft import Parts
from cmbench.datasets.limiting import limited
from cmbench.errors import DatasetError


def test_every_split_has_that_many_pairs_with_the_shares_of_its_categories(toy):
    small = limited(toy, 20)
    assert [len(split) for _, split in small.splits] == [20, 20, 20]
    for _, split in small.splits:
        assert np.bincount(split.labels).tolist() == [5, 5, 5, 5]
    assert [len(split) for _, split in limited(toy, 1000).splits] == [80, 40, 48]


def test_a_rare_category_keeps_a_training_pair_and_the_order_is_kept(toy):
    labels = np.zeros(80, dtype=np.int64)
    labels[[7, 30, 31]] = [1, 2, 3]
    small = limited(replace(toy, train=replace(toy.train, labels=labels)), 6)
    assert sorted(small.train.labels.tolist()) == [0, 0, 0, 1, 2, 3]
    places = [toy.train.ids.tolist().index(name) for name in small.train.ids]
    assert places == sorted(places)
    assert np.array_equal(small.train.images, toy.train.images[places])
    assert np.array_equal(small.train.texts, toy.train.texts[places])


def test_it_is_a_dataset_of_its_own_and_always_the_same(toy):
    small, again = limited(toy, 12), limited(toy, 12)
    assert small.name == "toy-limit-12"
    assert small.fingerprint == again.fingerprint != toy.fingerprint
    assert "limited to 12 pairs" in small.card.notes[-1]


def test_fewer_pairs_than_categories_are_refused(toy):
    with pytest.raises(DatasetError, match="there are 4, so give 4 or more"):
        limited(toy, 3)


def test_a_dataset_that_has_no_more_pairs_stays_as_it_is(toy):
    assert limited(toy, max(map(len, (toy.train, toy.validation, toy.test)))) is toy
    assert limited(toy, len(toy.train) - 1).name == f"toy-limit-{len(toy.train) - 1}"


def test_parts_follow_their_items(toy):
    parts = Parts(np.repeat(toy.test.images, 2, axis=0), np.arange(0, 97, 2))
    small = limited(replace(toy, test=replace(toy.test, image_parts=parts)), 8)
    for item in range(8):
        assert np.array_equal(small.test.image_parts[item], np.tile(small.test.images[item], (2, 1)))


def test_pairs_of_several_categories_have_none_that_training_lacks(toy):
    def matrix(split):
        labels = np.eye(4, dtype=np.int64)[split.labels]
        labels[::3, 1] = 1
        return replace(split, labels=labels)

    several = replace(toy, train=matrix(toy.train), validation=matrix(toy.validation), test=matrix(toy.test))
    small = limited(several, 10)
    assert not set(small.test.categories) - set(small.train.categories)
    assert len(small.test) == 10


def test_a_split_of_which_no_pair_is_left_is_named(toy):
    def several(split, labels):
        parts = Parts(split.texts, np.arange(len(split) + 1))
        return replace(split, labels=np.tile(labels, (len(split), 1)), text_parts=parts)

    train = several(toy.train, [1, 0, 0, 1])
    train.labels[0] = [1, 1, 1, 0]
    validation, test = several(toy.validation, [1, 1, 0, 0]), several(toy.test, [1, 0, 0, 1])
    dataset = replace(toy, train=train, validation=validation, test=test)
    with pytest.raises(DatasetError, match="val is empty"):
        limited(dataset, 4)
