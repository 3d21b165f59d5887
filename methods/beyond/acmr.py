"""ACMR: adversarial cross-modal retrieval, as published and as released."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, normalize, relu

from cmbench.datasets.draft import Modality, Split
from cmbench.methods.parameters import AddedLater, Count, Number, SearchSpace, Words
from cmbench.methods.training.loop import Run
from cmbench.methods.training.trained_method import TrainedMethod
from cmbench.methods.views.scaling import PREPROCESSING


class Reversal(torch.autograd.Function):
    """The identity, whose gradient is turned round and multiplied by a strength."""

    @staticmethod
    def forward(context: Any, values: Tensor, strength: float) -> Tensor:
        context.strength = strength
        return values.view_as(values)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return -context.strength * gradient, None


class Encoder(nn.Module):
    """Layers of tanh, the last one too, which remember the features of their last batch.

    ``dropout`` is the share of hidden units, which a code is not, that are left out in training.
    """

    def __init__(self, widths: tuple[int, ...], dropout: float = 0.0) -> None:
        super().__init__()
        layers = [
            layer for a, b in pairwise(widths) for layer in (nn.Linear(a, b), nn.Tanh(), nn.Dropout(dropout))
        ]
        self.layers = nn.Sequential(*layers[:-1])
        self.features: Tensor | None = None

    def forward(self, features: Tensor) -> Tensor:
        if self.training:
            self.features = features
        encoded: Tensor = self.layers(features)
        return encoded


class ACMR(TrainedMethod):
    """Adversarial cross-modal retrieval: encoders that a discriminator of modalities cannot tell apart.

    With codes v_i and t_i of the n pairs of a batch, a classifier p of categories that both modalities share,
    and D, the probability that a code is an image's ::

        L_imd = -mean_i [log p_{y_i}(v_i) + log p_{y_i}(t_i)],
        L_imi = mean_i {‖v_i - t_i‖² + negative_weight [margin - ‖v_i - t_i⁻‖²]_+}  and alike for texts,
        L_adv = -mean_i [log D(v_i) + log(1 - D(t_i))];

    encoders and p minimise pair_weight L_imi + class_weight L_imd - adversarial_weight L_adv, while D
    minimises L_adv: one descent, through a layer that reverses gradients. t_i⁻ is the text, in the batch,
    of the image of another category whose features have the largest cosine with those of image i.

    B. Wang, Y. Yang, X. Xu, A. Hanjalic, H. Shen, "Adversarial cross-modal retrieval", ACM MM 2017.

    Notes
    -----
    The paper was not at hand in full: weights, the margin, how features are divided, and that the gradient
    of D is reversed at a constant strength are our choices. ``acmr-released`` is what its program for
    Wikipedia does, which does not train adversarially.

    Examples
    --------
    >>> import numpy as np
    >>> from cmbench.datasets.draft import Split
    >>> rng = np.random.default_rng(0)
    >>> views = [rng.normal(size=(40, d)).astype(np.float32) for d in (6, 4)]
    >>> pairs = Split(*views, labels=np.arange(40) % 2, ids=np.arange(40).astype(str))
    >>> method = ACMR(image_width=8, text_width=8, n_components=5, epochs=2).fit(pairs, pairs)
    >>> method.transform_texts(views[1]).shape
    (40, 5)
    """

    name: ClassVar[str] = "acmr"
    paper_name: ClassVar[str] = "ACMR"
    citation: ClassVar[str] = (
        "B. Wang, Y. Yang, X. Xu, A. Hanjalic, H. Shen, Adversarial cross-modal retrieval, ACM MM 2017"
    )
    uses_labels: ClassVar[bool] = True
    momenta: ClassVar[tuple[float, float]] = (0.5, 0.999)
    version: ClassVar[int] = 1

    image_width: Annotated[int, Count(1)] = 2000
    """Units of the hidden layer of images."""
    text_width: Annotated[int, Count(1)] = 500
    """Units of the hidden layer of texts."""
    n_components: Annotated[int, Count(1)] = 200
    """Size of a code."""
    discriminator_width: Annotated[int, Count(1)] = 50
    """Units of the hidden layer of D."""
    margin: Annotated[float, Number(0)] = 1.0
    """The squared distance up to which negatives are pushed away."""
    class_weight: Annotated[float, Number(0)] = 1.0
    """Weight of L_imd."""
    pair_weight: Annotated[float, Number(0), SearchSpace(1.0, 0.1, 0.01)] = 0.1
    """Weight of L_imi."""
    negative_weight: Annotated[float, Number(0)] = 1.0
    """Weight of negatives beside partners in L_imi."""
    adversarial_weight: Annotated[float, Number(0), SearchSpace(0.0, 0.1, 1.0)] = 0.1
    """Strength of the reversed gradient of L_adv; 0 switches the adversary off."""
    dropout: Annotated[float, Number(0, 0.99), SearchSpace(0.0, 0.5), AddedLater(0.0)] = 0.0
    """Share of hidden units of the encoders left out in training; none in the released program."""
    learning_rate: Annotated[float | str, Number(0, open_ends=True), SearchSpace(1e-4, 3e-4, 1e-3)] = 1e-4
    """Learning rate of Adam, whose momenta are 0.5 and 0.999."""
    weight_decay: Annotated[float | str, Number(0), SearchSpace(0.0, 1e-4, 1e-3)] = 0.0
    """Decay of weights, but not of biases."""
    preprocessing: Annotated[str, Words(*PREPROCESSING), SearchSpace("none", "zscore", "global")] = "global"
    """As for all deep methods; ``"none"``, as the released program has it, saturates tanh where features are
    large.
    """
    batch_size = 64
    epochs = 200
    patience = 30

    def networks(self, widths: Mapping[Modality, int], n_classes: int) -> Mapping[str, nn.Module]:
        hidden = self._hidden_widths()
        self.encoders_: dict[str, Encoder] = {
            name: Encoder((width, *hidden[name], self.n_components), self.dropout)
            for name, width in widths.items()
        }
        self.classifier_ = nn.Linear(self.n_components, n_classes)
        self.discriminator_ = nn.Sequential(
            nn.Linear(self.n_components, self.discriminator_width),
            nn.ReLU(),
            nn.Linear(self.discriminator_width, 1),
        )
        return {
            **self.encoders_,
            "classifier": self.classifier_,
            "discriminator": self.discriminator_,
        }

    def _learn(self, train: Split, validation: Split, run: Run) -> None:
        super()._learn(train, validation, run)
        for encoder in self.encoders_.values():
            encoder.features = None

    def _hidden_widths(self) -> Mapping[Modality, tuple[int, ...]]:
        return {"image": (self.image_width,), "text": (self.text_width,)}

    def loss(self, images: Tensor, texts: Tensor, labels: Tensor) -> Mapping[str, Tensor]:
        codes = torch.cat([images, texts])
        reversed_codes = Reversal.apply(codes, self.adversarial_weight)  # type: ignore[no-untyped-call]
        logits = self.discriminator_(reversed_codes)[:, 0]
        is_image = torch.cat([torch.ones_like(labels), torch.zeros_like(labels)]).float()
        return {
            "category": self.class_weight * self._category_loss(images, texts, labels),
            "pairs": self.pair_weight * self._pair_loss(images, texts, labels),
            "modality": 2 * binary_cross_entropy_with_logits(logits, is_image),  # the sum of two means
        }

    def _category_loss(self, images: Tensor, texts: Tensor, labels: Tensor) -> Tensor:
        return cross_entropy(self.classifier_(images), labels) + cross_entropy(
            self.classifier_(texts), labels
        )

    def _pair_loss(self, images: Tensor, texts: Tensor, labels: Tensor) -> Tensor:
        partners = (images - texts).square().sum(dim=1)
        total = images.new_zeros(())
        for name, anchors, others in (("image", images, texts), ("text", texts, images)):
            negatives, there = hardest_negatives(self._features(name), labels)
            far = (anchors - others[negatives]).square().sum(dim=1)
            total = total + (partners + self.negative_weight * relu(self.margin - far) * there).mean()
        return total

    def _features(self, name: str) -> Tensor:
        features = self.encoders_[name].features
        assert features is not None, "an encoder has seen the batch whose loss is asked for"
        return features


def hardest_negatives(features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return for each row (n, d) the row of another category with the largest cosine, if there is one.

    The second tensor (n,) says whether there is.

    >>> rows = torch.tensor([[1.0, 0.0], [-1.0, 0.1], [-1.0, -1.0]])
    >>> hardest_negatives(rows, torch.tensor([0, 1, 1]))
    (tensor([2, 0, 0]), tensor([True, True, True]))
    """
    unit = normalize(features.float())
    cosines = (unit @ unit.T).masked_fill(labels[:, None] == labels, -torch.inf)
    best = cosines.max(dim=1)
    return best.indices, best.values > -torch.inf


