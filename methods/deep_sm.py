"""Deep-SM: deep semantic matching."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

import torch
from scipy.special import softmax
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from cmbench.datasets.draft import Modality, Split
from cmbench.methods.networks.perceptron import Shape, ViewNetwork
from cmbench.methods.parameters import Count, Number, SearchRange, SearchSpace, When, Words
from cmbench.methods.training.batches import Index, stream
from cmbench.methods.training.curves import in_parallel
from cmbench.methods.training.descent import decayed
from cmbench.methods.training.device import NetworkMap
from cmbench.methods.training.loop import Finding, Run, Training
from cmbench.methods.training.trained_method import Loss, TrainedMethod
from cmbench.methods.views.inputs import Matrix
from cmbench.methods.views.scaling import PREPROCESSING

USUAL = {
    "adam": {"learning_rate": 1e-3, "weight_decay": 0.0},
    "sgd": {"learning_rate": 0.01, "weight_decay": 5e-4},
}
"""What ``"auto"`` stands for, by optimiser."""


class DeepSM(TrainedMethod):
    """Deep semantic matching: a classifier for each modality, compared by what they say of an item.

    A network g_i of images and one g_t of texts learn the categories y, each by itself ::

        minimise over g_i   CE(softmax(g_i(x)), y) + (weight_decay / 2) |weights|²,   and alike g_t,

    the mean cross-entropy over training items. The representation of an item is the vector of its
    class probabilities, softmax(g(x)), of one number for each category. Nothing else joins the two
    networks, and which image belongs to which text does not matter.

    Y. Wei, Y. Zhao, C. Lu, S. Wei, L. Liu, Z. Zhu, S. Yan, "Cross-modal retrieval with CNN visual
    features: a new baseline", IEEE Transactions on Cybernetics 47, 2017.

    Attributes
    ----------
    classes_ : int64 (c,), the labels that the columns of representations stand for
    curves_ : float64 arrays by name, one value for each look: ``iteration``, and of each network
        ``image_loss``, ``image_accuracy`` and ``image_gradient`` since the last look, and
        ``image_validation_accuracy`` and ``image_validation_loss``; NaN once a network has stopped
    image_iterations_, text_iterations_ : rounds run of each network
    image_best_iteration_, text_best_iteration_ : the round whose state is kept
    iterations_ : rounds of both together
    image_validation_accuracy_, text_validation_accuracy_ : of the states kept
    validation_map_ : MAP on validation of the representations kept
        The three are None without validation.
    resumed_at_ : rounds, of both trainings together, that checkpoints spared; 0 for none
    spread_, mean_cosine_, collapsed_ : of both modalities' validation representations, the worse
    threads_, device_ : what was used

    Raises
    ------
    DivergenceError
        From ``fit``, when a loss becomes NaN or infinite; it names the network and the iteration.

    Notes
    -----
    The paper trains a CNN on images. Here images come as its features, as for every method, and what
    is left of it is its last layers. There is no preset ``paper``, for its settings are those of the CNN.

    Probabilities, not logits nor their logarithms: on the same networks, these rank far worse by cosine.
    The temperature of the softmax is 1, and no parameter, for it would change the ranking. Networks
    train in float32 and are evaluated in float64, in which fewer probabilities round to 1, and so
    fewer items tie. Each item has one category; data of several would need sigmoids.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> labels = np.arange(40) % 2
    >>> views = [rng.normal(size=(40, d)).astype(np.float32) + labels[:, None] for d in (6, 4)]
    >>> pairs = Split(*views, labels=labels, ids=np.arange(40).astype(str))
    >>> method = DeepSM(hidden_width=8, epochs=3).fit(pairs, pairs)
    >>> method.transform_images(views[0]).shape, float(method.transform_texts(views[1][:1]).sum().round(6))
    ((40, 2), 1.0)
    """

    name: ClassVar[str] = "deep-sm"
    paper_name: ClassVar[str] = "Deep-SM"
    citation: ClassVar[str] = (
        "Y. Wei, Y. Zhao, C. Lu, S. Wei, L. Liu, Z. Zhu, S. Yan, Cross-modal retrieval with CNN visual "
        "features: a new baseline, IEEE Transactions on Cybernetics 47, 2017"
    )
    uses_labels: ClassVar[bool] = True
    version: ClassVar[int] = 1

    fixed: ClassVar[Mapping[str, Any]] = {"precision": "float32"}
    together: ClassVar[tuple[tuple[Modality, ...], ...]] = (("image",), ("text",))
    evaluated_in: ClassVar[torch.dtype] = torch.float64

    hidden_image: Annotated[int, Count(0), SearchSpace(0, 1)] = 1
    """Hidden layers of the network of images. Their features are outputs of a CNN already, and 0 is its
    last layer anew, which is logistic regression; 1 leaves the network something to learn.
    """
    hidden_text: Annotated[int, Count(0), SearchSpace(0, 1, 2)] = 2
    """Hidden layers of the network of texts. What the paper has could not be read; 2 is our choice."""
    hidden_width: Annotated[int, Count(1)] = 1024
    """Units of each hidden layer, all of which have ReLU."""
    dropout: Annotated[float, Number(0, 0.99), SearchRange(0.0, 0.8)] = 0.5
    """Share of hidden units left out in training. One half, as is usual for few items."""
    optimizer: Annotated[str, Words("adam", "sgd")] = "adam"
    """The optimiser: Adam, or stochastic gradient descent with momentum."""
    learning_rate: Annotated[
        float | str, Number(0, open_ends=True, words=("auto",)), SearchRange(1e-4, 3e-3, log=True)
    ] = "auto"
    """Learning rate. ``"auto"`` is 0.001 for Adam and 0.01 for SGD, as is usual for CNNs."""
    weight_decay: Annotated[float | str, Number(0, words=("auto",)), SearchRange(1e-6, 1e-2, log=True)] = (
        "auto"
    )
    """Weight decay in the gradient, not of biases. ``"auto"`` is 0 for Adam and 0.0005 for SGD."""
    momentum: Annotated[float, Number(0, 0.999), When(optimizer="sgd")] = 0.9
    """Momentum of SGD; Adam ignores it."""
    stopping = "validation"
    """Which state of each network is kept: that of the highest accuracy on validation, and among equals
    of the lowest cross-entropy there; or with ``"none"`` the last one.
    """
    preprocessing: Annotated[
        str, Words(*PREPROCESSING), SearchSpace("none", "zscore", "global", "rownorm")
    ] = "global"
    # by MAP on validation, means over two seeds, better than "zscore" by .007 to .020 on four of six
    # datasets, and worse by .009 on Wikipedia's SIFT features

    def networks(self, widths: Mapping[Modality, int], n_classes: int) -> Mapping[str, nn.Module]:
        layers: dict[Modality, int] = {"image": self.hidden_image, "text": self.hidden_text}
        shapes = {
            name: Shape(number, self.hidden_width, n_classes, "relu", self.dropout)
            for name, number in layers.items()
        }
        return {
            name: ViewNetwork(width, shapes[name], stream(self.random_state, f"{name} network"))
            for name, width in widths.items()
        }

    def loss_of(self, outputs: Mapping[Modality, Tensor], labels: Tensor) -> Loss:
        """Return the cross-entropy of the logits (n, c) of one modality."""
        ((name, logits),) = outputs.items()
        loss = cross_entropy(logits, labels)
        accuracy = (logits.argmax(dim=1) == labels).float().mean()
        return Loss(loss, {f"{name}_loss": loss, f"{name}_accuracy": accuracy})

    def represent(self, outputs: Matrix) -> Matrix:
        return posteriors(outputs)

    def score(self, outputs: Mapping[Modality, NetworkMap], train: Split, validation: Split) -> Finding:
        """Return accuracy and cross-entropy of one modality on validation, the first of which decides."""
        ((name, logits_of),) = outputs.items()
        logits = torch.from_numpy(logits_of(validation.views[name]))
        classes = torch.from_numpy(self.classes_.searchsorted(validation.labels))
        accuracy = float((logits.argmax(dim=1) == classes).double().mean())
        loss = float(cross_entropy(logits, classes))
        measured = {f"{name}_validation_accuracy": accuracy, f"{name}_validation_loss": loss}
        return Finding((accuracy, -loss), measured)

    def optimizer_of(self, networks: Sequence[nn.Module]) -> torch.optim.Optimizer:
        """Return Adam or SGD, with what ``"auto"`` stands for."""
        usual = USUAL[self.optimizer]
        rate, decay = (
            usual[name] if isinstance(value, str) else value
            for name, value in (("learning_rate", self.learning_rate), ("weight_decay", self.weight_decay))
        )
        groups = decayed(networks, decay)
        if self.optimizer == "adam":
            return torch.optim.Adam(groups, lr=rate, fused=True)
        return torch.optim.SGD(groups, lr=rate, momentum=self.momentum)

    def _learn(self, train: Split, validation: Split, run: Run) -> None:
        trained = self.train_networks(train, validation, run)
        maps = self.representations(trained.outputs, train)
        self.image_map_, self.text_map_ = maps["image"], maps["text"]
        image, text = trained.trainings
        self.curves_ = in_parallel([image.curves, text.curves])
        self.image_iterations_, self.text_iterations_ = image.iteration, text.iteration
        self.iterations_ = image.iteration + text.iteration
        self.image_best_iteration_, self.text_best_iteration_ = image.best_iteration, text.best_iteration
        self.image_validation_accuracy_ = self._accuracy(image)
        self.text_validation_accuracy_ = self._accuracy(text)

    def _accuracy(self, training: Training[Index]) -> float | None:
        return training.best.score[0] if self.stopping == "validation" else None


def posteriors(logits: Matrix) -> Matrix:
    """Return the probabilities (n, c) of the categories whose logits (n, c) networks put out."""
    probabilities: Matrix = softmax(logits, axis=1)
    return probabilities
