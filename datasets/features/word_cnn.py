"""The word CNN: n-gram detectors over word vectors, each giving its strongest response to a text."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.functional import cross_entropy

from cmbench.datasets.draft import FloatMatrix, Labels
from cmbench.datasets.features.tokens import PADDING, Tokens, padded
from cmbench.datasets.features.weights import device_called
from cmbench.errors import DatasetError
from cmbench.neural import dropped_out, uniform_layer

Texts = Sequence[Tokens]
Curves = dict[str, NDArray[np.float64]]
TEXTS_AT_ONCE = 200

OPTIMISERS: dict[str, type[torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adadelta": torch.optim.Adadelta,
}
RATES = {"adam": 5e-3, "adadelta": 1.0}
"""The learning rate of each that a training may begin with."""


@dataclass(frozen=True)
class WordCNNShape:
    """The sizes of a word CNN; the defaults are those of Kim (2014), Section 3.1.

    Parameters
    ----------
    widths : how many words the filters of each block span
    maps : filters in each block
    dropout : share of features that a training step leaves out before the last layer
    tuned : whether training changes word vectors ("non-static") or not ("static")
    """

    widths: tuple[int, ...] = (3, 4, 5)
    maps: int = 100
    dropout: float = 0.5
    tuned: bool = True

    @property
    def features(self) -> int:
        """How many features there are: one for each filter."""
        return len(self.widths) * self.maps

    @property
    def groups(self) -> Labels:
        """The block that each feature belongs to, int64 (features,)."""
        return np.repeat(np.arange(len(self.widths), dtype=np.int64), self.maps)


@dataclass(frozen=True)
class WordCNNSettings:
    """How a word CNN is shaped and trained.

    Adam's rate and patience suit Pascal Sentence: three-fold cross-validation on its 800 training
    texts and their sentences, with GloVe vectors of 25 dimensions, gave a linear classifier of the features
    the accuracy 0.775 (standard error 0.015). No variant was better: a patience of 12 gave 0.769, a rate of
    0.001 gave 0.768, of 0.002 with static vectors 0.686, and of 0.002 with three in ten words of each step
    taken for unknown ones 0.755.

    Parameters
    ----------
    shape : WordCNNShape
    optimiser : ``"adam"``, or ``"adadelta"`` as in the paper
    learning_rate : step size; for Adadelta give 1, its own default, since it learns nothing at Adam's
    batch : texts in each step
    largest_norm : what the 2-norm of each class's weights is limited to after each step (Section 2.1)
    epochs : the most passes over the training texts
    patience : passes without a better validation accuracy after which training ends
    longest : tokens after which a text is cut
    seed : of first weights, vectors of unknown words, the order of texts, and dropout
    device : where it is trained: ``"auto"`` (a GPU if there is one), ``"cpu"``, ``"cuda"``
    """

    shape: WordCNNShape = field(default_factory=WordCNNShape)
    optimiser: str = "adam"
    learning_rate: float = RATES["adam"]
    batch: int = 50
    largest_norm: float = 3.0
    epochs: int = 30
    patience: int = 6
    longest: int = 1000
    seed: int = 0
    device: str = "auto"


class WordCNN(nn.Module):
    """Y. Kim, Convolutional neural networks for sentence classification, EMNLP 2014.

    A filter of width h responds to each window of h words by ReLU(w . x_{i:i+h-1} + b) (Equation 2), and its
    feature is the maximum over the windows (Equation 3); a linear layer makes class logits of the features.
    Only windows within the text count, whatever it was padded to. A text shorter than a filter has one
    window, which is filled up with zeros behind, and a text without words has one of zeros alone.

    It has no training mode: features are left out where a call brings the random numbers to do it with.

    Parameters
    ----------
    table : float32 (words, d), the word vectors; row 0 is padding
    shape : WordCNNShape
    classes : number of logits
    random : draws the first weights, uniform within ±1/sqrt(fan in)
    """

    def __init__(
        self, table: FloatMatrix, shape: WordCNNShape, classes: int, random: torch.Generator
    ) -> None:
        super().__init__()
        self.shape = shape
        vectors = torch.tensor(table)
        self.words = nn.Embedding(len(vectors), vectors.shape[1], padding_idx=PADDING, _weight=vectors)
        self.words.requires_grad_(shape.tuned)
        channels = vectors.shape[1]
        self.blocks = nn.ModuleList(
            uniform_layer(nn.Conv1d, channels, shape.maps, width, fan_in=width * channels, random=random)
            for width in shape.widths
        )
        self.last = uniform_layer(nn.Linear, shape.features, classes, fan_in=shape.features, random=random)

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return self.last.weight.device

    def features(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Return features (n, len(widths) * maps) of padded tokens (n, any) and lengths (n,), both int64."""
        missing = max(self.shape.widths) - tokens.shape[1]
        filled = functional.pad(tokens, (0, max(missing, 0)), value=PADDING)
        rows = self.words(filled).to(self.last.weight.dtype).transpose(1, 2)
        responses = [
            _strongest(block(rows), lengths - width + 1)
            for block, width in zip(self.blocks, self.shape.widths, strict=True)
        ]
        return torch.cat(responses, dim=1)

    def forward(self, tokens: Tensor, lengths: Tensor, dropping: torch.Generator | None = None) -> Tensor:
        """Return logits (n, classes); with ``dropping``, of features thinned by dropout."""
        features = self.features(tokens, lengths)
        if dropping is not None:
            features = dropped_out(features, self.shape.dropout, dropping)
        logits: Tensor = self.last(features)
        return logits

    @torch.no_grad()
    def limit_norms(self, largest: float) -> None:
        """Shorten each row of the last layer's weights to the 2-norm ``largest``, in place."""
        self.last.weight.copy_(torch.renorm(self.last.weight, 2, 0, largest))


