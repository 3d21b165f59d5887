"""How networks learn the categories of pictures."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cmbench.errors import DatasetError


@dataclass(frozen=True)
class FineTuning:
    """How a network is trained: stochastic gradient descent with momentum on the cross entropy.

    The rate falls from the first epoch to the last as half a wave of the cosine does. The defaults are for
    networks that have learnt on ImageNet, ``FROM_SCRATCH`` is for those that have not learnt at all.

    Parameters
    ----------
    epochs : int, at most
    patience : int, epochs without a better state after which training ends
    batch_size : int, pictures; those left over in an epoch wait
    learning_rate : float, of the layers that have learnt before
    new_layer_factor : float, by which the rate of the new last layer is greater
    momentum : float, from 0 on and less than 1
    weight_decay : float, from 0 on
    augmented : whether training pictures are cropped at random places and mirrored half of the times
    precision : as in ``extract_image_features``
    seed : int, of all that chance decides
    """

    epochs: int = 30
    patience: int = 5
    batch_size: int = 32
    learning_rate: float = 1e-3
    new_layer_factor: float = 10.0
    momentum: float = 0.9
    weight_decay: float = 5e-4
    augmented: bool = True
    precision: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "patience", "batch_size"):
            if getattr(self, name) < 1:
                raise DatasetError(f"{name} is {getattr(self, name)}; use 1 or more")
        for name in ("learning_rate", "new_layer_factor"):
            if not 0 < getattr(self, name) < math.inf:
                raise DatasetError(f"{name} is {getattr(self, name)}; use a number greater than 0")
        if not 0 <= self.momentum < 1:
            raise DatasetError(f"momentum is {self.momentum}; use 0 or more, and less than 1")
        if not 0 <= self.weight_decay < math.inf:
            raise DatasetError(f"weight_decay is {self.weight_decay}; use 0 or more")

    def rate(self, epoch: int) -> float:
        """Return the learning rate of an epoch, counted from 0."""
        return self.learning_rate * (1 + math.cos(math.pi * epoch / self.epochs)) / 2


FROM_IMAGENET = FineTuning()
"""For networks that have learnt on ImageNet."""

FROM_SCRATCH = FineTuning(epochs=20, patience=20, learning_rate=0.05, new_layer_factor=1.0)
"""For ``SmallCNN``: larger steps, the same for all layers, and all epochs."""
