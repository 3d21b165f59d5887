"""Codes of CCL: how parts are scaled before them, and how far the last ones lie apart."""

import numpy as np
import pytest

from cmbench.datasets.draft import Parts, Split
from cmbench.methods.ccl.method import CCL

pytestmark = pytest.mark.filterwarnings("ignore::cmbench.methods.views.inputs.MethodWarning")

SMALL = {"embedding": 6, "hidden_image": 10, "hidden_text": 9, "code": 8, "joint": 12, "width": 7}
SMALL |= {"rbm_batch_size": 16, "rbm_epochs": 4, "correlation_epochs": 2, "class_epochs": 3, "batch_size": 16}
SMALL |= {"device": "cpu"}
COLLAPSING = {"weight_decay": 1e3, "learning_rate": 1e-2, "epochs": 20, "stopping": "none"}


def with_parts(split):
    """Give each item none to three parts, noisy copies of it."""
    random, sides = np.random.default_rng(1), []
    for features in (split.images, split.texts):
        counts = random.integers(0, 4, len(features))
        rows = np.repeat(np.arange(len(features)), counts)
        values = features[rows] + random.normal(size=(len(rows), features.shape[1]))
        sides.append(Parts(values.astype(np.float32), np.concatenate([[0], np.cumsum(counts)])))
    return Split(split.images, split.texts, split.labels, split.ids, *sides)


def fitted(toy, **parameters):
    return CCL(**SMALL, **parameters).fit(with_parts(toy.train), with_parts(toy.validation))


def test_parts_are_scaled_by_the_statistics_of_training_parts(toy):
    train, method = with_parts(toy.train), fitted(toy, epochs=2, preprocessing="zscore")
    sides = (
        (method.image_map_, train.images, train.image_parts),
        (method.text_map_, train.texts, train.text_parts),
    )
    for found, wholes, parts in sides:
        alone = wholes[np.diff(parts.offsets) == 0]  # items without parts are their own
        rows = np.concatenate([parts.values, alone]).astype(np.float64)
        scaling = found.steps[0].steps[1].steps[0].codes.scaling
        np.testing.assert_allclose(scaling.mean, rows.mean(axis=0), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(scaling.scale, rows.std(axis=0), rtol=1e-5)
        assert not np.allclose(scaling.scale, wholes.std(axis=0), rtol=1e-2), "wholes vary less"


def test_how_far_codes_lie_apart_is_told_before_they_are_standardised(toy):
    assert fitted(toy, epochs=2).code_deviation_ > 1e-3
    collapsed = fitted(toy, **COLLAPSING)
    assert collapsed.code_deviation_ < 1e-3
    assert collapsed.spread_ > 0.1, "standardised, they differ"
    plain, unseen = fitted(toy, **COLLAPSING, post="none"), with_parts(toy.validation)
    both = (
        plain.transform_images(unseen.images, unseen.image_parts),
        plain.transform_texts(unseen.texts, unseen.text_parts),
    )
    expected = min(each.std(axis=0).mean() for each in both)
    assert plain.code_deviation_ == pytest.approx(expected, rel=1e-3)
