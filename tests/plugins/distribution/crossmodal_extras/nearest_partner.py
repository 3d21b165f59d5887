"""A contrastive method: an image is nearest to its own text."""

import torch
from torch import nn
from torch.nn.functional import cross_entropy, normalize

from cmbench.methods import Annotated, Number, SearchSpace, TrainedMethod


class NearestPartner(TrainedMethod):
    """Symmetric cross-entropy of the cosines of a batch, divided by a temperature (CLIP, VSE)."""

    name = "nearest-partner"
    paper_name = "Nearest partner"
    uses_labels = False
    temperature: Annotated[float, Number(0, open_ends=True), SearchSpace(0.05, 0.1, 0.2)] = 0.1
    """What cosines are divided by."""
    epochs = 40
    batch_size = 32

    def networks(self, widths, n_classes):
        return {name: nn.Linear(width, 64) for name, width in widths.items()}

    def loss(self, images, texts, labels):
        # mathematics
        cosines = normalize(images) @ normalize(texts).T / self.temperature
        own = torch.arange(len(cosines), device=cosines.device)
        return {"images": cross_entropy(cosines, own), "texts": cross_entropy(cosines.T, own)}
