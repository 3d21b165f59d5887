"""Networks of full connections, one for each view, and the maps that trained ones give."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from cmbench.datasets.draft import Modality
from cmbench.methods.networks.layers import linear
from cmbench.methods.training.batches import Index
from cmbench.methods.training.curves import gradient_norm
from cmbench.methods.training.descent import Descent, decayed
from cmbench.methods.training.device import DeviceRows, NetworkMap, picked
from cmbench.methods.training.loop import Finding, Run, Training, Watched
from cmbench.methods.views.inputs import Labels
from cmbench.methods.views.scaling import Scaling
from cmbench.neural import dropped_out

ACTIVATIONS = {"sigmoid": torch.sigmoid, "relu": torch.relu}


@dataclass(frozen=True)
class Shape:
    """What lies between the features of a view and the outputs of its network.

    Parameters
    ----------
    hidden_layers, hidden_width : how many, and the size of each; with none the network is linear
    outputs : size of the last layer, which has no activation
    activation : ``"sigmoid"`` (logistic) or ``"relu"``, of hidden layers
    dropout : share of hidden units that a training step leaves out
    """

    hidden_layers: int
    hidden_width: int
    outputs: int
    activation: str
    dropout: float = 0.0


class ViewNetwork(nn.Module):
    """Maps features (n, inputs) to outputs (n, outputs), each row by itself.

    In training mode hidden units are left out at random, by PyTorch's own random numbers.

    Examples
    --------
    >>> network = ViewNetwork(3, Shape(1, 4, 2, "relu"), torch.Generator().manual_seed(0))
    >>> [tuple(values.shape) for values in network.parameters()]
    [(4, 3), (4,), (2, 4), (2,)]
    """

    def __init__(self, inputs: int, shape: Shape, random: torch.Generator) -> None:
        super().__init__()
        widths = [inputs, *[shape.hidden_width] * shape.hidden_layers, shape.outputs]
        self.shape = shape
        self.layers = nn.ModuleList(linear(n_in, n_out, random) for n_in, n_out in pairwise(widths))

    def forward(self, rows: Tensor) -> Tensor:
        """Return outputs; in training mode, of a network thinned by dropout."""
        *hidden, last = self.layers
        for layer in hidden:
            rows = ACTIVATIONS[self.shape.activation](layer(rows))
            if self.training and self.shape.dropout:
                rows = dropped_out(rows, self.shape.dropout)
        outputs: Tensor = last(rows)
        return outputs


@dataclass(frozen=True, eq=False)
class LabelledView:
    """One view of some items: features (n, d), their scaling, and the numbers (n,) of their classes."""

    modality: Modality
    features: NDArray[Any]
    scaling: Scaling
    classes: Labels


class ClassifierFitting:
    """A network of one view, ready to be trained.

    It minimises the mean cross-entropy of the softmax of its outputs, and keeps the state of the
    highest accuracy on validation; of equals that of the lower cross-entropy there. Every random
    number comes from the run through a stream of its own purpose and modality.
    """

    def __init__(
        self,
        train: LabelledView,
        validation: LabelledView,
        shape: Shape,
        descent: Descent,
        run: Run,
    ) -> None:
        self.train, self.validation = train, validation
        self.descent, self.run, self._modality = descent, run, train.modality
        self._features = DeviceRows(train.features, train.scaling, run.device)
        self._classes = torch.from_numpy(train.classes).to(run.device)
        self.batches = run.order(len(train.classes), descent.batch_size, train.modality)
        random = run.stream(f"{train.modality} network")
        self.network = ViewNetwork(train.features.shape[1], shape, random).to(run.device)
        self.optimizer = self._optimizer()

    def trained(self, stage: str) -> Training[Index]:
        """Train the network as the stage of that name."""
        descent, rounds = self.descent, self.batches.rounds
        return self.run.train(
            stage,
            self.train_round,
            modules={self._modality: self.network},
            optimizers={self._modality: self.optimizer},
            items=self.batches.epoch,
            rounds=rounds,
            epochs=descent.epochs,
            look_every=descent.eval_epochs * rounds,
            patience=descent.patience,
            score=self.look if descent.stopping == "validation" else None,
        )

    def train_round(self, index: Index, norms: bool) -> Watched:
        """Move the network towards a lower cross-entropy of the rows of that index."""
        classes = picked(self._classes, index)
        logits = self.network(self._features.rows(index))
        loss = cross_entropy(logits, classes)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        accuracy = (logits.argmax(dim=1) == classes).float().mean()
        watched = [(f"{self._modality}_loss", loss.detach()), (f"{self._modality}_accuracy", accuracy)]
        if norms:
            watched.append((f"{self._modality}_gradient", gradient_norm([*self.network.parameters()])))
        self.optimizer.step()
        return watched

    def look(self) -> Finding:
        """Return accuracy and cross-entropy on validation, the first of which decides."""
        logits = torch.from_numpy(self.map()(self.validation.features))
        classes = torch.from_numpy(self.validation.classes)
        accuracy = float((logits.argmax(dim=1) == classes).double().mean())
        loss = float(cross_entropy(logits, classes))
        measured = {"validation_accuracy": accuracy, "validation_loss": loss}
        return Finding(
            (accuracy, -loss), {f"{self._modality}_{name}": value for name, value in measured.items()}
        )

    def map(self) -> NetworkMap:
        """Return the map of features to logits by the network as it is now."""
        return NetworkMap(self.network, f"{self._modality}s", self.train.scaling, torch.float64)

    def _optimizer(self) -> torch.optim.Optimizer:
        descent = self.descent
        groups = decayed([self.network], descent.weight_decay)
        if descent.optimizer == "adam":
            return torch.optim.Adam(groups, lr=descent.learning_rate, fused=True)
        return torch.optim.SGD(groups, lr=descent.learning_rate, momentum=descent.momentum)
