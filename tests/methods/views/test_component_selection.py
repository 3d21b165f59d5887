"""The number of components is chosen by MAP on validation, and nothing else."""

import warnings

import numpy as np
import pytest

from cmbench.datasets.draft import Split
from cmbench.evaluation.evaluator import bimodal_map
from cmbench.methods.views.inputs import MethodWarning
from cmbench.methods.views.maps import Candidate, LinearMap, MapPair, choose, sizes_to_try
from cmbench.methods.views.scaling import Scaling


def split(images, texts, labels):
    return Split(images, texts, np.asarray(labels), np.arange(len(labels)).astype(str))


def identity_maps(width):
    plain = Scaling(np.zeros(width), np.ones(width))
    return MapPair(*(LinearMap(view, plain, np.eye(width)) for view in ("images", "texts")))


@pytest.fixture
def validation():
    """Eight informative components, then noise; four categories."""
    rng = np.random.default_rng(0)
    labels = np.arange(80) % 4
    signal = rng.normal(size=(4, 8))[labels]
    views = [np.hstack([signal + rng.normal(size=(80, 8)), 3 * rng.normal(size=(80, 292))]) for _ in range(2)]
    return split(*views, labels)


def test_the_sizes_are_those_of_the_grid_cut_to_the_rank(validation):
    assert sizes_to_try("validation", 300, validation) == (4, 8, 50, 100, 200, 300)
    assert sizes_to_try("validation", 300, validation, fewer_than_classes=True)[0] == 3
    assert sizes_to_try("validation", 60, validation) == (4, 8, 50, 60)
    assert sizes_to_try("all", 60, validation) == (60,)
    assert sizes_to_try(7, 60, validation) == (7,)


def test_more_components_than_the_rank_are_cut_with_a_warning(validation):
    with pytest.warns(MethodWarning, match="n_components is 61, but the data support only 60"):
        assert sizes_to_try(61, 60, validation) == (60,)


def test_the_size_with_the_highest_bimodal_map_is_chosen(validation):
    sizes = (4, 8, 50, 100)
    choice = choose([Candidate("model", identity_maps(300), sizes)], validation)
    scores = {
        k: bimodal_map(validation.images[:, :k], validation.texts[:, :k], validation.labels) for k in sizes
    }
    assert choice.n_components == 8 == max(scores, key=scores.get)
    assert choice.validation_map == pytest.approx(scores[8], abs=1e-12)
    assert choice.maps.images(validation.images).shape == (80, 8)


def test_the_best_of_several_models_is_chosen_and_the_first_of_equals(validation):
    good = identity_maps(300).first(8)
    swapped = MapPair(good.images, LinearMap("texts", good.texts.scaling, np.eye(300)[:, 8:16]))
    candidates = [Candidate(name, maps, (8,)) for name, maps in (("bad", swapped), ("a", good), ("b", good))]
    assert choose(candidates, validation).model == "a"


def test_a_single_candidate_and_size_does_not_look_at_validation(validation):
    unusable = split(validation.images[:, :1], validation.texts, validation.labels)
    choice = choose([Candidate("model", identity_maps(300), (5,))], unusable)
    assert (choice.n_components, choice.validation_map) == (5, None)


def test_two_categories_still_leave_a_component_to_try():
    one_class = split(np.ones((3, 2)), np.ones((3, 2)), [0, 0, 0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert sizes_to_try("validation", 2, one_class, fewer_than_classes=True) == (1, 2)
