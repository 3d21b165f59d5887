"""Networks that turn pictures into features, behind one interface."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cmbench.datasets.features import image_small_cnn as small
from cmbench.datasets.features import vgg19
from cmbench.datasets.features.device import device_called
from cmbench.datasets.features.image_public_networks import (
    RANDOM,
    Classifier,
    OnnxNetwork,
    last_full_connection,
    script_network,
    timm_network,
    torchvision_network,
)
from cmbench.datasets.features.image_weights import State, hash_of_file, hash_of_weights, read_weights
from cmbench.datasets.features.picture_batches import Preprocessing
from cmbench.errors import DatasetError

Network: TypeAlias = Callable[[Tensor], Tensor]
FILES = (".pt", ".ts", ".onnx")


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
    """

    name: str
    network: Network
    preprocessing: Preprocessing
    width: int
    weights_hash: str
    device: torch.device
    last_layer: str | None = None

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
    preprocessing: Preprocessing
    source: str


OWN = {
    "vgg19": _OwnNetwork(
        vgg19.random_vgg19,
        vgg19.vgg19_of,
        vgg19.LAST_LAYER,
        Preprocessing(),
        f"torchvision's are at {vgg19.SOURCE} (574 MB, learnt on ImageNet)",
    ),
    "small-cnn": _OwnNetwork(
        small.random_small_cnn,
        small.small_cnn_of,
        small.LAST_LAYER,
        small.SMALL_PICTURES,
        "train them with fine_tune and save them with write_weights",
    ),
}
"""Our own networks by name."""


def load_backbone(
    spec: str,
    weights: str | Path | None = None,
    device: str = "auto",
    *,
    seed: int = 0,
    preprocessing: Preprocessing | None = None,
) -> Backbone:
    """Return the backbone that ``spec`` names.

    Parameters
    ----------
    spec : ``"vgg19"`` (fc7 after ReLU, 4096 features), ``"small-cnn"``, ``"torchvision:NAME"``,
        ``"timm:NAME"`` (of both, what goes into the last full connection), or the path of a TorchScript
        (.pt, .ts) or ONNX (.onnx) file that gives (n, width)
    weights : path of a state dict (PyTorch's or .safetensors), or ``"random"`` for trials. None takes
        those that torchvision or timm recommend and download; our own networks need a file
    device : ``"auto"`` (a GPU if there is one), ``"cpu"``, ``"cuda"`` or any other name of PyTorch
    seed : of random weights
    preprocessing : None for what the network was trained with, as far as ``Preprocessing`` can say it,
        and the defaults for a file; pictures are resized to squares in any case

    Raises ``DatasetError`` where something is unknown, not installed, or does not fit.
    """
    place = device_called(device)
    given = None if weights is None else str(weights)
    if Path(spec).suffix in FILES:
        return _file_backbone(Path(spec), given, place, preprocessing or Preprocessing())
    classifier = _classifier(spec, given, seed)
    classifier.network.to(place)
    name = f"{spec} (random weights, seed {seed})" if given == RANDOM else spec
    wanted = preprocessing or classifier.preprocessing
    return _tried(backbone_of(classifier.network, name, wanted, classifier.last_layer))


def _classifier(spec: str, weights: str | None, seed: int) -> Classifier:
    library, _, name = spec.partition(":")
    if spec in OWN:
        own = OWN[spec]
        return Classifier(_own_network(spec, weights, seed), own.last_layer, own.preprocessing)
    if library == "torchvision" and name:
        return torchvision_network(name, weights, seed)
    if library == "timm" and name:
        return timm_network(name, weights, seed)
    raise DatasetError(
        f"there is no backbone {spec!r}; use {', '.join(OWN)}, torchvision:NAME, timm:NAME, or a file "
        f"({', '.join(FILES)})"
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
    own = OWN[spec]
    if weights is None:
        raise DatasetError(
            f"{spec} needs weights: {own.source}; give the path of the file as weights, or 'random' for "
            "a trial"
        )
    return own.random(seed) if weights == RANDOM else own.learnt(read_weights(weights), weights)


def _tried(found: Backbone) -> Backbone:
    width = _trial_width(found.name, found.network, found.preprocessing, found.device)
    if width != found.width:
        raise DatasetError(
            f"{found.name}: {found.last_layer} is not what gives its scores ({width} features, not "
            f"{found.width}); save the part that gives the features as TorchScript or ONNX"
        )
    return found


def _file_backbone(
    path: Path, weights: str | None, place: torch.device, preprocessing: Preprocessing
) -> Backbone:
    if not path.is_file():
        raise DatasetError(f"{path}: there is no such file of a network; check the path")
    if weights is not None:
        raise DatasetError(f"{path} has its weights in it; leave out weights, now {weights!r}")
    network: Network = OnnxNetwork(path, place) if path.suffix == ".onnx" else script_network(path, place)
    width = _trial_width(str(path), network, preprocessing, place)
    return Backbone(path.name, network, preprocessing, width, hash_of_file(path), place)


def _trial_width(name: str, network: Network, preprocessing: Preprocessing, place: torch.device) -> int:
    """Return the number of features, after a try with two black pictures."""
    size = preprocessing.crop
    try:
        with torch.inference_mode():
            features = network(torch.zeros(2, 3, size, size, device=place))
    except (RuntimeError, AssertionError) as error:  # timm asserts the size
        reason = str(error).strip().splitlines()[-1]
        raise DatasetError(
            f"{name}: cannot take pictures of {size} by {size} ({reason}); give its preprocessing"
        ) from error
    shape = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
    if not isinstance(features, Tensor) or features.ndim != 2 or len(features) != 2:
        raise DatasetError(
            f"{name}: gives {shape} for two pictures; it must give (2, width), so average over places "
            "before you save it"
        )
    return features.shape[1]
