"""VGG19 against a literal evaluation of the same weights, and against the keys that public weights have."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from cmbench.datasets.features.backbones import backbone_of
from cmbench.datasets.features.own_networks import VGG19, random_vgg19, vgg19_of
from cmbench.datasets.features.pictures import Preprocessing
from cmbench.datasets.features.weights import read_weights, write_weights
from cmbench.errors import DatasetError

CONVOLUTIONS = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34)
POOLED_AFTER = (2, 7, 16, 25, 34)
FULL = (0, 3, 6)
KEYS = [
    *(f"features.{number}.{kind}" for number in CONVOLUTIONS for kind in ("weight", "bias")),
    *(f"classifier.{number}.{kind}" for number in FULL for kind in ("weight", "bias")),
]


@pytest.fixture(scope="module")
def network():
    return random_vgg19(seed=0, n_classes=10).eval()


@pytest.fixture(scope="module")
def images():
    return torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))


def on_meta(n_classes=1000):
    with torch.device("meta"):
        return VGG19(n_classes)


def literal_fc7(weights, hidden):
    for number in CONVOLUTIONS:
        weight, bias = weights[f"features.{number}.weight"], weights[f"features.{number}.bias"]
        hidden = functional.relu(functional.conv2d(hidden, weight, bias, padding=1))
        if number in POOLED_AFTER:
            hidden = functional.max_pool2d(hidden, 2, 2)
    hidden = functional.adaptive_avg_pool2d(hidden, (7, 7)).flatten(1)
    for number in (0, 3):
        weight, bias = weights[f"classifier.{number}.weight"], weights[f"classifier.{number}.bias"]
        hidden = functional.relu(functional.linear(hidden, weight, bias))
    return hidden


def test_there_are_as_many_parameters_as_published():
    assert sum(values.numel() for values in on_meta().parameters()) == 143_667_240


def test_keys_and_shapes_are_those_of_public_weights():
    state = on_meta().state_dict()
    assert list(state) == KEYS
    assert state["features.34.weight"].shape == (512, 512, 3, 3)
    assert state["classifier.0.weight"].shape == (4096, 25088)


def test_keys_and_shapes_are_those_of_torchvision():
    models = pytest.importorskip("torchvision.models")
    with torch.device("meta"):
        theirs = models.vgg19(weights=None).state_dict()
    assert [(key, value.shape) for key, value in theirs.items()] == [
        (key, value.shape) for key, value in on_meta().state_dict().items()
    ]


@torch.inference_mode()
def test_fc7_and_scores_are_those_of_a_literal_evaluation(network, images):
    weights = network.state_dict()
    expected = literal_fc7(weights, images)
    assert expected.std() > 0.1
    torch.testing.assert_close(network.fc7(images), expected, rtol=1e-4, atol=1e-4)
    scores = functional.linear(expected, weights["classifier.6.weight"], weights["classifier.6.bias"])
    torch.testing.assert_close(network(images), scores, rtol=1e-4, atol=1e-4)
    assert scores.shape == (2, 10)


@torch.inference_mode()
def test_as_a_backbone_it_gives_fc7(network, images):
    same_weights = vgg19_of(network.state_dict(), "test")
    backbone = backbone_of(same_weights, "vgg19", Preprocessing(), "classifier.6")
    assert backbone.width == 4096
    np.testing.assert_array_equal(backbone.features(images.numpy()), network.fc7(images).numpy())


def test_dropout_works_in_training_alone(network, images):
    network.train()
    with torch.no_grad():
        first, second = network.fc7(images), network.fc7(images)
    network.eval()
    assert not torch.equal(first, second)


@pytest.mark.parametrize("n_classes", [1000, 20])
def test_weights_of_any_number_of_classes_are_loaded(tmp_path, n_classes):
    path = tmp_path / "vgg19.pth"
    write_weights(path, small_file(n_classes))
    network = vgg19_of(read_weights(path), path)
    assert network.classifier[6].out_features == n_classes
    assert network.classifier[6].bias.shape == (n_classes,)
    assert network.features[0].weight.dtype == torch.float32
    assert network.features[34].bias[7].item() == 34.0
    assert not any(values.is_meta for values in network.parameters())


def small_file(n_classes):
    """Return a state dict of the right shapes that takes next to no memory: one number for each tensor."""
    return {
        key: torch.tensor(float(key.split(".")[1]), dtype=torch.float16).expand(value.shape)
        for key, value in on_meta(n_classes).state_dict().items()
    }


def test_a_missing_key_is_named(tmp_path):
    weights = small_file(20)
    del weights["features.5.bias"]
    write_weights(tmp_path / "w.pth", weights)
    with pytest.raises(
        DatasetError, match=r"w\.pth: .*features\.5\.bias is missing; give the file of a VGG19"
    ):
        vgg19_of(read_weights(tmp_path / "w.pth"), tmp_path / "w.pth")


def test_a_wrong_shape_is_named(tmp_path):
    weights = small_file(20)
    weights["features.0.weight"] = torch.zeros(64, 1, 3, 3)
    write_weights(tmp_path / "w.pth", weights)
    with pytest.raises(
        DatasetError, match=r"features\.0\.weight is \(64, 1, 3, 3\) and should be \(64, 3, 3, 3\)"
    ):
        vgg19_of(read_weights(tmp_path / "w.pth"), tmp_path / "w.pth")


def test_weights_of_another_network_are_refused(tmp_path):
    write_weights(tmp_path / "w.pth", {"conv1.weight": torch.zeros(3)})
    with pytest.raises(DatasetError, match=r"classifier\.6\.bias is missing.*vgg19-dcbb9e9d\.pth"):
        vgg19_of(read_weights(tmp_path / "w.pth"), tmp_path / "w.pth")
