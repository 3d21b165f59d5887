"""Networks of our own: VGG19, whose layer fc7 the paper of CM-GANs uses, and a small CNN for small pictures.

Each can be made with weights of a file (``vgg19_of``, ``small_cnn_of``) or with random ones for a trial.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from cmbench.datasets.features.pictures import Preprocessing
from cmbench.datasets.features.weights import State, give_weights, without, without_prefix
from cmbench.datasets.raw.downloads import Download
from cmbench.errors import DatasetError

CONFIGURATION_E = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))
"""Channels and number of the convolutions before each pooling."""

IMAGENET_WEIGHTS = Download(
    "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
    "dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44",
)
"""The weights that torchvision has learnt on ImageNet (IMAGENET1K_V1, 574,673,361 bytes)."""


class VGG19(nn.Module):
    """Sixteen convolutions of 3 by 3 and three full connections: configuration E of the paper.

    The state dict has the keys of torchvision's ``vgg19``, so that public weights fit. As there, the last
    feature map is brought to 7 by 7 by averaging, which changes nothing for pictures of 224 by 224.

    Parameters
    ----------
    n_classes : int, outputs of the last layer; with 1000 there are 143,667,240 parameters

    References
    ----------
    K. Simonyan and A. Zisserman, "Very deep convolutional networks for large-scale image recognition",
    ICLR 2015, table 1.
    """

    WIDTH = 4096
    """Outputs of fc6 and of fc7."""
    POOLED = 7
    """Height and width of the last feature map."""
    LAST_LAYER = "classifier.6"
    """The layer that gives the scores."""

    def __init__(self, n_classes: int = 1000) -> None:
        super().__init__()
        self.features = nn.Sequential(*_vgg19_convolutions())
        self.avgpool = nn.AdaptiveAvgPool2d(self.POOLED)
        self.classifier = nn.Sequential(
            nn.Linear(CONFIGURATION_E[-1][0] * self.POOLED**2, self.WIDTH),
            nn.ReLU(inplace=True),
            nn.Dropout(),
            nn.Linear(self.WIDTH, self.WIDTH),
            nn.ReLU(inplace=True),
            nn.Dropout(),
            nn.Linear(self.WIDTH, n_classes),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return scores (n, n_classes) of pictures (n, 3, height, width), at least 32 by 32."""
        return self._classified(images, len(self.classifier))

    def fc7(self, images: Tensor) -> Tensor:
        """Return the output of fc7 after ReLU, (n, 4096)."""
        return self._classified(images, 5)

    def _classified(self, images: Tensor, layers: int) -> Tensor:
        hidden = torch.flatten(self.avgpool(self.features(images)), 1)
        scores: Tensor = self.classifier[:layers](hidden)
        return scores


def _vgg19_convolutions() -> Iterator[nn.Module]:
    before = 3
    for channels, convolutions in CONFIGURATION_E:
        for _ in range(convolutions):
            yield nn.Conv2d(before, channels, kernel_size=3, padding=1)
            yield nn.ReLU(inplace=True)
            before = channels
        yield nn.MaxPool2d(2)


def vgg19_of(weights: State, source: Path | str) -> VGG19:
    """Return the network that has ``weights`` themselves, no copy; errors name ``source``."""
    with torch.device("meta"):
        plain, prefix = without_prefix(weights, VGG19().state_dict(), source)
    bias = plain.get(f"{VGG19.LAST_LAYER}.bias")
    if bias is None:
        raise DatasetError(
            f"{source}: {VGG19.LAST_LAYER}.bias is missing{without(prefix)}, so these are not weights "
            f"of VGG19; get {IMAGENET_WEIGHTS.url}"
        )
    with torch.device("meta"):
        network = VGG19(len(bias) if bias.ndim else 1000)
    give_weights(network, weights, source)
    return network


def random_vgg19(seed: int, n_classes: int = 1000) -> VGG19:
    """Return the network with random weights that keep the size of activations (He et al., ICCV 2015)."""
    with torch.device("meta"):
        network = VGG19(n_classes)
    network.to_empty(device="cpu")
    random = torch.Generator().manual_seed(seed)
    for name, values in network.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(values)
        else:
            nn.init.kaiming_normal_(values, nonlinearity="relu", generator=random)
    return network


class SmallCNN(nn.Module):
    """Four convolutions of 3 by 3 with batch normalisation, and two full connections.

    Each convolution is followed by batch normalisation, ReLU and a maximum over 2 by 2; the last
    feature map is averaged over the picture.

    Parameters
    ----------
    n_classes : int, outputs of the last layer
    width : int, units before it
    channels : of the convolutions
    """

    LAST_LAYER = "last"
    """The layer that gives the scores."""
    PREPROCESSING = Preprocessing(resize=56, crop=48, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    """For pictures such as those of the built-in dataset, which are 96 by 96."""

    def __init__(self, n_classes: int, width: int = 256, channels: Sequence[int] = (16, 32, 64, 128)) -> None:
        super().__init__()
        self.features = nn.Sequential(*_small_cnn_convolutions(channels))
        self.hidden = nn.Linear(channels[-1], width)
        self.dropout = nn.Dropout()
        self.last = nn.Linear(width, n_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return scores (n, n_classes) of pictures (n, 3, height, width), at least 16 by 16."""
        rows = images.contiguous(memory_format=torch.channels_last)  # a third faster on a CPU
        averages = self.features(rows).mean(dim=(2, 3))
        scores: Tensor = self.last(self.dropout(torch.relu(self.hidden(averages))))
        return scores


def _small_cnn_convolutions(channels: Sequence[int]) -> Iterator[nn.Module]:
    for before, after in zip((3, *channels[:-1]), channels, strict=True):
        yield nn.Conv2d(before, after, kernel_size=3, padding=1, bias=False)
        yield nn.BatchNorm2d(after)
        yield nn.ReLU(inplace=True)
        yield nn.MaxPool2d(2)


def small_cnn_of(weights: State, source: Path | str) -> SmallCNN:
    """Return the network that has ``weights`` themselves; errors name ``source``."""
    with torch.device("meta"):
        plain, prefix = without_prefix(weights, SmallCNN(1).state_dict(), source)
    last = plain.get(f"{SmallCNN.LAST_LAYER}.weight")
    if last is None or last.ndim != 2:
        raise DatasetError(
            f"{source}: {SmallCNN.LAST_LAYER}.weight is missing{without(prefix)}, so these are not weights "
            "of SmallCNN; train one with fine_tune and save its weights"
        )
    with torch.device("meta"):
        network = SmallCNN(*last.shape)
    give_weights(network, weights, source)
    return network


def random_small_cnn(seed: int, n_classes: int = 20) -> SmallCNN:
    """Return the network with the random weights that PyTorch begins with."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return SmallCNN(n_classes)
