"""Deep-SM: deep semantic matching."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

from scipy.special import softmax

from cmbench.datasets.draft import Split
from cmbench.methods.networks.perceptron import ClassifierFitting, LabelledView, Shape
from cmbench.methods.parameters import Count, Number, SearchSpace, Words
from cmbench.methods.training.batches import Index
from cmbench.methods.training.curves import in_parallel
from cmbench.methods.training.deep_method import DeepMethod
from cmbench.methods.training.descent import Descent
from cmbench.methods.training.loop import Run, Training
from cmbench.methods.views.inputs import MODALITIES, Matrix, checked_classes, class_numbers
from cmbench.methods.views.maps import Chain
from cmbench.methods.views.scaling import learned_scalings

USUAL = {
    "adam": {"learning_rate": 1e-3, "weight_decay": 0.0},
    "sgd": {"learning_rate": 0.01, "weight_decay": 5e-4},
}
"""What ``"auto"`` stands for, by optimiser."""


class DeepSM(DeepMethod):
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

    hidden_image: Annotated[int, Count(0), SearchSpace(0, 1)] = 1
    """Hidden layers of the network of images. Their features are outputs of a CNN already, and 0 is its
    last layer anew, which is logistic regression; 1 leaves the network something to learn.
    """
    hidden_text: Annotated[int, Count(0), SearchSpace(0, 1, 2)] = 2
    """Hidden layers of the network of texts. What the paper has could not be read; 2 is our choice."""
    hidden_width: Annotated[int, Count(1)] = 1024
    """Units of each hidden layer, all of which have ReLU."""
    dropout: Annotated[float, Number(0, 0.99), SearchSpace(0.0, 0.5)] = 0.5
    """Share of hidden units left out in training. One half, as is usual for few items."""
    optimizer: Annotated[str, Words("adam", "sgd")] = "adam"
    """Adam, or stochastic gradient descent with momentum."""
    learning_rate: Annotated[
        float | str, Number(0, open_ends=True, words=("auto",)), SearchSpace(1e-4, 1e-3)
    ] = "auto"
    """Of the optimiser. ``"auto"`` is 0.001 for Adam and 0.01 for SGD, as is usual for CNNs."""
    weight_decay: Annotated[float | str, Number(0, words=("auto",)), SearchSpace(0.0, 1e-3)] = "auto"
    """Of weights, but not of biases, in the gradient. ``"auto"`` is 0 for Adam and 0.0005 for SGD."""
    momentum: Annotated[float, Number(0, 0.999)] = 0.9
    """Of SGD; Adam ignores it."""
    stopping: Annotated[str, Words("validation", "none")] = "validation"
    """Which state of each network is kept: that of the highest accuracy on validation, and among equals
    of the lowest cross-entropy there; or with ``"none"`` the last one.
    """
    preprocessing: Annotated[str, Words("none", "zscore", "rownorm"), SearchSpace("none", "zscore")] = (
        "zscore"
    )

    def _learn(self, train: Split, validation: Split, run: Run) -> None:
        self.classes_ = checked_classes(train.labels, len(train.images))
        images, texts = self._views(train, validation)
        image, image_training = self._trained(images, run)
        text, text_training = self._trained(texts, run)
        self.image_map_, self.text_map_ = Chain(image.map(), posteriors), Chain(text.map(), posteriors)
        self.curves_ = in_parallel([image_training.curves, text_training.curves])
        self.image_iterations_, self.text_iterations_ = image_training.iteration, text_training.iteration
        self.iterations_ = self.image_iterations_ + self.text_iterations_
        self.image_best_iteration_ = image_training.best_iteration
        self.text_best_iteration_ = text_training.best_iteration
        self.image_validation_accuracy_ = self._accuracy(image_training)
        self.text_validation_accuracy_ = self._accuracy(text_training)

    def _views(self, train: Split, validation: Split) -> Iterator[tuple[LabelledView, LabelledView]]:
        """Yield images, then texts, of training and of validation."""
        scalings = learned_scalings(train, self.preprocessing)
        numbers = class_numbers(train, validation, self.name)
        for modality in MODALITIES:
            seen, unseen = (
                LabelledView(modality, split.views[modality], scalings[modality], classes)
                for split, classes in zip((train, validation), numbers, strict=True)
            )
            yield seen, unseen

    def _trained(
        self, views: tuple[LabelledView, LabelledView], run: Run
    ) -> tuple[ClassifierFitting, Training[Index]]:
        modality = views[0].modality
        layers = {"image": self.hidden_image, "text": self.hidden_text}[modality]
        shape = Shape(layers, self.hidden_width, len(self.classes_), "relu", self.dropout)
        fitting = ClassifierFitting(*views, shape, self._descent(), run)
        return fitting, fitting.trained(modality)

    def _descent(self) -> Descent:
        values = self._values(Descent)
        usual = {name: value for name, value in USUAL[self.optimizer].items() if values[name] == "auto"}
        return Descent(**{**values, **usual})

    def _accuracy(self, training: Training[Index]) -> float | None:
        return training.best.score[0] if self.stopping == "validation" else None


def posteriors(logits: Matrix) -> Matrix:
    """Return the probabilities (n, c) of the categories whose logits (n, c) networks put out."""
    probabilities: Matrix = softmax(logits, axis=1)
    return probabilities
