"""``LinearMethod``: two matrices of weights make a method."""

from typing import Annotated

import numpy as np
import pytest

from cmbench.errors import MethodError
from cmbench.methods import Count, LinearMethod
from cmbench.methods.cfa import CFA


class Rotations(LinearMethod):
    uses_labels = False
    n_components: Annotated[int, Count(1)] = 4

    def weights(self, images, texts, labels):
        left, _, right = np.linalg.svd(images.T @ texts, full_matrices=False)
        return left[:, : self.n_components], right.T[:, : self.n_components]


def test_the_example_of_the_docstring_is_cfa(toy):
    mine, cfa = Rotations().fit(toy.train, toy.validation), CFA(n_components=4).fit(toy.train, toy.validation)
    for transform, views in (("transform_images", toy.test.images), ("transform_texts", toy.test.texts)):
        ours, theirs = (getattr(method, transform)(views) for method in (mine, cfa))
        assert np.allclose(np.abs(ours), np.abs(theirs), atol=1e-6)  # components have any sign
    test = toy.test
    products = [m.transform_images(test.images) @ m.transform_texts(test.texts).T for m in (mine, cfa)]
    assert np.allclose(*products, atol=1e-6)


def test_labels_come_as_class_numbers(toy):
    class Labelled(LinearMethod):
        def weights(self, images, texts, labels):
            self.seen_ = labels
            return images.T @ np.eye(4)[labels], texts.T @ np.eye(4)[labels]

    gapped = toy.train.__class__(toy.train.images, toy.train.texts, 10 * toy.train.labels + 3, toy.train.ids)
    method = Labelled().fit(gapped, toy.validation)
    assert np.array_equal(method.seen_, toy.train.labels)
    assert method.classes_.tolist() == [3, 13, 23, 33]


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (lambda images, texts: images, "shapes"),
        (lambda images, texts: (np.eye(12), np.eye(7)), "images (12, k) and one for texts (8, k)"),
        (lambda images, texts: (np.ones((12, 3)), np.ones((8, 2))), "shapes [(12, 3), (8, 2)]"),
        (lambda images, texts: (np.full((12, 3), np.nan), np.ones((8, 3))), "NaN or infinity"),
    ],
)
def test_weights_that_do_not_fit_are_told(toy, weights, message):
    class Wrong(LinearMethod):
        uses_labels = False

        def weights(self, images, texts, labels):
            return weights(images, texts)

    with pytest.raises(MethodError) as raised:
        Wrong().fit(toy.train, toy.validation)
    assert message in str(raised.value)
