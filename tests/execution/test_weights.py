"""The number of weights of a fitted method, against counts by hand."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from cmbench.execution.weights import weights_of
from cmbench.methods.contract import Method
from cmbench.methods.registry import load_method


class Keeping(Method):
    """Keeps as fitted what it is told to."""

    given: object = None

    def fit(self, train, validation):
        return self

    def transform_images(self, images):
        return images

    def transform_texts(self, texts):
        return texts


def kept(**fitted):
    method = Keeping(given=np.ones(1000))
    vars(method).update(fitted)
    return weights_of(method)


class Slotted:
    __slots__ = ("rows",)

    def __init__(self, rows):
        self.rows = rows

    def apply(self):
        return self.rows


def closure_over(values):
    return lambda: values


ONES = np.ones((3, 4))


@pytest.mark.parametrize(
    "held",
    [
        ONES,
        [ONES],
        {"a": (ONES,)},
        Slotted(ONES),
        Slotted(ONES).apply,
        partial(np.dot, ONES),
        closure_over(ONES),
        np.array([ONES, None], dtype=object),
        torch.ones(3, 4),
        nn.Linear(3, 3),
    ],
    ids=lambda held: type(held).__name__,
)
def test_weights_are_found_wherever_they_are_kept(held):
    assert kept(map_=held) == kept(_map=held) == 12


def test_what_is_the_same_memory_counts_once_and_halves_of_it_add_up():
    tied = nn.Linear(4, 4, bias=False)
    assert kept(a=tied, b=nn.Sequential(tied, nn.ReLU(), tied), c=tied.weight.detach().numpy()) == 16
    assert kept(a=ONES[:1], b=ONES[1:]) == kept(a=ONES, b=ONES) == 12


def test_what_is_not_learned_does_not_count(toy):
    network = nn.BatchNorm1d(5)
    optimiser = torch.optim.Adam(network.parameters())
    network(torch.ones(2, 5)).sum().backward()
    optimiser.step()
    assert kept(net=network, optimiser=optimiser) == 10  # neither running means nor moments
    assert kept(classes=np.arange(9), n=3, name="x", curves_={"loss": np.ones(7)}, train=toy.train) == 0


def test_the_weights_of_cca_are_two_matrices_two_scalings_and_the_correlations(toy):
    method = load_method("cca", n_components=3).fit(toy.train, toy.validation)
    scalings = 2 * (12 + 8)
    assert weights_of(method) == (12 + 8) * 3 + scalings + len(method.correlations_)


def test_the_weights_of_deep_sm_are_those_of_its_layers_and_scalings(toy):
    sizes = {"hidden_width": 5, "hidden_image": 1, "hidden_text": 2}
    method = load_method("deep-sm", epochs=1, device="cpu", **sizes).fit(toy.train, toy.validation)
    image = 12 * 5 + 5 + 5 * 4 + 4
    text = 8 * 5 + 5 + 5 * 5 + 5 + 5 * 4 + 4
    assert weights_of(method) == image + text + 2 * (12 + 8)


def test_a_bound_method_among_what_is_fitted_does_not_lead_to_curves_and_parameters():
    method = Keeping(given=np.ones(1000))
    method.image_map_, method.curves_, method.weights_ = method.transform_images, {"loss": ONES}, ONES[0]
    assert weights_of(method) == 4