class ACMRReleased(ACMR):
    """ACMR as its program for Wikipedia trains it: encoders towards fixed random codes of the categories.

    The optimiser of its embedding loss is given the variables of the encoders alone, and that of the
    adversarial loss those of the discriminator: no reversed gradient reaches the encoders, and the classifier
    keeps its random weights. With margin 0.1 and the sums over the whole batch inside one hinge ::

        minimise  100 L_imd + [m + 5/2 Σ‖v_i - t_i‖² - 1/2 Σ‖v_i - t_i⁻‖²]_+  and alike for texts.

    Encoders have three layers. Weights are Xavier's, uniform, and biases 0 at the start.

    Notes
    -----
    Negatives of the same category are never taken; in the program, whose mask multiplies cosines by 0, they
    are when all other cosines are negative. Batches are shuffled, and of the 50 epochs the state of the
    highest MAP on validation is kept, where the program, which has no validation pairs, keeps the last. Its
    evaluation (Euclidean distance, MAP@50, test pairs cut to whole batches) is not repeated here.
    """

    name: ClassVar[str] = "acmr-released"
    paper_name: ClassVar[str] = "ACMR (released)"
    version: ClassVar[int] = 2

    image_width: Annotated[int, Count(1)] = 512
    """Units of the first hidden layer of images."""
    text_width: Annotated[int, Count(1)] = 40
    """Units of the first hidden layer of texts."""
    second_width: Annotated[int, Count(1)] = 100
    """Units of the second hidden layer of both."""
    n_components = 40
    margin: Annotated[float, Number(0)] = 0.1
    """m, added to the sums of a batch."""
    class_weight = 100.0
    pair_weight = 1.0
    epochs = 50
    patience = 50
    preprocessing = "none"
    fixed: ClassVar[Mapping[str, Any]] = {
        "negative_weight": 1.0,
        "dropout": 0.0,
        "adversarial_weight": 0.0,
        "discriminator_width": 50,
    }

    def networks(self, widths: Mapping[Modality, int], n_classes: int) -> Mapping[str, nn.Module]:
        networks = dict(super().networks(widths, n_classes))
        self.classifier_.requires_grad_(False)
        for layer in (self.classifier_, *self.encoders_["image"].layers, *self.encoders_["text"].layers):
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)
        del networks["discriminator"]
        return networks

    def _hidden_widths(self) -> Mapping[Modality, tuple[int, ...]]:
        return {
            "image": (self.image_width, self.second_width),
            "text": (self.text_width, self.second_width),
        }

    def loss(self, images: Tensor, texts: Tensor, labels: Tensor) -> Mapping[str, Tensor]:
        return {
            "category": self.class_weight * self._category_loss(images, texts, labels),
            "pairs": self.pair_weight * self._pair_loss(images, texts, labels),
        }

    def _pair_loss(self, images: Tensor, texts: Tensor, labels: Tensor) -> Tensor:
        partners = (images - texts).square().sum()
        total = images.new_zeros(())
        for name, anchors, others in (("image", images, texts), ("text", texts, images)):
            negatives, there = hardest_negatives(self._features(name), labels)
            far = ((anchors - others[negatives]).square().sum(dim=1) * there).sum()
            total = total + relu(self.margin + 2.5 * partners - 0.5 * far)
        return total
