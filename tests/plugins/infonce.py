"""InfoNCE: an image is to be nearest to its own text among those of the batch, and the reverse."""

import torch
from torch import nn
from torch.nn.functional import cross_entropy, normalize

from cmbench.methods import Annotated, Number, TrainedMethod


class InfoNCE(TrainedMethod):
    uses_labels = False
    temperature: Annotated[float, Number(0, open_ends=True)] = 0.07
    """What cosines are divided by."""

    def networks(self, widths, n_classes):
        return {name: self.perceptron(width) for name, width in widths.items()}

    def perceptron(self, width):
        return nn.Sequential(nn.Linear(width, 256), nn.ReLU(), nn.Dropout(0.1), nn.Linear(256, 64))

    def loss(self, images, texts, labels):
        cosines = normalize(images) @ normalize(texts).T / self.temperature
        own = torch.arange(len(cosines), device=cosines.device)
        return {"images": cross_entropy(cosines, own), "texts": cross_entropy(cosines.T, own)}