def _strongest(responses: Tensor, windows: Tensor) -> Tensor:
    """Return ReLU of the maximum (n, maps) of responses (n, maps, any) over each text's first windows."""
    position = torch.arange(responses.shape[2], device=responses.device)
    outside = position >= windows.clamp(min=1)[:, None]
    return torch.relu(responses.masked_fill(outside[:, None], -torch.inf).max(dim=2).values)


@dataclass(frozen=True, eq=False)
class TrainedWordCNN:
    """A network as it was after its best epoch, and how it got there.

    Parameters
    ----------
    network : WordCNN
    curves : float64 (epochs,) each: ``loss`` (mean over training batches, with dropout), ``validation_loss``
        and ``validation_accuracy``
    best_epoch : counted from 1
    """

    network: WordCNN
    curves: Curves
    best_epoch: int

    @property
    def validation_accuracy(self) -> float:
        """The share of validation texts that the network classifies rightly."""
        return float(self.curves["validation_accuracy"][self.best_epoch - 1])


def train_word_cnn(
    table: FloatMatrix,
    train: tuple[Texts, Labels],
    validation: tuple[Texts, Labels],
    *,
    classes: int,
    settings: WordCNNSettings,
) -> TrainedWordCNN:
    """Return a network that learnt the categories of ``train``: texts as rows of ``table``, and labels.

    It is kept as it was at the highest validation accuracy, the lower validation loss where several are as
    high. The same seed gives the same bits on the same CPU with the same number of threads; on a GPU, whose
    sums come in any order, it need not. Wrong settings and a loss that is not finite raise ``DatasetError``.
    """
    check_settings(settings)
    random = torch.Generator().manual_seed(settings.seed)
    network = WordCNN(table, settings.shape, classes, random).to(device_called(settings.device))
    parameters = [values for values in network.parameters() if values.requires_grad]
    optimiser = OPTIMISERS[settings.optimiser](parameters, lr=settings.learning_rate)  # type: ignore[call-arg]
    curves = defaultdict(list)
    best = _Best()
    for epoch in range(1, settings.epochs + 1):
        curves["loss"].append(_train_epoch(network, optimiser, train, settings, epoch, random))
        accuracy, loss = _validate(network, *validation)
        curves["validation_loss"].append(loss)
        curves["validation_accuracy"].append(accuracy)
        best.offer((accuracy, -loss), epoch, network)
        if epoch - best.epoch >= settings.patience:
            break
    network.load_state_dict(best.state)
    return TrainedWordCNN(
        network.cpu(), {name: np.array(values) for name, values in curves.items()}, best.epoch
    )


