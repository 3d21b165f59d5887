"""A small convolutional network for small pictures, to be trained from scratch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from cmbench.datasets.features.image_weights import State, give_weights
from cmbench.datasets.features.picture_batches import Preprocessing
from cmbench.errors import DatasetError

CHANNELS = (16, 32, 64, 128)
LAST_LAYER = "last"
SMALL_PICTURES = Preprocessing(resize=56, crop=48, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
"""For pictures such as those of the built-in dataset, which are 96 by 96."""


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

    def __init__(self, n_classes: int, width: int = 256, channels: Sequence[int] = CHANNELS) -> None:
        super().__init__()
        self.features = nn.Sequential(*_convolutions(channels))
        self.hidden = nn.Linear(channels[-1], width)
        self.dropout = nn.Dropout()
        self.last = nn.Linear(width, n_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return scores (n, n_classes) of pictures (n, 3, height, width), at least 16 by 16."""
        rows = images.contiguous(memory_format=torch.channels_last)  # a third faster on a CPU
        averages = self.features(rows).mean(dim=(2, 3))
        scores: Tensor = self.last(self.dropout(torch.relu(self.hidden(averages))))
        return scores


def _convolutions(channels: Sequence[int]) -> Iterator[nn.Module]:
    for before, after in zip((3, *channels[:-1]), channels, strict=True):
        yield nn.Conv2d(before, after, kernel_size=3, padding=1, bias=False)
        yield nn.BatchNorm2d(after)
        yield nn.ReLU(inplace=True)
        yield nn.MaxPool2d(2)


def small_cnn_of(weights: State, source: Path | str) -> SmallCNN:
    """Return the network that has ``weights`` themselves; errors name ``source``."""
    last = weights.get(f"{LAST_LAYER}.weight")
    if last is None or last.ndim != 2:
        raise DatasetError(
            f"{source}: {LAST_LAYER}.weight is missing, so these are not weights of SmallCNN; train one with "
            "fine_tune and save its weights"
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
