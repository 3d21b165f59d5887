"""Codes of items as means over their parts."""

import numpy as np
import pytest
import torch

from cmbench.datasets.draft import Parts
from cmbench.errors import MethodError
from cmbench.methods.ccl.grains import Items, PartMeans, completed, features_of, part_means
from cmbench.methods.networks.pretraining import hidden_layer
from cmbench.methods.networks.rbm import RBM
from cmbench.methods.training.device import NetworkMap, unscaled
from cmbench.methods.views.maps import Chain

COUNTS = (2, 1, 4, 3)


def parts_of(lists):
    offsets = np.concatenate([[0], np.cumsum([len(each) for each in lists])]).astype(np.int64)
    return Parts(np.concatenate(lists).astype(np.float32), offsets)


def lists(seed=0, counts=COUNTS, width=3):
    random = np.random.default_rng(seed)
    return [random.normal(size=(count, width)) for count in counts]


def wholes(n=4, width=3):
    return np.random.default_rng(9).normal(size=(n, width)).astype(np.float32)


def code_map():
    return NetworkMap(
        hidden_layer(RBM(3, 5, "gaussian", torch.Generator().manual_seed(0))), "images", unscaled(3)
    )


def encoded(own):
    return PartMeans(code_map())(Items(wholes(len(own)), parts_of(own)))


def test_the_code_of_an_item_is_the_mean_over_its_parts_written_out():
    own = lists()
    expected = [np.mean([code_map()(part[None]) for part in each], axis=0)[0] for each in own]
    np.testing.assert_allclose(encoded(own), expected, rtol=1e-5)


def test_neither_the_order_of_parts_nor_having_each_twice_matters():
    own = lists()
    np.testing.assert_allclose(encoded([each[::-1] for each in own]), encoded(own), rtol=1e-5)
    np.testing.assert_allclose(encoded([np.repeat(each, 2, axis=0) for each in own]), encoded(own), rtol=1e-5)
    other = [own[0][:1], *own[1:]]
    assert not np.allclose(encoded(other)[0], encoded(own)[0])


def test_the_mean_comes_after_the_code_and_not_before():
    own = lists()
    of_means = code_map()(np.array([each.mean(axis=0) for each in own]))
    assert not np.allclose(encoded(own)[2], of_means[2], atol=1e-3)


@pytest.mark.parametrize("empty", [[0], [1, 2], [3], [0, 1, 2, 3]])
def test_items_without_parts_are_their_own(empty):
    counts = [0 if item in empty else count for item, count in enumerate(COUNTS)]
    own, features = lists(counts=counts), wholes()
    found = completed(Items(features, parts_of(own)), "images")
    for item, each in enumerate(own):
        expected = features[item : item + 1] if item in empty else each.astype(np.float32)
        np.testing.assert_array_equal(found[item], expected)
    assert len(found) == 4
    assert found.offsets[-1] == len(found.values)


def test_items_that_all_have_parts_are_left_as_they_are():
    parts = parts_of(lists())
    assert completed(Items(wholes(), parts), "images") is parts


def test_wholes_are_coded_whatever_the_parts():
    features = wholes()
    found = Chain(features_of, code_map())(Items(features, parts_of(lists())))
    np.testing.assert_array_equal(found, code_map()(features))


@pytest.mark.parametrize(
    ("items", "message"),
    [
        (Items(wholes()), "images come without parts.*ccl-coarse"),
        (Items(wholes(5), parts_of(lists())), "there are 5 images, but parts of 4"),
        (
            Items(wholes(width=7), parts_of(lists(counts=(2, 0, 4, 3)))),
            "images row 1 has no parts.* 3 features",
        ),
    ],
)
def test_what_cannot_be_completed_is_an_error_with_the_remedy(items, message):
    with pytest.raises(MethodError, match=message):
        completed(items, "images")


def test_means_of_many_parts_are_taken_in_double_precision():
    codes = np.full((200_001, 1), 0.1, np.float32)
    found = part_means(codes, np.array([0, 200_000, 200_001]))
    np.testing.assert_allclose(found, 0.1, rtol=1e-6)
