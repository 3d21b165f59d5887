"""Class codes of CMDN and CCL: the third hidden layer of a classifier on joint codes."""

import numpy as np
import pytest
import torch

from cmbench.methods.ccl.method import CCLCoarse
from cmbench.methods.corr_ae.method import CorrAE
from cmbench.methods.networks import class_codes
from cmbench.methods.networks.class_codes import learn_class_codes
from cmbench.methods.training.loop import Run

pytestmark = pytest.mark.filterwarnings("ignore::cmbench.methods.views.inputs.MethodWarning")

WIDTHS = {"coarse": 4, "fine": 3}
SMALL = {"joint": 6, "width": 5, "class_epochs": 4, "class_batch": 16, "rbm_epochs": 2, "rbm_batch_size": 16}


@pytest.fixture
def learnt(monkeypatch):
    """Class codes of 60 items of three classes, and the classifier that gave them."""
    made, original = [], class_codes.ClassifierFitting
    monkeypatch.setattr(
        class_codes,
        "ClassifierFitting",
        lambda *arguments, **named: made.append(original(*arguments, **named)) or made[-1],
    )
    random = np.random.default_rng(0)
    codes = tuple(random.uniform(size=(n, 7)).astype(np.float32) for n in (60, 30))
    numbers = tuple(np.arange(len(each)) % 3 for each in codes)
    method = CCLCoarse(**SMALL)
    run = Run("toy", 0)
    found = learn_class_codes(codes, WIDTHS, numbers, method, method.joint, "image", run)
    return codes, found, made[0]


def test_class_codes_are_the_third_hidden_layer_on_standardised_joint_codes(learnt):
    codes, found, fitting = learnt
    *hidden, last = fitting.network.layers
    assert [layer.out_features for layer in hidden] == [5, 5, 5]
    assert last.out_features == 3
    joint = [found.map.steps[0](each).astype(np.float64) for each in codes]
    mean, deviation = joint[0].mean(axis=0), joint[0].std(axis=0)
    for values, ours in zip(joint, (found.train, found.validation), strict=True):
        values = (values - mean) / deviation
        for layer in hidden:
            weight, bias = (each.detach().double().numpy() for each in (layer.weight, layer.bias))
            values = np.maximum(0, values @ weight.T + bias)
        np.testing.assert_allclose(ours, values, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(found.map(codes[1]), found.validation)


def test_joint_codes_are_the_hidden_units_of_an_rbm_over_all_groups(learnt):
    codes, found, _ = learnt
    joint, _ = found.map.steps
    (layer, _) = joint.network
    assert layer.in_features == sum(WIDTHS.values())
    expected = torch.sigmoid(torch.from_numpy(codes[1]) @ layer.weight.T + layer.bias).detach()
    np.testing.assert_allclose(joint(codes[1]), expected, rtol=1e-5)


def test_weights_of_the_classifier_decay_by_a_tenth_of_what_is_released(learnt):
    weights, biases = learnt[2].optimizer.param_groups
    assert (weights["weight_decay"], biases["weight_decay"]) == (1e-4, 0.0)


def test_hidden_units_of_rbms_are_drawn_to_the_released_sparsity():
    lower, upper = CorrAE().gaussian_settings(1024).sparsity, CorrAE().binary_settings().sparsity
    assert (lower.target, lower.cost, lower.damping) == (0.2, 0.1, 0.9)
    assert (upper.target, upper.cost, upper.damping) == (0.1, 0.01, 0.9)
