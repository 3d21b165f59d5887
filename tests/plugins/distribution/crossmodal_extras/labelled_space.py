"""A method in the manner of DSCMR: a space in which categories lie apart in both modalities."""

from torch import nn
from torch.nn.functional import normalize, one_hot, softplus

from cmbench.methods import Annotated, Count, Number, SearchSpace, TrainedMethod


class LabelledSpace(TrainedMethod):
    """Shared last layer and classifier; losses of labels, of likeness within categories, and of pairs.

    L. Zhen, P. Hu, X. Wang, D. Peng, Deep supervised cross-modal retrieval, CVPR 2019.
    """

    name = "labelled-space"
    paper_name = "Labelled space"
    width: Annotated[int, Count(1)] = 64
    """Size of the common space."""
    alike: Annotated[float, Number(0), SearchSpace(0.01, 0.1, 1.0)] = 0.1
    """Weight of the likeness of items of one category."""
    paired: Annotated[float, Number(0)] = 0.1
    """Weight of the distance of partners."""
    epochs = 40
    batch_size = 32

    def networks(self, widths, n_classes):
        shared, self.classifier = nn.Linear(128, self.width), nn.Linear(self.width, n_classes)
        towers = {name: nn.Sequential(nn.Linear(d, 128), nn.ReLU(), shared) for name, d in widths.items()}
        return {**towers, "classifier": self.classifier}

    def loss(self, images, texts, labels):
        # mathematics
        codes = one_hot(labels, self.classifier.out_features).float()
        same = (labels[:, None] == labels).float()
        views = normalize(images), normalize(texts)
        likeness = 0.0
        for one, other in ((0, 0), (0, 1), (1, 1)):
            halves = views[one] @ views[other].T / 2
            likeness = likeness + (softplus(halves) - same * halves).mean()
        errors = [(self.classifier(rows) - codes).pow(2).sum(1) for rows in (images, texts)]
        apart = (images - texts).pow(2).sum(1)
        return {
            "labels": sum((error + 1e-12).sqrt().mean() for error in errors),
            "alike": self.alike * likeness,
            "paired": self.paired * (apart + 1e-12).sqrt().mean(),
        }
