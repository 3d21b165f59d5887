"""Networks that turn pictures into features, behind one interface."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cmbench.datasets.features.own_networks import (
    IMAGENET_WEIGHTS,
    VGG19,
    SmallCNN,
    random_small_cnn,
    random_vgg19,
    small_cnn_of,
    vgg19_of,
)
from cmbench.datasets.features.pictures import Preprocessing
from cmbench.datasets.features.public_networks import (
    LITE,
    RANDOM,
    Classifier,
    OnnxNetwork,
    last_full_connection,
    lite_network,
    script_network,
    timm_network,
    torchvision_network,
)
from cmbench.datasets.features.weights import (
    State,
    device_called,
    hash_of_file,
    hash_of_weights,
    read_weights,
)
from cmbench.datasets.raw.downloads import Download
from cmbench.disk import cache_folder
from cmbench.errors import DatasetError

Network: TypeAlias = Callable[[Tensor], Tensor]
FILES = (".pt", ".ts", ".onnx")
IMAGENET = "imagenet"
"""Given in place of weights: those that ImageNet gave, from the net."""


@dataclass(frozen=True, eq=False)
class Backbone:
    """A network without its last layer: it gives features (n, width) of pictures.

    Parameters
    ----------
    name : str, for cards and errors; random weights stand in it
    network : maps float32 (n, 3, crop, crop) on ``device`` to (n, width)
    preprocessing : what makes its input of pictures
    width : int, number of features
    weights_hash : SHA-256 of the weights that make the features, or of the file
    device : where the network is
    last_layer : name that the layer taken away had in the state dict; None where the network cannot learn
    layer : what the layer that gives the features is called, if it has a name
    library : whose network it is, with the version, if it is not our own
    """

    name: str
    network: Network
    preprocessing: Preprocessing
    width: int
    weights_hash: str
    device: torch.device
    last_layer: str | None = None
    layer: str = ""
    library: str = ""

    def features(self, images: NDArray[np.float32], *, mixed: bool = False) -> NDArray[np.float32]:
        """Return the features, float32 (n, width), of prepared pictures (n, 3, crop, crop).

        ``mixed`` multiplies in bfloat16 and adds in float32.
        """
        inputs = torch.from_numpy(images).to(self.device)
        with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, enabled=mixed):
            return self.network(inputs).float().cpu().numpy()


@dataclass(frozen=True)
class _OwnNetwork:
    random: Callable[[int], nn.Module]
    learnt: Callable[[State, Path | str], nn.Module]
    last_layer: str
    layer: str
    preprocessing: Preprocessing
    source: str
    imagenet: Download | None = None


OWN = {
    "vgg19": _OwnNetwork(
        random_vgg19,
        vgg19_of,
        VGG19.LAST_LAYER,
        "fc7 after ReLU",
        Preprocessing(),
        f"give 'imagenet', and torchvision's are fetched from {IMAGENET_WEIGHTS.url} (575 MB)",
        IMAGENET_WEIGHTS,
    ),
    "small-cnn": _OwnNetwork(
        random_small_cnn,
        small_cnn_of,
        SmallCNN.LAST_LAYER,
        "",
        SmallCNN.PREPROCESSING,
        "train them with fine_tune and save them with write_weights",
    ),
}
"""Our own networks by name."""


def is_file(spec: str) -> bool:
    """Return whether the name of a backbone is that of a file."""
    return Path(spec).suffix in FILES


def load_backbone(
    spec: str,
    weights: str | Path | None = None,
    device: str = "auto",
    *,
    seed: int = 0,
    preprocessing: Mapping[str, Any] | None = None,
) -> Backbone:
    """Return the backbone that ``spec`` names.

    Parameters
    ----------
    spec : ``"vgg19"`` (fc7 after ReLU, 4096 features), ``"small-cnn"``, ``"efficientnet-lite0"``,
        ``"efficientnet-lite2"``, ``"torchvision:NAME"``, ``"timm:NAME"`` (of these, what goes into the last
        full connection), or the path of a TorchScript
        (.pt, .ts) or ONNX (.onnx) file that gives (n, width)
    weights : path of a state dict (PyTorch's or .safetensors), or ``"random"`` for trials. None takes
        those that torchvision or timm recommend and download. For vgg19, ``"imagenet"`` fetches
        torchvision's (575 MB) into the folder in the environment's CMBENCH_CACHE, or the user's cache
    device : ``"auto"`` (a GPU if there is one), ``"cpu"``, ``"cuda"`` or any other name of PyTorch
    seed : of random weights
    preprocessing : the fields of ``Preprocessing`` that shall differ from what the network was trained
        with, or from the defaults for a file; pictures are resized to squares in any case

    Raises ``DatasetError`` where something is unknown, not installed, or does not fit.
    """
    processor = device_called(device)
    given = None if weights is None else str(weights)
    if is_file(spec):
        return _file_backbone(Path(spec), given, processor, replace(Preprocessing(), **preprocessing or {}))
    classifier = _classifier(spec, given, seed)
    classifier.network.to(processor)
    name = f"{spec} (random weights, seed {seed})" if given == RANDOM else spec
    wanted = replace(classifier.preprocessing, **preprocessing or {})
    made = _tried(backbone_of(classifier.network, name, wanted, classifier.last_layer))
    return replace(made, layer=classifier.layer, library=classifier.library)


def _classifier(spec: str, weights: str | None, seed: int) -> Classifier:
    library, _, name = spec.partition(":")
    if spec in OWN:
        kind = OWN[spec]
        network = _own_network(spec, weights, seed)
        return Classifier(network, kind.last_layer, kind.preprocessing, kind.layer)
    if library == "torchvision" and name:
        return torchvision_network(name, weights, seed)
    if library == "timm" and name:
        return timm_network(name, weights, seed)
    if spec in LITE:
        return lite_network(spec, weights, seed)
    raise DatasetError(
        f"there is no backbone {spec!r}; use {', '.join((*OWN, *LITE))}, torchvision:NAME, timm:NAME, or a "
        f"file ({', '.join(FILES)})"
    )


def backbone_of(
    network: nn.Module, name: str, preprocessing: Preprocessing, last_layer: str | None = None
) -> Backbone:
    """Return a classifier as a backbone; it is changed: its last layer, a full connection, is taken out.

    ``last_layer`` is its name, and by default that of the last ``nn.Linear``.
    """
    last_layer = last_layer or last_full_connection(network)
    last = network.get_submodule(last_layer)
    if not isinstance(last, nn.Linear):
        raise DatasetError(
            f"{name}: {last_layer} is no full connection but {type(last).__name__}; name another"
        )
    parent, _, leaf = last_layer.rpartition(".")
    setattr(network.get_submodule(parent), leaf, nn.Identity())
    network.eval()
    hash_ = hash_of_weights(network)
    return Backbone(name, network, preprocessing, last.in_features, hash_, last.weight.device, last_layer)


def _own_network(spec: str, weights: str | None, seed: int) -> nn.Module:
    kind = OWN[spec]
    if weights is None:
        raise DatasetError(
            f"{spec} needs weights: {kind.source}; or give the path of a file as weights, or 'random' for a "
            "trial"
        )
    if weights == RANDOM:
        return kind.random(seed)
    file = kind.imagenet.into(cache_folder()) if weights == IMAGENET and kind.imagenet else weights
    return kind.learnt(read_weights(file), file)


def _tried(backbone: Backbone) -> Backbone:
    width = _trial_width(backbone.name, backbone.network, backbone.preprocessing, backbone.device)
    if width != backbone.width:
        raise DatasetError(
            f"{backbone.name}: {backbone.last_layer} is not what gives its scores ({width} features, not "
            f"{backbone.width}); save the part that gives the features as TorchScript or ONNX"
        )
    return backbone


def _file_backbone(
    path: Path, weights: str | None, device: torch.device, preprocessing: Preprocessing
) -> Backbone:
    if not path.is_file():
        raise DatasetError(f"{path}: there is no such file of a network; check the path")
    if weights is not None:
        raise DatasetError(f"{path} has its weights in it; leave out weights, now {weights!r}")
    network: Network
    if path.suffix == ".onnx":
        network = onnx = OnnxNetwork(path, device)
        library, device = onnx.library, torch.device("cpu")  # which gives and takes, wherever it computes
    else:
        network, library = script_network(path, device), ""
    width = _trial_width(str(path), network, preprocessing, device)
    return Backbone(path.name, network, preprocessing, width, hash_of_file(path), device, library=library)


def _trial_width(name: str, network: Network, preprocessing: Preprocessing, device: torch.device) -> int:
    """Return the number of features, after a try with two black pictures."""
    size = preprocessing.crop
    try:
        with torch.inference_mode():
            features = network(torch.zeros(2, 3, size, size, device=device))
    except (RuntimeError, AssertionError) as error:  # timm asserts the size
        reason = str(error).strip().splitlines()[-1]
        raise DatasetError(
            f"{name}: cannot take pictures of {size} by {size} ({reason}); give its own "
            "size (--resize, --crop)"
        ) from error
    shape = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
    if not isinstance(features, Tensor) or features.ndim != 2 or len(features) != 2:
        raise DatasetError(
            f"{name}: gives {shape} for two pictures; it must give (2, width), so average over places "
            "before you save it"
        )
    return features.shape[1]
