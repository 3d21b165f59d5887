"""Backbones: our own, those of libraries where they are installed, and files."""

import sys
import threading
from dataclasses import asdict, replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
from torch import nn

from cmbench.datasets.features import backbones
from cmbench.datasets.features.backbones import backbone_of, load_backbone
from cmbench.datasets.features.own_networks import IMAGENET_WEIGHTS, SmallCNN, random_small_cnn
from cmbench.datasets.features.pictures import Preprocessing
from cmbench.datasets.features.weights import hash_of_file, write_weights
from cmbench.datasets.raw.downloads import Download
from cmbench.errors import DatasetError

SMALL = Preprocessing(resize=40, crop=32)


class Tiny(nn.Module):
    """Means of four filters."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.convolution(images).relu().mean(dim=(2, 3))


@pytest.fixture
def images():
    return np.random.default_rng(0).standard_normal((5, 3, 48, 48), dtype=np.float32)


@pytest.fixture
def script(tmp_path):
    torch.manual_seed(0)
    network = Tiny()
    path = tmp_path / "tiny.pt"
    torch.jit.trace(network, torch.zeros(1, 3, 32, 32)).save(str(path))
    return network, path


def test_features_are_what_goes_into_the_last_layer(images):
    network = random_small_cnn(seed=3).eval()
    with torch.inference_mode():
        scores = network(torch.from_numpy(images)).numpy()
    weight, bias = network.last.weight.detach().numpy(), network.last.bias.detach().numpy()
    features = load_backbone("small-cnn", "random", seed=3).features(images)
    assert features.dtype == np.float32
    assert features.shape == (5, 256)
    np.testing.assert_allclose(features @ weight.T + bias, scores, atol=1e-5)


def test_random_weights_follow_the_seed_and_stand_in_the_name():
    first, same, other = (load_backbone("small-cnn", "random", seed=seed) for seed in (1, 1, 2))
    assert first.name == "small-cnn (random weights, seed 1)"
    assert first.weights_hash == same.weights_hash != other.weights_hash
    assert len(first.weights_hash) == 64


def test_random_weights_leave_other_random_numbers_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    load_backbone("small-cnn", "random", seed=1)
    assert torch.equal(torch.rand(1), expected)


def test_the_hash_is_of_what_makes_the_features():
    first, second = random_small_cnn(seed=1), random_small_cnn(seed=1)
    with torch.no_grad():
        second.last.bias += 1
    hashes = {backbone_of(network, "small-cnn", SMALL).weights_hash for network in (first, second)}
    assert len(hashes) == 1


def test_weights_in_a_file_are_used(tmp_path, images):
    network = random_small_cnn(seed=4, n_classes=7)
    write_weights(tmp_path / "w.pth", network.state_dict())
    loaded = load_backbone("small-cnn", tmp_path / "w.pth")
    expected = backbone_of(network, "small-cnn", SMALL)
    assert loaded.name == "small-cnn"
    assert loaded.weights_hash == expected.weights_hash
    np.testing.assert_array_equal(loaded.features(images), expected.features(images))


@pytest.mark.parametrize(
    ("spec", "weights", "message"),
    [
        ("vgg19", None, r"vgg19 needs weights: give 'imagenet'.* https://.*vgg19-dcbb9e9d\.pth"),
        ("small-cnn", None, "small-cnn needs weights: train them"),
        ("vgg19", "nowhere.pth", r"nowhere\.pth: there is no such file"),
        ("vgg16", None, "no backbone 'vgg16'; use vgg19, small-cnn"),
        ("torchvision:", None, "no backbone 'torchvision:'"),
        ("nowhere.onnx", None, r"nowhere\.onnx: there is no such file"),
    ],
)
def test_what_cannot_be_loaded_is_said_with_what_to_do(spec, weights, message):
    with pytest.raises(DatasetError, match=message):
        load_backbone(spec, weights)


@pytest.mark.parametrize("device", ["gpu", "cuda:99999x", "cuda:99", "mps", "meta", ""])
def test_an_unknown_device_is_refused(device):
    with pytest.raises(DatasetError, match=r"device is .*; use 'auto', 'cpu' or 'cuda'"):
        load_backbone("small-cnn", "random", device)


@pytest.mark.parametrize(
    ("spec", "module", "package"),
    [
        ("torchvision:resnet18", "torchvision.models", "torchvision"),
        ("timm:resnet18", "timm", "timm"),
        ("FILE.onnx", "onnxruntime", "onnxruntime"),
    ],
)
def test_a_library_that_is_not_installed_is_named(spec, module, package, monkeypatch, tmp_path):
    (tmp_path / "FILE.onnx").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(DatasetError, match=f"needs {package}.*pip install {package}"):
        load_backbone(spec)


def test_torchscript_gives_what_the_network_gives(script, images):
    network, path = script
    backbone = load_backbone(str(path), preprocessing=asdict(SMALL))
    assert (backbone.name, backbone.width, backbone.last_layer) == ("tiny.pt", 4, None)
    with torch.inference_mode():
        expected = network(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(backbone.features(images), expected, rtol=1e-5, atol=1e-6)


def test_torchscript_has_its_weights_in_it(script):
    with pytest.raises(DatasetError, match="has its weights in it"):
        load_backbone(str(script[1]), "weights.pth")


def test_a_state_dict_is_no_torchscript(tmp_path):
    path = tmp_path / "w.pt"
    write_weights(path, Tiny().state_dict())
    with pytest.raises(DatasetError, match=r"w\.pt: is no TorchScript"):
        load_backbone(str(path))


def test_feature_maps_that_are_not_averaged_are_refused(tmp_path):
    path = tmp_path / "maps.ts"
    torch.jit.trace(nn.Conv2d(3, 4, 3), torch.zeros(1, 3, 32, 32)).save(str(path))
    with pytest.raises(DatasetError, match=r"gives \(2, 4, 30, 30\) for two pictures; .*average"):
        load_backbone(str(path), preprocessing=asdict(SMALL))


def test_pictures_that_are_too_small_for_a_network_are_refused():
    with pytest.raises(DatasetError, match="cannot take pictures of 8 by 8"):
        load_backbone("small-cnn", "random", preprocessing={"resize": 8, "crop": 8})


def test_a_network_without_a_full_connection_is_refused():
    with pytest.raises(DatasetError, match="does not end in a full connection"):
        backbone_of(Tiny(), "tiny", SMALL)


def test_torchvision_gives_what_goes_into_its_last_layer(images):
    models = pytest.importorskip("torchvision.models")
    backbone = load_backbone("torchvision:resnet18", "random", seed=2)
    assert (backbone.width, backbone.last_layer) == (512, "fc")
    assert (backbone.preprocessing.resize, backbone.preprocessing.crop) == (256, 224)
    torch.manual_seed(2)
    network = models.resnet18(weights=None).eval()
    with torch.inference_mode():
        scores = network(torch.from_numpy(images)).numpy()
    weight, bias = network.fc.weight.detach().numpy(), network.fc.bias.detach().numpy()
    np.testing.assert_allclose(backbone.features(images) @ weight.T + bias, scores, rtol=1e-3, atol=1e-3)


def test_torchvision_weights_are_read_from_a_file(tmp_path):
    models = pytest.importorskip("torchvision.models")
    network = models.resnet18(weights=None)
    write_weights(tmp_path / "w.pth", network.state_dict())
    backbone = load_backbone("torchvision:resnet18", tmp_path / "w.pth", preprocessing=asdict(SMALL))
    assert backbone.weights_hash == backbone_of(network, "resnet18", SMALL).weights_hash
    with pytest.raises(DatasetError, match="has no such network"):
        load_backbone("torchvision:resnet19")


def test_timm_gives_its_pooled_features(images):
    timm = pytest.importorskip("timm")
    backbone = load_backbone("timm:resnet10t", "random", seed=2, preprocessing=asdict(SMALL))
    torch.manual_seed(2)
    network = timm.create_model("resnet10t", pretrained=False).eval()
    network.reset_classifier(0)
    with torch.inference_mode():
        expected = network(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(backbone.features(images), expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(DatasetError, match="timm cannot make this network"):
        load_backbone("timm:resnet19999", "random")


def test_efficientnet_lite_gives_its_pooled_features():
    library = pytest.importorskip("efficientnet_lite_pytorch")
    backbone = load_backbone("efficientnet-lite0", "random", seed=2)
    torch.manual_seed(2)
    network = library.EfficientNet.from_name("efficientnet-lite0").eval()
    pictures = torch.rand(2, 3, 224, 224)
    with torch.inference_mode():
        expected = network.extract_features(pictures).mean(dim=(2, 3))
    np.testing.assert_allclose(backbone.features(pictures.numpy()), expected, atol=1e-6)
    assert (backbone.width, backbone.preprocessing.crop) == (1280, 224)


def test_onnx_gives_what_the_network_gives(tmp_path, images):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    weight = np.random.default_rng(1).standard_normal((3, 6)).astype(np.float32)
    nodes = [
        onnx.helper.make_node("GlobalAveragePool", ["images"], ["maps"]),
        onnx.helper.make_node("Flatten", ["maps"], ["means"]),
        onnx.helper.make_node("MatMul", ["means", "weight"], ["features"]),
    ]
    number = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        nodes,
        "means",
        [onnx.helper.make_tensor_value_info("images", number, ["n", 3, "h", "w"])],
        [onnx.helper.make_tensor_value_info("features", number, ["n", 6])],
        [onnx.numpy_helper.from_array(weight, "weight")],
    )
    path = tmp_path / "means.onnx"
    opset = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), str(path))
    backbone = load_backbone(str(path), preprocessing=asdict(SMALL))
    assert backbone.width == 6
    np.testing.assert_allclose(backbone.features(images), images.mean(axis=(2, 3)) @ weight, atol=1e-5)
    path.write_bytes(b"nothing")
    with pytest.raises(DatasetError, match="onnxruntime cannot read it"):
        load_backbone(str(path))


def test_the_layer_is_named_by_the_network_and_not_by_the_name_of_a_file(script):
    own = script[1].rename(script[1].with_name("vgg19-pool5.pt"))
    assert load_backbone(str(own), preprocessing=asdict(SMALL)).layer == ""
    assert load_backbone("vgg19", "random", "cpu").layer == "fc7 after ReLU"


def test_a_part_of_the_preprocessing_can_be_changed(script):
    changed = load_backbone(str(script[1]), preprocessing={"resize": 40, "crop": 32}).preprocessing
    assert changed == SMALL
    own = load_backbone("small-cnn", "random", "cpu", preprocessing={"std": (1.0, 1.0, 1.0)}).preprocessing
    assert (own.resize, own.crop, own.std) == (56, 48, (1.0, 1.0, 1.0))


@pytest.fixture
def public_weights(tmp_path, monkeypatch):
    """A server with weights of a small network in place of VGG19's, and the folder they come into."""
    served = tmp_path / "served"
    write_weights(served / "vgg19-00000000.pth", random_small_cnn(seed=5).state_dict())
    handler = partial(QuietHandler, directory=served)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        file = served / "vgg19-00000000.pth"
        download = Download(f"http://127.0.0.1:{server.server_port}/{file.name}", hash_of_file(file))
        small = replace(backbones.OWN["small-cnn"], imagenet=download)
        monkeypatch.setitem(backbones.OWN, "vgg19", small)
        monkeypatch.setenv("CMBENCH_CACHE", str(tmp_path / "cache"))
        yield download
        server.shutdown()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


def test_public_weights_are_fetched_once_and_their_checksum_is_pinned(public_weights, tmp_path, monkeypatch):
    expected = load_backbone("small-cnn", "random", "cpu", seed=5).weights_hash
    assert load_backbone("vgg19", "imagenet", "cpu").weights_hash == expected
    (tmp_path / "served" / public_weights.name).unlink()
    assert load_backbone("vgg19", "imagenet", "cpu").weights_hash == expected
    (tmp_path / "cache" / public_weights.name).write_bytes(b"another")
    with pytest.raises(DatasetError, match=rf"the SHA-256 is .* and should be {public_weights.sha256}"):
        load_backbone("vgg19", "imagenet", "cpu")


def test_the_public_weights_are_those_whose_checksum_torchvision_has_in_the_name():
    assert IMAGENET_WEIGHTS.name == f"vgg19-{IMAGENET_WEIGHTS.sha256[:8]}.pth"
    assert len(IMAGENET_WEIGHTS.sha256) == 64


def test_small_cnn_has_the_units_it_is_asked_for():
    assert backbone_of(SmallCNN(5, width=130), "small-cnn", SMALL).width == 130