def check_settings(settings: WordCNNSettings) -> None:
    """Raise ``DatasetError`` for the first setting that no training could use."""
    shape = settings.shape
    counts = {name: getattr(settings, name) for name in ("batch", "epochs", "patience", "longest")}
    counts |= {"maps": shape.maps} | {f"widths[{i}]": width for i, width in enumerate(shape.widths)}
    for name, count in counts.items():
        if count < 1:
            raise DatasetError(f"{name} is {count}; it must be 1 or more")
    if not shape.widths:
        raise DatasetError("widths is empty; name a width of filters at least")
    if not 0 <= shape.dropout < 1:
        raise DatasetError(f"dropout is {shape.dropout}; it must be at least 0 and below 1")
    for name in ("learning_rate", "largest_norm"):
        if not 0 < getattr(settings, name) < float("inf"):
            raise DatasetError(f"{name} is {getattr(settings, name)}; it must be a positive number")
    if settings.optimiser not in OPTIMISERS:
        raise DatasetError(f"optimiser is {settings.optimiser!r}; it must be one of {', '.join(OPTIMISERS)}")


class _Best:
    """The state of a network at its highest score, the first of equals."""

    def __init__(self) -> None:
        self.score: tuple[float, ...] = (float("-inf"),)
        self.epoch = 0
        self.state: dict[str, Any] = {}

    def offer(self, score: tuple[float, ...], epoch: int, network: WordCNN) -> None:
        if score > self.score:
            self.score, self.epoch, self.state = score, epoch, copy.deepcopy(network.state_dict())


def _train_epoch(
    network: WordCNN,
    optimiser: torch.optim.Optimizer,
    train: tuple[Texts, Labels],
    settings: WordCNNSettings,
    epoch: int,
    random: torch.Generator,
) -> float:
    losses = []
    order = np.random.default_rng([settings.seed, epoch]).permutation(len(train[1]))
    for tokens, lengths, labels in _batches(*train, order, settings.batch, network.device):
        loss = cross_entropy(network(tokens, lengths, random), labels)
        if not torch.isfinite(loss):
            raise DatasetError(
                f"the word CNN's loss became {loss.item()} in epoch {epoch}; lower learning_rate, or look at "
                "the scale of the word vectors"
            )
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        network.limit_norms(settings.largest_norm)
        losses.append(loss.item())
    return float(np.mean(losses))


@torch.no_grad()
def _validate(network: WordCNN, texts: Texts, labels: Labels) -> tuple[float, float]:
    """Return the accuracy and the mean cross-entropy on texts."""
    right, loss = 0, 0.0
    for tokens, lengths, expected in _batches(
        texts, labels, np.arange(len(labels)), TEXTS_AT_ONCE, network.device
    ):
        logits = network(tokens, lengths)
        right += int((logits.argmax(dim=1) == expected).sum())
        loss += cross_entropy(logits, expected, reduction="sum").item()
    return right / len(labels), loss / len(labels)


def _batches(
    texts: Texts, labels: Labels, order: NDArray[np.int64], size: int, device: torch.device
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        tokens, lengths = batch_of([texts[row] for row in rows])
        yield tokens.to(device), lengths.to(device), torch.from_numpy(labels[rows]).to(device)


def batch_of(encoded: Sequence[Tokens]) -> tuple[Tensor, Tensor]:
    """Return texts padded to the longest of them, int64 (n, tokens), and their lengths, int64 (n,)."""
    return torch.from_numpy(padded(encoded)), torch.tensor([len(tokens) for tokens in encoded])


def network_features(network: WordCNN, encoded: Sequence[Tokens]) -> FloatMatrix:
    """Return the features of texts, float32 (n, len(widths) * maps), without dropout.

    Sums are taken in float64, so that a text gives the same whatever texts it is computed together with.
    """
    exact = copy.deepcopy(network)
    exact.blocks.double()
    exact.last.double()
    order = np.argsort([len(tokens) for tokens in encoded], kind="stable")
    features = np.empty((len(encoded), network.shape.features), np.float32)
    with torch.no_grad():
        for start in range(0, len(order), TEXTS_AT_ONCE):
            rows = order[start : start + TEXTS_AT_ONCE]
            features[rows] = exact.features(*batch_of([encoded[row] for row in rows])).numpy()
    return features
