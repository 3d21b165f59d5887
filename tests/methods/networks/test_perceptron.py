"""Networks of one view, the batches they learn from, and the maps they give."""

import numpy as np
import pytest
import torch

from cmbench.methods.deep_sm import posteriors
from cmbench.methods.networks.perceptron import Shape, ViewNetwork
from cmbench.methods.training.batches import EpochBatches
from cmbench.methods.training.descent import decayed
from cmbench.methods.training.device import NetworkMap
from cmbench.methods.views.scaling import Scaling
from cmbench.neural import dropped_out


def test_dropout_leaves_out_its_share_and_keeps_the_mean():
    rows = torch.ones(2000, 10)
    for share in (0.0, 0.25, 0.5):
        dropped = dropped_out(rows, share, torch.Generator().manual_seed(0))
        assert (dropped == 0).float().mean().item() == pytest.approx(share, abs=0.01)
        assert dropped[dropped != 0].numpy() == pytest.approx(1 / (1 - share))
        assert dropped.mean().item() == pytest.approx(1, abs=0.02)


def test_dropout_thins_hidden_layers_in_training_only():
    random = torch.Generator().manual_seed(0)
    network = ViewNetwork(3, Shape(2, 40, 2, "relu", dropout=0.5), random)
    rows = torch.randn(5, 3, generator=random)
    assert not torch.equal(network(rows), network(rows))
    again = []
    for _ in range(2):
        torch.manual_seed(1)
        again.append(network(rows))
    assert torch.equal(*again)
    network.eval()
    assert torch.equal(network(rows), network(rows))
    linear = ViewNetwork(3, Shape(0, 40, 2, "relu", dropout=0.5), random)
    assert torch.equal(linear(rows), linear(rows)), "neither features nor outputs are dropped"


def test_a_network_is_full_connections_with_activations_between():
    network = ViewNetwork(3, Shape(2, 4, 2, "sigmoid"), torch.Generator().manual_seed(0))
    rows = np.random.default_rng(0).normal(size=(5, 3))
    weights = [values.detach().numpy().astype(np.float64) for values in network.parameters()]
    expected = rows
    for layer in range(3):
        expected = expected @ weights[2 * layer].T + weights[2 * layer + 1]
        expected = 1 / (1 + np.exp(-expected)) if layer < 2 else expected
    found = NetworkMap(network, "images", Scaling(np.zeros(3), np.ones(3)), torch.float64)(rows)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert next(network.parameters()).dtype == torch.float32, "evaluation leaves the weights as they are"


def test_an_epoch_has_each_row_once_in_an_order_of_its_own():
    batches = EpochBatches(50, batch=8, seed=3, purpose="image")
    epochs = [np.concatenate(list(batches.epoch(number))) for number in (0, 1, 0)]
    assert batches.rounds == 6
    assert all(len(set(epoch.tolist())) == 48 for epoch in epochs)
    assert np.array_equal(epochs[0], epochs[2])
    assert not np.array_equal(epochs[0], epochs[1])
    for other in ({"seed": 4, "purpose": "image"}, {"seed": 3, "purpose": "text"}):
        changed = np.concatenate(list(EpochBatches(50, batch=8, **other).epoch(0)))
        assert not np.array_equal(epochs[0], changed)
    assert [len(index) for index in EpochBatches(5, batch=64, seed=0, purpose="").epoch(0)] == [5]


def test_the_posteriors_of_a_network_are_the_softmax_of_its_outputs_at_temperature_1():
    network = ViewNetwork(3, Shape(1, 5, 4, "relu"), torch.Generator().manual_seed(0))
    logits = NetworkMap(network, "images", Scaling(np.zeros(3), np.ones(3)), torch.float64)
    rows = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    outputs = logits(rows)
    expected = np.exp(outputs) / np.exp(outputs).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(posteriors(outputs), expected, rtol=1e-12)
    assert np.isfinite(posteriors(logits(1e9 * rows))).all()


def test_weights_decay_and_biases_do_not():
    networks = [ViewNetwork(3, Shape(1, 5, 4, "relu"), torch.Generator()) for _ in range(2)]
    weights, biases = decayed(networks, 0.25)
    assert (weights["weight_decay"], biases["weight_decay"]) == (0.25, 0.0)
    assert [tuple(each.shape) for each in weights["params"]] == 2 * [(5, 3), (4, 5)]
    assert [tuple(each.shape) for each in biases["params"]] == 2 * [(5,), (4,)]
