"""Categories that are written in two ways, several in one, or no category at all are warned of."""

import numpy as np
import pytest

from cmbench.datasets.category_names import doubtful_names
from cmbench.datasets.formats.files import check_file

SEVERAL = ["sky,sea", "sky|sea", "sky / sea", "['sky', 'sea']", '["sky","sea"]', "sky\uff1bsea", "sea+sky"]


def doubts(*names):
    return list(doubtful_names(names, lambda name: ["a", "b", "c", "d"]))


@pytest.mark.parametrize("name", SEVERAL)
def test_a_category_made_of_others_is_named_with_its_pairs_and_how_to_write_it(name):
    (sentence,) = doubts("land", "sea", "sky", name)
    assert f"the category {name!r} (of a, b, c and 1 more) looks like several" in sentence
    assert "write sky;sea if it is" in sentence or "write sea;sky if it is" in sentence


@pytest.mark.parametrize("name", ["polar bear", "salt, pepper", "war and peace", "24/7", "rock & roll"])
def test_a_category_whose_parts_are_no_categories_is_left_alone(name):
    assert doubts("bear", "sea", "sky", name) == []


def test_numbers_between_spaces_are_several_categories():
    (sentence,) = doubts("3", "17", "3 17")
    assert "'3 17'" in sentence


@pytest.mark.parametrize("name", ["nan", "NaN", "None", "null", "<NA>"])
def test_a_missing_value_is_no_category(name):
    (sentence,) = doubts("sea", name)
    assert f"the category {name!r} (of a, b, c and 1 more) looks like a missing value" in sentence


def test_spellings_that_differ_in_capitals_spaces_or_hyphens_are_named_together():
    (sentence,) = doubts("sci-fi", "Sci Fi", "sea", "sci_fi")
    assert "'sci-fi', 'Sci Fi', 'sci_fi' differ in capitals, spaces or hyphens alone" in sentence


def test_labels_of_a_feature_file_are_looked_at_too(tmp_path):
    random, arrays = np.random.default_rng(0), {}
    for split in ("train", "val", "test"):
        arrays[f"images_{split}"], arrays[f"texts_{split}"] = random.standard_normal((2, 24, 9))
        arrays[f"labels_{split}"] = np.array(["sky,sea", "sky", "sea"])[np.arange(24) % 3]
    np.savez(tmp_path / "toy.npz", **arrays)
    (finding,) = check_file(tmp_path / "toy.npz").findings
    assert "'sky,sea' (of train-0, train-3, train-6 and 21 more) looks like several" in finding.sentence
    assert not finding.stops
